"""The rules of a definition's graph, and of what its steps mean together. The list of ids is in `registration`.

Each rule is checked on the steps as far as they could be read. Edges that lead nowhere or to the step itself are named
and then left out; circles are named and kept, so what comes before what is found by walking, not by sorting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from coordinator.errors import InvalidExpression
from coordinator.saga import query
from coordinator.saga.definition import RetryPolicy, SagaDefinition, Step, StepKind, Unset
from coordinator.saga.expression import Reference, read_template, texts
from coordinator.saga.fields import Faults, name_pattern, shown

edges_max = 1_000
references_max = 100  # in one step's input; a literal `$${` counts, too
references_total_max = 2_000  # in all of them
cycles_max = 10

Edges = dict[str, list[str]]  # for each step, those it comes after


@dataclass(frozen=True, slots=True)
class _Graph:
    steps: dict[str, Step]
    ancestors: dict[str, frozenset[str]]  # in a circle, a step is its own


def check(definition: SagaDefinition, faults: Faults) -> None:
    """Add every broken rule to the faults. The steps' names are unique; their `after` may hold anything."""
    for step in definition.steps:
        _check_way_back(step, faults)
        _check_time(step, definition.deadline_seconds, faults)
    edges = _known_edges(definition.steps, faults)
    if sum(len(before) for before in edges.values()) > edges_max:
        faults.add("too-many-edges", f"more than {edges_max} edges", "depend on the last steps of a branch, not on all")
        return
    _check_cycles({name: list(before) for name, before in edges.items()}, faults)
    graph = _Graph(definition.by_name, {name: _reached(name, edges) for name in edges})
    _check_pivot(graph, faults)
    for step in definition.steps:
        _check_when(step, graph, faults)
    if _few_references(definition.steps, faults):
        for step in definition.steps:
            _check_input(step, graph, faults)


def longest_seconds(step: Step) -> float:
    """How long a step may take at most: every attempt's timeout, and every wait between two, spread upwards."""
    policy = step.retry
    return policy.max_attempts * step.timeout_seconds + sum(_waits(policy)) * (1.0 + policy.jitter)


def _waits(policy: RetryPolicy) -> Iterable[float]:
    wait = min(policy.first_seconds, policy.cap_seconds)
    for _ in range(policy.max_attempts - 1):
        yield wait
        wait = min(wait * policy.factor, policy.cap_seconds)  # step by step: a power would overflow


def _check_time(step: Step, deadline_seconds: float | None, faults: Faults) -> None:
    longest = longest_seconds(step)
    if deadline_seconds is not None and longest > deadline_seconds:
        faults.add(
            "deadline-too-short",
            f"the attempts of {step.name} take up to {longest:.0f} s, more than the deadline of {deadline_seconds:g} s",
            "raise the deadline, or lower the step's timeout or max_attempts",
            step.name,
        )


def _check_way_back(step: Step, faults: Faults) -> None:
    declared = step.compensation is not None or step.irreversible is not None
    if step.compensation is not None and step.irreversible is not None:
        faults.add("bad-value", f"{step.name} has a compensation and is irreversible", "keep one of the two", step.name)
    if step.kind is StepKind.READONLY and declared:
        message = f"{step.name} is readonly and states a way back"
        faults.add("bad-value", message, "leave it out: a readonly step leaves nothing behind", step.name)
    if step.kind is StepKind.PIVOT and step.compensation is not None:
        faults.add(
            "bad-value",
            f"the pivot {step.name} has a compensation, which would never be sent",
            "leave it out; or make the step compensatable",
            step.name,
        )
    if step.kind is StepKind.COMPENSATABLE and not declared:
        faults.add(
            "no-way-back",
            f"{step.name} changes something and has no way back",
            'add a compensation, or irreversible: "<why>", or kind: readonly',
            step.name,
        )


def _known_edges(steps: Iterable[Step], faults: Faults) -> Edges:
    steps = tuple(steps)
    names = {step.name for step in steps}
    edges: Edges = {}
    for step in steps:
        kept: dict[str, None] = {}
        for before in step.after:
            if before == step.name:
                message = f"{step.name} comes after itself"
                faults.add("self-dependency", message, "leave it out of its own after", step.name)
            elif before in names:
                kept[before] = None
            else:
                message = f"{step.name} comes after {shown(before)}, which is no step"
                faults.add("unknown-step", message, _meant(before, names, faults), step.name)
        edges[step.name] = list(kept)
    return edges


def _check_cycles(edges: Edges, faults: Faults) -> None:
    """Name each circle, and take one edge out of it to find the next. The edges are used up."""
    found = 0
    while (circle := _circle(edges)) is not None:
        found += 1
        if found <= cycles_max:
            path = " -> ".join(circle[:20])
            message = f"these steps wait for each other: {path}"
            faults.add("cycle", message, "take one of them out of an after", circle[0])
        edges[circle[1]].remove(circle[0])


