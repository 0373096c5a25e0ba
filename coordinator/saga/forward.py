"""The way forward: which steps are ready, what an action's answer means, when to try again and when to give up."""

from __future__ import annotations

from typing import Any

from coordinator.errors import UnresolvedReference
from coordinator.saga.backward import block, close, defer, leave, raise_zombie, turn, undo_on_the_spot
from coordinator.saga.changing import replace
from coordinator.saga.definition import Step, StepKind
from coordinator.saga.draft import Draft, can_undo, needs_undo
from coordinator.saga.event import Answer, Effect, Failure, Kind, Replied, Undone
from coordinator.saga.expression import is_true
from coordinator.saga.state import (
    Cause,
    CauseKind,
    EffectLeft,
    Inquiry,
    LeftBecause,
    Purpose,
    SagaStatus,
    StepRun,
    StepStatus,
)


def advance(draft: Draft) -> None:
    """Dispatch every step whose way is clear; when all steps are through, complete. Nothing is sent before every ready
    step has its data: one that has none may turn the saga."""
    ready: dict[str, Any] = {}
    for name in draft.definition.order:
        step = draft.definition.by_name[name]
        if draft.run(name).status is StepStatus.PENDING and _way_is_clear(draft, step):
            _begin(draft, step, ready)
            if not draft.forward:
                return
    for name, data in ready.items():
        draft.send_action(name, data)
    if all(_is_through(draft, step.name) or _is_waived(draft, step.name) for step in draft.definition.steps):
        _end_forward(draft)


def _way_is_clear(draft: Draft, step: Step) -> bool:
    """Whether everything before a step is through. A step can be skipped before its turn, and those behind it must not
    overtake what came before it."""
    ancestors = draft.definition.ancestors
    return all(
        _is_through(draft, before)
        and (
            draft.run(before).status is not StepStatus.SKIPPED
            or all(_is_through(draft, earlier) for earlier in ancestors[before])
        )
        for before in step.after
    )


def _is_through(draft: Draft, name: str) -> bool:
    """Whether what comes after this step may go on."""
    step, run = draft.definition.by_name[name], draft.run(name)
    if run.status in (StepStatus.REFUSED, StepStatus.FAILED):
        return step.optional and not needs_undo(step, run)
    if run.status is StepStatus.WAIVED:
        return step.optional
    # On the way forward only an optional step is compensated, or one that was skipped and then turned out to have run.
    return run.status in (StepStatus.SUCCEEDED, StepStatus.SKIPPED, StepStatus.COMPENSATED)


def _is_waived(draft: Draft, name: str) -> bool:
    return draft.run(name).status is StepStatus.WAIVED


def _begin(draft: Draft, step: Step, ready: dict[str, Any]) -> None:
    """Skip a step, give it up, or put its data among what is ready to be sent."""
    try:
        if step.when is not None and not is_true(step.when, draft.scope(step)):
            draft.move_step(step.name, StepStatus.SKIPPED)
            return
        ready[step.name] = draft.data(step)
    except UnresolvedReference as error:
        # Nothing was sent, so the failure is clean; trying again would read the same values.
        draft.put(replace(draft.run(step.name), failure=Failure("UnresolvedReference", str(error))))
        give_up(draft, step, StepStatus.FAILED)


def _end_forward(draft: Draft) -> None:
    if any(run.status is StepStatus.WAIVED for run in draft.runs()):
        # Without its pivot a saga is half done: what came before it is there, and what it was for is not.
        pivot = draft.definition.pivot
        close(draft, half_done=pivot is not None and draft.run(pivot.name).status is StepStatus.WAIVED)
        return
    left = tuple(
        EffectLeft(run.name, LeftBecause.IRREVERSIBLE, step.irreversible or "", certain=False)
        for run in draft.runs()
        if (step := draft.definition.by_name[run.name]).irreversible and run.unclean and not run.happened
    )
    draft.move(SagaStatus.COMPLETED, finished_at=draft.at, deadline=None, cancel=None, effects_left=left)


