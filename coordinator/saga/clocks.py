"""What the passing of time does: attempts time out, backoffs end, inquiries are repeated, deadlines fall. And what
stops time: a pause, a command that has not left the outbox, a participant that nobody runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from coordinator.saga.backward import retry_compensation, turn
from coordinator.saga.changing import replace
from coordinator.saga.definition import Step
from coordinator.saga.draft import Draft
from coordinator.saga.event import CommandId, Failure, Hold, Kind, Published, Voided, Woke
from coordinator.saga.forward import give_up, retry
from coordinator.saga.inquiry import ask_again
from coordinator.saga.state import Cause, CauseKind, Clock, ClockKind, StepRun, StepStatus

recheck_seconds, recheck_seconds_max = 1.0, 60.0  # how soon a clock is looked at again that a pause holds at its end
extension_seconds_max = 600.0


def on_woke(draft: Draft, woke: Woke) -> None:
    """Do what is due. A clock that something held back gets its time, and says so by a later due.

    What may turn the saga goes first, so that nothing is sent forward by the decision that turns it.
    """
    _do_due(draft, woke, sending=False)
    _do_deadline(draft, woke)
    _do_due(draft, woke, sending=True)


def _do_due(draft: Draft, woke: Woke, *, sending: bool) -> None:
    for name in [run.name for run in draft.runs()]:
        run = draft.run(name)  # read afresh: what another step's clock did may have changed it
        if run.clock and run.clock.due <= draft.at and sending is (run.clock.kind is ClockKind.BACKOFF or run.deferred):
            _due(draft, woke, run, run.clock)


def _do_deadline(draft: Draft, woke: Woke) -> None:
    deadline = draft.saga.deadline
    if deadline and deadline.due <= draft.at and not draft.saga.final:
        thawed = thaw(deadline, _holds(woke.holds, None), draft.at)
        if thawed.due > draft.at:
            draft.change(deadline=thawed)
            draft.note("the deadline waits: paused")
        else:
            _deadline(draft)


def _due(draft: Draft, woke: Woke, run: StepRun, clock: Clock) -> None:
    step = draft.definition.by_name[run.name]
    thawed = thaw(clock, _holds(woke.holds, step.participant), draft.at)
    if thawed.due > draft.at:
        draft.put(replace(run, clock=thawed))
        draft.note(f"{run.name}: its clock waits: paused")
        return
    match clock.kind:
        case ClockKind.BACKOFF:
            _next_attempt(draft, step, run)
        case ClockKind.GRACE:
            failure = run.failure or Failure("NoReply", "no reply within the grace")
            draft.put(replace(run, unclean=True, failure=failure))
            give_up(draft, step, StepStatus.FAILED)
        case ClockKind.TIMEOUT | ClockKind.INQUIRY:
            if not _hindered(draft, woke, step, run, clock):
                _silence(draft, step, run)
        case ClockKind.DEADLINE:
            raise AssertionError("a step has no deadline of its own")


def _next_attempt(draft: Draft, step: Step, run: StepRun) -> None:
    if run.status is StepStatus.COMPENSATING:
        draft.send_compensation(run.name)
    else:
        draft.send_action(run.name, draft.data(step))


def _silence(draft: Draft, step: Step, run: StepRun) -> None:
    """The wait for a reply is over: whether the command was carried out is unknown."""
    seconds = step.timeout_seconds
    if run.inquiry:
        ask_again(draft, step, run, run.inquiry)
    elif run.deferred:
        _next_attempt(draft, step, run)
    elif run.status is StepStatus.COMPENSATING:
        retry_compensation(draft, step, Failure("NoReply", f"no reply to the compensation within {seconds:g} s"))
    else:
        retry(draft, step, Failure("NoReply", f"no reply within {seconds:g} s"), unclean=True)


def _hindered(draft: Draft, woke: Woke, step: Step, run: StepRun, clock: Clock) -> bool:
    """Whether nobody could have answered: the command is still in the outbox, or no worker lives. No attempt is spent;
    the clock is extended, each time longer, up to ten minutes. What then gets through restarts it."""
    if current_key(run) in woke.unsent:
        reason = "not sent yet"
    elif step.participant in woke.unattended:
        reason = f"nobody runs {step.participant}"
        if not clock.extensions:
            draft.incident("no_consumer", f"no live worker of {step.participant}", step.name)
    else:
        return False
    seconds = min(step.timeout_seconds * 2**clock.extensions, max(step.timeout_seconds, extension_seconds_max))
    due = draft.at + timedelta(seconds=seconds)
    draft.put(replace(run, clock=replace(clock, since=draft.at, due=due, extensions=min(clock.extensions + 1, 16))))
    draft.note(f"{run.name}: waits, {reason}")
    return True


def current_key(run: StepRun) -> str:
    """The outbox key of the command this step waits for (see SendCommand.key)."""
    if run.inquiry:
        return f"{CommandId(run.name, run.iteration)}/{run.attempt}/{run.inquiry.tries}"
    if run.status is StepStatus.COMPENSATING:
        return f"{CommandId(run.name, run.iteration, Kind.COMPENSATION, run.epoch)}/{run.undo_attempt}"
    return f"{CommandId(run.name, run.iteration)}/{run.attempt}"


def _deadline(draft: Draft) -> None:
    draft.change(deadline=None)
    if not draft.forward:
        return
    if draft.past_pivot:
        draft.incident("deadline", "the deadline passed after the point of no return")
    elif draft.pivot_in_doubt:
        draft.change(deadline_passed=True)
        draft.note("the deadline passed; the pivot is in doubt, so it waits")
    else:
        turn(draft, Cause(CauseKind.DEADLINE, message="the deadline passed"))


def on_published(draft: Draft, published: Published) -> bool:
    """A command that had waited in the outbox is out: its timeout starts now."""
    run = draft.run(published.command.step)
    key = f"{published.command}/{published.attempt}"
    if run.clock is None or run.clock.kind is not ClockKind.TIMEOUT or current_key(run) != key:
        return False
    step = draft.definition.by_name[run.name]
    due = draft.at + timedelta(seconds=step.timeout_seconds)
    draft.put(replace(run, clock=Clock(ClockKind.TIMEOUT, since=draft.at, due=due)))
    draft.note(f"{run.name}: published late, its timeout starts now")
    return True


def on_voided(draft: Draft, voided: Voided) -> bool:
    """These commands never left the outbox and never will: nothing happened in those attempts."""
    changed = False
    for command, attempt in voided.commands:
        run = draft.run(command.step)
        waiting = run.status is StepStatus.DISPATCHED and not draft.forward and command.kind is Kind.ACTION
        if waiting and (run.iteration, run.attempt) == (command.iteration, attempt) and not run.begun:
            draft.move_step(run.name, StepStatus.FAILED if run.unclean else StepStatus.PENDING)
            changed = True
    return changed


def shift_all(draft: Draft, since: datetime) -> None:
    """Give every clock the time that has passed since the saga was paused."""
    for run in draft.runs():
        if run.clock:
            draft.put(replace(run, clock=_shifted(run.clock, since, draft.at)))
    if draft.saga.deadline:
        draft.change(deadline=_shifted(draft.saga.deadline, since, draft.at))


def _shifted(clock: Clock, since: datetime, at: datetime) -> Clock:
    return clock.postponed(max(0.0, (at - max(since, clock.since)).total_seconds()))


def thaw(clock: Clock, holds: Iterable[Hold], at: datetime) -> Clock:
    """The clock with the pauses since it started added to it. Under a pause that lasts it never comes due, and is
    looked at ever less often, so that a long pause leaves a short history."""
    holds = tuple(holds)
    frozen = _overlap_seconds(holds, clock.since, at)
    thawed = replace(clock.postponed(frozen - clock.frozen_seconds), frozen_seconds=frozen)
    if any(hold.until is None for hold in holds):
        seconds = min(max(recheck_seconds, frozen), recheck_seconds_max)
        thawed = replace(thawed, due=max(thawed.due, at + timedelta(seconds=seconds)))
    return thawed


def _holds(holds: Iterable[Hold], participant: str | None) -> list[Hold]:
    return [hold for hold in holds if hold.participant is None or hold.participant == participant]


def _overlap_seconds(holds: Iterable[Hold], since: datetime, at: datetime) -> float:
    """How many seconds between `since` and `at` lay under at least one hold."""
    seconds, covered = 0.0, since
    for hold in sorted(holds, key=lambda hold: hold.since):
        begin, end = max(hold.since, covered), min(hold.until or at, at)
        if end > begin:
            seconds += (end - begin).total_seconds()
            covered = end
    return seconds


def starts_deadline(draft: Draft) -> None:
    """Start the saga's own clock, if its definition has one."""
    seconds = draft.definition.deadline_seconds
    if seconds is not None:
        due = draft.at + timedelta(seconds=seconds)
        draft.change(deadline=Clock(ClockKind.DEADLINE, since=draft.at, due=due))
