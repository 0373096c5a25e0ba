"""How everything stands, in numbers that say how far they were counted."""

from __future__ import annotations

from datetime import timedelta

import pytest

from coordinator.saga.state import Pause, SagaStatus
from coordinator.store import overview as bounds
from coordinator.store.database import Database
from coordinator.store.dead_letters import DeadLetterStore
from coordinator.store.observed import Tallied
from coordinator.store.outbox import OutboxStore
from coordinator.store.outcomes import OutcomeStore
from coordinator.store.overview import Durations, Minute, OverviewReader, Waits
from coordinator.store.sagas import SagaStore
from coordinator.store.values import Counted, DeadLetter
from tests.store.made import command, later, moved, new, noon, saga
from tests.store.observed import place, tally


@pytest.fixture
def overview(database: Database) -> OverviewReader:
    return OverviewReader(database)


async def test_stuck_is_who_is_under_way_and_has_not_moved(store: SagaStore, overview: OverviewReader) -> None:
    quiet, quieter = saga(later(-600)), saga(later(-900))
    paused = saga(later(-900), paused=Pause(noon, "ada", "r"))
    blocked = saga(later(-900), status=SagaStatus.BLOCKED)
    done = saga(later(-900), status=SagaStatus.COMPLETED, finished_at=later(-800))
    await store.create([new(one) for one in (quiet, quieter, paused, blocked, done, saga())])

    found = await overview.stuck(later(-300))

    assert (found.sagas, found.oldest) == (Counted(2), quieter.created_at)
    await store.commit([moved(quieter)], now=noon)
    assert (await overview.stuck(later(-300))).oldest == quiet.created_at


async def test_waits_are_told_by_kind_and_participant_even_where_many_wait(
    store: SagaStore, overview: OverviewReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "count_max", 2)
    for name in ("inventory", "inventory", "inventory", "payment"):
        await store.create([new(waiting_on="reply", waiting_for=name)])
    await store.create([new(waiting_on="backoff", waiting_for="payment")])

    found = await overview.waits(["payment"])

    assert found == [
        Waits("reply", "inventory", Counted(2, capped=True)),
        Waits("backoff", "payment", Counted(1)),
        Waits("reply", "payment", Counted(1)),
    ]
    assert await overview.awaited(["payment", "nobody"]) == {"payment": Counted(1), "nobody": Counted(0)}
    assert await overview.awaited([]) == {}


async def test_the_backlog_says_when_there_is_more(
    store: SagaStore, overview: OverviewReader, relay_side: OutboxStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sagas = [saga(later(n)) for n in range(3)]
    await store.create([new(one, command(one)) for one in sagas])
    (row,) = await relay_side.claim("a", now=later(9), lease_until=later(10), limit=1)
    await relay_side.park({row.id: "too large"}, "a")

    (found,), capped = await overview.backlog()

    assert (found.participant, found.waiting, found.parked, capped) == ("payment", 2, 1, False)
    assert found.oldest == later(1)
    monkeypatch.setattr(bounds, "outbox_max", 2)
    assert (await overview.backlog())[1]


async def test_starts_ends_and_durations_are_counted(store: SagaStore, overview: OverviewReader) -> None:
    minute = noon.replace(second=0, microsecond=0)
    took = (1.0, 2.0, 10.0)
    for seconds in took:
        ended = noon + timedelta(seconds=seconds)
        await store.create([new(saga(noon, status=SagaStatus.COMPLETED, finished_at=ended))])
    await store.create([new(saga(noon))])

    spans = [(minute + timedelta(minutes=n), minute + timedelta(minutes=n + 1)) for n in range(-1, 25)]
    counted = await overview.minutes(spans)

    assert counted[1] == Minute(4, 3)
    assert sum(one.started for one in counted) == 4
    assert not counted[1].capped
    assert await overview.durations() == Durations(3, 2.0, 10.0, noon + timedelta(seconds=1))


async def test_open_dead_letters_are_counted_from_the_oldest(database: Database, overview: OverviewReader) -> None:
    letters = DeadLetterStore(database)
    await letters.keep([DeadLetter(f"d{n}", later(n), "replies", "unreadable", "?") for n in range(2)])

    found = await overview.letters()

    assert (found.letters, found.oldest) == (Counted(2), noon)


async def test_how_attempts_ended_is_summed_over_workers(database: Database, overview: OverviewReader) -> None:
    outcomes = OutcomeStore(database)
    other = type(place)(**{**{name: getattr(place, name) for name in place.__slots__}, "worker": "w2"})
    counted = [tally(), tally(place=other), tally(outcome=Tallied.FAILED, count=1, error="E")]
    await outcomes.put(counted, [], source="a")

    found, capped = await overview.ended(noon - timedelta(minutes=5), participant="payment")

    assert sorted((one.outcome, one.count) for one in found) == [("failed", 1), ("succeeded", 6)]
    assert not capped
    assert (await overview.ended(noon + timedelta(minutes=5)))[0] == []
    assert (await overview.ended(noon - timedelta(minutes=5), participant="nobody"))[0] == []


async def test_what_changed_is_told_of_the_living_and_of_those_that_just_ended(
    store: SagaStore, overview: OverviewReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, fresh = saga(later(-100)), saga(later(-100))
    ended = saga(later(-100), status=SagaStatus.COMPLETED, finished_at=later(1))
    await store.create([new(one) for one in (old, fresh, ended)])
    await store.commit([moved(fresh, waiting_on="reply", waiting_for="payment")], now=later(2))

    found, capped = await overview.changed(noon)

    assert [(one.id, one.waiting_on) for one in found] == [(ended.id, None), (fresh.id, "reply")]
    assert not capped
    monkeypatch.setattr(bounds, "changed_max", 0)
    assert await overview.changed(noon) == ([], True)
