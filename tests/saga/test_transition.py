"""Rules of the core that deserve a name of their own. What happens step by step is told by the lives in tests/lives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from coordinator.errors import IllegalMove
from coordinator.saga.decision import Decision, SendCommand
from coordinator.saga.definition import RetryPolicy, SagaDefinition, Step
from coordinator.saga.draft import backoff_seconds
from coordinator.saga.event import Answer, CommandId, Event, Hold, Kind, PauseRequested, Replied, Started, Woke
from coordinator.saga.state import (
    FINAL,
    SAGA_MOVES,
    STEP_MOVES,
    Clock,
    ClockKind,
    Saga,
    SagaStatus,
    StepRun,
    StepStatus,
    wake_at,
)
from coordinator.saga.transition import decide, strays_max
from tests.lives.telling import read, tell

dawn = datetime(2026, 1, 1, tzinfo=UTC)
lives = sorted((Path(__file__).parent.parent / "lives").glob("*.life"))
one = SagaDefinition("one", 1, (Step("a", "p", "do", "undo"),))
newborn = Saga("saga-1", "one", 1, None, dawn)


def live(definition: SagaDefinition, saga: Saga, *events: Event) -> Iterator[Decision]:
    for event in events:
        decision = decide(definition, saga, event)
        saga = decision.saga
        yield decision


def last(definition: SagaDefinition, saga: Saga, *events: Event) -> Decision:
    return [*live(definition, saga, *events)][-1]


def test_every_move_of_the_tables_is_made_in_some_life(monkeypatch: pytest.MonkeyPatch) -> None:
    made: set[tuple[Any, Any]] = set()
    for kind in (StepRun, Saga):
        _watch(monkeypatch, kind, made)
    for path in lives:
        tell(read(path.read_text()))
    allowed: set[tuple[Any, Any]] = {(a, b) for a, moves in STEP_MOVES.items() for b in moves}
    allowed |= {(a, b) for a, statuses in SAGA_MOVES.items() for b in statuses}
    assert made == allowed


def _watch(monkeypatch: pytest.MonkeyPatch, kind: type[StepRun] | type[Saga], made: set[tuple[Any, Any]]) -> None:
    honest: Any = kind.move

    def move(before: Any, status: Any, **changes: Any) -> Any:
        after = honest(before, status, **changes)
        if after.status is not before.status:
            made.add((before.status, status))
        return after

    monkeypatch.setattr(kind, "move", move)


@pytest.mark.parametrize("status", StepStatus)
def test_a_step_moves_only_as_its_table_says(status: StepStatus) -> None:
    for other in set(StepStatus) - STEP_MOVES[status] - {status}:
        with pytest.raises(IllegalMove):
            StepRun("a", status).move(other)


@pytest.mark.parametrize("status", SagaStatus)
def test_a_saga_moves_only_as_its_table_says(status: SagaStatus) -> None:
    for other in set(SagaStatus) - SAGA_MOVES[status] - {status}:
        with pytest.raises(IllegalMove):
            replace(newborn, status=status).move(other)


def test_completed_compensated_and_closed_are_final() -> None:
    assert {SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.CLOSED} == FINAL


def test_a_saga_starts_once() -> None:
    first, second = live(one, newborn, Started(dawn), Started(dawn + timedelta(days=1)))
    assert first.recorded
    assert not second.recorded
    assert second.saga == first.saga


def test_a_pause_stops_every_clock() -> None:
    paused = last(one, newborn, Started(dawn), PauseRequested(dawn, "ann", "")).saga
    assert wake_at(paused) is None


def test_strays_are_evidence_up_to_a_limit_and_then_leave_no_trace() -> None:
    stray = Replied(dawn, CommandId("a"), 7, Answer.SUCCEEDED)
    decisions = [*live(one, newborn, Started(dawn), *[stray] * (strays_max + 5))]
    assert decisions[-1].saga.strays == strays_max
    assert sum(decision.recorded for decision in decisions) == strays_max + 1


def test_a_hold_of_ten_hours_leaves_a_short_history() -> None:
    saga, at, recorded = last(one, newborn, Started(dawn)).saga, dawn, 0
    held = Hold(dawn)
    while at < dawn + timedelta(hours=10):
        at = max(at, wake_at(saga) or at)
        decision = decide(one, saga, Woke(at, holds=(held,)))
        saga, recorded = decision.saga, recorded + 1
    assert recorded < 10 * 60 + 10
    released = decide(one, saga, Woke(at + timedelta(minutes=2), holds=(replace(held, until=at),))).saga
    assert released.step("a").status is StepStatus.WAITING, "its own thirty seconds have passed since the release"


def test_a_step_without_its_data_turns_the_saga_before_anything_else_is_sent() -> None:
    ready, lost = Step("a", "p", "do", "undo"), Step("b", "p", "do", "undo", input="${input.missing}")
    decision = last(SagaDefinition("two", 1, (ready, lost)), newborn, Started(dawn))
    assert decision.saga.status is SagaStatus.COMPENSATED
    assert not any(isinstance(effect, SendCommand) for effect in decision.effects)


def test_waits_grow_up_to_their_cap_and_are_spread_by_the_jitter() -> None:
    policy = RetryPolicy(first_seconds=1.0, factor=3.0, cap_seconds=20.0, jitter=0.0)
    assert [backoff_seconds(policy, tries, "seed") for tries in (1, 2, 3, 4, 1000)] == [1.0, 3.0, 9.0, 20.0, 20.0]
    spread = [backoff_seconds(replace(policy, jitter=0.5), 1, str(seed)) for seed in range(200)]
    assert all(0.5 <= wait <= 1.5 for wait in spread)
    assert max(spread) - min(spread) > 0.8
    assert spread == [backoff_seconds(replace(policy, jitter=0.5), 1, str(seed)) for seed in range(200)]


def test_a_clock_that_is_held_at_its_very_end_does_not_run_out() -> None:
    saga = last(one, newborn, Started(dawn)).saga
    end = dawn + timedelta(seconds=30)
    woken = decide(one, saga, Woke(end, holds=(Hold(end - timedelta(seconds=1)),))).saga
    clock = woken.step("a").clock
    assert clock == Clock(ClockKind.TIMEOUT, dawn, end + timedelta(seconds=1), frozen_seconds=1.0)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("answer", Answer)
def test_a_reply_about_a_step_nobody_knows_is_evidence(kind: Kind, answer: Answer) -> None:
    decision = last(one, newborn, Started(dawn), Replied(dawn, CommandId("z", 0, kind), 1, answer))
    assert decision.recorded
    assert decision.saga.strays == 1
