"""A saga, its participants and the network between them, small enough that every state can be visited.

The network is a set of messages that only grows: whatever was sent can arrive at any time, in any order, again and
again, or never. That is loss, delay, reordering and any number of duplicates, without a counter. Any running clock can
run out at any time; a person can cancel at any time. When a saga turns, each command that has left no trace may turn
out to have been taken back from the outbox.

What is left out of a state, because no rule may depend on it: times (only which clocks run), the history, strays,
messages and reasons. A positive answer counts whatever its attempt, so one of them stands for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import NamedTuple

from coordinator.saga.decision import Decision, SendCommand, VoidUnsent
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.event import (
    Answer,
    CancelRequested,
    CommandId,
    Effect,
    Event,
    Kind,
    Replied,
    SkipRequested,
    Started,
    Undone,
    Voided,
    Woke,
)
from coordinator.saga.state import Cause, CauseKind, Clock, Saga, StepRun, StepStatus
from coordinator.saga.transition import decide
from tests.simulation.participant import Desk, Participant, Said

now = datetime(2026, 1, 1, tzinfo=UTC)
later = now + timedelta(days=1)
a_cause = Cause(CauseKind.CANCELLED)

Decide = Callable[[SagaDefinition, Saga, Event], Decision]


@dataclass(frozen=True)
class Plan:
    """A small world: a definition, who does its steps, and which of them a person may skip."""

    name: str
    definition: SagaDefinition
    participants: dict[str, Participant]
    skippable: str = ""


class Message(NamedTuple):
    """A command (`said` is None) or a reply, in flight."""

    step: str
    kind: str  # action, compensation, inquiry
    attempt: int
    epoch: int = 0
    said: Said | None = None


class State(NamedTuple):
    """Where everything stands: indexes of a saga and of each step's desk, and the messages as bits of a number."""

    saga: int
    desks: tuple[int, ...]
    network: int


class Outcome(NamedTuple):
    """What an event makes of a saga. `again` are commands that may repeat one that was sent before."""

    saga: int
    sends: int
    again: int
    voids: tuple[tuple[int, int, int], ...]  # a saga in which unsent commands were taken back, these, what it sends


