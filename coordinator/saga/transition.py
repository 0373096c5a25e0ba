"""`decide`: what follows when something happens to a saga. Pure: no I/O, no clock, no randomness.

Any event in any state gives a Decision. One that changes nothing is kept as evidence, or refused if a person asked.
"""

from __future__ import annotations

from typing import assert_never

from coordinator.saga.backward import block, on_compensation_reply, unwind
from coordinator.saga.changing import replace
from coordinator.saga.clocks import on_published, on_voided, on_woke, starts_deadline
from coordinator.saga.decision import Decision
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.draft import Draft
from coordinator.saga.event import (
    CancelRequested,
    CloseRequested,
    CommandId,
    Event,
    Kind,
    PauseRequested,
    Published,
    Replied,
    ResumeRequested,
    RetryRequested,
    SettleRequested,
    SkipRequested,
    Started,
    Unsendable,
    Voided,
    WaiveRequested,
    Woke,
)
from coordinator.saga.forward import advance, give_up, on_action_reply
from coordinator.saga.inquiry import on_inquiry_reply
from coordinator.saga.state import ClockKind, Direction, Saga, SagaStatus, StepStatus
from coordinator.saga.verbs import RequestRefused, on_verb

strays_max = 1000  # replies that change nothing are kept as evidence up to here, then only counted out


def decide(definition: SagaDefinition, saga: Saga, event: Event) -> Decision:
    """What follows from `event`. The definition is the version the saga began with."""
    draft = Draft(definition, saga, event.at)
    try:
        recorded = _apply(draft, event)
    except RequestRefused as refusal:
        return Decision(saga, event, refused=str(refusal), recorded=False)
    if not recorded:
        return Decision(saga, event, recorded=False)
    _proceed(draft)
    return draft.decision(event)


def _apply(draft: Draft, event: Event) -> bool:
    """Let the event have its direct effect. False: the history need not remember it."""
    match event:
        case Started():
            if draft.saga.revision:
                return False  # it has begun already
            starts_deadline(draft)
            return True
        case Replied():
            return _on_reply(draft, event)
        case Published():
            return on_published(draft, event)
        case Voided():
            return on_voided(draft, event)
        case Unsendable():
            return _on_unsendable(draft, event)
        case Woke():
            if not draft.saga.paused:
                on_woke(draft, event)
            return draft.changed()
        case (
            CancelRequested()
            | RetryRequested()
            | SettleRequested()
            | WaiveRequested()
            | SkipRequested()
            | CloseRequested()
            | PauseRequested()
            | ResumeRequested()
        ):
            return on_verb(draft, event)
        case _:
            assert_never(event)


def _on_reply(draft: Draft, reply: Replied) -> bool:
    step = draft.definition.by_name.get(reply.command.step)
    if step is None:
        counted = False
    elif reply.inquire:
        counted = on_inquiry_reply(draft, step, reply)
    elif reply.command.kind is Kind.COMPENSATION:
        counted = on_compensation_reply(draft, step, reply)
    else:
        counted = on_action_reply(draft, step, reply)
    if counted:
        return True
    draft.note(f"{reply.command} attempt {reply.attempt}: {reply.answer}, which changes nothing")
    draft.change(strays=draft.saga.strays + 1)
    return draft.saga.strays <= strays_max


def _on_unsendable(draft: Draft, event: Unsendable) -> bool:
    """What was just decided to be sent can't be. Nothing left, so the failure is clean and a retry would not help."""
    step, run = draft.definition.by_name.get(event.command.step), draft.run(event.command.step)
    if step is None or run.clock is None or run.clock.kind not in (ClockKind.TIMEOUT, ClockKind.GRACE):
        return False
    if event.command == CommandId(step.name, run.iteration) and run.status is StepStatus.DISPATCHED:
        # What was sent before under this attempt, and said to be in progress, may have happened all the same.
        draft.put(replace(run, failure=event.failure, unclean=run.unclean or run.begun))
        give_up(draft, step, StepStatus.FAILED)
        return True
    undo = CommandId(step.name, run.iteration, Kind.COMPENSATION, run.epoch)
    if event.command == undo and run.status is StepStatus.COMPENSATING:
        block(draft, step.name, Kind.COMPENSATION, event.failure)
        return True
    return False


def _proceed(draft: Draft) -> None:
    """Go on in the present direction as far as can be, then let the saga's status say where it stands."""
    _show_block(draft)
    if draft.saga.final or draft.saga.paused:
        return
    if draft.forward:
        advance(draft)
    if not draft.forward and not draft.saga.final:
        unwind(draft)
    _show_block(draft)


def _show_block(draft: Draft) -> None:
    """`blocked` says that some step needs a person, whether or not other branches go on."""
    if draft.saga.final:
        return
    blocked = any(run.status is StepStatus.BLOCKED for run in draft.runs())
    if blocked:
        draft.move(SagaStatus.BLOCKED)
    elif draft.saga.status is SagaStatus.BLOCKED:
        forward = draft.saga.direction is Direction.FORWARD
        draft.move(SagaStatus.RUNNING if forward else SagaStatus.COMPENSATING)


def replay(definition: SagaDefinition, saga: Saga, events: list[Event]) -> Saga:
    """Fold a history through `decide`: the result is the stored saga, or something is wrong."""
    for event in events:
        saga = decide(definition, saga, event).saga
    return saga
