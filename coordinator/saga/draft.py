"""A decision in the making. `decide` works on one Draft and returns what came of it; nothing else may change a saga.

The draft is the one place that moves statuses, starts clocks and sends commands, so that the tables of moves are always
consulted and no wait is ever begun without an end.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from coordinator.errors import UnresolvedReference
from coordinator.saga.changing import replace
from coordinator.saga.decision import Decision, Effect, Incident, SendCommand
from coordinator.saga.definition import RetryPolicy, SagaDefinition, Step, StepKind, Unset
from coordinator.saga.event import CommandId, Event, Kind
from coordinator.saga.expression import step_data
from coordinator.saga.state import (
    Clock,
    ClockKind,
    Direction,
    Inquiry,
    Saga,
    SagaStatus,
    StepRun,
    StepStatus,
    untouched,
)


class Draft:
    """The saga as it is becoming, with the effects and notes gathered so far."""

    def __init__(self, definition: SagaDefinition, saga: Saga, at: datetime) -> None:
        self.definition = definition
        self.saga = saga
        self.at = at
        self._steps = dict(saga.steps)
        self._effects: list[Effect] = []
        self._notes: list[str] = []

    # -- questions ---------------------------------------------------------------------------------------------------

    def run(self, name: str) -> StepRun:
        return self._steps.get(name) or untouched(name)

    def runs(self) -> list[StepRun]:
        return list(self._steps.values())

    @property
    def forward(self) -> bool:
        return self.saga.direction is Direction.FORWARD

    @property
    def past_pivot(self) -> bool:
        """The point of no return is behind: what failed is retried or left to a person, never undone."""
        pivot = self.definition.pivot
        return pivot is not None and self.run(pivot.name).happened

    @property
    def pivot_in_doubt(self) -> bool:
        """The pivot may be happening or have happened: the saga must not turn."""
        pivot = self.definition.pivot
        if pivot is None:
            return False
        run = self.run(pivot.name)
        return not run.happened and (run.status is StepStatus.DISPATCHED or run.unclean)

    @property
    def turn_waits(self) -> bool:
        """A cancel was asked for, or the deadline passed, while the pivot was in doubt."""
        return self.saga.cancel is not None or self.saga.deadline_passed

    def data(self, step: Step) -> Any:
        """What the step's action is (or was) sent. Raises UnresolvedReference."""
        edited = self.run(step.name).data
        return step_data(step, self.scope(step)) if isinstance(edited, Unset) else edited

    def _sent_data(self, step: Step) -> Any:
        """The action's data for its compensation; None where it never had any (a person settled it unsent)."""
        try:
            return self.data(step)
        except UnresolvedReference:
            return None

    def scope(self, step: Step) -> dict[str, Any]:
        """What a step's mapping may read: the saga's input, and results of the steps before it."""
        before = [self.run(name) for name in self.definition.order if name in self.definition.ancestors[step.name]]
        return {
            "input": self.saga.input,
            "steps": {run.name: run.result for run in before if run.happened and not run.overlooked},
        }

    def changed(self) -> bool:
        return bool(self._effects or self._notes)

    # -- changes -----------------------------------------------------------------------------------------------------

    def put(self, run: StepRun) -> None:
        """Keep facts about a step. Its status is moved only by `move_step`."""
        if run.status is not self.run(run.name).status:
            run = self.run(run.name).move(run.status)
        self._steps[run.name] = run

    def move_step(self, name: str, status: StepStatus, **changes: Any) -> StepRun:
        """Move a step. Its clock stops, its question lapses and its block is lifted, unless new ones are given."""
        before = self.run(name)
        run = before.move(status, **{"clock": None, "deferred": False, "inquiry": None, "blocked": None, **changes})
        self._steps[name] = run
        if status is not before.status:
            self.note(f"{name}: {before.status} -> {status}")
        return run

    def move(self, status: SagaStatus, **changes: Any) -> None:
        before = self.saga.status
        self.saga = self.saga.move(status, **changes)
        if status is not before:
            self.note(f"saga: {before} -> {status}")

    def change(self, **changes: Any) -> None:
        self.saga = replace(self.saga, **changes)

    def note(self, text: str) -> None:
        self._notes.append(text)

    def emit(self, effect: Effect) -> None:
        self._effects.append(effect)

    def incident(self, kind: str, message: str, step: str | None = None) -> None:
        self.emit(Incident(kind, message, step))
        self.note(f"incident {kind}: {message}")

    # -- commands and their clocks -----------------------------------------------------------------------------------

    def send_action(self, name: str, data: Any) -> None:
        """Send the next attempt of a step's action, or the same again when the participant is still at it."""
        step, run = self.definition.by_name[name], self.run(name)
        if self.saga.paused:
            self.move_step(name, StepStatus.WAITING, clock=self._at_once(), deferred=run.deferred)
            return
        attempt = run.attempt if run.deferred else run.attempt + 1
        clock = self._clock(ClockKind.TIMEOUT, step.timeout_seconds)
        begun = run.begun and run.deferred
        self.move_step(name, StepStatus.DISPATCHED, attempt=attempt, clock=clock, begun=begun)
        self._send(
            SendCommand(
                CommandId(name, run.iteration),
                attempt,
                step.participant,
                step.action,
                step.timeout_seconds,
                data=data,
            )
        )

    def send_compensation(self, name: str) -> None:
        """Send the next attempt of a step's compensation in its present epoch."""
        step, run = self.definition.by_name[name], self.run(name)
        assert step.compensation is not None
        if self.saga.paused:
            self.move_step(name, StepStatus.COMPENSATING, clock=self._at_once(), deferred=run.deferred)
            return
        attempt = run.undo_attempt if run.deferred else run.undo_attempt + 1
        clock = self._clock(ClockKind.TIMEOUT, step.timeout_seconds)
        self.move_step(name, StepStatus.COMPENSATING, undo_attempt=attempt, clock=clock)
        cause = self.saga.cause
        self._send(
            SendCommand(
                CommandId(name, run.iteration, Kind.COMPENSATION, run.epoch),
                attempt,
                step.participant,
                step.compensation,
                step.timeout_seconds,
                data=self._sent_data(step),
                result=run.result,
                succeeded=run.happened,
                reason=str(cause) if cause else _why_on_the_spot(run),
            )
        )

    def send_inquiry(self, name: str, inquiry: Inquiry) -> None:
        """Ask the participant's inbox what became of a step's action; it fences the action if it never ran."""
        step, run = self.definition.by_name[name], self.run(name)
        if self.saga.paused:
            self.put(
                replace(run, inquiry=replace(inquiry, tries=inquiry.tries - 1), clock=self._at_once(ClockKind.INQUIRY))
            )
            return
        clock = self._clock(ClockKind.INQUIRY, step.timeout_seconds)
        self.put(replace(run, inquiry=inquiry, clock=clock))
        self._send(
            SendCommand(
                CommandId(name, run.iteration),
                run.attempt,
                step.participant,
                step.action,
                step.timeout_seconds,
                inquiry=inquiry.tries,
            )
        )

    def wait(self, name: str, policy: RetryPolicy, tries: int, kind: Kind) -> Clock:
        """The backoff before the next try, after `tries` of them."""
        seconds = backoff_seconds(policy, tries, f"{self.saga.id}/{name}/{kind}/{tries}")
        return self._clock(ClockKind.BACKOFF, seconds)

    def _at_once(self, kind: ClockKind = ClockKind.BACKOFF) -> Clock:
        """What a pause holds back is due when it ends."""
        return self._clock(kind, 0.0)

    def _clock(self, kind: ClockKind, seconds: float) -> Clock:
        return Clock(kind, since=self.at, due=self.at + timedelta(seconds=seconds))

    def _send(self, command: SendCommand) -> None:
        name = command.command.step
        before = self.saga.step(name)  # as it stood when this decision began
        last = before.undo_attempt if command.command.kind is Kind.COMPENSATION else before.attempt
        if command.inquiry or command.attempt != last:  # else the attempt is in progress, and only sent again
            self.put(replace(self.run(name), sent_at=self.at))
        self.emit(command)
        verb = "ask" if command.inquiry else "send"
        self.note(f"{verb} {command.participant}.{command.handler} for {command.command} attempt {command.attempt}")

    # -- the end -----------------------------------------------------------------------------------------------------

    def decision(self, event: Event, *, recorded: bool = True) -> Decision:
        revision = self.saga.revision + (1 if recorded else 0)
        saga = replace(self.saga, steps=self._steps, revision=revision, effects_since=self._effects_since())
        return Decision(saga, event, tuple(self._effects), tuple(self._notes), recorded=recorded)

    def _effects_since(self) -> datetime | None:
        """From when on others may see something of this saga that is not settled yet."""
        if self.saga.effects_since is not None:
            return self.saga.effects_since
        seen = (name for name, run in self._steps.items() if run.happened or run.unclean)
        mutating = any(self.definition.by_name[name].kind is not StepKind.READONLY for name in seen)
        return self.at if mutating else None


def can_undo(step: Step) -> bool:
    """Whether the step has a way back that must be taken when it happened."""
    return step.compensation is not None and step.kind is not StepKind.READONLY


def needs_undo(step: Step, run: StepRun) -> bool:
    """Whether something of this step is there, or may be, and can be undone."""
    return can_undo(step) and (run.happened or run.unclean)


def _why_on_the_spot(run: StepRun) -> str:
    """The reason an optional step is undone while the saga goes on."""
    return (run.failure.message or run.failure.type) if run.failure else "undone"


def backoff_seconds(policy: RetryPolicy, tries: int, seed: str) -> float:
    """Exponential, capped, spread by the policy's jitter. The spread is derived from the seed, never drawn, so that a
    replay waits exactly as long."""
    base = min(policy.cap_seconds, policy.first_seconds * policy.factor ** min(tries - 1, 64))
    spread = int.from_bytes(sha256(seed.encode()).digest()[:4], "big") / 2**31 - 1.0
    return max(0.0, base * (1.0 + policy.jitter * spread))
