"""The search is only worth what it finds: break one rule at a time, and it must notice.

The rules of the inbox are broken in its model, those of the coordinator in `decide` itself. One rule can't be tested
so: that a clean failure erases no earlier unknown (EC-03). Behind an inbox that keeps its word a clean answer proves
every attempt before it, so here nothing would go wrong; the rule is for those that have none, and its life tells of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from coordinator.saga import backward, forward, inquiry, transition
from coordinator.saga.decision import Decision, SendCommand
from coordinator.saga.definition import SagaDefinition, Step
from coordinator.saga.draft import Draft, can_undo
from coordinator.saga.event import Answer, CommandId, Effect, Event, Kind, Replied
from coordinator.saga.state import Saga, SagaStatus, StepRun, StepStatus
from coordinator.saga.transition import decide
from tests.simulation import plans
from tests.simulation.participant import Rules
from tests.simulation.search import Violation, search
from tests.simulation.world import Plan


@pytest.fixture(autouse=True)
def _few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inquiry, "tries_max", 2)


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (plans.chain(Rules(compensation_fences=False)), "ran after its compensation|is there"),
        (plans.chain(Rules(failures_are_kept=False)), "is there"),
        (plans.chain(Rules(successes_are_kept=False)), "happened 2 times"),
        (plans.pivot(rules=Rules(inquiry_fences=False)), "the pivot happened"),
        (plans.external("a", rules=Rules(epochs_are_told_apart=False)), "is there|dead end"),
        (plans.external("a", rules=Rules(lease_is_respected=False)), "lease lived"),
        (plans.external("a", rules=Rules(result_of_unknown_run_is_undone=False)), "is there"),
    ],
    ids=lambda value: "" if isinstance(value, str) else None,
)
def test_a_broken_promise_of_the_inbox_is_noticed(plan: Plan, expected: str) -> None:
    with pytest.raises(Violation, match=expected):
        search(plan)


def test_an_unknown_step_that_is_not_undone_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def happened(step: Step, run: StepRun) -> bool:
        return can_undo(step) and run.happened

    monkeypatch.setattr(backward, "needs_undo", happened)
    _notices(plans.chain(), "is there|settled|being undone")


def test_a_saga_that_turns_while_its_pivot_is_in_flight_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Draft, "pivot_in_doubt", property(lambda draft: False))
    _notices(plans.pivot(), "turned")


def test_a_step_that_overtakes_behind_a_skipped_one_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(draft: Draft, step: Step) -> bool:
        return all(forward._is_through(draft, before) for before in step.after)

    monkeypatch.setattr(forward, "_way_is_clear", hasty)
    _notices(plans.skipping(), "pivot")


def test_a_sibling_in_flight_that_is_not_waited_for_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = backward.is_settled

    def hasty(step: Step, run: StepRun) -> bool:
        return run.status is StepStatus.DISPATCHED or honest(step, run)

    monkeypatch.setattr(backward, "is_settled", hasty)
    _notices(plans.fork(attempts=1), "is there|is dispatched")


def test_a_zombie_that_nobody_undoes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "_contradict", lambda *_: False)
    _notices(plans.external("a"), "is there|dead end")


def test_compensations_in_forward_order_are_noticed() -> None:
    def forwards(definition: SagaDefinition, saga: Saga, event: Event) -> Decision:
        bent = replace(definition)
        bent.__dict__["descendants"] = definition.ancestors
        bent.__dict__["ancestors"] = definition.ancestors
        bent.__dict__["order"] = tuple(reversed(definition.order)) if saga.cause else definition.order
        return decide(bent, saga, event)

    _notices(plans.chain(), "being undone while", forwards)


def test_a_late_reply_that_moves_a_final_saga_is_noticed() -> None:
    def awake(definition: SagaDefinition, saga: Saga, event: Event) -> Decision:
        decision = decide(definition, saga, event)
        if saga.final and isinstance(event, Replied):
            return replace(decision, saga=replace(decision.saga, status=SagaStatus.RUNNING))
        return decision

    _notices(plans.chain(), "is final and became", awake)


def test_a_join_that_fires_twice_is_noticed() -> None:
    def twice(definition: SagaDefinition, saga: Saga, event: Event) -> Decision:
        decision = decide(definition, saga, event)
        run = saga.step("d")
        if isinstance(event, Replied) and event.command.step == "b" and run.status is StepStatus.DISPATCHED:
            again = SendCommand(CommandId("d"), run.attempt, "d", "do", 30.0)
            return replace(decision, effects=(*decision.effects, again))
        return decision

    _notices(plans.fork(attempts=1), "a second time", twice)


def test_a_reply_to_an_attempt_that_is_no_longer_awaited_is_noticed() -> None:
    def credulous(definition: SagaDefinition, saga: Saga, event: Event) -> Decision:
        if isinstance(event, Replied) and event.answer is Answer.FAILED and event.effect is Effect.NONE:
            run = saga.step(event.command.step)
            attempt = run.attempt if event.command.kind is Kind.ACTION else run.undo_attempt
            event = replace(event, attempt=max(1, attempt))
        return decide(definition, saga, event)

    _notices(plans.chain(), "is there|happened", credulous)


def test_a_wait_without_an_end_is_noticed() -> None:
    def careless(definition: SagaDefinition, saga: Saga, event: Event) -> Decision:
        decision = decide(definition, saga, event)
        steps = {
            name: replace(run, clock=None) if run.status is StepStatus.COMPENSATING else run
            for name, run in decision.saga.steps.items()
        }
        return replace(decision, saga=replace(decision.saga, steps=steps))

    _notices(plans.chain(), "without a clock", careless)


def test_a_decision_that_can_not_be_made_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transition, "_show_block", lambda draft: None if draft.saga.final else _block_only(draft))
    _notices(plans.chain(), "could not be decided")


def _block_only(draft: Draft) -> None:
    if any(run.status is StepStatus.BLOCKED for run in draft.runs()):
        draft.move(SagaStatus.BLOCKED)


def _notices(plan: Plan, expected: str, bent: Callable[[SagaDefinition, Saga, Event], Decision] = decide) -> None:
    with pytest.raises(Violation, match=expected):
        search(plan, bent)
