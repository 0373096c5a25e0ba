"""What a person may ask of a saga, when it is legal, and what follows. A refusal says why and changes nothing."""

from __future__ import annotations

from coordinator.errors import UnresolvedReference
from coordinator.saga.backward import close, turn
from coordinator.saga.changing import replace
from coordinator.saga.clocks import shift_all
from coordinator.saga.definition import Step, StepKind, Unset
from coordinator.saga.draft import Draft
from coordinator.saga.event import (
    CancelRequested,
    CloseRequested,
    Kind,
    PauseRequested,
    ResumeRequested,
    RetryRequested,
    Settlement,
    SettleRequested,
    SkipRequested,
    Verb,
    WaiveRequested,
)
from coordinator.saga.inquiry import retry_edited, settle_done, skip
from coordinator.saga.state import (
    Cause,
    CauseKind,
    Inquiry,
    Pause,
    Purpose,
    SagaStatus,
    StepRun,
    StepStatus,
)


class RequestRefused(Exception):
    """A person asked for what can't be done now. The message says why, for them."""


def on_verb(draft: Draft, verb: Verb) -> bool:
    """Carry out a person's request. False: it was already so. Raises RequestRefused."""
    match verb:
        case CancelRequested():
            return _cancel(draft, verb)
        case PauseRequested():
            return _pause(draft, verb)
        case ResumeRequested():
            return _resume(draft, verb)
        case CloseRequested():
            _needs_life(draft)
            if draft.saga.status is not SagaStatus.BLOCKED:
                raise RequestRefused(f"only a blocked saga can be closed; this one is {draft.saga.status}")
            draft.note(f"closed by {verb.by}: {verb.reason}")
            close(draft)
        case RetryRequested():
            _retry(draft, *_blocked(draft, verb.step, zombies=True), verb)
        case SettleRequested():
            _settle(draft, *_blocked(draft, verb.step), verb)
        case WaiveRequested():
            _waive(draft, *_blocked(draft, verb.step), verb)
        case SkipRequested():
            _skip(draft, verb)
    return True


def _needs_life(draft: Draft) -> None:
    if draft.saga.final:
        raise RequestRefused(f"the saga is {draft.saga.status}, which is final")


def _cancel(draft: Draft, verb: CancelRequested) -> bool:
    _needs_life(draft)
    cause = Cause(CauseKind.CANCELLED, message=verb.reason, by=verb.by)
    if not draft.forward or draft.saga.cancel:
        return False
    if draft.past_pivot:
        raise RequestRefused("the pivot has succeeded: there is no way back")
    if draft.pivot_in_doubt:
        draft.change(cancel=cause)
        draft.note(f"cancel by {verb.by} waits: the pivot is in doubt")
        return True
    turn(draft, cause)
    return True


def _pause(draft: Draft, verb: PauseRequested) -> bool:
    _needs_life(draft)
    if draft.saga.paused:
        return False
    draft.change(paused=Pause(draft.at, verb.by, verb.reason))
    draft.note(f"paused by {verb.by}: {verb.reason}")
    return True


def _resume(draft: Draft, verb: ResumeRequested) -> bool:
    _needs_life(draft)
    if draft.saga.paused is None:
        return False
    shift_all(draft, draft.saga.paused.since)
    draft.change(paused=None)
    draft.note(f"resumed by {verb.by}: {verb.reason}")
    return True


def _blocked(draft: Draft, name: str, *, zombies: bool = False) -> tuple[Step, StepRun]:
    """The step, if a person may decide about it now."""
    step = draft.definition.by_name.get(name)
    if step is None:
        raise RequestRefused(f"there is no step {name!r}")
    run = draft.run(name)
    if not (zombies and run.zombie):
        _needs_life(draft)
    if run.status is not StepStatus.BLOCKED:
        raise RequestRefused(f"step {name} is {run.status}, not blocked")
    if run.inquiry:
        raise RequestRefused(f"step {name}: {run.inquiry.purpose} by {run.inquiry.by} awaits the participant's fence")
    return step, run


