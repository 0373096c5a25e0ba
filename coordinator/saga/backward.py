"""The way back: turning, undoing in reverse order of the graph, and giving up in front of a person."""

from __future__ import annotations

from datetime import timedelta

from coordinator.saga.changing import replace
from coordinator.saga.decision import VoidUnsent
from coordinator.saga.definition import Step, StepKind
from coordinator.saga.draft import Draft, can_undo, needs_undo
from coordinator.saga.event import Answer, Failure, Kind, Replied, Undone
from coordinator.saga.state import (
    Cause,
    ClockKind,
    Direction,
    EffectLeft,
    LeftBecause,
    SagaStatus,
    StepRun,
    StepStatus,
)


def turn(draft: Draft, cause: Cause) -> None:
    """Go back. Nothing new is dispatched; what is in flight gets a grace to settle, then counts as unknown."""
    draft.note(f"turns: {cause}")
    status = SagaStatus.BLOCKED if draft.saga.status is SagaStatus.BLOCKED else SagaStatus.COMPENSATING
    draft.move(status, direction=Direction.BACKWARD, cause=cause, deadline=None, cancel=None)
    draft.emit(VoidUnsent())
    for run in draft.runs():
        if run.status is StepStatus.WAITING:
            draft.move_step(run.name, StepStatus.FAILED, inquiry=None)
        elif run.status is StepStatus.DISPATCHED and run.clock:
            end = draft.at + timedelta(seconds=draft.definition.grace_seconds)
            clock = replace(run.clock, kind=ClockKind.GRACE, due=min(run.clock.due, end))
            draft.put(replace(run, clock=clock))


def unwind(draft: Draft) -> None:
    """Undo every step that needs it and has nothing unsettled behind it; when all is settled, end."""
    settled: set[str] = set()
    for name in reversed(draft.definition.order):
        step, run = draft.definition.by_name[name], draft.run(name)
        behind_is_settled = draft.definition.descendants[name] <= settled
        if behind_is_settled and run.status in UNDOABLE and needs_undo(step, run):
            draft.send_compensation(name)
        elif is_settled(step, run):
            settled.add(name)
    if len(settled) == len(draft.definition.steps):
        _end_backward(draft)


UNDOABLE = frozenset({StepStatus.SUCCEEDED, StepStatus.REFUSED, StepStatus.FAILED})


def is_settled(step: Step, run: StepRun) -> bool:
    """Whether nothing of this step is left to undo or to wait for."""
    if run.status in UNDOABLE:
        return not needs_undo(step, run)
    return run.status in (StepStatus.PENDING, StepStatus.SKIPPED, StepStatus.COMPENSATED, StepStatus.WAIVED)


def _end_backward(draft: Draft) -> None:
    waived = any(run.status is StepStatus.WAIVED for run in draft.runs())
    if waived:
        close(draft)
        return
    accepted = tuple(
        EffectLeft(run.name, LeftBecause.IRREVERSIBLE, step.irreversible or "", certain=run.happened)
        for run in draft.runs()
        if (step := draft.definition.by_name[run.name]).irreversible and (run.happened or run.unclean)
    )
    draft.move(SagaStatus.COMPENSATED, finished_at=draft.at, effects_left=accepted)


def close(draft: Draft, *, half_done: bool = True) -> None:
    """End with effects left behind, and list them: what a person waived, and whatever is not settled. What succeeded is
    left behind too, unless the saga got to its end (`half_done=False`)."""
    left = []
    for name in draft.definition.order:
        step, run = draft.definition.by_name[name], draft.run(name)
        if run.status is StepStatus.WAIVED and run.undone is None:
            left.append(EffectLeft(name, LeftBecause.WAIVED, run.settled_by or "", certain=run.happened))
        elif step.kind is StepKind.READONLY or run.status in (StepStatus.COMPENSATED, StepStatus.WAIVED):
            continue
        elif run.status is StepStatus.SUCCEEDED and not half_done:
            continue
        elif run.happened or run.unclean or run.status in (StepStatus.DISPATCHED, StepStatus.COMPENSATING):
            because = LeftBecause.IRREVERSIBLE if step.irreversible else LeftBecause.UNSETTLED
            left.append(EffectLeft(name, because, step.irreversible or "", certain=run.happened))
    for run in draft.runs():
        draft.put(replace(run, clock=None, inquiry=None))
    if draft.saga.status is not SagaStatus.BLOCKED:
        draft.move(SagaStatus.BLOCKED)
    draft.move(SagaStatus.CLOSED, finished_at=draft.at, deadline=None, paused=None, effects_left=tuple(left))


def block(draft: Draft, name: str, side: Kind, failure: Failure | None) -> None:
    """Nothing more can be done for this step without a person; branches that don't depend on it go on."""
    why = f": {failure.message or failure.type}" if failure else ""
    draft.move_step(name, StepStatus.BLOCKED, blocked=side, failure=failure, inquiry=None)
    draft.incident("blocked", f"the {side} of {name} gave up{why}", name)


