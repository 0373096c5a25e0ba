"""Visits every state of a small world, asks in each whether a rule is broken, and whether a way leads on from it."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import NoReturn

from coordinator.errors import CoordinatorError
from coordinator.saga.decision import Decision
from coordinator.saga.definition import SagaDefinition, StepKind
from coordinator.saga.draft import can_undo, needs_undo
from coordinator.saga.event import Event
from coordinator.saga.state import Direction, Saga, SagaStatus, StepRun, StepStatus
from coordinator.saga.transition import decide
from tests.simulation.participant import Desk
from tests.simulation.world import Decide, Plan, State, World

states_max = 3_000_000


class Violation(Exception):
    """A rule is broken, or a saga is at a dead end. Tells the shortest way there."""


class _WrongDecision(Exception):
    """One decision by itself broke a rule."""


@dataclass(frozen=True)
class Space:
    """How large the searched space was."""

    states: int
    transitions: int
    sagas: int
    final: int


def search(plan: Plan, decide: Decide = decide) -> Space:
    """Visit every reachable state. Raises Violation at the first that breaks a rule."""
    return _Search(World(plan, _Observed(decide))).run()


class _Observed:
    """`decide`, and the rules that one decision by itself can break."""

    def __init__(self, decide: Decide) -> None:
        self._decide = decide

    def __call__(self, definition: SagaDefinition, saga: Saga, event: Event) -> Decision:
        try:
            decision = self._decide(definition, saga, event)
        except (CoordinatorError, AssertionError, LookupError, TypeError) as error:
            raise _WrongDecision(f"{event} could not be decided: {error!r}") from error
        after = decision.saga
        if saga.final and after.status is not saga.status:
            raise _WrongDecision(f"{saga.status} is final and became {after.status} by {event}")
        pivot = definition.pivot
        if saga.direction is Direction.FORWARD and after.direction is Direction.BACKWARD and pivot:
            run = after.step(pivot.name)
            if run.happened or run.unclean or run.status is StepStatus.DISPATCHED:
                raise _WrongDecision(f"the saga turned by {event} though its pivot is {run}")
        return decision


class _Search:
    def __init__(self, world: World) -> None:
        self._world = world
        self._index: dict[State, int] = {}
        self._states: list[State] = []
        self._came_from = array("i")
        self._judged: set[tuple[int, tuple[int, ...]]] = set()
        self._sources, self._targets = array("i"), array("i")

    def run(self) -> Space:
        transitions = 0
        self._visit(self._world.start(), -1)
        place = 0
        while place < len(self._states):
            state = self._states[place]
            try:
                for step in self._world.successors(state):
                    transitions += 1
                    target = self._take(step, place)
                    if target != place:
                        self._sources.append(place)
                        self._targets.append(target)
                for step in self._world.requests(state):
                    transitions += 1
                    self._take(step, place)
            except _WrongDecision as wrong:
                self._fail(place, str(wrong))
            place += 1
        self._every_way_leads_on()
        sagas = self._world.sagas
        final = sum(sagas[state.saga].final for state in self._states)
        return Space(len(self._states), transitions, len(sagas), final)

    def _take(self, step: tuple[State, int, int], place: int) -> int:
        after, sent, again = step
        if sent & self._states[place].network & ~again:
            self._fail(place, "a command was sent a second time")
        return self._visit(after, place)

    def _visit(self, state: State, source: int) -> int:
        found = self._index.get(state)
        if found is None:
            found = self._index[state] = len(self._states)
            self._states.append(state)
            self._came_from.append(source)
            if found > states_max:
                raise AssertionError(f"more than {states_max} states: this world is not small")
            key = (state.saga, state.desks)
            if key not in self._judged or self._world.sagas[state.saga].final:
                self._judged.add(key)
                self._judge(state, found)
        return found

    def _judge(self, state: State, place: int) -> None:
        world, saga = self._world, self._world.sagas[state.saga]
        desks = {name: world.desks[desk] for name, desk in zip(world.names, state.desks, strict=True)}
        for broken in (
            *wrong_at_a_desk(desks),
            *wrong_order(world.plan, desks),
            *wrong_wait(saga),
            *wrong_undoing(world.definition, saga),
            *wrong_end(world.plan, saga, desks),
        ):
            self._fail(place, broken)

    def _stands(self, state: State) -> bool:
        """Whether the saga may stay like this for ever: final, or waiting for a person, with nothing left unsaid."""
        world, saga = self._world, self._world.sagas[state.saga]
        if any(run.status is StepStatus.BLOCKED for run in saga.steps.values()):
            return True
        if not saga.final or any(run.clock for run in saga.steps.values()):
            return False
        desks = zip(world.names, (world.desks[desk] for desk in state.desks), strict=True)
        return not any(desk.present and _uncounted(world.definition, saga, name) for name, desk in desks)

    def _every_way_leads_on(self) -> None:
        """From every state some way leads to one where the saga is final, or waits for a person, and nothing runs."""
        count = len(self._states)
        first = array("i", bytes(4 * (count + 2)))  # where the sources of each state begin
        for target in self._targets:
            first[target + 1] += 1
        for place in range(count):
            first[place + 1] += first[place]
        sources, filled = array("i", bytes(4 * len(self._sources))), array("i", first)
        for source, target in zip(self._sources, self._targets, strict=True):
            sources[filled[target]] = source
            filled[target] += 1
        reached = bytearray(count)
        waiting = [place for place, state in enumerate(self._states) if self._stands(state)]
        for place in waiting:
            reached[place] = 1
        while waiting:
            place = waiting.pop()
            for source in sources[first[place] : first[place + 1]]:
                if not reached[source]:
                    reached[source] = 1
                    waiting.append(source)
        for place in range(len(self._states)):
            if not reached[place]:
                self._fail(place, "a dead end")

    def _fail(self, place: int, what: str) -> NoReturn:
        way = []
        while place >= 0:
            way.append(self._states[place])
            place = self._came_from[place]
        raise Violation(f"{what}\n" + "\n".join(self._told(way[::-1])))

    def _told(self, way: list[State]) -> list[str]:
        world, lines, before = self._world, [], 0
        for state in way:
            saga = world.sagas[state.saga]
            steps = ", ".join(
                f"{run.name} {run.status}{'?' if run.unclean else ''}{'+' if run.happened else ''}"
                f" {run.attempt}/{run.undo_attempt}" for run in saga.steps.values()
            )  # fmt: skip
            lines.append(f"{saga.status} {saga.direction} [{steps}] left {[left.step for left in saga.effects_left]}")
            lines.extend(f"    {name} {world.desks[desk]}" for name, desk in zip(world.names, state.desks, strict=True))
            lines.extend(f"    + {m}" for bit, m in enumerate(world.messages) if (state.network & ~before) >> bit & 1)
            before = state.network
        return lines


def _uncounted(definition: SagaDefinition, saga: Saga, name: str) -> bool:
    """Whether an effect of this step is there without the final saga's saying so."""
    if not can_undo(definition.by_name[name]) or name in {left.step for left in saga.effects_left}:
        return False
    return saga.status is SagaStatus.COMPENSATED or saga.step(name).status is not StepStatus.SUCCEEDED