def _retry(draft: Draft, step: Step, run: StepRun, verb: RetryRequested) -> None:
    edited = not isinstance(verb.data, Unset)
    draft.note(f"{step.name}: retry by {verb.by}: {verb.reason}")
    if run.blocked is Kind.COMPENSATION:
        if edited:
            raise RequestRefused("a compensation is retried with the input its action had")
        if step.compensation is None:
            raise RequestRefused(f"{step.name} has no compensation: settle it, or waive it")
        # The inbox keeps a refusal for good, so only a new epoch runs business code again.
        epoch = run.epoch + 1 if run.undo_refused else run.epoch
        draft.put(replace(run, epoch=epoch, undo_refused=False, undo_budget_from=run.undo_attempt))
        draft.send_compensation(step.name)
    elif edited and run.attempt:
        inquiry = Inquiry(Purpose.RETRY, by=verb.by, reason=verb.reason, data=verb.data)
        draft.send_inquiry(step.name, inquiry)
    elif edited:
        retry_edited(draft, step, verb.data)
    else:
        try:
            data = draft.data(step)
        except UnresolvedReference as error:
            raise RequestRefused(f"{error}; retry with another input") from error
        draft.put(replace(run, budget_from=run.attempt))
        draft.send_action(step.name, data)


def _settle(draft: Draft, step: Step, run: StepRun, verb: SettleRequested) -> None:
    settlement = verb.settlement
    if settlement is Settlement.UNDONE and run.blocked is Kind.ACTION and draft.past_pivot:
        raise RequestRefused(
            f"{step.name} lies after the pivot and can't be left undone: retry, settle as done, or waive"
        )
    draft.note(f"{step.name}: settled as {settlement} by {verb.by}: {verb.reason}")
    inquiry = Inquiry(Purpose.SETTLE, by=verb.by, reason=verb.reason, settlement=settlement, result=verb.result)
    if run.attempt:
        draft.send_inquiry(step.name, inquiry)
    else:
        settle_done(draft, step, inquiry)


def _waive(draft: Draft, step: Step, run: StepRun, verb: WaiveRequested) -> None:
    """Leave the step. On the way forward what comes after it can't run either."""
    draft.move_step(step.name, StepStatus.WAIVED, blocked=None, settled_by=f"{verb.by}: {verb.reason}")
    draft.note(f"{step.name}: waived by {verb.by}: {verb.reason}")
    if draft.forward and not step.optional:
        for name in draft.definition.descendants[step.name]:
            if draft.run(name).status is StepStatus.PENDING:
                draft.move_step(name, StepStatus.SKIPPED)


def _skip(draft: Draft, verb: SkipRequested) -> None:
    _needs_life(draft)
    step = draft.definition.by_name.get(verb.step)
    if step is None:
        raise RequestRefused(f"there is no step {verb.step!r}")
    run = draft.run(step.name)
    if step.kind is StepKind.PIVOT:
        raise RequestRefused("the pivot can't be skipped: the steps after it rely on it")
    if not draft.forward or run.status not in (StepStatus.PENDING, StepStatus.WAITING, StepStatus.BLOCKED):
        raise RequestRefused(
            f"step {step.name} is {run.status} and the saga {draft.saga.status}: it can't be skipped now"
        )
    if run.unclean or run.blocked is Kind.COMPENSATION:
        raise RequestRefused(f"step {step.name} may have happened: settle it instead")
    if run.inquiry:
        raise RequestRefused(f"step {step.name}: {run.inquiry.purpose} awaits the participant's fence")
    draft.note(f"{step.name}: skip by {verb.by}: {verb.reason}")
    if run.attempt:
        draft.send_inquiry(step.name, Inquiry(Purpose.SKIP, by=verb.by, reason=verb.reason))
    else:
        skip(draft, step, verb.by, verb.reason)