class World:
    """All states of one plan, reached step by step. What was computed once is remembered."""

    def __init__(self, plan: Plan, decide: Decide = decide) -> None:
        self.plan, self.definition, self._decide = plan, plan.definition, decide
        self.names = [step.name for step in plan.definition.steps]
        self.sagas: list[Saga] = []
        self.desks: list[Desk] = []
        self.messages: list[Message] = []
        self._saga_ids: dict[tuple[object, ...], int] = {}
        self._desk_ids: dict[Desk, int] = {}
        self._bits: dict[Message, int] = {}
        self._arrivals: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self._doings: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self._outcomes: dict[tuple[int, object], Outcome] = {}
        self._at = {name: place for place, name in enumerate(self.names)}

    def start(self) -> State:
        newborn = Saga("saga", self.definition.name, 1, None, now)
        outcome = self._follow(newborn, Started(now))
        return State(outcome.saga, (self._desk_id(Desk()),) * len(self.names), outcome.sends)

    def successors(self, state: State) -> Iterator[tuple[State, int, int]]:
        """Every state that can come next, with what was newly sent and what of it may repeat an older command."""
        for bit in _bits(state.network):
            message = self.messages[bit]
            if message.said is None:
                place = self._at[message.step]
                for desk, reply in self._arrive(bit, state.desks[place]):
                    yield State(state.saga, _put(state.desks, place, desk), state.network | reply), 0, 0
            else:
                yield from self._happen(state, bit)
        for place in range(len(self.names)):
            for desk, reply in self._own_doing(place, state.desks[place]):
                yield State(state.saga, _put(state.desks, place, desk), state.network | reply), 0, 0
        saga = self.sagas[state.saga]
        for name, run in saga.steps.items():
            if run.clock:
                yield from self._happen(state, name)
        if saga.deadline:
            yield from self._happen(state, "deadline")

    def requests(self, state: State) -> Iterator[tuple[State, int, int]]:
        """As `successors`: what follows if a person asks for something. No saga may depend on that."""
        yield from self._happen(state, "cancel")
        for name in self.plan.skippable:
            yield from self._happen(state, f"skip {name}")

    # -- the coordinator ---------------------------------------------------------------------------------------------

    def _happen(self, state: State, what: int | str) -> Iterator[tuple[State, int, int]]:
        key = (state.saga, what)
        outcome = self._outcomes.get(key)
        if outcome is None:
            outcome = self._outcomes[key] = self._follow(*self._event(self.sagas[state.saga], what))
        network = state.network | outcome.sends
        yield State(outcome.saga, state.desks, network), outcome.sends, outcome.again
        for saga, unsent, sends in outcome.voids:
            if all(self._left_no_trace(state, self.messages[bit]) for bit in _bits(unsent)):
                yield State(saga, state.desks, (network & ~unsent) | sends), outcome.sends | sends, outcome.again

    def _event(self, saga: Saga, what: int | str) -> tuple[Saga, Event]:
        if isinstance(what, int):
            return saga, _replied(self.messages[what])
        if what == "cancel":
            return saga, CancelRequested(now, "ann", "")
        if what.startswith("skip "):
            return saga, SkipRequested(now, what.removeprefix("skip "), "ann", "")
        if what == "deadline":
            assert saga.deadline
            return replace(saga, deadline=replace(saga.deadline, due=now)), Woke(now)
        run = saga.steps[what]
        assert run.clock
        due = replace(run, clock=replace(run.clock, due=now))
        return replace(saga, steps={**saga.steps, what: due}), Woke(now)

    def _follow(self, saga: Saga, event: Event) -> Outcome:
        decision = self._decide(self.definition, saga, event)
        again = 0
        for command in decision.effects:
            if isinstance(command, SendCommand) and (command.inquiry or saga.step(command.command.step).deferred):
                again |= 1 << self._bit(_command(command))
        voids: list[tuple[int, int, int]] = []
        if any(isinstance(effect, VoidUnsent) for effect in decision.effects):
            voids = list(self._voided(decision.saga))
        return Outcome(self._saga_id(decision.saga), self._sent(decision), again, tuple(voids))

    def _voided(self, saga: Saga) -> Iterator[tuple[int, int, int]]:
        out = [run for run in saga.steps.values() if run.status is StepStatus.DISPATCHED and not run.inquiry]
        for count in range(1, len(out) + 1):
            for taken in combinations(out, count):
                commands = tuple((CommandId(run.name), run.attempt) for run in taken)
                decision = self._decide(self.definition, saga, Voided(now, commands))
                bits = 0
                for run in taken:
                    bits |= 1 << self._bit(Message(run.name, "action", run.attempt))
                yield self._saga_id(decision.saga), bits, self._sent(decision)

    def _sent(self, decision: Decision) -> int:
        bits = 0
        for effect in decision.effects:
            if isinstance(effect, SendCommand):
                bits |= 1 << self._bit(_command(effect))
        return bits

    def _left_no_trace(self, state: State, command: Message) -> bool:
        desk = self.desks[state.desks[self._at[command.step]]]
        if desk.attempt >= command.attempt or desk.lease or desk.zombie:
            return False
        replies = (self.messages[bit] for bit in _bits(state.network))
        return not any(m.said and m[:3] == command[:3] for m in replies)

    def _saga_id(self, saga: Saga) -> int:
        saga = _without_times(saga)
        key = (*(getattr(saga, field) for field in _told_apart), tuple(saga.steps.values()))
        found = self._saga_ids.get(key)
        if found is None:
            found = self._saga_ids[key] = len(self.sagas)
            self.sagas.append(saga)
        return found

    # -- the participants --------------------------------------------------------------------------------------------

    def _arrive(self, bit: int, desk: int) -> list[tuple[int, int]]:
        key = (bit, desk)
        found = self._arrivals.get(key)
        if found is None:
            message, at = self.messages[bit], self.desks[desk]
            participant = self.plan.participants[message.step]
            if message.kind == "action":
                ways = participant.action(at, message.attempt)
            elif message.kind == "inquiry":
                ways = participant.inquiry(at, message.attempt)
            else:
                ways = participant.compensation(at, message.attempt, message.epoch)
            found = self._arrivals[key] = [
                (self._desk_id(after), self._reply(message.step, message.kind, said)) for after, said in ways
            ]
        return found

    def _own_doing(self, place: int, desk: int) -> list[tuple[int, int]]:
        key = (place, desk)
        found = self._doings.get(key)
        if found is None:
            name = self.names[place]
            ways = self.plan.participants[name].own_doing(self.desks[desk])
            found = self._doings[key] = [
                (self._desk_id(after), self._reply(name, "action", said)) for after, said in ways
            ]
        return found

    def _reply(self, step: str, kind: str, said: Said | None) -> int:
        return 0 if said is None else 1 << self._bit(Message(step, kind, said.attempt, said.epoch, said))

    def _desk_id(self, desk: Desk) -> int:
        found = self._desk_ids.setdefault(desk, len(self.desks))
        if found == len(self.desks):
            self.desks.append(desk)
        return found

    def _bit(self, message: Message) -> int:
        found = self._bits.setdefault(message, len(self.messages))
        if found == len(self.messages):
            self.messages.append(message)
        return found


