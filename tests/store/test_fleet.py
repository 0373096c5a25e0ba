"""The fleet: who is alive by the database's time, and what a person holds back."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from coordinator.store.database import Database
from coordinator.store.fleet import FleetStore
from coordinator.store.values import Beat, HoldScope, Worker
from tests.store.made import later, noon

beat = Beat("payment", "w1", "1.2", ("charge",), ("refund", "void"), interval_seconds=2.5, in_flight=3)


@pytest.fixture
def fleet(database: Database) -> FleetStore:
    return FleetStore(database)


async def test_a_worker_is_remembered_as_it_last_said(fleet: FleetStore) -> None:
    await fleet.beat([beat], now=noon)
    again = replace(beat, in_flight=0, actions=())
    await fleet.beat([replace(beat, in_flight=9), again, replace(beat, worker="w2")], now=later(2))
    assert await fleet.workers(later(3)) == [
        Worker(again, noon, later(2), live=True),
        Worker(replace(beat, worker="w2"), later(2), later(2), live=True),
    ]
    assert await fleet.workers(later(3), participant="nobody") == []


async def test_a_worker_is_alive_for_three_intervals(fleet: FleetStore) -> None:
    await fleet.beat([beat], now=noon)
    assert [worker.beat for worker in await fleet.live(later(7.499999))] == [beat]
    assert await fleet.live(later(7.5)) == []
    (silent,) = await fleet.workers(later(7.5))
    assert not silent.live


async def test_a_worker_that_says_goodbye_is_gone_at_once(fleet: FleetStore) -> None:
    await fleet.beat([beat, replace(beat, worker="w2")], now=noon)
    await fleet.beat([replace(beat, stopping=True)], now=later(1))
    assert [worker.beat.worker for worker in await fleet.live(later(1))] == ["w2"]


async def test_workers_long_silent_are_forgotten(fleet: FleetStore) -> None:
    await fleet.beat([beat], now=noon)
    await fleet.beat([replace(beat, worker="w2")], now=later(10))
    assert await fleet.bury(later(10)) == 1
    assert [worker.beat.worker for worker in await fleet.workers(later(10))] == ["w2"]


async def test_a_hold_is_one_however_often_it_is_asked_for(fleet: FleetStore) -> None:
    asked = (fleet.hold(HoldScope.PARTICIPANT, "payment", by=f"{n}", reason="r", now=later(n)) for n in range(10))
    answers = await asyncio.gather(*asked)
    assert len({hold.id for hold in answers}) == 1
    assert await fleet.holds() == [answers[0]]
    assert answers[0].until is None


async def test_a_released_hold_is_history_and_can_be_followed_by_another(fleet: FleetStore) -> None:
    first = await fleet.hold(HoldScope.ALL, "", by="ann", reason="night", now=noon)
    released = await fleet.release(HoldScope.ALL, "", by="bob", now=later(10))
    assert released == replace(first, until=later(10), ended_by="bob")
    assert await fleet.release(HoldScope.ALL, "", by="bob", now=later(11)) is None
    assert await fleet.holds() == []
    second = await fleet.hold(HoldScope.ALL, "", by="ann", reason="night", now=later(20))
    assert await fleet.holds(ended_since=later(10)) == [released, second]
    assert await fleet.holds(ended_since=later(10.000001)) == [second]


async def test_holds_of_different_things_are_apart(fleet: FleetStore) -> None:
    for scope, name in ((HoldScope.ALL, ""), (HoldScope.DEFINITION, "a"), (HoldScope.PARTICIPANT, "a")):
        await fleet.hold(scope, name, by="ann", reason="r", now=noon)
    assert len(await fleet.holds()) == 3
    assert await fleet.release(HoldScope.DEFINITION, "b", by="ann", now=noon) is None
    for scope, name in ((HoldScope.ALL, "a"), (HoldScope.DEFINITION, "")):
        with pytest.raises(ValueError, match="names what it holds"):
            await fleet.hold(scope, name, by="ann", reason="r", now=noon)
