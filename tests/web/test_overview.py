"""How everything stands, participants in numbers, and what happens to sagas as those who listen hear it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from coordinator.building import build
from coordinator.engine import Beginning
from coordinator.store import overview as bounds
from coordinator.store.values import Beat, DeadLetter
from coordinator.web import feed as feeding
from coordinator.web import pace as pacing
from tests.waiting import eventually
from tests.web.conftest import Site, chain, problem_of
from tests.web.failures import failed_saga, incident


async def overview(site: Site, query: str = "") -> dict[str, Any]:
    response = await site.http.get(f"/v1/overview{query}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_where_nothing_has_happened_nothing_is_wrong(site: Site) -> None:
    seen = await overview(site)

    none = {"count": 0, "capped": False}
    assert set(seen["sagas"]) == {"running", "compensating", "blocked", "completed", "compensated", "closed"}
    assert all(counted == none for counted in seen["sagas"].values())
    assert seen["stuck"] == {"for_seconds": 300, "sagas": none, "oldest_at": None}
    assert seen["dead_letters"] == {"open": none, "oldest_at": None}
    assert seen["outbox"] == {
        "waiting": 0, "parked": 0, "oldest_at": None, "oldest_seconds": None, "capped": False
    }  # fmt: skip
    assert seen["workers"] == {"live": 0, "lost": [], "unattended": []}
    assert (seen["incidents"], seen["pauses"], seen["waiting_on"]) == ({"open": 0, "newest": []}, [], [])
    assert seen["durations"] == {"sagas": 0, "p50_seconds": None, "p95_seconds": None, "since": None}
    assert len(seen["rates"]["minutes"]) == 60


async def test_what_is_wrong_is_counted(site: Site) -> None:
    await site.define(chain)
    await site.puppet("inventory", lambda _: None)
    waiting = await site.begin()
    now = site.app.clock.now()
    await site.app.stores.dead_letters.keep([DeadLetter("d1", now, "replies", "unreadable", "?")])
    lost = Beat("payment", "w-9", version="2.0", interval_seconds=0.001)
    await site.app.stores.fleet.beat([lost], now=now - timedelta(minutes=5))
    await site.app.stores.fleet.beat([Beat("gone", "w-1", interval_seconds=0.001)], now=now - timedelta(hours=2))
    pause = (await site.http.post("/v1/pauses", json={"scope": "definition", "name": "other", "reason": "r"})).json()
    incident_id = await incident(site)

    async def quiet() -> bool:
        return bool((await overview(site, "?stuck_for_seconds=1"))["stuck"]["sagas"]["count"])

    await eventually(quiet, "a second to pass in which nothing happens")
    seen = await overview(site)
    assert seen["sagas"]["running"] == {"count": 1, "capped": False}
    assert seen["stuck"]["sagas"]["count"] == 0
    assert seen["waiting_on"] == [{"kind": "reply", "participant": "inventory", "sagas": {"count": 1, "capped": False}}]
    assert seen["dead_letters"]["open"]["count"] == 1
    (gone,) = seen["workers"]["lost"]
    assert (gone["participant"], gone["worker"], gone["version"]) == ("payment", "w-9", "2.0")
    assert (seen["workers"]["live"], seen["workers"]["unattended"]) == (1, ["gone", "payment"])
    assert seen["pauses"] == [pause]
    assert (seen["incidents"]["open"], seen["incidents"]["newest"][0]["id"]) == (1, incident_id)
    assert seen["rates"]["minutes"][-1]["started"] + seen["rates"]["minutes"][-2]["started"] == 1
    stuck = (await site.http.get("/v1/sagas?status=running,compensating&stuck_for_seconds=1")).json()["items"]
    assert [item["id"] for item in stuck] == [waiting]
    await site.http.post(f"/v1/sagas/{waiting}/pause")
    assert (await overview(site, "?stuck_for_seconds=1"))["stuck"]["sagas"]["count"] == 0


async def test_what_waits_is_told_by_who_is_there_and_what_is_paused(site: Site) -> None:
    await site.define(chain)
    await site.begin()

    async def kinds() -> list[tuple[str, str | None]]:
        await site.app.fleet.refresh()
        return [(one["kind"], one["participant"]) for one in (await overview(site))["waiting_on"]]

    assert await kinds() == [("no_consumer", "inventory")]
    await site.http.post("/v1/pauses", json={"scope": "participant", "name": "inventory", "reason": "r"})
    assert await kinds() == [("paused", "inventory")]


async def test_how_long_sagas_took_is_told_of_those_that_finished_last(site: Site) -> None:
    await site.define(chain)
    await site.puppets(chain)
    for _ in range(3):
        await site.end(await site.begin())

    durations = (await overview(site))["durations"]

    assert durations["sagas"] == 3
    assert 0 < durations["p50_seconds"] <= durations["p95_seconds"]


async def test_what_is_counted_only_so_far_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "count_max", 2)
    monkeypatch.setattr(bounds, "outbox_max", 2)
    await site.define(chain)
    await site.http.post("/v1/pauses", json={"scope": "all", "reason": "r"})
    for _ in range(3):
        await site.begin()

    seen = await overview(site)

    assert (seen["outbox"]["waiting"], seen["outbox"]["capped"]) == (2, True)
    assert seen["waiting_on"] == [{"kind": "paused", "participant": "inventory", "sagas": {"count": 2, "capped": True}}]


async def test_a_minute_that_is_over_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Reader:
        async def minutes(self, spans: list[tuple[datetime, datetime]]) -> list[bounds.Minute]:
            asked.append(len(spans))
            return [bounds.Minute(len(asked), 0) for _ in spans]

    pace = pacing.Pace(Reader())  # type: ignore[arg-type]
    at = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)

    first = await pace.rates(at)
    again = await pace.rates(at + timedelta(seconds=20))
    later = await pace.rates(at + timedelta(minutes=1))

    assert asked == [60, 2, 3]  # the present minute and the one before it may still grow
    assert [len(rates.minutes) for rates in (first, again, later)] == [60, 60, 60]
    assert (again.minutes[0].started, again.minutes[-1].started) == (1, 2)
    assert later.minutes[-1].minute == at.replace(second=0) + timedelta(minutes=1)
    assert first.started_per_minute == 1


@pytest.mark.parametrize("query", ["stuck_for_seconds=0", "stuck_for_seconds=x", "stuck_for_seconds=99999999999"])
async def test_a_look_that_makes_no_sense_is_refused(small_site: Site, query: str) -> None:
    problem_of(await small_site.http.get("/v1/overview?" + query), 400, "bad-parameter")


# --- participants -----------------------------------------------------------------------------------------------------


async def test_a_participant_is_told_in_numbers(site: Site) -> None:
    await failed_saga(site)
    pause = {"scope": "participant", "name": "payment", "reason": "a new release", "by": "ada"}
    await site.http.post("/v1/pauses", json=pause)
    await site.http.post("/v1/pauses", json={**pause, "rate_per_second": 2})

    found = (await site.http.get("/v1/participants/payment")).json()

    recent = found["recent"]
    assert (recent["attempts"], recent["failed"], recent["error_rate"]) == (2, 2, 1.0)
    assert sum(minute["failed"] for minute in recent["per_minute"]) == 2
    assert (found["pause"]["by"], found["pause"]["reason"], found["pause"]["since"] is not None) == (
        "ada", "a new release", True
    )  # fmt: skip
    assert (found["throttle"]["rate_per_second"], found["paused"], found["workers_live"]) == (2, True, 1)
    assert found["queue"] == {"waiting": 0, "parked": 0, "oldest_at": None, "awaited": {"count": 0, "capped": False}}
    inventory = next(
        one for one in (await site.http.get("/v1/participants")).json()["items"] if one["name"] == "inventory"
    )
    assert (inventory["recent"]["error_rate"], inventory["pause"], inventory["throttle"]) == (0.0, None, None)


async def test_a_participant_that_nobody_heard_of_is_listed_with_what_waits_for_it(site: Site) -> None:
    await site.define(chain)
    await site.http.post("/v1/pauses", json={"scope": "all", "reason": "r"})
    await site.begin()

    (found,) = (await site.http.get("/v1/participants")).json()["items"]

    assert (found["name"], found["live"], found["workers"], found["pause"]["scope"]) == ("inventory", False, [], "all")
    assert (found["queue"]["waiting"], found["queue"]["awaited"]["count"], found["recent"]["error_rate"]) == (
        1,
        1,
        None,
    )


# --- events -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def listening(site: Site, query: str = "") -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    async with site.http.stream("GET", f"/v1/events{query}") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.aiter_lines()

        async def heard() -> AsyncIterator[dict[str, Any]]:
            kind = ""
            async for line in lines:
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    yield {"event": kind, **json.loads(value)}

        assert await anext(lines) == "retry: 2000"
        yield heard()


async def until(heard: AsyncIterator[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    async with asyncio.timeout(20):
        async for event in heard:
            if all(event.get(name) == value for name, value in wanted.items()):
                return event
    raise AssertionError("the stream ended")


async def test_who_listens_hears_what_happens_to_any_saga(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "look_seconds", 0.05)
    await site.define(chain)
    async with listening(site) as heard:
        saga_id = await site.begin(business_key="k-7")
        begun = await until(heard, event="saga", id=saga_id)
        await site.puppets(chain)
        ended = await until(heard, event="saga", id=saga_id, status="completed")

    assert (begun["definition"], begun["status"], begun["business_key"]) == ("chain", "running", "k-7")
    assert ended["revision"] > begun["revision"]
    assert ended["finished_at"].endswith("Z")


async def test_what_another_coordinator_moves_is_heard_here_and_of_one_saga_alone_if_asked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "look_seconds", 0.05)
    await site.define(chain)
    other = await build(site.settings, broker=site.app.broker)
    await other.start()
    definition = await other.definitions.get("chain")
    first: Any = await other.engine.start(Beginning(definition, None))
    second: Any = await other.engine.start(Beginning(definition, None))
    async with listening(site, f"?saga_id={second.saga_id}") as heard:
        for saga_id in (first.saga_id, second.saga_id):
            await site.http.post(f"/v1/sagas/{saga_id}/pause")
        event = await anext(heard)
    await other.stop(close_broker=False)

    assert (event["event"], event["id"]) == ("saga", second.saga_id)


async def test_who_can_not_be_told_everything_is_told_to_begin_anew(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "look_seconds", 0.05)
    monkeypatch.setattr(bounds, "changed_max", 1)
    await site.define(chain)
    async with listening(site) as heard:
        for _ in range(3):
            await site.begin()
        assert (await until(heard, event="reset"))["at"]
