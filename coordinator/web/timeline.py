"""A saga along the axis of time: its attempts, each with how long it waited and how long it took, and what else
happened meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from coordinator.saga import attempts as tried
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.event import CommandId, Event, Published
from coordinator.saga.marks import Mark, marks
from coordinator.saga.state import Saga
from coordinator.web import seen
from coordinator.web.desk import Desk
from coordinator.web.past import past_of
from coordinator.web.showing import failure


@dataclass(frozen=True, slots=True)
class TimedAttempt:
    """One sending of a step's command, from the decision to send it to its end.

    `published_at` is known only where the outbox held it for a while; else it left within moments of `queued_at`.
    `taken_at` is the end less the time in the handler, by the worker's own clock.
    """

    step: str
    participant: str
    kind: str  # action, compensation, inquiry
    iteration: int
    epoch: int
    number: int
    queued_at: datetime
    published_at: datetime | None
    taken_at: datetime | None
    ended_at: datetime | None
    outcome: str | None  # null: its reply is awaited
    late: bool
    effect: str | None
    undone: str | None
    error: seen.Failure | None
    worker: str | None
    worker_version: str | None
    queue_seconds: float | None  # everything but the handler
    handler_seconds: float | None


@dataclass(frozen=True, slots=True)
class Moment:
    """Something else that happened: started, turned, blocked, unblocked, paused, resumed, asked, finished."""

    seq: int
    at: datetime
    kind: str
    text: str
    by: str | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """`complete` is false where the history is too long to be read whole here, or too old for this release."""

    saga_id: str
    status: str
    created_at: datetime
    finished_at: datetime | None
    at: datetime
    complete: bool
    attempts: tuple[TimedAttempt, ...]  # in the order of sending
    marks: tuple[Moment, ...]


async def timeline(desk: Desk, saga_id: str) -> Timeline:
    """Raises UnknownSaga."""
    detail = await desk.detail(saga_id)
    definition = await desk.definition_of(detail)
    saga = detail.saga
    past = await past_of(desk, definition, saga)
    told = past.told(_tell) if past else None
    attempts, moments = told or ((), ())
    return Timeline(
        saga_id=saga.id,
        status=saga.status,
        created_at=saga.created_at,
        finished_at=saga.finished_at,
        at=desk.coordinator.clock.now(),
        complete=told is not None,
        attempts=attempts,
        marks=moments,
    )


def _tell(
    definition: SagaDefinition, beginning: Saga, events: list[Event]
) -> tuple[tuple[TimedAttempt, ...], tuple[Moment, ...]]:
    left = {(event.command, event.attempt): event.at for event in events if isinstance(event, Published)}
    found = tried.attempts(definition, beginning, events)
    attempts = tuple(_timed(definition, attempt, left) for attempt in found)
    return attempts, tuple(_moment(mark) for mark in marks(definition, beginning, events))


def _timed(
    definition: SagaDefinition, attempt: tried.Attempt, left: dict[tuple[CommandId, int], datetime]
) -> TimedAttempt:
    command, ended, handler = attempt.command, attempt.ended_at, attempt.duration_seconds
    taken = queued = None
    if ended is not None and handler is not None:
        # Another host's clock counted the handler's time: it can't have begun before it was sent.
        taken = max(attempt.started_at, ended - timedelta(seconds=min(handler, 10**9)))
        queued = (taken - attempt.started_at).total_seconds()
    return TimedAttempt(
        step=command.step,
        participant=definition.by_name[command.step].participant,
        kind="inquiry" if attempt.inquiry else command.kind,
        iteration=command.iteration,
        epoch=command.epoch,
        number=attempt.number,
        queued_at=attempt.started_at,
        published_at=None if attempt.inquiry else left.get((command, attempt.number)),
        taken_at=taken,
        ended_at=ended,
        outcome=attempt.outcome,
        late=attempt.late,
        effect=attempt.effect,
        undone=attempt.undone,
        error=failure(attempt.failure),
        worker=attempt.worker or None,
        worker_version=attempt.worker_version or None,
        queue_seconds=queued,
        handler_seconds=handler,
    )


def _moment(mark: Mark) -> Moment:
    return Moment(mark.seq, mark.at, mark.kind, mark.text, mark.by)
