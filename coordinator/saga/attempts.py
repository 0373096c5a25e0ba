"""What was sent and what came of it, one attempt at a time: read out of a saga's history by deciding it again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from coordinator.saga.changing import replace
from coordinator.saga.decision import SendCommand
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.event import Call, CommandId, Event, Failure, Kind, Replied, Unsendable, Voided
from coordinator.saga.state import ClockKind, Saga, StepRun, StepStatus
from coordinator.saga.transition import decide


class Ending(StrEnum):
    """How an attempt ended, if no reply ended it."""

    UNKNOWN = "unknown"  # no reply in time
    UNSENT = "unsent"  # taken back, or it could not be sent at all


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sending of a step's command, or of an inquiry about it. Times are aware UTC.

    `outcome` is what the reply said, or how the wait for it ended; None while it is awaited.
    """

    command: CommandId
    number: int
    started_at: datetime  # when it was decided; the outbox may have held it a while
    inquiry: int = 0  # 0: the command itself; n: the nth time of asking what became of it
    data: Any = None
    ended_at: datetime | None = None
    outcome: str | None = None
    late: bool = False  # the reply came after the attempt had been given up
    effect: str | None = None
    undone: str | None = None
    failure: Failure | None = None
    worker: str = ""
    worker_version: str = ""
    duration_seconds: float | None = None  # in the handler, by the worker's clock
    calls: tuple[Call, ...] = ()  # what the handler called, and how that ended


def attempts(definition: SagaDefinition, beginning: Saga, events: Iterable[Event]) -> list[Attempt]:
    """Every attempt of a saga, in the order in which they were sent. `beginning` is the saga before its first event."""
    found: list[Attempt] = []
    saga = beginning
    for event in events:
        decision = decide(definition, saga, event)
        saga = decision.saga
        if isinstance(event, Replied):
            _answered(found, event)
        for index, attempt in enumerate(found):
            if attempt.outcome is None and not _awaited(attempt, saga.step(attempt.command.step)):
                found[index] = _ended(attempt, event, saga.step(attempt.command.step))
        for effect in decision.effects:
            if isinstance(effect, SendCommand) and not any(_same(attempt, effect) for attempt in found):
                sent = Attempt(effect.command, effect.attempt, event.at, effect.inquiry, effect.data)
                found.append(sent)
    return found


def _same(attempt: Attempt, effect: SendCommand) -> bool:
    """A participant that was still at it is sent the same attempt again. Inquiries are counted anew with each question,
    so that one that has ended is never the same."""
    sent = (effect.command, effect.attempt, effect.inquiry)
    same = (attempt.command, attempt.number, attempt.inquiry) == sent
    return same and not (attempt.inquiry and attempt.outcome)


def _answered(found: list[Attempt], reply: Replied) -> None:
    """The first reply of an attempt ends it; of inquiries any try's, so the last is meant."""
    if reply.answer == "in_progress":
        return
    for index in reversed(range(len(found))):
        attempt = found[index]
        same = attempt.command == reply.command and attempt.number == reply.attempt
        if same and bool(attempt.inquiry) == reply.inquire:
            if attempt.outcome in (None, Ending.UNKNOWN, Ending.UNSENT):
                found[index] = replace(
                    attempt,
                    ended_at=reply.at,
                    outcome=str(reply.answer),
                    late=attempt.outcome is not None,
                    effect=reply.effect,
                    undone=reply.undone,
                    failure=reply.failure,
                    worker=reply.worker,
                    worker_version=reply.worker_version,
                    duration_seconds=reply.duration_seconds,
                    calls=reply.calls,
                )
            return


def _awaited(attempt: Attempt, run: StepRun) -> bool:
    """Whether the step still waits for this attempt's reply."""
    if attempt.inquiry:
        return run.inquiry is not None and run.inquiry.tries == attempt.inquiry
    if run.inquiry is not None or run.iteration != attempt.command.iteration:
        return False
    if attempt.command.kind is Kind.COMPENSATION:
        current = run.undo_attempt == attempt.number and run.epoch == attempt.command.epoch
        return current and run.status is StepStatus.COMPENSATING and _waits(run)
    return run.attempt == attempt.number and run.status is StepStatus.DISPATCHED and _waits(run)


def _waits(run: StepRun) -> bool:
    # A backoff in which the participant is still at it belongs to the attempt: the same one will be sent again.
    return run.clock is not None and (run.deferred or run.clock.kind in (ClockKind.TIMEOUT, ClockKind.GRACE))


def _ended(attempt: Attempt, event: Event, run: StepRun) -> Attempt:
    if isinstance(event, Unsendable):
        return replace(attempt, ended_at=event.at, outcome=Ending.UNSENT, failure=event.failure)
    if isinstance(event, Voided):
        return replace(attempt, ended_at=event.at, outcome=Ending.UNSENT)
    return replace(attempt, ended_at=event.at, outcome=Ending.UNKNOWN, failure=run.failure)