def _circle(edges: Mapping[str, Iterable[str]]) -> list[str] | None:
    """Steps that wait for each other, each before the next, the first also last. None if there are none."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return None


def _reached(name: str, edges: Mapping[str, Iterable[str]]) -> frozenset[str]:
    found: set[str] = set()
    waiting = list(edges[name])
    while waiting:
        before = waiting.pop()
        if before not in found:
            found.add(before)
            waiting.extend(edges[before])
    return frozenset(found)


def _check_pivot(graph: _Graph, faults: Faults) -> None:
    pivots = [step for step in graph.steps.values() if step.kind is StepKind.PIVOT]
    for other in pivots[1:]:
        message = f"{other.name} is a second pivot beside {pivots[0].name}"
        faults.add("several-pivots", message, "a saga has one point of no return", other.name)
    if len(pivots) == 1 and (pivots[0].optional or pivots[0].when is not None):
        message = f"the pivot {pivots[0].name} may be left out"
        hint = "leave optional and when out: what follows a pivot may have no way back"
        faults.add("conditional-pivot", message, hint, pivots[0].name)
    pivot = pivots[0] if len(pivots) == 1 else None
    for step in graph.steps.values():
        if step.kind is StepKind.PIVOT:
            continue
        behind = any(other.name in graph.ancestors[step.name] for other in pivots)
        if pivot is not None:
            before = step.name in graph.ancestors[pivot.name]
            _check_side(step, pivot, before=before, behind=behind, faults=faults)
        if step.kind is StepKind.RETRIABLE and not behind and step.compensation is None and step.irreversible is None:
            message = f"{step.name} is retriable, comes after no pivot, and has no way back"
            hint = 'put it after the pivot, or add a compensation or irreversible: "<why>"'
            faults.add("no-way-back", message, hint, step.name)


def _check_side(step: Step, pivot: Step, *, before: bool, behind: bool, faults: Faults) -> None:
    """Before the pivot a saga can turn, after it it can't; a step beside it would be both."""
    if not behind and not before:
        message = f"{step.name} is neither before nor after the pivot {pivot.name}"
        faults.add("beside-the-pivot", message, "connect the two with after", step.name)
    if behind and not before and step.kind not in (StepKind.RETRIABLE, StepKind.READONLY):
        message = f"{step.name} comes after the pivot {pivot.name} and is {step.kind}"
        faults.add("after-the-pivot", message, "make it retriable or readonly, or put it before the pivot", step.name)


def _few_references(steps: Iterable[Step], faults: Faults) -> bool:
    """Counted before any is read: each costs a parse, now and when the saga runs."""
    counts = {step.name: sum(text.count("${") for text in texts(step.input)) for step in steps}
    for name, count in counts.items():
        if count > references_max:
            message = f"input: {count} references"
            faults.add("too-many-references", message, f"keep to {references_max}; take whole objects", name)
    if sum(counts.values()) > references_total_max:
        message = f"{sum(counts.values())} references in all inputs"
        faults.add("too-many-references", message, f"keep to {references_total_max}; take whole objects")
    return max(counts.values(), default=0) <= references_max and sum(counts.values()) <= references_total_max


def _check_input(step: Step, graph: _Graph, faults: Faults) -> None:
    if isinstance(step.input, Unset):
        return
    found: list[Reference] = []
    for text in texts(step.input):
        try:
            found.extend(part for part in read_template(text) if isinstance(part, Reference))
        except InvalidExpression as error:
            hint = "write ${input.…} or ${steps.NAME.…}, and $${ for a literal ${"
            faults.add("bad-expression", f"input: {error}", hint, step.name)
    for key in _keys(step.input):
        if "${" in key:
            message = f"input: the key {shown(key)} would not be replaced"
            faults.add("bad-expression", message, "only values are; write the key out", step.name)
    for reference in found:
        if reference.step is not None:
            _check_read(step, reference.step, reference.path, graph, faults)


def _check_read(step: Step, name: str, path: str, graph: _Graph, faults: Faults) -> None:
    read = graph.steps.get(name) if name_pattern.fullmatch(name) else None
    if read is None:
        message = f"input: {shown(path)} reads a step that is not there"
        faults.add("unknown-step", message, _meant(name, graph.steps, faults), step.name)
        return
    if name not in graph.ancestors[step.name]:
        why, hint = f"{name} does not come before {step.name}", f"add {name} to its after"
    elif read.when is not None or read.optional:
        why = f"{name} may have been left out"
        hint = "read it in a when, or state no input: the participant then gets every result there is"
    else:
        return
    faults.add("result-may-not-exist", f"input: {shown(path)}: {why}", hint, step.name)


def _check_when(step: Step, graph: _Graph, faults: Faults) -> None:
    """What is missing is null there, so a step misspelt or out of order would be one that silently never runs."""
    if step.when is None:
        return
    for name in sorted(query.steps_read(step.when) - graph.ancestors[step.name]):
        if name in graph.steps:
            message = f"when: steps.{shown(name)} would always be null: it does not come before {step.name}"
            faults.add("result-may-not-exist", message, f"add {name} to its after", step.name)
        else:
            message = f"when: steps.{shown(name)} reads a step that is not there"
            faults.add("unknown-step", message, _meant(name, graph.steps, faults), step.name)


def _meant(name: str, names: Iterable[str], faults: Faults) -> str:
    near = faults.near(name, names)
    return f"did you mean {near}?" if near else "name a step of this definition"


def _keys(mapping: Any) -> Iterable[str]:
    waiting = [mapping]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            yield from item
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