def on_action_reply(draft: Draft, step: Step, reply: Replied) -> bool:
    """What an answer to an action changes. False: nothing, it is kept as evidence."""
    run = draft.run(step.name)
    if reply.command.iteration != run.iteration or reply.command.epoch or not 1 <= reply.attempt <= run.attempt:
        return False  # of an input that was given up, or never sent
    if reply.answer is Answer.SUCCEEDED:
        return succeed(draft, step, reply)
    awaited = run.status is StepStatus.DISPATCHED and reply.attempt == run.attempt and run.inquiry is None
    if not awaited or draft.saga.final:
        return False
    match reply.answer:
        case Answer.IN_PROGRESS:
            if draft.forward:  # a grace is not extended
                defer(draft, run, step)
        case Answer.REFUSED | Answer.FENCED:
            draft.put(replace(run, failure=reply.failure or Failure(reply.answer.title())))
            give_up(draft, step, StepStatus.REFUSED)
        case Answer.FAILED if reply.effect is Effect.NONE:
            retry(draft, step, reply.failure or Failure("Failed"), unclean=False)
        case _:  # failed with an unknown effect, or expired, which proves nothing
            retry(draft, step, reply.failure or Failure(reply.answer.title()), unclean=True)
    return True


def succeed(draft: Draft, step: Step, reply: Replied) -> bool:
    """A success of any attempt. It settles what was waited for, and upgrades what was thought unknown."""
    run = draft.run(step.name)
    if run.happened and not reply.recorded_after_compensation:
        return False
    known = replace(run, happened=True, result=reply.result, fault=reply.fault)
    if run.status in (StepStatus.COMPENSATED, StepStatus.SKIPPED):
        return _contradict(draft, step, known, reply)
    if draft.saga.final:
        _found_after_the_end(draft, step, known)
        return True
    match run.status:
        case StepStatus.PENDING | StepStatus.WAITING | StepStatus.DISPATCHED:
            _succeeded(draft, step, known)
        case StepStatus.BLOCKED if run.blocked is Kind.ACTION:
            _succeeded(draft, step, known)
        case StepStatus.REFUSED | StepStatus.FAILED:
            # It had been given up. Whoever came after went on without its result, and goes on without it.
            draft.put(replace(known, overlooked=True))
            draft.move_step(step.name, StepStatus.SUCCEEDED)
            _stand_by_late_pivot(draft, step)
        case _:  # compensating, blocked in its compensation, waived: evidence for the next attempt, or for a person
            late = reply.recorded_after_compensation and not run.zombie
            draft.note(f"{step.name}: had succeeded, as is heard now")
            draft.put(replace(known, overlooked=True, late_success=late or run.late_success))
    return True


def _stand_by_late_pivot(draft: Draft, step: Step) -> None:
    """The pivot was proven absent, the saga turned, and it happened after all: only a broken inbox does that. Nothing
    undoes a pivot, so the saga must not end as if all were undone."""
    if step.kind is StepKind.PIVOT and not step.irreversible and not draft.forward:
        _undo_zombie(draft, step)
        block(draft, step.name, Kind.COMPENSATION, Failure("Contradiction", "it happened, though it had been fenced"))


def _succeeded(draft: Draft, step: Step, known: StepRun) -> None:
    draft.put(known)
    draft.move_step(step.name, StepStatus.SUCCEEDED)
    too_late_to_turn(draft, step)
    if known.fault is None or not draft.forward:
        return
    if draft.past_pivot or step.optional:
        draft.incident("fault", f"the result of {step.name} breaks its schema: {known.fault}", step.name)
        return
    turn(draft, Cause(CauseKind.FAULT, step.name, known.fault))


def too_late_to_turn(draft: Draft, step: Step) -> None:
    """The pivot has happened: a cancel or a deadline that waited for it is void."""
    if step.kind is StepKind.PIVOT and draft.turn_waits:
        draft.change(cancel=None, deadline_passed=False)
        draft.note("the pivot had happened: too late to turn")