def on_compensation_reply(draft: Draft, step: Step, reply: Replied) -> bool:
    """What an answer to a compensation changes. False: nothing, it is kept as evidence."""
    run = draft.run(step.name)
    if (reply.command.iteration, reply.command.epoch) != (run.iteration, run.epoch):
        return False
    if not 1 <= reply.attempt <= run.undo_attempt:
        return False  # never sent: nobody can have answered it
    undoing = run.status is StepStatus.COMPENSATING or run.blocked is Kind.COMPENSATION
    if reply.answer is Answer.SUCCEEDED:
        if undoing:
            _undone(draft, run, reply.undone or Undone.UNDONE)
        elif run.status is StepStatus.WAIVED and run.undone is None:
            draft.put(replace(run, undone=reply.undone or Undone.UNDONE))
            draft.note(f"{run.name}: was waived, and is undone after all")
            _settle_left(draft, run)
        else:
            return False
        return True
    awaited = run.status is StepStatus.COMPENSATING and reply.attempt == run.undo_attempt
    if not awaited or run.clock is None or run.clock.kind is not ClockKind.TIMEOUT:
        return False
    if reply.answer is Answer.IN_PROGRESS:
        defer(draft, run, step)
    elif reply.answer is Answer.REFUSED:
        draft.put(replace(run, undo_refused=True))
        block(draft, run.name, Kind.COMPENSATION, reply.failure)
    else:
        retry_compensation(draft, step, reply.failure or Failure(f"Answered{reply.answer.title().replace('_', '')}"))
    return True


def _undone(draft: Draft, run: StepRun, undone: Undone) -> None:
    """A compensation is confirmed, unless a success that is known contradicts it."""
    contradiction = run.late_success or (undone is Undone.NOTHING_TO_UNDO and run.happened)
    if not contradiction:
        draft.move_step(run.name, StepStatus.COMPENSATED, undone=undone)
        _settle_left(draft, draft.run(run.name))
    elif not run.zombie:
        raise_zombie(draft, run.name)
    elif run.status is StepStatus.COMPENSATING:
        # The new epoch found nothing either, though the success is certain: only a person can tell.
        failure = Failure("Contradiction", "its success is known, yet the compensation found nothing to undo")
        block(draft, run.name, Kind.COMPENSATION, failure)


def raise_zombie(draft: Draft, name: str) -> None:
    """An effect has come to light that its compensation missed: undo it in a new epoch, once per effect."""
    run = draft.run(name)
    draft.incident("zombie_effect", f"{name} succeeded, though it counted as undone or never done", name)
    # What the participant is still at is the old epoch's command; the new one's first attempt is another.
    again = replace(run, epoch=run.epoch + 1, undo_budget_from=run.undo_attempt, undone=None, deferred=False)
    draft.put(replace(again, zombie=True, late_success=False))
    if draft.saga.final:
        leave(draft, draft.definition.by_name[name], LeftBecause.ZOMBIE, "found after the end; being undone")
    draft.send_compensation(name)


def leave(draft: Draft, step: Step, because: LeftBecause, message: str) -> None:
    """A final saga leaves this effect behind, for certain. What was listed as a possibility is certain now."""
    before = draft.saga.effects_left
    if any(left.step == step.name for left in before):
        left_behind = tuple(replace(left, certain=True) if left.step == step.name else left for left in before)
    else:
        left_behind = (*before, EffectLeft(step.name, because, message))
    if left_behind != before:
        draft.change(effects_left=left_behind)
        draft.note(f"{step.name}: is left behind, for certain")


def _settle_left(draft: Draft, run: StepRun) -> None:
    """An effect that a final saga listed as left behind is undone after all."""
    if draft.saga.final:
        kept = tuple(
            left
            for left in draft.saga.effects_left
            if left.step != run.name or left.because is LeftBecause.IRREVERSIBLE
        )
        if kept != draft.saga.effects_left:
            draft.change(effects_left=kept)
            draft.note(f"{run.name}: no longer left behind")


def retry_compensation(draft: Draft, step: Step, failure: Failure) -> None:
    """The compensation's attempt came to nothing: try again by its own policy, or block."""
    run, policy = draft.run(step.name), step.compensation_retry
    spent = run.undo_attempt - run.undo_budget_from
    if spent >= policy.max_attempts or failure.type in policy.give_up_on:
        block(draft, step.name, Kind.COMPENSATION, failure)
        return
    clock = draft.wait(step.name, policy, spent, Kind.COMPENSATION)
    draft.put(replace(run, clock=clock, failure=failure, deferred=False))
    draft.note(f"{step.name}: compensation attempt {run.undo_attempt} failed: {failure.message or failure.type}")


def defer(draft: Draft, run: StepRun, step: Step) -> None:
    """The participant is still at it: wait a timeout more, then send the same attempt again."""
    assert run.clock is not None
    clock = replace(run.clock, since=draft.at, due=draft.at + timedelta(seconds=step.timeout_seconds))
    begun = run.begun or run.status is StepStatus.DISPATCHED
    draft.put(replace(run, clock=clock, deferred=True, begun=begun))
    draft.note(f"{run.name}: in progress")


def undo_on_the_spot(draft: Draft, name: str) -> bool:
    """An optional step that may have happened is undone at once, while the saga goes on. False: nothing to undo."""
    step, run = draft.definition.by_name[name], draft.run(name)
    if not (can_undo(step) and (run.unclean or run.happened)):
        return False
    draft.send_compensation(name)
    return True
