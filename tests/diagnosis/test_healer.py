"""What begins by itself, or by a person's word, ends: because it helped, because it did not, because it is over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from coordinator.diagnosis.cause import FaultClass
from coordinator.diagnosis.healing.policy import Mode
from coordinator.diagnosis.remedy import RemedyKind
from coordinator.errors import RemedyRefused, StoreUnavailable, UnknownRemedy
from coordinator.store.explained import RemedyState
from coordinator.store.values import HoldScope
from tests.diagnosis.ward import Ward, opened, planned
from tests.waiting import eventually

circuit = planned(RemedyKind.OPEN_CIRCUIT, participant="payment", seconds=60)


@pytest.fixture
async def ward(sqlite_url: str) -> AsyncIterator[Ward]:
    async with opened(sqlite_url) as ward:
        yield ward


@pytest.fixture
async def either_ward(database_url: str) -> AsyncIterator[Ward]:
    async with opened(database_url) as ward:
        yield ward


async def failing(ward: Ward, count: int = 12) -> None:
    ward.failing = {"charge"}
    await ward.orders(count)


async def test_a_circuit_opens_lets_a_few_through_and_closes_when_they_are_well(either_ward: Ward) -> None:
    ward = either_ward
    await failing(ward)
    row = await ward.consider(circuit)
    assert (row.state, row.automatic, row.measured_before) == (RemedyState.BEGUN, True, 1.0)
    pause, throttle = await ward.holds()
    assert (pause.name, pause.held_by, pause.rate_per_second) == ("payment", "amends-healer", None)
    assert throttle.rate_per_second == 1.0
    assert "diagnosis i v1" in pause.reason
    assert row.id in pause.reason

    await ward.healer.step()
    assert len(await ward.holds()) == 2
    ward.pass_time(61)
    await ward.healer.step()
    assert [hold.rate_per_second for hold in await ward.holds()] == [1.0]  # half open
    ward.pass_time(60)
    ward.failing = set()
    await ward.orders(3)
    await ward.healer.step()

    (row,) = await ward.rows()
    assert (row.state, row.measured_after) == (RemedyState.HELPED, 0.0)
    assert await ward.holds() == []
    assert ward.app.fleet.throttled == {}


async def test_a_circuit_whose_first_still_fail_opens_again_for_twice_as_long(ward: Ward) -> None:
    await failing(ward)
    await ward.consider(circuit)
    ward.pass_time(121)
    await ward.orders(3)

    await ward.another_healer().step()  # another coordinator goes on with it

    pause, throttle = await ward.holds()
    assert pause.ends_at
    assert throttle.ends_at
    assert (pause.ends_at - pause.since).total_seconds() == 120
    assert throttle.ends_at > pause.ends_at
    assert (await ward.rows())[0].state is RemedyState.BEGUN


async def test_a_circuit_that_never_helps_is_undone(ward: Ward) -> None:
    await failing(ward)
    await ward.consider(planned(RemedyKind.OPEN_CIRCUIT, participant="payment", seconds=1000))
    ward.pass_time(1061)
    await ward.orders(3)

    await ward.healer.step()

    (row,) = await ward.rows()
    assert (row.state, row.measured_after) == (RemedyState.UNDONE, 1.0)
    assert "still fails" in (row.outcome or "")
    assert await ward.holds() == []


async def test_a_circuit_that_nothing_went_through_proves_nothing(ward: Ward) -> None:
    await failing(ward)
    await ward.consider(circuit)
    ward.pass_time(200)
    await ward.healer.step()
    (row,) = await ward.rows()
    assert (row.state, "nothing went through" in (row.outcome or "")) == (RemedyState.ENDED, True)


async def test_silence_after_a_circuit_is_failure(ward: Ward) -> None:
    """Attempts from before may time out after the pause; but when nobody answers at all, it is not well."""
    await failing(ward)
    await ward.consider(planned(RemedyKind.OPEN_CIRCUIT, participant="payment", seconds=900))
    ward.pass_time(965)
    ward.failing, ward.silent = set(), {"charge"}
    started = asyncio.ensure_future(ward.orders(1))

    async def sent() -> bool:
        return bool(ward.puppets["payment"].heard[12:]) and not await ward.app.stores.outbox.pending()

    await eventually(sent, "a probe")
    while not started.done():  # time passes until it has given up
        ward.pass_time(120)
        await ward.alive()
        await asyncio.wait([started], timeout=5)
    await ward.healer.step()
    assert (await ward.rows())[0].state is RemedyState.UNDONE


async def test_a_throttle_that_does_not_help_is_taken_back(ward: Ward) -> None:
    await failing(ward)
    throttle = planned(RemedyKind.THROTTLE, participant="payment", rate_per_second=500, seconds=600)
    await ward.consider(throttle, cls=FaultClass.RATE_LIMITED)
    assert ward.app.fleet.throttled == {"payment": 500}
    ward.pass_time(61)
    await ward.orders(6)
    await ward.healer.step()
    assert (await ward.rows())[0].state is RemedyState.BEGUN  # too early to tell
    ward.pass_time(61)

    await ward.healer.step()

    (row,) = await ward.rows()
    assert (row.state, row.measured_before, row.measured_after) == (RemedyState.UNDONE, 1.0, 1.0)
    assert await ward.holds() == []


async def test_a_throttle_that_helps_stays_until_its_end(ward: Ward) -> None:
    await failing(ward)
    throttle = planned(RemedyKind.THROTTLE, participant="payment", rate_per_second=500, seconds=300)
    await ward.consider(throttle, cls=FaultClass.RATE_LIMITED)
    ward.pass_time(130)
    ward.failing = set()
    await ward.orders(6)
    await ward.healer.step()
    assert (await ward.rows())[0].state is RemedyState.BEGUN
    ward.pass_time(171)
    await ward.healer.step()
    assert (await ward.rows())[0].state is RemedyState.HELPED


async def test_a_throttle_nobody_came_to_is_over_when_its_time_is(ward: Ward) -> None:
    await failing(ward)
    await ward.consider(planned(RemedyKind.THROTTLE, participant="payment", seconds=150), cls=FaultClass.RATE_LIMITED)
    ward.pass_time(151)
    await ward.healer.step()
    (row,) = await ward.rows()
    assert (row.state, "can't be told" in (row.outcome or "")) == (RemedyState.ENDED, True)


async def test_a_definition_stands_still_for_its_time(ward: Ward) -> None:
    pause = planned(RemedyKind.PAUSE_DEFINITION, definition="order", seconds=60)
    await ward.consider(pause, cls=FaultClass.CREDENTIAL_FAILURE)
    assert ward.app.fleet.held(HoldScope.DEFINITION) == {"order"}
    await ward.healer.step()
    assert (await ward.rows())[0].state is RemedyState.BEGUN
    ward.pass_time(61)
    await ward.healer.step()
    assert (await ward.rows())[0].state is RemedyState.ENDED
    assert ward.app.fleet.held(HoldScope.DEFINITION) == frozenset()


async def test_everything_goes_on_when_the_broker_has_been_back_for_a_while(ward: Ward) -> None:
    ward.connected = False
    await ward.consider(planned(RemedyKind.PAUSE_ALL, seconds=60), cls=FaultClass.BROKER_OUTAGE)
    assert ward.app.fleet.all_held
    ward.pass_time(61)
    await ward.healer.step()
    assert ward.app.fleet.all_held  # it is still away: once more
    ward.connected = True
    await ward.healer.step()
    ward.pass_time(11)
    await ward.healer.step()
    (row,) = await ward.rows()
    assert (row.state, row.outcome) == (RemedyState.HELPED, "the broker is back")
    assert not ward.app.fleet.all_held


async def test_a_broker_that_stays_away_ends_the_pause_of_everything_all_the_same(ward: Ward) -> None:
    ward.connected = False
    await ward.consider(planned(RemedyKind.PAUSE_ALL, seconds=1800), cls=FaultClass.BROKER_OUTAGE)
    ward.pass_time(1801)
    await ward.healer.step()
    (row,) = await ward.rows()
    assert (row.state, "still away" in (row.outcome or "")) == (RemedyState.ENDED, True)


# --- people -----------------------------------------------------------------------------------------------------------


async def test_in_the_shadow_nothing_is_touched_until_a_person_approves(ward: Ward) -> None:
    await failing(ward)
    ward.healer = ward.another_healer(Mode.SHADOW)
    row = await ward.consider(circuit)
    await ward.healer.step()
    assert (row.state, await ward.holds()) == (RemedyState.SHADOW, [])

    begun = await ward.healer.approve(row.id, by="ada", reason="go on")

    assert (begun.state, begun.automatic, begun.by) == (RemedyState.BEGUN, False, "ada")
    assert {hold.held_by for hold in await ward.holds()} == {"ada"}
    assert await ward.healer.approve(row.id, by="ada", reason="twice") == begun
    ended = await ward.healer.undo(row.id, by="bob", reason="enough")
    assert (ended.state, ended.by, ended.outcome) == (RemedyState.ENDED, "bob", "bob took it back: enough")
    assert await ward.holds() == []
    assert await ward.healer.undo(row.id, by="bob", reason="twice") == ended
    for verb in (ward.healer.approve, ward.healer.reject):
        with pytest.raises(RemedyRefused):
            await verb(row.id, by="eve", reason="late")
    for verb in (ward.healer.approve, ward.healer.reject, ward.healer.undo):
        with pytest.raises(UnknownRemedy):
            await verb("nothing", by="eve", reason="lost")


async def test_what_a_person_rejected_is_not_begun_by_a_later_report(ward: Ward) -> None:
    await failing(ward)
    row = await ward.consider(circuit, confidence=0.8)
    assert (row.state, "less than 0.85" in row.reason) == (RemedyState.PROPOSED, True)
    rejected = await ward.healer.reject(row.id, by="ada", reason="not during the sale")
    assert (await ward.healer.reject(row.id, by="ada", reason="again")) == rejected
    with pytest.raises(RemedyRefused, match="not in effect"):
        await ward.healer.undo(row.id, by="ada", reason="never begun")
    await ward.consider(circuit, version=2)
    assert await ward.rows() == [rejected]
    assert await ward.holds() == []


async def test_a_surer_report_begins_what_an_earlier_one_proposed_on_its_own_grounds(ward: Ward) -> None:
    await failing(ward)
    proposed = await ward.consider(circuit, confidence=0.8)
    begun = await ward.consider(circuit, version=2)
    assert (begun.id, begun.state, begun.report_version) == (proposed.id, RemedyState.BEGUN, 2)
    assert "0.95 sure" in begun.reason
    again = await ward.consider(circuit, version=3)
    assert again == begun


async def test_what_is_approved_waits_until_its_scope_is_free(ward: Ward) -> None:
    await failing(ward)
    first = await ward.consider(circuit)
    second = await ward.consider(circuit, incident_id="j")
    assert second.state is RemedyState.PROPOSED
    assert (await ward.healer.approve(second.id, by="ada", reason="r")).state is RemedyState.APPROVED
    await ward.healer.step()
    await ward.healer.undo(first.id, by="ada", reason="r")
    await ward.healer.step()
    assert (await ward.rows("j"))[0].state is RemedyState.BEGUN


async def test_an_approval_that_never_finds_its_scope_free_runs_out(ward: Ward) -> None:
    await failing(ward)
    await ward.consider(planned(RemedyKind.PAUSE_DEFINITION, definition="order"), cls=FaultClass.CREDENTIAL_FAILURE)
    pause = planned(RemedyKind.PAUSE_DEFINITION, definition="order")
    waiting = await ward.consider(pause, incident_id="j", cls=FaultClass.CREDENTIAL_FAILURE)
    await ward.app.stores.remedies.approve(waiting.id, by="ada", reason="r", now=ward.app.clock.now())
    ward.pass_time(1801)
    await ward.healer.step()
    assert (await ward.rows("j"))[0].state is RemedyState.REJECTED


async def test_what_a_person_ends_is_not_done_again(ward: Ward) -> None:
    await failing(ward)
    await ward.consider(circuit)
    for hold in await ward.holds():
        await ward.app.stores.fleet.end(hold.id, by="ada", now=ward.app.clock.now())
    await ward.healer.step()
    (row,) = await ward.rows()
    assert (row.state, row.outcome) == (RemedyState.ENDED, "ada ended it")
    assert await ward.holds() == []


async def test_what_a_person_paused_is_left_to_them(ward: Ward) -> None:
    await failing(ward)
    store, now = ward.app.stores.fleet, ward.app.clock.now()
    mine = await store.hold(HoldScope.PARTICIPANT, "payment", by="ada", reason="a release", now=now)
    await ward.app.fleet.refresh()
    row = await ward.consider(circuit)
    assert (row.state, "somebody paused" in row.reason) == (RemedyState.PROPOSED, True)
    row = await ward.healer.approve(row.id, by="bob", reason="r")
    assert (row.state, "ada holds it already" in (row.outcome or "")) == (RemedyState.FAILED, True)
    assert [hold.id for hold in await ward.holds()] == [mine.id]


# --- several coordinators, crashes, outages ---------------------------------------------------------------------------


async def test_two_coordinators_begin_it_once(either_ward: Ward) -> None:
    ward = either_ward
    await failing(ward)
    told, other = ward.report(circuit), ward.another_healer()
    await asyncio.gather(
        ward.healer.consider(ward.incident(), told),
        other.consider(ward.incident(), told),
        other.consider(ward.incident("j"), told),
    )
    begun = await ward.app.stores.remedies.in_state(RemedyState.BEGUN)
    assert len(begun) == 1
    assert len(await ward.holds()) == 2
    await asyncio.gather(ward.healer.step(), other.step())
    assert len(await ward.holds()) == 2


async def test_what_a_crash_left_half_done_is_done(ward: Ward) -> None:
    """Killed after the row said that it begins, and before anything was held; then between the two holds."""
    await failing(ward)
    ward.healer = ward.another_healer(Mode.SHADOW)
    row = await ward.consider(circuit)
    stores, now = ward.app.stores, ward.app.clock.now()
    await stores.remedies.approve(row.id, by="ada", reason="r", now=now)
    await stores.remedies.begin(row.id, now=now, automatic=False, measured_before=1.0)
    assert await ward.holds() == []

    await ward.another_healer().step()
    assert [hold.rate_per_second for hold in await ward.holds()] == [None, 1.0]


async def test_what_a_crash_left_between_the_two_is_completed_and_what_a_person_ended_is_not(ward: Ward) -> None:
    await failing(ward)
    row = await ward.consider(circuit)
    pause, throttle = await ward.holds()
    fleet, now = ward.app.stores.fleet, ward.app.clock.now()
    await fleet.end(throttle.id, by="ada", now=now)
    await ward.another_healer().step()
    assert await ward.holds() == [pause]

    ward.pass_time(10)
    longer = fleet.hold(
        *(HoldScope.PARTICIPANT, "payment"),
        by="amends-healer",
        reason=pause.reason,
        now=ward.app.clock.now(),
        ends_at=now + timedelta(seconds=240),
    )
    await longer  # and there it was killed
    await ward.another_healer().step()
    assert [hold.rate_per_second for hold in await ward.holds()] == [None, 1.0]
    assert (await ward.rows()) == [row]


async def test_switched_off_it_ends_what_began_by_itself_and_begins_nothing(ward: Ward) -> None:
    await failing(ward)
    await ward.consider(circuit)
    assert await ward.another_healer().switch(Mode.OFF, by="ada", reason="an audit") is Mode.OFF
    await ward.healer.step()
    (row,) = await ward.rows()
    assert (row.state, row.outcome, await ward.holds()) == (RemedyState.ENDED, "healing was switched off", [])
    await ward.healer.consider(ward.incident("j"), ward.report(circuit))
    assert await ward.rows("j") == []
    assert await ward.healer.switch(Mode.AUTO, by="ada", reason="it is over") is Mode.AUTO
    shadowed = ward.another_healer(Mode.SHADOW)
    assert await shadowed.mode() is Mode.SHADOW  # a switch gives no more than the setting


async def test_a_remedy_that_breaks_is_given_up_and_the_others_are_attended_to(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await failing(ward)
    await ward.consider(circuit)
    await ward.consider(
        planned(RemedyKind.PAUSE_DEFINITION, definition="order", seconds=60), cls=FaultClass.CREDENTIAL_FAILURE
    )
    means = ward.healer._means[RemedyKind.OPEN_CIRCUIT]

    async def breaks(*_: object) -> None:
        raise ZeroDivisionError("no")

    monkeypatch.setattr(means, "judge", breaks)
    ward.pass_time(61)
    await ward.healer.step()
    states = {row.kind: row.state for row in await ward.rows()}
    assert states == {"open_circuit": RemedyState.FAILED, "pause_definition": RemedyState.ENDED}
    assert "healing.gave_up" in {getattr(record, "action", "") for record in caplog.records}
    assert await ward.holds() == []


async def test_the_loop_outlives_an_outage_of_the_database(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    went_on = asyncio.Event()
    looks: list[str] = []

    async def step() -> None:
        looks.append("look")
        if len(looks) == 1:
            raise StoreUnavailable("away")
        went_on.set()

    monkeypatch.setattr(ward.healer, "step", step)
    monkeypatch.setattr("coordinator.diagnosis.healing.healer.poll_seconds", 0.0)
    with caplog.at_level(logging.WARNING):
        running = asyncio.ensure_future(ward.healer.run())
        await went_on.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert "healing.store_unavailable" in {getattr(record, "action", "") for record in caplog.records}


async def test_an_outage_while_it_is_attended_to_changes_nothing(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    await failing(ward)
    await ward.consider(circuit)
    store = ward.app.stores.fleet

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(store, "holds", away)
        with pytest.raises(StoreUnavailable):
            await ward.healer.step()
    assert (await ward.rows())[0].state is RemedyState.BEGUN
    assert timedelta(0) < ((await ward.holds())[0].ends_at or ward.app.clock.now()) - ward.app.clock.now()
