"""Whatever happens to whatever saga: the rules hold, nothing is ever undecidable, and every saga gets to its end.

A saga on a random definition lives through random events. Most are plausible, so that it gets somewhere; others are
late, repeated, contradictory or absurd. `AMENDS_DEEP=1` lets thousands of longer lives happen.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from coordinator.saga import event as happens
from coordinator.saga.clocks import current_key
from coordinator.saga.decision import Decision, SendCommand, VoidUnsent
from coordinator.saga.definition import Unset
from coordinator.saga.draft import can_undo
from coordinator.saga.event import Answer, CommandId, Effect, Failure, Hold, Kind, Replied, Settlement, Undone
from coordinator.saga.explain import progress, waiting_on
from coordinator.saga.record import dump_event, dump_saga, dump_step, load_event, load_saga, load_step
from coordinator.saga.state import FINAL, ClockKind, Direction, Saga, SagaStatus, StepRun, StepStatus, wake_at
from coordinator.saga.transition import decide, replay
from tests.saga.plans import definitions, inputs, letters

dawn = datetime(2026, 1, 1, tzinfo=UTC)
busy = (StepStatus.WAITING, StepStatus.DISPATCHED, StepStatus.COMPENSATING)
names = st.sampled_from([*letters, "nobody-knows"])
seconds = st.sampled_from([0.0, 0.5, 3.0, 11.0, 70.0])
failures = st.sampled_from([None, Failure("Busy", "try again"), Failure("Broken")])
action_answers = st.sampled_from(
    [Answer.SUCCEEDED] * 5
    + [Answer.REFUSED, Answer.FAILED, Answer.FAILED, Answer.IN_PROGRESS, Answer.FENCED, Answer.EXPIRED]
)
undo_answers = st.sampled_from(
    [Answer.SUCCEEDED] * 5 + [Answer.FAILED, Answer.FAILED, Answer.REFUSED, Answer.IN_PROGRESS, Answer.EXPIRED]
)
inquiry_answers = st.sampled_from(
    [Answer.SUCCEEDED, Answer.NOT_EXECUTED, Answer.FAILED, Answer.IN_PROGRESS, Answer.EXPIRED]
)
effects = st.sampled_from([Effect.NONE, Effect.UNKNOWN])
undones = st.sampled_from([Undone.UNDONE, Undone.UNDONE, Undone.NOTHING_TO_UNDO])


class AnyLife(RuleBasedStateMachine):
    """A saga, the events it has seen, and what an honest onlooker knows about the world from them."""

    @initialize(definition=definitions(), data=inputs)
    def begin(self, definition: Any, data: Any) -> None:
        self.definition = definition
        self.newborn = self.saga = Saga("saga-1", "any", 1, data, dawn)
        self.at = dawn
        self.history: list[happens.Event] = []
        self.told: list[Replied] = []
        self.sent: dict[str, SendCommand] = {}
        self.succeeded: set[str] = set()  # steps a success was told of, by an attempt that was sent
        self.doubts: dict[str, set[int]] = {}  # attempts that were sent, and may have had an effect
        self.unheard: set[tuple[CommandId, int]] = set()  # sent, and never answered: they may still be in the outbox
        self.just_sent: set[tuple[CommandId, int]] = set()
        self.happen(happens.Started(dawn))

    # -- plausible events --------------------------------------------------------------------------------------------

    def awaiting(self) -> list[StepRun]:
        return [run for run in self.saga.steps.values() if run.clock and (run.status in busy or run.inquiry)]

    @precondition(lambda self: bool(self.awaiting()))
    @rule(data=st.data())
    def an_awaited_answer_comes(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.awaiting()))
        late, fault = data.draw(st.sampled_from([(False, None)] * 8 + [(True, None), (False, "odd")]))
        if run.inquiry:
            answer = data.draw(inquiry_answers)
            reply = self.reply(run, Kind.ACTION, answer, inquire=True, effect=Effect.UNKNOWN)
        elif run.status is StepStatus.COMPENSATING:
            answer = data.draw(undo_answers)
            reply = self.reply(run, Kind.COMPENSATION, answer, undone=data.draw(undones))
        else:
            answer = data.draw(action_answers)
            reply = self.reply(
                run, Kind.ACTION, answer, effect=data.draw(effects), recorded_after_compensation=late, fault=fault
            )
        if reply.attempt:
            self.tell(reply)

    def reply(self, run: StepRun, kind: Kind, answer: Answer, **facts: Any) -> Replied:
        undo = kind is Kind.COMPENSATION
        command = CommandId(run.name, run.iteration, kind, run.epoch if undo else 0)
        if answer is not Answer.SUCCEEDED:
            facts.pop("undone", None)
        if answer is not Answer.FAILED:
            facts.pop("effect", None)
        return Replied(self.at, command, run.undo_attempt if undo else run.attempt, answer, **facts)

    @rule(seconds=seconds)
    def time_passes(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.happen(happens.Woke(self.at))

    @precondition(lambda self: wake_at(self.saga) is not None)
    @rule(data=st.data())
    def a_clock_runs_out(self, data: st.DataObject) -> None:
        due = wake_at(self.saga)
        assert due
        self.at = max(self.at, due)
        unsent = data.draw(st.sets(st.sampled_from(sorted(self.sent)), max_size=2)) if self.sent else set()
        unattended = data.draw(st.sets(st.sampled_from(["p", "q"]), max_size=1))
        honest = data.draw(st.integers(0, 3)) > 0
        holds = data.draw(st.lists(self.hold(), max_size=2))
        self.happen(
            happens.Woke(self.at)
            if honest
            else happens.Woke(self.at, frozenset(unsent), frozenset(unattended), tuple(holds))
        )

    def hold(self) -> st.SearchStrategy[Hold]:
        since = st.integers(0, 100).map(lambda seconds: self.at - timedelta(seconds=seconds))
        until = st.none() | st.integers(0, 50).map(lambda seconds: self.at - timedelta(seconds=seconds))
        return st.builds(Hold, since, until, st.sampled_from([None, "p", "q"]))

    @precondition(lambda self: bool(self.unheard) and self.saga.direction is Direction.BACKWARD)
    @rule(data=st.data())
    def unsent_commands_are_taken_back(self, data: st.DataObject) -> None:
        taken = data.draw(st.sets(st.sampled_from(sorted(self.unheard, key=str)), min_size=1))
        self.unheard -= taken
        for command, attempt in taken:
            self.doubts.get(command.step, set()).discard(attempt)
        self.happen(happens.Voided(self.at, tuple(sorted(taken, key=str))))

    # -- improbable events -------------------------------------------------------------------------------------------

    @precondition(lambda self: bool(self.told))
    @rule(data=st.data())
    def an_answer_comes_again(self, data: st.DataObject) -> None:
        self.tell(replace(data.draw(st.sampled_from(self.told)), at=self.at))

    @rule(
        step=names,
        kind=st.sampled_from(Kind),
        numbers=st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(-1, 5)),
        answer=st.sampled_from(Answer),
        inquire=st.booleans(),
        facts=st.tuples(st.none() | effects, st.none() | undones, failures, st.booleans()),
    )
    def an_absurd_answer_comes(
        self, step: str, kind: Kind, numbers: tuple[int, int, int], answer: Answer, inquire: bool, facts: Any
    ) -> None:
        iteration, epoch, attempt = numbers
        effect, undone, failure, late = facts
        command = CommandId(step, iteration, kind, epoch)
        self.tell(
            Replied(
                self.at, command, attempt, answer, inquire=inquire, effect=effect, undone=undone, failure=failure,
                recorded_after_compensation=late,
            )
        )  # fmt: skip

    @rule(step=names, kind=st.sampled_from(Kind), attempt=st.integers(0, 4), epoch=st.integers(0, 2))
    def an_old_command_is_published(self, step: str, kind: Kind, attempt: int, epoch: int) -> None:
        self.happen(happens.Published(self.at, CommandId(step, 0, kind, epoch), attempt))

    @rule()
    def it_starts_again(self) -> None:
        self.happen(happens.Started(self.at))

    @rule(data=st.data())
    def what_was_sent_last_can_not_be_sent(self, data: st.DataObject) -> None:
        absurd = CommandId(data.draw(names), 9, data.draw(st.sampled_from(Kind)))
        command, attempt = data.draw(st.sampled_from([*sorted(self.just_sent, key=str), (absurd, 0)]))
        self.doubts.get(command.step, set()).discard(attempt)
        self.happen(happens.Unsendable(self.at, command, Failure("Unsendable", "too large")))

    # -- people ------------------------------------------------------------------------------------------------------

    @rule(
        step=names,
        verb=st.integers(0, 3),
        data=st.sampled_from([Unset(), {"to": "Rome"}]),
        done=st.sampled_from(Settlement),
    )
    def a_person_decides(self, step: str, verb: int, data: Any, done: Settlement) -> None:
        blocked = [run.name for run in self.saga.steps.values() if run.status is StepStatus.BLOCKED]
        step = blocked[0] if blocked and step in letters[:4] else step
        verbs: list[happens.Verb] = [
            happens.RetryRequested(self.at, step, "ann", "why not", data),
            happens.SettleRequested(self.at, step, done, "ann", "saw it", {"by": "hand"}),
            happens.WaiveRequested(self.at, step, "ann", "so what"),
            happens.SkipRequested(self.at, step, "ann", "not now"),
        ]
        self.happen(verbs[verb])

    @rule(which=st.sampled_from("CPRRX"), often=st.integers(0, 2))
    def a_person_asks(self, which: str, often: int) -> None:
        if often and which in "CX":
            return
        requests: dict[str, happens.Verb] = {
            "C": happens.CancelRequested(self.at, "ann", "because"),
            "P": happens.PauseRequested(self.at, "ann", "because"),
            "R": happens.ResumeRequested(self.at, "ann", "because"),
            "X": happens.CloseRequested(self.at, "ann", "because"),
        }
        self.happen(requests[which])

    # -- what follows ------------------------------------------------------------------------------------------------

    def tell(self, reply: Replied) -> None:
        before = self.saga
        self.unheard.discard((reply.command, reply.attempt))
        name = reply.command.step
        run = before.step(name)
        sent = reply.command == CommandId(name, run.iteration) and 1 <= reply.attempt <= run.attempt
        awaited = run.status is StepStatus.DISPATCHED and run.inquiry is None and reply.attempt == run.attempt
        decision = self.happen(reply)
        self.told.append(reply)
        if not sent or not decision.recorded:
            return
        if reply.answer is Answer.SUCCEEDED:
            self.succeeded.add(name)
        elif reply.inquire:
            if run.inquiry and reply.answer in (Answer.NOT_EXECUTED, Answer.FENCED, Answer.REFUSED):
                self.doubts.pop(name, None)
        elif awaited and not before.final and is_clean(reply):
            self.doubts.get(name, set()).discard(reply.attempt)

    def happen(self, event: happens.Event) -> Decision:
        before = self.saga
        decision = decide(self.definition, before, event)
        self.saga = decision.saga
        check_decision(self, before, decision)
        if decision.recorded:
            self.history.append(event)
            self.just_sent = set()
        for effect in decision.effects:
            if isinstance(effect, SendCommand):
                self.sent[effect.key] = effect
                if effect.command.kind is Kind.ACTION and not effect.inquiry:
                    again = before.step(effect.command.step).deferred
                    self.doubts.setdefault(effect.command.step, set()).add(effect.attempt)
                    if not again:
                        self.just_sent.add((effect.command, effect.attempt))
        self.unheard |= self.just_sent
        return decision

    @invariant()
    def its_standing_is_sound(self) -> None:
        if self.history:
            check_standing(self)

    def teardown(self) -> None:
        if not hasattr(self, "saga"):
            return
        kept = [load_event(*json.loads(json.dumps(dump_event(event)))) for event in self.history]
        assert replay(self.definition, self.newborn, kept) == self.saga, "replaying the history gives the saga"
        self.come_to_an_end()

    def come_to_an_end(self) -> None:
        """With honest participants and no more trouble, it ends, or waits for a person."""
        if self.saga.paused:
            self.happen(happens.ResumeRequested(self.at, "ann", "go on"))
        for _ in range(200):
            if not any(run.clock for run in self.saga.steps.values()):
                break
            run = self.awaiting()[0]
            kind = Kind.COMPENSATION if run.status is StepStatus.COMPENSATING else Kind.ACTION
            waits = run.status is StepStatus.WAITING and run.inquiry is None
            if waits or not (run.undo_attempt if kind is Kind.COMPENSATION else run.attempt) or self.saga.strays > 900:
                self.at = max(self.at, run.clock.due if run.clock else self.at)
                self.happen(happens.Woke(self.at))
            elif kind is Kind.COMPENSATION:
                undone = Undone.UNDONE if run.happened else Undone.NOTHING_TO_UNDO
                self.tell(self.reply(run, kind, Answer.SUCCEEDED, undone=undone))
            else:
                self.tell(self.reply(run, kind, Answer.SUCCEEDED, inquire=run.inquiry is not None))
            check_standing(self)
        blocked = any(run.status is StepStatus.BLOCKED for run in self.saga.steps.values())
        assert self.saga.final or blocked, f"it got stuck: {self.saga}"


def is_clean(reply: Replied) -> bool:
    """Whether it says that nothing happened."""
    failed = reply.answer is Answer.FAILED and reply.effect is Effect.NONE
    return failed or reply.answer in (Answer.REFUSED, Answer.FENCED)


def check_decision(life: AnyLife, before: Saga, decision: Decision) -> None:
    """What holds of every single decision."""
    after = decision.saga
    sends = [effect for effect in decision.effects if isinstance(effect, SendCommand)]
    if before.final:
        assert after.status is before.status, "final is absorbing"
    if decision.refused or not decision.recorded:
        assert after == before, "what is refused or not recorded changes nothing"
        assert not decision.effects
    else:
        assert after.revision == before.revision + 1
    if after.paused:
        assert not sends, "what is paused sends nothing"
    if after.direction is Direction.BACKWARD:
        for send in sends:
            assert send.command.kind is Kind.COMPENSATION or send.inquiry, "going back, nothing new is dispatched"
    pivot = life.definition.pivot
    if pivot and before.direction is Direction.FORWARD and after.direction is Direction.BACKWARD:
        run = after.step(pivot.name)
        in_doubt = run.happened or run.unclean or run.status is StepStatus.DISPATCHED
        assert not in_doubt, "the pivot was in doubt"
        assert any(isinstance(effect, VoidUnsent) for effect in decision.effects)
    for send in sends:
        check_send(life, before, after, send)


def check_send(life: AnyLife, before: Saga, after: Saga, send: SendCommand) -> None:
    name = send.command.step
    earlier, run = before.step(name), after.step(name)
    assert send.inquiry or earlier.deferred or send.key not in life.sent, f"{send.key} was sent before"
    if send.command.kind is Kind.ACTION and not send.inquiry:
        for ahead in life.definition.by_name[name].after:
            step, there = life.definition.by_name[ahead], after.step(ahead)
            through = there.status in (StepStatus.SUCCEEDED, StepStatus.SKIPPED) or step.optional or there.zombie
            assert through or there.settled_by, f"{name} was sent before {ahead} was through"
        for ahead in life.definition.ancestors[name]:
            there = after.step(ahead)
            assert there.status not in (StepStatus.PENDING, StepStatus.WAITING, StepStatus.DISPATCHED), "overtaken"
    if send.command.kind is Kind.ACTION or earlier.status is StepStatus.COMPENSATING or run.zombie:
        return
    for behind in life.definition.descendants[name]:
        there = after.step(behind)
        if earlier.status is not StepStatus.BLOCKED and not there.zombie:
            assert not_in_the_way(life, there), f"{name} is undone while {behind} is {there.status}"
    pivot = life.definition.pivot
    if pivot and after.direction is Direction.FORWARD and after.step(pivot.name).happened:
        assert life.definition.by_name[name].optional, f"{name} is undone, and the pivot has happened"


def not_in_the_way(life: AnyLife, run: StepRun) -> bool:
    if run.status in (StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.REFUSED):
        return not (can_undo(life.definition.by_name[run.name]) and (run.happened or run.unclean))
    return run.status not in (*busy, StepStatus.BLOCKED)


def check_standing(life: AnyLife) -> None:
    """What holds at every moment."""
    saga = life.saga
    steps = {name: load_step(json.loads(json.dumps(dump_step(run)))) for name, run in saga.steps.items()}
    assert load_saga(json.loads(json.dumps(dump_saga(saga))), steps) == saga, "a saga survives being kept"
    assert saga.revision == len(life.history)
    assert (waiting_on(life.definition, saga) is None) == saga.final
    assert 0 <= progress(life.definition, saga).percentage <= 100
    for run in saga.steps.values():
        if saga.status is not SagaStatus.CLOSED:
            assert run.clock or run.status not in busy, f"{run.name} is {run.status} and nothing wakes it"
        if run.clock and run.clock.kind is not ClockKind.BACKOFF and not (run.inquiry and not run.inquiry.tries):
            assert current_key(run) in life.sent, "it waits for what was sent"
        assert (run.blocked is None) == (run.status is not StepStatus.BLOCKED)
        assert not saga.final or run.zombie or not run.clock, f"{run.name} moves in a final saga"
    blocked = any(run.status is StepStatus.BLOCKED for run in saga.steps.values())
    if not saga.final:
        assert blocked == (saga.status is SagaStatus.BLOCKED)
        assert saga.paused or blocked or wake_at(saga), "nothing wakes it"
    for broken in wrong_end(life):
        raise AssertionError(broken)


def wrong_end(life: AnyLife) -> Iterator[str]:
    saga = life.saga
    if saga.status not in FINAL or saga.status is SagaStatus.CLOSED:
        return
    left = {left.step for left in saga.effects_left}
    for step in life.definition.steps:
        run = saga.step(step.name)
        if saga.status is SagaStatus.COMPLETED:
            through = run.status in (StepStatus.SUCCEEDED, StepStatus.SKIPPED) or run.settled_by or run.zombie
            if not through and not step.optional:
                yield f"completed, and {step.name} is {run.status}"
        elif step.name not in left and run.status is not StepStatus.COMPENSATED and not run.settled_by:
            mutates = step.kind != "readonly"
            if mutates and step.name in life.succeeded:
                yield f"compensated, and {step.name} succeeded and is {run.status}"
            if mutates and life.doubts.get(step.name):
                doubts = life.doubts[step.name]
                yield f"compensated, and attempts {doubts} of {step.name} are in doubt; it is {run.status}"


deep = bool(os.environ.get("AMENDS_DEEP"))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(36_000 if deep else 300)]
TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(
    max_examples=20_000 if deep else 250,
    stateful_step_count=100 if deep else 40,
    derandomize=not deep,  # the same lives every day; new ones are looked for on purpose
    deadline=None,
    print_blob=True,
)
