"""The moments of a saga's life that people look for: when it turned, blocked, stood still, and what was asked of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from coordinator.saga.definition import SagaDefinition
from coordinator.saga.event import (
    CancelRequested,
    CloseRequested,
    Event,
    PauseRequested,
    ResumeRequested,
    RetryRequested,
    SettleRequested,
    SkipRequested,
    Started,
    WaiveRequested,
)
from coordinator.saga.state import Direction, Saga, SagaStatus, StepStatus
from coordinator.saga.transition import decide


class MarkKind(StrEnum):
    STARTED = "started"
    TURNED = "turned"
    BLOCKED = "blocked"
    UNBLOCKED = "unblocked"
    PAUSED = "paused"
    RESUMED = "resumed"
    ASKED = "asked"  # a person asked for something else
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Mark:
    """One such moment. `seq` is the entry of the history that tells of it. `at` is aware UTC."""

    seq: int
    at: datetime
    kind: MarkKind
    text: str
    by: str | None = None


def marks(definition: SagaDefinition, beginning: Saga, events: Iterable[Event]) -> list[Mark]:
    """Read out of a saga's history by deciding it again. `beginning` is the saga before its first event."""
    found: list[Mark] = []
    saga = beginning
    for event in events:
        decision = decide(definition, saga, event)
        found += _between(saga, decision.saga, event)
        saga = decision.saga
    return found


def _between(before: Saga, after: Saga, event: Event) -> Iterator[Mark]:
    seq, at = after.revision, event.at
    by, asked = _asked(event)
    if isinstance(event, Started):
        yield Mark(seq, at, MarkKind.STARTED, f"{after.definition} version {after.version}")
    if asked and not isinstance(event, PauseRequested | ResumeRequested):
        yield Mark(seq, at, MarkKind.ASKED, asked, by)
    if after.paused and not before.paused:
        yield Mark(seq, at, MarkKind.PAUSED, after.paused.reason, after.paused.by)
    if before.paused and not after.paused and not after.final:
        yield Mark(seq, at, MarkKind.RESUMED, asked, by)
    if after.direction is Direction.BACKWARD and before.direction is Direction.FORWARD:
        yield Mark(seq, at, MarkKind.TURNED, str(after.cause) if after.cause else "", by)
    if after.status is not before.status:
        if after.status is SagaStatus.BLOCKED:
            yield Mark(seq, at, MarkKind.BLOCKED, _stuck(after))
        elif before.status is SagaStatus.BLOCKED and not after.final:
            yield Mark(seq, at, MarkKind.UNBLOCKED, f"{after.status} again", by)
        if after.final:
            yield Mark(seq, at, MarkKind.FINISHED, str(after.status), by)


def _stuck(saga: Saga) -> str:
    """What stands still, which is not always what turned the saga: its undoing may."""
    names = [name for name, run in saga.steps.items() if run.status is StepStatus.BLOCKED]
    return f"{' and '.join(names) or 'a step'} {'need' if len(names) > 1 else 'needs'} a person"


def _asked(event: Event) -> tuple[str | None, str]:
    """Who asked for what, in words; nobody for anything, if the event is no person's."""
    match event:
        case CancelRequested():
            return event.by, f"cancel: {event.reason}"
        case CloseRequested():
            return event.by, f"close: {event.reason}"
        case RetryRequested():
            return event.by, f"retry {event.step}: {event.reason}"
        case SettleRequested():
            return event.by, f"settle {event.step} as {event.settlement}: {event.reason}"
        case WaiveRequested():
            return event.by, f"waive {event.step}: {event.reason}"
        case SkipRequested():
            return event.by, f"skip {event.step}: {event.reason}"
        case PauseRequested() | ResumeRequested():
            return event.by, event.reason
        case _:
            return None, ""
