"""What is new among incidents, as those who listen hear it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from coordinator.errors import StoreUnavailable
from coordinator.web import feed as feeding
from coordinator.web.feed import Feed, TooManyListeners

Thing = tuple[str, dict[str, Any]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "look_seconds", 0.002)


class World:
    """What there is to be looked at."""

    def __init__(self) -> None:
        self.things: dict[str, Thing] = {}
        self.away = False
        self._looked = asyncio.Semaphore(0)

    async def looked(self, times: int = 1) -> None:
        """Until somebody has looked so often from now on."""
        self._looked = asyncio.Semaphore(0)
        async with asyncio.timeout(10):
            for _ in range(times):
                await self._looked.acquire()

    async def look(self) -> dict[str, Thing]:
        self._looked.release()
        if self.away:
            raise StoreUnavailable("away")
        return dict(self.things)

    def put(self, name: str, **data: Any) -> None:
        self.things[name] = ("incident", data)


class Listener:
    def __init__(self, feed: Feed, last_id: str | None = None) -> None:
        self.lines: AsyncIterator[bytes] = feed.listen(last_id)

    async def hear(self) -> dict[str, Any]:
        """The next event, without the remarks between them."""
        async with asyncio.timeout(10):
            while True:
                text = (await anext(self.lines)).decode()
                fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
                if "event" in fields:
                    return {**fields, "data": json.loads(fields["data"])}

    async def begin(self) -> None:
        assert await anext(self.lines) == b"retry: 2000\n\n"


async def test_what_changes_is_told_once_to_everybody_and_what_was_there_before_is_not() -> None:
    world = World()
    world.put("old", n=0)
    feed = Feed(world.look)
    ann, bob = Listener(feed), Listener(feed)
    heard = [asyncio.ensure_future(one.hear()) for one in (ann, bob)]
    await world.looked(3)  # so that both stand where nothing has happened yet
    world.put("i1", n=1)

    first = [await one for one in heard]

    assert first[0] == first[1]
    assert (first[0]["event"], first[0]["data"]) == ("incident", {"n": 1})
    world.put("i1", n=2)
    assert (await ann.hear())["data"] == {"n": 2}
    assert (await bob.hear())["data"] == {"n": 2}
    feed.stop()
    assert [line async for line in ann.lines] == []


async def test_who_comes_back_hears_what_was_missed() -> None:
    world, feed = await _with_events(3)
    (await anext(feed.listen(None))).decode()
    ids = [f"{feed._token}-{number}" for number in (1, 2, 3)]

    again = Listener(feed, ids[0])

    assert [(await again.hear())["data"] for _ in range(2)] == [{"n": 1}, {"n": 2}]
    world.put("i9", n=9)  # and what happened while nobody listened
    assert (await again.hear())["data"] == {"n": 9}


async def _with_events(count: int) -> tuple[World, Feed]:
    world = World()
    feed = Feed(world.look)
    listener = Listener(feed)
    await listener.begin()
    for number in range(count):
        heard = asyncio.ensure_future(listener.hear())
        await world.looked()
        world.put(f"i{number}", n=number)
        assert (await heard)["data"] == {"n": number}
    return world, feed


@pytest.mark.parametrize("last", ["", "x", "00000000-1", "{token}-99", "{token}-", "{token}-x", "{token}-" + "9" * 20])
async def test_who_comes_from_elsewhere_is_told_to_begin_anew(last: str) -> None:
    _, feed = await _with_events(1)

    stranger = Listener(feed, last.format(token=feed._token))

    assert (await stranger.hear())["event"] == "reset"


async def test_who_fell_behind_is_told_to_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "events_kept", 2)
    _, feed = await _with_events(5)

    slow = Listener(feed, f"{feed._token}-1")

    assert (await slow.hear())["event"] == "reset"
    late = Listener(feed, f"{feed._token}-3")
    assert [(await late.hear())["data"] for _ in range(2)] == [{"n": 3}, {"n": 4}]


async def test_silence_is_broken_so_that_nobody_hangs_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "heartbeat_seconds", 0.01)
    listener = Listener(Feed(World().look))
    await listener.begin()

    async with asyncio.timeout(10):
        assert await anext(listener.lines) == b":\n\n"


async def test_while_the_database_is_away_nothing_is_new_and_nobody_is_hung_up_on() -> None:
    world = World()
    world.away = True
    feed = Feed(world.look)
    listener = Listener(feed)
    heard = asyncio.ensure_future(listener.hear())
    await world.looked(3)
    world.away = False
    await world.looked(2)
    world.put("i1", n=1)

    assert (await heard)["data"] == {"n": 1}


async def test_there_is_room_for_so_many_and_their_places_become_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "listeners_max", 1)
    feed = Feed(World().look)
    listener = Listener(feed)
    await listener.begin()

    with pytest.raises(TooManyListeners):
        feed.listen(None)

    feed.stop()
    assert [line async for line in listener.lines] == []
    feed.listen(None)