def _contradict(draft: Draft, step: Step, known: StepRun, reply: Replied) -> bool:
    """A success for a step that was thought undone, or never done. At most one new epoch for it."""
    missed = reply.recorded_after_compensation or known.undone is not Undone.UNDONE
    if known.zombie or not missed:
        return False
    draft.put(replace(known, overlooked=True))
    _undo_zombie(draft, step)
    return True


def _found_after_the_end(draft: Draft, step: Step, known: StepRun) -> None:
    """A late success of a step that a final saga had counted out: undo it; the saga's status stays."""
    draft.put(replace(known, overlooked=True))
    given_up = known.status in (StepStatus.PENDING, StepStatus.REFUSED, StepStatus.FAILED)
    if given_up and draft.saga.status is not SagaStatus.CLOSED:
        draft.move_step(step.name, StepStatus.SUCCEEDED)
        _undo_zombie(draft, step)
    elif not known.zombie:
        leave(draft, step, LeftBecause.UNSETTLED, "succeeded after the saga was closed")


def _undo_zombie(draft: Draft, step: Step) -> None:
    """Undo a success nobody counted with; where there is no way back, say so."""
    if can_undo(step):
        raise_zombie(draft, step.name)
    elif step.irreversible:  # left behind, as its author accepts
        if draft.saga.final:
            leave(draft, step, LeftBecause.IRREVERSIBLE, step.irreversible)
    elif step.kind is not StepKind.READONLY:
        draft.incident("zombie_effect", f"{step.name} succeeded after all, and has no way back", step.name)
        if draft.saga.final:
            leave(draft, step, LeftBecause.UNSETTLED, "succeeded after the end")


def retry(draft: Draft, step: Step, failure: Failure, *, unclean: bool) -> None:
    """An attempt failed: try again by the policy, or give the step up."""
    run = draft.run(step.name)
    run = replace(run, failure=failure, unclean=run.unclean or unclean)
    draft.put(run)
    spent = run.attempt - run.budget_from
    # A cancel or the deadline waits for the pivot: it is not tried again, but asked about.
    turn_waits = step.kind is StepKind.PIVOT and draft.turn_waits
    if not draft.forward or turn_waits or spent >= step.retry.max_attempts or failure.type in step.retry.give_up_on:
        give_up(draft, step, StepStatus.FAILED)
        return
    draft.move_step(step.name, StepStatus.WAITING, clock=draft.wait(step.name, step.retry, spent, Kind.ACTION))


def give_up(draft: Draft, step: Step, status: StepStatus) -> None:
    """No further attempt. What follows depends on whether the step may have happened and where it stands."""
    run = draft.run(step.name)
    if not draft.forward:
        draft.move_step(step.name, status)
    elif step.kind is StepKind.PIVOT and run.unclean:
        draft.send_inquiry(step.name, Inquiry(Purpose.PIVOT))
    elif draft.past_pivot and not step.optional:
        block(draft, step.name, Kind.ACTION, run.failure)
    else:
        draft.move_step(step.name, status)
        if not step.optional:
            turn(draft, why(draft, step, status))
        elif undo_on_the_spot(draft, step.name):
            draft.note(f"{step.name} is optional: undone on the spot")


def why(draft: Draft, step: Step, status: StepStatus) -> Cause:
    """The cause for which the saga turns when this step is given up; a person's cancel or the deadline goes first."""
    if draft.saga.cancel:
        return draft.saga.cancel
    if draft.saga.deadline_passed:
        return Cause(CauseKind.DEADLINE, message="the deadline passed while the pivot was in doubt")
    run = draft.run(step.name)
    message = (run.failure.message or run.failure.type) if run.failure else ""
    if status is StepStatus.REFUSED:
        return Cause(CauseKind.REFUSED, step.name, message)
    return Cause(CauseKind.UNKNOWN if run.unclean else CauseKind.FAILED, step.name, message)


def proven_absent(draft: Draft, step: Step) -> None:
    """The participant's inbox has fenced the action: it did not happen and never will. This outweighs any unknown."""
    run = draft.run(step.name)
    draft.put(replace(run, unclean=False, inquiry=None, clock=None))
    draft.note(f"{step.name}: proven not to have happened")
