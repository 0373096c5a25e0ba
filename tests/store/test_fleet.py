"""The fleet: who is alive by the database's time, and what a person holds back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from coordinator.store.database import Database
from coordinator.store.fleet import FleetStore, ran_out
from coordinator.store.values import Beat, FleetHold, HoldScope, Worker
from tests.store.made import later, noon

beat = Beat("payment", "w1", "1.2", ("charge",), ("refund", "void"), interval_seconds=2.5, in_flight=3, host="h1")


@pytest.fixture
def fleet(database: Database) -> FleetStore:
    return FleetStore(database)


async def test_a_worker_is_remembered_as_it_last_said(fleet: FleetStore) -> None:
    await fleet.beat([beat], now=noon)
    again = replace(beat, in_flight=0, actions=(), settings={"pool": "5"}, holding={"s/charge/0/action/0/1": 2.5})
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
    assert await fleet.holds(later(20)) == [answers[0]]
    assert answers[0].until is None


async def test_a_released_hold_is_history_and_can_be_followed_by_another(fleet: FleetStore) -> None:
    first = await fleet.hold(HoldScope.ALL, "", by="ann", reason="night", now=noon)
    released = await fleet.release(HoldScope.ALL, "", by="bob", now=later(10))
    assert released == replace(first, until=later(10), ended_by="bob")
    assert await fleet.release(HoldScope.ALL, "", by="bob", now=later(11)) is None
    assert await fleet.holds(later(12)) == []
    second = await fleet.hold(HoldScope.ALL, "", by="ann", reason="night", now=later(20))
    assert await fleet.holds(later(30), ended_since=later(10)) == [released, second]
    assert await fleet.holds(later(30), ended_since=later(10.000001)) == [second]


async def test_holds_of_different_things_are_apart(fleet: FleetStore) -> None:
    for scope, name in ((HoldScope.ALL, ""), (HoldScope.DEFINITION, "a"), (HoldScope.PARTICIPANT, "a")):
        await fleet.hold(scope, name, by="ann", reason="r", now=noon)
    assert len(await fleet.holds(noon)) == 3
    assert await fleet.release(HoldScope.DEFINITION, "b", by="ann", now=noon) is None
    for scope, name in ((HoldScope.ALL, "a"), (HoldScope.DEFINITION, "")):
        with pytest.raises(ValueError, match="names what it holds"):
            await fleet.hold(scope, name, by="ann", reason="r", now=noon)


async def test_a_hold_with_an_end_is_over_when_that_has_come(fleet: FleetStore) -> None:
    asked: dict[str, Any] = {"by": "ann", "reason": "r"}
    first = await fleet.hold(HoldScope.PARTICIPANT, "payment", **asked, now=noon, ends_at=later(10))
    assert (first.ends_at, first.until) == (later(10), None)
    assert await fleet.holds(later(9)) == [first]
    assert await fleet.holds(later(10)) == []
    over = replace(first, until=later(10), ended_by=ran_out)
    assert await fleet.holds(later(20), ended_since=later(10)) == [over]
    assert await fleet.holds(later(20), ended_since=later(11)) == []
    assert await fleet.release(HoldScope.PARTICIPANT, "payment", by="ann", now=later(10)) is None
    assert await fleet.end(first.id, by="ann", now=later(10)) is None
    second = await fleet.hold(HoldScope.PARTICIPANT, "payment", **asked, now=later(30))
    assert await fleet.holds(later(40), ended_since=noon) == [over, second]
    assert await fleet.end(first.id, by="ann", now=later(41)) is None
    assert await fleet.end(second.id, by="bob", now=later(41)) == replace(second, until=later(41), ended_by="bob")


async def test_a_hold_that_lasts_longer_takes_the_place_of_the_one_that_is_there(fleet: FleetStore) -> None:
    async def ask(by: str, seconds: float, ends_at: float | None) -> FleetHold:
        end = None if ends_at is None else later(ends_at)
        return await fleet.hold(HoldScope.ALL, "", by=by, reason="r", now=later(seconds), ends_at=end)

    first = await ask("amends", 0, 60)
    assert await ask("amends", 1, 50) == first
    longer = await ask("amends", 2, 70)
    assert longer.id != first.id
    persons = await ask("ann", 3, None)
    assert await ask("amends", 4, 9999) == persons
    ends = [(hold.until, hold.ended_by) for hold in await fleet.holds(later(5), ended_since=noon)]
    assert ends == [(later(2), "amends"), (later(3), "ann"), (None, None)]


async def test_a_throttle_is_no_pause_and_stands_beside_one(fleet: FleetStore) -> None:
    asked: dict[str, Any] = {"by": "ann", "reason": "r"}
    pause = await fleet.hold(HoldScope.PARTICIPANT, "payment", **asked, now=noon)
    throttle = await fleet.hold(HoldScope.PARTICIPANT, "payment", **asked, now=later(1), rate_per_second=5.0)
    assert throttle.rate_per_second == 5.0
    assert await fleet.holds(later(2)) == [pause, throttle]
    faster = await fleet.hold(HoldScope.PARTICIPANT, "payment", **asked, now=later(2), rate_per_second=9.0)
    assert faster == throttle
    slower = await fleet.hold(HoldScope.PARTICIPANT, "payment", **asked, now=later(3), rate_per_second=2.0)
    assert slower.rate_per_second == 2.0
    assert await fleet.release(HoldScope.PARTICIPANT, "payment", by="ann", now=later(4)) is not None
    assert await fleet.release(HoldScope.PARTICIPANT, "payment", by="ann", now=later(4)) is None
    assert await fleet.holds(later(5)) == [slower]
    nothing: list[dict[str, Any]] = [
        {"rate_per_second": 0.0},
        {"rate_per_second": float("nan")},
        {"rate_per_second": float("inf")},
        {"ends_at": later(5)},
    ]
    for wrong in nothing:
        with pytest.raises(ValueError, match="lets something through"):
            await fleet.hold(HoldScope.PARTICIPANT, "payment", **asked, now=later(5), **wrong)


async def test_those_who_ask_at_once_for_different_ends_leave_one_hold_that_lasts_longest(fleet: FleetStore) -> None:
    asked = (
        fleet.hold(HoldScope.ALL, "", by=f"{n}", reason="r", now=noon, ends_at=later(10 + n * 7 % 10))
        for n in range(10)
    )
    await asyncio.gather(*asked)
    (hold,) = await fleet.holds(noon)
    assert hold.ends_at == later(19)


async def test_what_a_worker_says_of_itself_is_kept_whatever_it_is(fleet: FleetStore) -> None:
    wild = replace(beat, host="h\x00", settings={"a": "\ud800"}, holding={"c": float("inf")})
    await fleet.beat([wild], now=noon)
    (worker,) = await fleet.workers(noon)
    assert worker.beat.host == "h\\x00"
    assert worker.beat.settings == {"a": "\ud800"}
    assert worker.beat.holding == {"c": 1e9}


async def test_a_pause_gives_way_to_throttles_in_one_moment(fleet: FleetStore) -> None:
    asked: dict[str, Any] = {"by": "ann", "reason": "r", "rate_per_second": 5.0, "ends_at": later(60)}
    pause = await fleet.hold(HoldScope.ALL, "", by="ann", reason="r", now=noon)
    assert await fleet.one(pause.id, later(1)) == pause
    done = await fleet.slow(pause.id, ["b", "a", "b"], **asked, now=later(2))
    assert done is not None
    ended, throttles = done
    assert (ended.until, [hold.name for hold in throttles]) == (later(2), ["a", "b"])
    assert sorted(await fleet.holds(later(3)), key=lambda hold: hold.name) == throttles
    assert await fleet.slow(pause.id, ["c"], **asked, now=later(4)) is None
    assert await fleet.one(pause.id, later(4)) is None
    assert await fleet.holds(later(61)) == []
