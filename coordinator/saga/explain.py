"""Questions about a state: what a saga waits for, how far it is, what may be asked of it now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from coordinator.saga.definition import SagaDefinition
from coordinator.saga.event import Kind
from coordinator.saga.state import ClockKind, Direction, Saga, StepRun, StepStatus


class WaitingKind(StrEnum):
    """What a saga that is not final waits for."""

    PAUSED = "paused"
    BLOCKED = "blocked"
    REPLY = "reply"
    INQUIRY = "inquiry"
    BACKOFF = "backoff"


@dataclass(frozen=True, slots=True)
class WaitingOn:
    """The one answer to "what is it waiting for?". Times are aware UTC."""

    kind: WaitingKind
    step: str | None = None
    participant: str | None = None
    command: Kind | None = None
    attempt: int | None = None
    attempts_max: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    message: str | None = None


def waiting_on(definition: SagaDefinition, saga: Saga) -> WaitingOn | None:
    """The primary wait of a saga, or None when it is final. What needs a person goes first, then the longest wait."""
    if saga.final:
        return None
    if saga.paused:
        return WaitingOn(WaitingKind.PAUSED, since=saga.paused.since, message=saga.paused.reason)
    runs = [run for name in definition.order if (run := saga.step(name))]
    for run in runs:
        if run.status is StepStatus.BLOCKED and run.inquiry is None:
            return _waiting(definition, run, WaitingKind.BLOCKED)
    running = sorted(
        (run for run in runs if run.clock), key=lambda run: run.clock.since if run.clock else saga.created_at
    )
    for kind, clocks in (
        (WaitingKind.REPLY, (ClockKind.TIMEOUT, ClockKind.GRACE)),
        (WaitingKind.INQUIRY, (ClockKind.INQUIRY,)),
        (WaitingKind.BACKOFF, (ClockKind.BACKOFF,)),
    ):
        for run in running:
            if run.clock and run.clock.kind in clocks:
                return _waiting(definition, run, kind)
    raise AssertionError(f"saga {saga.id} is {saga.status} and waits for nothing")


def _waiting(definition: SagaDefinition, run: StepRun, kind: WaitingKind) -> WaitingOn:
    step = definition.by_name[run.name]
    backward = run.status is StepStatus.COMPENSATING or run.blocked is Kind.COMPENSATION
    policy = step.compensation_retry if backward else step.retry
    attempt, budget_from = (run.undo_attempt, run.undo_budget_from) if backward else (run.attempt, run.budget_from)
    return WaitingOn(
        kind,
        step=run.name,
        participant=step.participant,
        command=Kind.COMPENSATION if backward else Kind.ACTION,
        attempt=attempt,
        attempts_max=budget_from + policy.max_attempts,
        since=run.clock.since if run.clock else None,
        until=run.clock.due if run.clock else None,
        message=(run.failure.message or run.failure.type) if run.failure else None,
    )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a saga is. Steps that are through count, whichever way it goes; `percentage` is of the present way."""

    total: int
    completed: int
    failed: int
    percentage: int


def progress(definition: SagaDefinition, saga: Saga) -> Progress:
    """How far a saga is: forward, the steps done or skipped; backward, the steps with nothing left to undo."""
    total = len(definition.steps)
    runs = [saga.step(step.name) for step in definition.steps]
    failed = sum(run.status in (StepStatus.FAILED, StepStatus.REFUSED, StepStatus.BLOCKED) for run in runs)
    completed = sum(run.status in (StepStatus.SUCCEEDED, StepStatus.SKIPPED) for run in runs)
    if saga.final:
        through = total
    elif saga.direction is Direction.FORWARD:
        through = completed
    else:
        pending = (StepStatus.DISPATCHED, StepStatus.COMPENSATING, StepStatus.SUCCEEDED, StepStatus.BLOCKED)
        through = sum(run.status not in pending for run in runs)
    return Progress(total, completed, failed, through * 100 // total)
