"""What a saga waits for, with what only a running coordinator knows: who is alive, what is paused, what is unsent."""

from __future__ import annotations

from datetime import datetime, timedelta

from coordinator.saga.clocks import current_key
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.explain import WaitingKind, WaitingOn, waiting_on
from coordinator.store.values import HoldScope, SagaDetail, SagaSummary, Unsent
from coordinator.web import seen
from coordinator.web.desk import Desk

# What a list can be filtered by. `outbox` is not among them: it is a matter of moments, or of GET /v1/outbox.
listed = ("paused", "blocked", "reply", "no_consumer", "inquiry", "backoff", "unreadable")
noticed_after = timedelta(seconds=2)
answered_by_participant = (WaitingKind.REPLY, WaitingKind.INQUIRY)


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
    held = _held(desk, definition.name, wait.participant)
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


def standing(desk: Desk, summary: SagaSummary, at: datetime) -> str | None:
    """What a saga of a list waits for: as `waiting`, but for what only its steps would tell."""
    kind = summary.waiting_on
    if kind is None or kind in ("paused", "blocked", "unreadable"):
        return kind
    participant = summary.waiting_for
    if _held(desk, summary.definition, participant):
        return "paused"
    if kind in answered_by_participant and participant and participant not in desk.coordinator.fleet.attended(at):
        return "no_consumer"
    return kind


def stored_kind(desk: Desk, wanted: str) -> tuple[str | None, bool]:
    """What to ask the database for, to find sagas that stand so, and whether the answer is to be sifted."""
    fleet = desk.coordinator.fleet
    held = fleet.all_held or fleet.held(HoldScope.DEFINITION) or fleet.held(HoldScope.PARTICIPANT)
    if wanted == "no_consumer":
        return None, True
    if wanted == "paused":
        return (None, True) if held else ("paused", False)
    return wanted, wanted not in ("blocked", "unreadable")


def _held(desk: Desk, definition: str, participant: str | None) -> str | None:
    fleet = desk.coordinator.fleet
    if fleet.all_held:
        return "everything is paused"
    if definition in fleet.held(HoldScope.DEFINITION):
        return f"the sagas of {definition} are paused"
    if participant in fleet.held(HoldScope.PARTICIPANT):
        return f"the participant {participant} is paused"
    return None


def _unsent(desk: Desk, detail: SagaDetail, key: str, at: datetime) -> Unsent | None:
    """The awaited command, if it is in the outbox and the broker has not been given it.

    Every command is there for a moment: only one with a reason, or that has been there for a while, is worth a word.
    """
    for unsent in detail.unsent:
        if unsent.key == key and not desk.coordinator.relay.in_flight(f"{detail.saga.id}/{unsent.key}"):
            stuck = unsent.parked_reason or unsent.last_error or not desk.coordinator.broker.connected
            return unsent if stuck or at - unsent.created_at > noticed_after else None
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