# -- the rules -------------------------------------------------------------------------------------------------------


def wrong_at_a_desk(desks: dict[str, Desk]) -> list[str]:
    """An effect happens at most once, is taken back at most once, and the inbox keeps its word."""
    found = [f"{name}: {desk.wrong}" for name, desk in desks.items() if desk.wrong]
    for name, desk in desks.items():
        if desk.applied > 1:
            found.append(f"{name} happened {desk.applied} times")
        if desk.undone > desk.applied:
            found.append(f"{name} was undone {desk.undone} times")
    return found


def wrong_order(plan: Plan, desks: dict[str, Desk]) -> list[str]:
    """Nothing is undone while something after it is there. A zombie that landed after its own undoing came too late."""
    found = []
    for name, desk in desks.items():
        if desk.undone:
            found += [
                f"{name} was undone, and {after}, which comes after it, is there"
                for after in plan.definition.descendants[name]
                if desks[after].present and not desks[after].late and not plan.definition.by_name[name].optional
            ]
    pivot = plan.definition.pivot
    if pivot and desks[pivot.name].present:
        found += [
            f"the pivot happened, and {name} was undone"
            for name in plan.definition.ancestors[pivot.name]
            if desks[name].undone and not plan.definition.by_name[name].optional
        ]
    return found


