"""What is tried again is tried by a few first, below a tenth of what succeeds, and only once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from amends.message import encode_item
from coordinator.diagnosis.healing.policy import Mode
from coordinator.diagnosis.remedy import RemedyKind, Tier
from coordinator.engine import Beginning
from coordinator.errors import RedriveRefused
from coordinator.saga.event import ResumeRequested
from coordinator.saga.state import SagaStatus
from coordinator.store.explained import RemedyRow, RemedyState
from coordinator.store.values import DeadLetter, DeadLetterFilter, DeadLetterStatus
from tests.diagnosis.ward import Ward, opened, planned
from tests.waiting import eventually

by_healer = "amends-healer"


@pytest.fixture
async def ward(sqlite_url: str) -> AsyncIterator[Ward]:
    async with opened(sqlite_url) as ward:
        yield ward


async def stuck(ward: Ward, count: int) -> tuple[list[str], str]:
    """Sagas whose refund has given up, and their incident."""
    ward.failing = {"ship", "refund"}
    ids = await ward.orders(count)
    ward.pass_time(120)  # what failed before is over: what succeeds from now on counts
    await ward.alive()
    assert {(await ward.saga(saga_id)).status for saga_id in ids} == {SagaStatus.BLOCKED}
    failures = await ward.app.stores.incident_reader.failures_of(ids[0])
    incidents = {failure.incident_id for failure in failures if failure.kind == "compensation"}
    (incident_id,) = incidents
    assert incident_id
    return ids, incident_id


async def judged(ward: Ward, incident_id: str) -> RemedyRow:
    """The one remedy, once the healer has seen what came of it: what is counted is a little behind."""

    async def over() -> RemedyRow | None:
        await ward.healer.step()
        (row,) = await ward.rows(incident_id)
        return None if row.state is RemedyState.BEGUN else row

    return await eventually(over, "the remedy to be judged")


async def tried_again(ward: Ward, ids: list[str]) -> list[str]:
    """The sagas of which a step was tried again by itself."""
    found = []
    for saga_id in ids:
        entries = await ward.app.stores.reader.history(saga_id)
        found += [saga_id for entry in entries if entry.facts.get("by") == by_healer]
    return found


async def test_blocked_steps_are_tried_again_five_first_then_the_rest(ward: Ward) -> None:
    ids, incident_id = await stuck(ward, 8)
    ward.failing = set()
    retry = planned(RemedyKind.RETRY_STEP, step="order.charge", participant="payment")

    await ward.consider(retry, incident_id=incident_id)
    assert await tried_again(ward, ids) == []  # nothing succeeds, so nothing is repeated
    await ward.orders(71)
    await ward.healer.step()
    first = await tried_again(ward, ids)
    assert len(first) == 5
    for saga_id in first:
        assert (await ward.rested(saga_id)).status is SagaStatus.COMPENSATED
    await ward.another_healer().step()
    assert sorted(await tried_again(ward, ids)) == sorted(ids)
    for saga_id in ids:
        assert (await ward.rested(saga_id)).status is SagaStatus.COMPENSATED

    row = await judged(ward, incident_id)
    assert (row.state, row.outcome) == (RemedyState.HELPED, "0 of 8 blocked again")
    history = await ward.app.stores.reader.history(ids[0])
    (why,) = [entry.facts["reason"] for entry in history if entry.facts.get("by") == by_healer]
    assert f"diagnosis {incident_id} v1" in why


async def test_what_blocks_again_stops_it_and_spares_the_rest(ward: Ward) -> None:
    ids, incident_id = await stuck(ward, 8)
    ward.failing = {"refund"}
    await ward.orders(80)
    await ward.consider(planned(RemedyKind.RETRY_STEP, step="charge"), incident_id=incident_id)
    first = await tried_again(ward, ids)
    assert len(first) == 5
    for saga_id in first:
        await ward.rested(saga_id)

    row = await judged(ward, incident_id)
    assert (row.state, row.outcome) == (RemedyState.UNDONE, "it does not help: 5 of 5 blocked again")
    assert await tried_again(ward, ids) == first
    again = await ward.consider(planned(RemedyKind.RETRY_STEP, step="charge"), incident_id=incident_id, version=2)
    assert (again.state, "tried before" in again.reason) == (RemedyState.PROPOSED, True)


async def test_one_saga_is_tried_again_once_in_whichever_incident(ward: Ward) -> None:
    (saga_id,), incident_id = await stuck(ward, 1)
    await ward.orders(0)
    ward.failing = {"refund"}
    await ward.orders(10)
    retry = planned(RemedyKind.RETRY_STEP, saga_id=saga_id, step="charge")
    await ward.consider(retry, incident_id=incident_id)
    await ward.rested(saga_id)
    assert (await judged(ward, incident_id)).state is RemedyState.UNDONE
    other = await ward.consider(retry, incident_id="other")
    assert (other.state, "tried before" in other.reason) == (RemedyState.PROPOSED, True)
    assert await tried_again(ward, [saga_id]) == [saga_id]


async def test_several_remedies_share_what_is_allowed(ward: Ward) -> None:
    ids, incident_id = await stuck(ward, 3)
    ward.failing = set()
    await ward.orders(11)  # a tenth of them, rounded up: two
    retries = [planned(RemedyKind.RETRY_STEP, saga_id=saga_id, step="charge") for saga_id in ids]
    await ward.consider(*retries, incident_id=incident_id)
    assert len(await tried_again(ward, ids)) == 2
    await ward.orders(10)
    await ward.healer.step()
    assert len(await tried_again(ward, ids)) == 3


async def test_a_person_needs_no_traffic_to_have_steps_tried_again(ward: Ward) -> None:
    ids, incident_id = await stuck(ward, 2)
    ward.failing, ward.healer = set(), ward.another_healer(Mode.SHADOW)
    row = await ward.consider(planned(RemedyKind.RETRY_STEP, step="charge"), incident_id=incident_id)
    await ward.healer.approve(row.id, by="ada", reason="the bank is back")
    for saga_id in ids:
        assert (await ward.rested(saga_id)).status is SagaStatus.COMPENSATED
    await ward.healer.step()
    assert (await ward.rows(incident_id))[0].state is RemedyState.HELPED


async def test_where_nothing_succeeds_it_runs_out(ward: Ward) -> None:
    ids, incident_id = await stuck(ward, 1)
    await ward.consider(planned(RemedyKind.RETRY_STEP, step="charge", seconds=60), incident_id=incident_id)
    ward.pass_time(61)
    await ward.healer.step()
    (row,) = await ward.rows(incident_id)
    assert (row.state, row.outcome) == (RemedyState.ENDED, "its time was over; 1 steps were not tried again")
    assert await tried_again(ward, ids) == []


async def test_with_nothing_blocked_there_is_nothing_to_do(ward: Ward) -> None:
    row = await ward.consider(planned(RemedyKind.RETRY_STEP, step="charge"))
    assert (row.state, row.outcome) == (RemedyState.ENDED, "there is nothing to be tried again")


# --- dead letters -----------------------------------------------------------------------------------------------------


async def dead(ward: Ward, count: int) -> list[str]:
    """Commands that payment got, and that died there; their sagas."""
    ward.silent = {"charge"}
    ids = [(await ward.app.engine.start(Beginning(ward.definition, n))).saga_id for n in range(count)]
    payment = ward.puppets["payment"]

    async def heard() -> bool:
        return len(payment.heard) >= count

    await eventually(heard, "the commands to be heard")
    await ward.app.stores.dead_letters.keep(
        [
            DeadLetter(f"letter-{n}", ward.app.clock.now(), "commands.payment", "died", encode_item(command), "payment")
            for n, command in enumerate(payment.heard)
        ]
    )
    return ids


async def open_letters(ward: Ward) -> int:
    chosen = DeadLetterFilter(status=DeadLetterStatus.OPEN, participant="payment")
    return len((await ward.app.stores.dead_letters.page(chosen)).items)


redrive = planned(RemedyKind.REDRIVE, Tier.B, participant="payment")


async def test_dead_letters_are_sent_again_five_first(ward: Ward) -> None:
    ids = await dead(ward, 7)
    ward.silent, ward.healer = set(), ward.another_healer(Mode.SHADOW)
    row = await ward.consider(redrive)
    assert row.state is RemedyState.SHADOW
    await ward.healer.approve(row.id, by="ada", reason="the bank is back")
    assert await open_letters(ward) == 2
    await ward.healer.step()
    assert await open_letters(ward) == 2  # the first five have to tell
    for saga_id in ids[:5]:
        await ward.rested(saga_id)
    ward.pass_time(31)
    await ward.alive()
    await ward.healer.step()
    assert await open_letters(ward) == 0
    ward.pass_time(31)
    await ward.healer.step()
    (row,) = await ward.rows()
    assert (row.state, row.outcome) == (RemedyState.HELPED, "0 of 7 died again")
    assert {(await ward.rested(saga_id)).status for saga_id in ids} == {SagaStatus.COMPLETED}


async def test_letters_that_die_again_stop_it(ward: Ward) -> None:
    await dead(ward, 7)
    ward.healer = ward.another_healer(Mode.SHADOW)
    row = await ward.consider(redrive)
    await ward.healer.approve(row.id, by="ada", reason="r")
    chosen = DeadLetterFilter(status=DeadLetterStatus.REDRIVEN)
    await ward.app.stores.dead_letters.keep((await ward.app.stores.dead_letters.page(chosen)).items)
    await ward.healer.step()
    (row,) = await ward.rows()
    assert (row.state, row.outcome) == (RemedyState.UNDONE, "it does not help: 5 of 5 died again")
    assert await open_letters(ward) == 2


async def test_by_itself_no_letter_is_sent_while_nothing_succeeds_and_then_its_time_is_over(ward: Ward) -> None:
    await dead(ward, 2)
    await ward.consider(redrive)
    assert await open_letters(ward) == 2
    ward.pass_time(1801)
    await ward.healer.step()
    (row,) = await ward.rows()
    assert (row.state, row.outcome) == (RemedyState.ENDED, "its time was over; 2 dead letters were not sent again")


async def test_a_letter_that_nobody_awaits_stays_and_is_not_asked_for_again(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    await dead(ward, 2)
    ward.healer = ward.another_healer(Mode.SHADOW)
    asked: list[str] = []

    async def refuses(letter_id: str, by: str, why: str) -> DeadLetter:
        asked.append(letter_id)
        raise RedriveRefused(letter_id, "its command is no longer awaited")

    monkeypatch.setattr(ward.app.dead_letters, "redrive", refuses)
    monkeypatch.setattr("coordinator.diagnosis.healing.repeating.refused_max", 2)
    row = await ward.consider(redrive)
    await ward.healer.approve(row.id, by="ada", reason="r")
    await ward.healer.step()
    assert sorted(asked) == ["letter-0", "letter-1"]
    assert (await ward.rows())[0].outcome == "there is nothing to be tried again"


# --- parking ----------------------------------------------------------------------------------------------------------


async def test_a_saga_is_parked_until_a_person_resumes_it(ward: Ward) -> None:
    ward.silent = {"charge"}
    saga_id = (await ward.app.engine.start(Beginning(ward.definition, 1))).saga_id
    park = planned(RemedyKind.PARK_SAGA, saga_id=saga_id)
    row = await ward.consider(park, cls="poison_payload")
    paused = (await ward.saga(saga_id)).paused
    assert paused
    assert (paused.by, row.state, row.id in paused.reason) == (by_healer, RemedyState.BEGUN, True)
    await ward.healer.step()
    assert (await ward.rows())[0].state is RemedyState.BEGUN

    await ward.app.engine.handle(saga_id, ResumeRequested(ward.app.clock.now(), "ada", "mended"))
    await ward.another_healer().step()

    assert (await ward.rows())[0].state is RemedyState.ENDED
    assert (await ward.saga(saga_id)).paused is None


async def test_a_parked_saga_goes_on_when_that_is_taken_back(ward: Ward) -> None:
    ward.silent = {"charge"}
    saga_id = (await ward.app.engine.start(Beginning(ward.definition, 1))).saga_id
    row = await ward.consider(planned(RemedyKind.PARK_SAGA, saga_id=saga_id), cls="poison_payload")
    await ward.healer.undo(row.id, by="ada", reason="it was another one")
    assert (await ward.saga(saga_id)).paused is None


async def test_what_cannot_be_parked_says_why(ward: Ward) -> None:
    (ended,) = await ward.orders(1)
    for n, saga_id in enumerate((ended, "nobody")):
        park = planned(RemedyKind.PARK_SAGA, saga_id=saga_id)
        row = await ward.consider(park, cls="poison_payload", incident_id=f"i{n}")
        assert row.state is RemedyState.FAILED
        assert row.outcome in ("the saga is completed, which is final", "the saga can't be asked")
