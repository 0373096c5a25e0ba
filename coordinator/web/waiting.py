"""What a saga waits for, with what only a running coordinator knows: who is alive, what is paused, what is unsent."""

from __future__ import annotations

from datetime import datetime

from coordinator.listing import answered_by_participant
from coordinator.saga.clocks import current_key
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.explain import WaitingKind, WaitingOn, waiting_on
from coordinator.store.values import SagaDetail, Unsent
from coordinator.web import seen
from coordinator.web.desk import Desk


def waiting(desk: Desk, definition: SagaDefinition, detail: SagaDetail, at: datetime) -> seen.WaitingOn | None:
    """The primary wait of a saga; None when it is final."""
    saga = detail.saga
    if saga.final:
        return None
    if detail.waiting_on == "unreadable":
        return seen.WaitingOn("unreadable", f"it stands still: {detail.waiting_for}")
    wait = waiting_on(definition, saga)
    if wait is None:
        return None
    held = desk.coordinator.listing.held(definition.name, wait.participant)
    if held and wait.kind not in (WaitingKind.PAUSED, WaitingKind.BLOCKED):
        return _answer(desk, at, "paused", held, wait)
    if wait.kind not in answered_by_participant or wait.step is None:
        return _answer(desk, at, wait.kind, _sentence(wait), wait)
    unsent = _unsent(desk, detail, current_key(saga.step(wait.step)), at)
    if unsent:
        return _answer(desk, at, "outbox", f"the command has not left the outbox: {_why(desk, unsent, at)}", wait)
    if wait.participant not in desk.coordinator.fleet.attended(at):
        return _answer(desk, at, "no_consumer", f"no live worker of {wait.participant}; its command waits", wait)
    return _answer(desk, at, wait.kind, _sentence(wait), wait)


def _unsent(desk: Desk, detail: SagaDetail, key: str, at: datetime) -> Unsent | None:
    """The awaited command, if it is in the outbox and that is worth a word."""
    saga_id, listing = detail.saga.id, desk.coordinator.listing
    for unsent in detail.unsent:
        if unsent.key == key:
            return unsent if listing.stands_in_outbox(saga_id, unsent, at) else None
    return None


def _why(desk: Desk, unsent: Unsent, at: datetime) -> str:
    if unsent.parked_reason:
        return f"parked: {unsent.parked_reason}"
    if not desk.coordinator.broker.connected:
        return "the broker can't be reached"
    if unsent.last_error:
        return f"{unsent.last_error}, tried {unsent.tries} times"
    waited = (at - unsent.created_at).total_seconds()
    rate = desk.coordinator.fleet.throttled.get(unsent.participant)
    if rate is not None:
        return f"{unsent.participant} is throttled to {rate:g} per second, and it has waited for {waited:.1f} s"
    return f"no relay has confirmed it for {waited:.1f} s"


def _sentence(wait: WaitingOn) -> str:
    attempt = f"attempt {wait.attempt} of {wait.attempts_max}"
    match wait.kind:
        case WaitingKind.PAUSED:
            return wait.message or "paused"
        case WaitingKind.BLOCKED:
            return f"a person must decide about {wait.step}: {wait.message or 'it gave up'}"
        case WaitingKind.REPLY:
            return f"{wait.participant} to answer the {wait.command} of {wait.step}, {attempt}"
        case WaitingKind.INQUIRY:
            return f"{wait.participant} to say what became of {wait.step}"
        case WaitingKind.BACKOFF:
            return f"the next attempt of {wait.step}: {wait.message or 'it failed'}"


def _answer(desk: Desk, at: datetime, kind: str, message: str, wait: WaitingOn) -> seen.WaitingOn:
    return seen.WaitingOn(
        kind=kind,
        message=message,
        step=wait.step,
        participant=wait.participant,
        command=wait.command,
        attempt=wait.attempt,
        attempts_max=wait.attempts_max,
        since=wait.since,
        until=wait.until,
        workers_live=desk.coordinator.fleet.workers_of(wait.participant, at) if wait.participant else None,
    )