busy = (StepStatus.DISPATCHED, StepStatus.WAITING, StepStatus.COMPENSATING)


def wrong_wait(saga: Saga) -> list[str]:
    """Every wait has an end."""
    if saga.status is SagaStatus.CLOSED:
        return []
    found = [
        f"{run.name} is {run.status} without a clock"
        for run in saga.steps.values()
        if run.status in busy and not run.clock
    ]
    if not saga.final and saga.status is not SagaStatus.BLOCKED and not any(run.clock for run in saga.steps.values()):
        found.append("a saga waits for nothing")
    return found


def wrong_undoing(definition: SagaDefinition, saga: Saga) -> list[str]:
    """A step is undone only after every step after it is settled, and never before the pivot that happened."""
    found = []
    for run in saga.steps.values():
        if run.status is not StepStatus.COMPENSATING or run.zombie:
            continue
        for name in definition.descendants[run.name]:
            later = saga.step(name)
            if not later.zombie and not _settled(definition, later):
                found.append(f"{run.name} is being undone while {name} is {later.status}")
        if definition.pivot and saga.step(definition.pivot.name).happened and not definition.by_name[run.name].optional:
            found.append(f"{run.name} is being undone, and the pivot has happened")
    return found


def _settled(definition: SagaDefinition, run: StepRun) -> bool:
    step = definition.by_name[run.name]
    if run.status in (StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.REFUSED):
        return not needs_undo(step, run)
    return run.status in (StepStatus.PENDING, StepStatus.SKIPPED, StepStatus.COMPENSATED)


def wrong_end(plan: Plan, saga: Saga, desks: dict[str, Desk]) -> list[str]:
    """What a status says of the world is so."""
    found = []
    definition = plan.definition
    left = {left.step for left in saga.effects_left}
    for step in definition.steps:
        desk, run = desks[step.name], saga.step(step.name)
        external = plan.participants[step.name].external
        # Only the late row of a zombie can be news: its success has been written, and nobody has heard of it yet.
        news = external and desk.row == "succeeded" and not run.happened
        if saga.direction is Direction.BACKWARD and step.kind is StepKind.PIVOT and desk.present:
            found.append("the saga went back, and the pivot happened")
        if saga.status is SagaStatus.COMPENSATED and desk.present and step.name not in left and not news:
            found.append(f"compensated, and {step.name} is there")
        if saga.status is SagaStatus.COMPLETED:
            through = run.status is StepStatus.SUCCEEDED
            if not through and not step.optional and run.status is not StepStatus.SKIPPED:
                found.append(f"completed, and {step.name} is {run.status}")
            if through and not desk.present:
                found.append(f"completed, and {step.name} is not there")
            if not through and desk.present and step.name not in left and not news and can_undo(step):
                found.append(f"completed, and the optional {step.name} is there though it counts as failed")
    return found


def describe(plan: Plan, space: Space, seconds: float) -> str:
    """One line on the size of a searched space."""
    return (
        f"{plan.name}: {space.states:,} states ({space.final:,} final), {space.transitions:,} transitions, "
        f"{space.sagas:,} different sagas, {seconds:.1f} s"
    )
