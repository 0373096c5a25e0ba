"""A coordinator and its participants in one process: sagas end there, and who is given can be anything sensible."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from amends import InboxError, Participant, Refused
from amends.database import open_engine
from amends.inbox import SqlInbox
from coordinator.embedded import Embedded, embedded, load_participants
from coordinator.errors import InvalidDefinition, UnknownDefinition, UnknownSaga

trip: dict[str, Any] = {
    "name": "trip",
    "steps": [
        {"name": "hotel", "participant": "hotel", "action": "book", "compensation": "cancel"},
        {"name": "flight", "participant": "air", "action": "book", "compensation": "cancel"},
    ],
}


def agency(name: str, *, full: bool = False) -> Participant:
    """A participant without a database, which books, or refuses to."""
    participant = Participant(name, inbox=None)

    @participant.action("book")
    async def book() -> str:
        if full:
            raise Refused("full")
        return f"{name}-1"

    @participant.compensation("cancel")
    async def cancel() -> None:
        return None

    return participant


async def test_a_saga_runs_to_its_end(sqlite_url: str) -> None:
    async with embedded(agency("hotel"), agency("air"), database_url=sqlite_url) as coordinator:
        assert await coordinator.register(trip) == 1
        saga = await coordinator.run("trip")
        assert (saga.status, saga.steps["flight"].result) == ("completed", "air-1")
        assert await coordinator.end_of(saga.id) == saga  # asked again, when it has long been final


async def test_a_refusal_is_compensated(sqlite_url: str) -> None:
    async with embedded(agency("hotel"), agency("air", full=True), database_url=sqlite_url) as coordinator:
        await coordinator.register(trip)
        saga = await coordinator.run("trip")
    assert saga.status == "compensated"
    assert str(saga.cause) == "flight refused: full"


async def test_what_one_process_left_is_finished_by_the_next(sqlite_url: str) -> None:
    async with embedded(agency("hotel"), database_url=sqlite_url) as first:
        await first.register(trip)
        saga_id = await first.start("trip")
    async with embedded(agency("hotel"), agency("air"), database_url=sqlite_url) as second, asyncio.timeout(30):
        assert (await second.end_of(saga_id)).status == "completed"


async def test_many_sagas_end_at_once(sqlite_url: str) -> None:
    async with embedded(agency("hotel"), agency("air"), database_url=sqlite_url) as coordinator:
        await coordinator.register(trip)
        sagas = await asyncio.gather(*(coordinator.run("trip") for _ in range(30)))
    assert {saga.status for saga in sagas} == {"completed"}


async def test_what_is_not_there_is_said(sqlite_url: str) -> None:
    async with embedded(database_url=sqlite_url) as coordinator:
        with pytest.raises(UnknownDefinition):
            await coordinator.start("trip")
        with pytest.raises(UnknownSaga):
            await coordinator.end_of("nobody")
        with pytest.raises(InvalidDefinition):
            await coordinator.register({"name": "trip", "steps": []})
    with pytest.raises(RuntimeError, match="open it first"):
        await Embedded().start("trip")


async def test_an_inbox_that_cannot_work_is_said_before_anything_runs(sqlite_url: str, tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'own.db'}")
    try:
        with pytest.raises(InboxError, match="no table"):
            async with embedded(Participant("hotel", inbox=SqlInbox(engine)), database_url=sqlite_url):
                pass
    finally:
        await engine.dispose()


module = """
from amends import Participant
one = Participant("one", inbox=None)
several = [one, Participant("two", inbox=None)]
def made(): return several
async def made_in_time(): return several
nonsense = 5
empty = []
strange = [one, "two"]
"""


@pytest.mark.parametrize(
    ("name", "found"),
    [("one", ["one"]), ("several", ["one", "two"]), ("made", ["one", "two"]), ("made_in_time", ["one", "two"])],
)
async def test_participants_are_found_by_their_place(
    name: str, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agencies_found.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    assert [one.name for one in await load_participants(f"agencies_found:{name}", folder=tmp_path)] == found


@pytest.mark.parametrize("place", ["agencies", "agencies_odd:nonsense", "agencies_odd:empty", "agencies_odd:strange"])
async def test_a_place_without_participants_is_refused(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agencies_odd.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="agencies"):
        await load_participants(place, folder=tmp_path)
