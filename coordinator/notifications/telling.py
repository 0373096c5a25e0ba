"""Which events a decision is, in the words that others are told. It tells no inputs and no results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from amends.event import Event, EventFailure, EventIncident, EventKind, EventSaga, EventStep
from coordinator.saga.decision import Decision
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.event import Failure, Kind, Started
from coordinator.saga.state import ClockKind, Saga, SagaStatus, StepRun, StepStatus
from coordinator.store.notified import OpenedIncident

message_chars_max = 500
word_chars_max = 200
tags_max = 100
effects_max = 200

_ends = {
    SagaStatus.COMPLETED: EventKind.COMPLETED,
    SagaStatus.COMPENSATED: EventKind.COMPENSATED,
    SagaStatus.CLOSED: EventKind.CLOSED,
}
_given_up = frozenset({StepStatus.FAILED, StepStatus.REFUSED, StepStatus.BLOCKED})


@dataclass(frozen=True, slots=True)
class Happened:
    """What kind of event, and at which step; `id` is derived, so that it is the same whoever tells of it."""

    kind: EventKind
    id: str
    step: str | None = None


def happened(before: Saga, decision: Decision) -> Iterator[Happened]:
    """The events of a decision, in the order in which they are told."""
    saga = decision.saga

    def one(kind: EventKind, step: str | None = None) -> Happened:
        return Happened(kind, f"{saga.id}.{saga.revision}.{kind}" + (f".{step}" if step else ""), step)

    if isinstance(decision.event, Started):
        yield one(EventKind.STARTED)
    for name, run in saga.steps.items():
        earlier = before.step(name)
        if run is earlier:
            continue
        if run.status in _given_up and (run.status is not earlier.status or run.blocked is not earlier.blocked):
            yield one(EventKind.STEP_FAILED, name)
        elif _retries(earlier, run):
            yield one(EventKind.RETRYING, name)
    if saga.status is not before.status:
        if saga.status is SagaStatus.BLOCKED:
            yield one(EventKind.BLOCKED)
        elif saga.final:
            yield one(_ends[saga.status])


def _retries(earlier: StepRun, run: StepRun) -> bool:
    """An attempt ended without success, and another follows. Being told to wait is none."""
    if run.clock is None or run.clock.kind is not ClockKind.BACKOFF or run.deferred:
        return False
    return earlier.clock is None or earlier.clock.kind is not ClockKind.BACKOFF


def event_of(definition: SagaDefinition, decision: Decision, what: Happened, *, link: str | None) -> Event:
    """The event as it is told."""
    saga = decision.saga
    run = saga.step(what.step) if what.step else None
    return Event(
        id=what.id,
        kind=what.kind,
        at=decision.event.at,
        definition=definition.name,
        saga=_saga(saga),
        step=_step(definition, run, what.kind) if run else None,
        failure=_failure(run.failure) if run and run.failure else None,
        cause=str(saga.cause)[:message_chars_max] if saga.cause else None,
        link=f"{link}/v1/sagas/{saga.id}" if link else None,
    )


def incident_event(opened: OpenedIncident, at: datetime, *, link: str | None) -> Event:
    """The event of an incident. Its failure is the first one's, without the parts that differ from one to the next."""
    return Event(
        id=f"{opened.id}.{EventKind.INCIDENT_OPENED}",
        kind=EventKind.INCIDENT_OPENED,
        at=at,
        definition=opened.definition,
        failure=EventFailure(
            type=opened.error_type[:word_chars_max], message=opened.template[:message_chars_max], code=""
        ),
        incident=EventIncident(id=opened.id, family=opened.family[:word_chars_max], failures=opened.failures),
        link=f"{link}/v1/incidents/{opened.id}" if link else None,
    )


def _saga(saga: Saga) -> EventSaga:
    return EventSaga(
        id=saga.id,
        definition=saga.definition,
        version=saga.version,
        status=saga.status.value,
        direction=saga.direction.value,
        business_key=None if saga.business_key is None else saga.business_key[:word_chars_max],
        tags=tuple(tag[:word_chars_max] for tag in saga.tags[:tags_max]),
        trace_id=saga.trace_id,
        created_at=saga.created_at,
        finished_at=saga.finished_at,
        effects_left=tuple(left.step for left in saga.effects_left[:effects_max]),
    )


def _step(definition: SagaDefinition, run: StepRun, kind: EventKind) -> EventStep:
    backward = run.blocked is Kind.COMPENSATION or run.status is StepStatus.COMPENSATING
    return EventStep(
        name=run.name,
        participant=definition.by_name[run.name].participant,
        kind="compensation" if backward else "action",
        attempt=run.undo_attempt if backward else run.attempt,
        next_at=run.clock.due if run.clock and kind is EventKind.RETRYING else None,
    )


def _failure(failure: Failure) -> EventFailure:
    return EventFailure(
        type=failure.type[:word_chars_max],
        message=failure.message[:message_chars_max],
        code=failure.code[:word_chars_max],
    )