_told_apart = ("status", "direction", "deadline", "deadline_passed", "cause", "cancel", "effects_left")


def _without_times(saga: Saga) -> Saga:
    """The saga with everything set alike that no rule may depend on."""
    return replace(
        saga,
        revision=1,
        strays=0,
        effects_since=None,
        finished_at=None,
        deadline=_stopped(saga.deadline),
        cause=a_cause if saga.cause else None,
        cancel=a_cause if saga.cancel else None,
        effects_left=tuple(replace(left, message="") for left in saga.effects_left),
        steps={name: _plain(saga.steps[name]) for name in sorted(saga.steps)},
    )


def _plain(run: StepRun) -> StepRun:
    return replace(run, clock=_stopped(run.clock), failure=None, settled_by=None)


def _stopped(clock: Clock | None) -> Clock | None:
    return Clock(clock.kind, since=now, due=later) if clock else None


def _command(command: SendCommand) -> Message:
    kind = "inquiry" if command.inquiry else str(command.command.kind)
    return Message(command.command.step, kind, command.attempt, command.command.epoch)


def _replied(message: Message) -> Replied:
    said = message.said
    assert said
    kind = Kind.COMPENSATION if message.kind == "compensation" else Kind.ACTION
    command = CommandId(message.step, 0, kind, said.epoch)
    undone = {"undone": Undone.UNDONE, "nothing": Undone.NOTHING_TO_UNDO}.get(said.answer)
    answer = {"undone": "succeeded", "nothing": "succeeded", "doubtful": "failed"}.get(said.answer, said.answer)
    effect = {"failed": Effect.NONE, "doubtful": Effect.UNKNOWN}.get(said.answer)
    return Replied(
        now,
        command,
        said.attempt,
        Answer(answer),
        inquire=message.kind == "inquiry",
        effect=effect,
        undone=undone,
        recorded_after_compensation=said.late,
    )


def _bits(number: int) -> Iterator[int]:
    while number:
        low = number & -number
        yield low.bit_length() - 1
        number ^= low


def _put(desks: tuple[int, ...], place: int, desk: int) -> tuple[int, ...]:
    return desks if desks[place] == desk else (*desks[:place], desk, *desks[place + 1 :])
