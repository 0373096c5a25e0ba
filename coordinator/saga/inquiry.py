"""Asking a participant's inbox what became of an action. The answer is a proof either way: it ran, and here is its
reply; or it never ran, and from now on never will. The pivot needs it, and so does every verb that overrides a step.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from coordinator.saga.backward import block, turn
from coordinator.saga.changing import replace
from coordinator.saga.definition import Step, StepKind
from coordinator.saga.draft import Draft
from coordinator.saga.event import Answer, CommandId, Failure, Kind, Replied, Settlement, Undone
from coordinator.saga.forward import proven_absent, succeed, too_late_to_turn, why
from coordinator.saga.state import Clock, ClockKind, Inquiry, Purpose, StepRun, StepStatus

tries_max = 6  # of one inquiry, with the compensation's backoff in between


def ask_again(draft: Draft, step: Step, run: StepRun, inquiry: Inquiry) -> None:
    """No answer to the last try: ask once more, or leave it to a person."""
    if inquiry.tries < tries_max:
        draft.send_inquiry(step.name, replace(inquiry, tries=inquiry.tries + 1))
        return
    failure = Failure("NoAnswer", f"the inbox of {step.participant} did not answer {inquiry.tries} inquiries")
    if inquiry.purpose is Purpose.PIVOT:
        block(draft, step.name, Kind.ACTION, failure)
        return
    draft.note(
        f"{step.name}: {failure.message}; {inquiry.purpose} by {inquiry.by} has no effect, it can only be closed"
    )
    drop(draft, run)


def drop(draft: Draft, run: StepRun) -> None:
    """Forget a verb's inquiry: the step stands as it stood, and a waiting one goes on at once."""
    clock = Clock(ClockKind.BACKOFF, since=draft.at, due=draft.at) if run.status is StepStatus.WAITING else None
    draft.put(replace(run, inquiry=None, clock=clock))


def on_inquiry_reply(draft: Draft, step: Step, reply: Replied) -> bool:
    """What the inbox says. Any try's answer counts while the question stands."""
    run = draft.run(step.name)
    if reply.command != CommandId(step.name, run.iteration) or not 1 <= reply.attempt <= run.attempt:
        return False
    if reply.answer is Answer.SUCCEEDED:
        if run.inquiry and run.blocked is Kind.COMPENSATION:  # it did happen, as was thought: a person's word stands
            draft.put(replace(run, happened=True, result=reply.result))
            _carry_out(draft, step, run.inquiry, fenced=False)
            return True
        return succeed(draft, step, reply)
    if run.inquiry is None:
        return False
    if reply.answer is Answer.IN_PROGRESS:
        due = draft.at + timedelta(seconds=step.timeout_seconds)
        draft.put(replace(run, clock=Clock(ClockKind.INQUIRY, since=draft.at, due=due)))
        draft.note(f"{step.name}: still in progress")
        return True
    fenced = reply.answer in (Answer.NOT_EXECUTED, Answer.FENCED, Answer.REFUSED)
    if run.inquiry.purpose is Purpose.PIVOT:
        _settle_pivot(draft, step, reply, fenced=fenced)
    elif fenced or reply.answer is Answer.FAILED:
        # A failed row with an unknown effect is no proof, but it is a fence: the old command can't run again.
        _carry_out(draft, step, run.inquiry, fenced=fenced)
    else:
        draft.note(f"{step.name}: the inquiry was answered {reply.answer}, which settles nothing")
        drop(draft, run)
    return True


def _settle_pivot(draft: Draft, step: Step, reply: Replied, *, fenced: bool) -> None:
    if not fenced:
        failure = reply.failure or Failure("InDoubt", "the inbox can't say whether the pivot happened")
        block(draft, step.name, Kind.ACTION, failure)
        return
    proven_absent(draft, step)
    draft.move_step(step.name, StepStatus.FAILED)
    turn(draft, why(draft, step, StepStatus.FAILED))


def _carry_out(draft: Draft, step: Step, inquiry: Inquiry, *, fenced: bool) -> None:
    """The old command is fenced: what the person asked for takes effect."""
    if fenced and not draft.run(step.name).happened:
        proven_absent(draft, step)
    elif not fenced:
        draft.put(replace(draft.run(step.name), unclean=True))
    pivot_absent = fenced and step.kind is StepKind.PIVOT and draft.forward
    if pivot_absent and draft.turn_waits and inquiry.settlement is not Settlement.DONE:
        # It is proven not to have happened, which is what the cancel or the deadline has waited for.
        draft.move_step(step.name, StepStatus.FAILED)
        turn(draft, why(draft, step, StepStatus.FAILED))
        return
    match inquiry.purpose:
        case Purpose.RETRY | Purpose.SKIP if draft.run(step.name).unclean:
            draft.note(f"{step.name}: may have happened; {inquiry.purpose} by {inquiry.by} has no effect")
            drop(draft, draft.run(step.name))
        case Purpose.RETRY:
            retry_edited(draft, step, inquiry.data)
        case Purpose.SKIP:
            skip(draft, step, inquiry.by, inquiry.reason)
        case Purpose.SETTLE if inquiry.settlement is Settlement.UNDONE:
            _settle_undone(draft, step, inquiry)
        case Purpose.SETTLE:
            settle_done(draft, step, inquiry)
        case Purpose.PIVOT:
            raise AssertionError("the pivot's inquiry is settled elsewhere")


def retry_edited(draft: Draft, step: Step, data: Any) -> None:
    """A new iteration with another input: another command, another key in the inbox."""
    run = draft.run(step.name)
    edited = replace(run, iteration=run.iteration + 1, data=data, budget_from=run.attempt, failure=None)
    draft.put(edited)
    draft.send_action(step.name, data)


def skip(draft: Draft, step: Step, by: str, reason: str) -> None:
    draft.move_step(step.name, StepStatus.SKIPPED, settled_by=f"{by}: {reason}")


def settle_done(draft: Draft, step: Step, inquiry: Inquiry) -> None:
    """A person's word that the step is done, with its result."""
    run = draft.run(step.name)
    draft.put(replace(run, happened=True, result=inquiry.result))
    word = f"{inquiry.by}: {inquiry.reason}"
    if run.blocked is Kind.COMPENSATION:
        # It is done and stays done, though the saga goes back: an effect left behind, by a person's word.
        draft.move_step(step.name, StepStatus.WAIVED, settled_by=word)
    else:
        draft.move_step(step.name, StepStatus.SUCCEEDED, settled_by=word)
        too_late_to_turn(draft, step)


def _settle_undone(draft: Draft, step: Step, inquiry: Inquiry) -> None:
    """A person's word that nothing of the step is left."""
    run = draft.run(step.name)
    word = f"{inquiry.by}: {inquiry.reason}"
    if run.blocked is Kind.COMPENSATION:
        draft.move_step(step.name, StepStatus.COMPENSATED, undone=Undone.UNDONE, settled_by=word)
        return
    draft.put(replace(run, unclean=False, failure=Failure("SettledAsUndone", word)))
    draft.move_step(step.name, StepStatus.FAILED, settled_by=word)
    if draft.forward and not step.optional:
        turn(draft, why(draft, step, StepStatus.FAILED))
