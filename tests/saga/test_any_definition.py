"""Whatever JSON is posted, and whatever graph its edges make: a definition or a list of faults, and never a crash."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from coordinator.errors import Fault, InvalidDefinition
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.registration import read_definition
from coordinator.schema import check_schema

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
names = st.sampled_from(["a", "b", "c", "d", "steps[0]", ""])
texts = st.sampled_from(["${input.x}", "${steps.a.x}", "${steps.b | c}", "${", "$${", "steps.a.x == `1`", "1s", "x-y"])
plausible = anything | texts | names | st.lists(names, max_size=4) | st.dictionaries(names, texts, max_size=3)
step_keys = st.sampled_from(
    ["name", "participant", "action", "compensation", "after", "kind", "input", "when", "optional", "irreversible",
     "timeout", "retry", "compensation_retry", "input_schema", "output_schema", "description", "type", "other"]
)  # fmt: skip
retries = st.dictionaries(
    st.sampled_from(["max_attempts", "first", "factor", "cap", "jitter", "give_up_on"]), anything, max_size=4
)
kinds = st.sampled_from(["compensatable", "pivot", "retriable", "readonly"])


@st.composite
def damaged_steps(draw: st.DrawFn) -> dict[str, Any]:
    keys = {"name": draw(names), "participant": "p", "action": "x", "compensation": "y", "kind": draw(kinds)}
    return {**keys, **draw(st.dictionaries(step_keys, plausible | retries, max_size=4))}


documents = st.fixed_dictionaries(
    {"name": names, "steps": st.lists(damaged_steps() | anything, max_size=5) | anything},
    optional={
        "deadline": plausible,
        "tags": plausible,
        "version": anything,
        "input_schema": anything,
        "grace": anything,
    },
)


def faults_of(document: Any) -> Sequence[Fault]:
    try:
        read_definition(document, schema_fault=check_schema)
    except InvalidDefinition as error:
        return error.faults or [Fault("none", "", "")]
    return []


@settings(deadline=None)  # the machine may be busy; haste is tested elsewhere
@given(anything | documents)
@example({"name": "a", "steps": [{"name": "a", "after": ["a", "b", "b"]}, {"name": "a", "after": [[]]}]})
def test_any_json_is_a_definition_or_a_list_of_faults(document: Any) -> None:
    faults = faults_of(document)
    json.dumps([fault.as_dict() for fault in faults])
    assert all(fault.rule and fault.message and fault.hint for fault in faults)
    if not faults:
        definition = read_definition(document)
        assert len(definition.order) == len(definition.steps)
        assert read_definition(dict(definition.document), version=definition.version) == definition


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    every = [f"s{n}" for n in range(draw(st.integers(1, 8)))]
    return {name: draw(st.lists(st.sampled_from(every), unique=True, max_size=3)) for name in every}


@settings(deadline=None)
@given(graphs())
def test_a_graph_is_accepted_if_and_only_if_it_has_an_order(graph: dict[str, list[str]]) -> None:
    keys = {"participant": "payment", "action": "charge", "compensation": "refund"}
    document = {"name": "any", "steps": [{"name": name, "after": after, **keys} for name, after in graph.items()]}
    settled: set[str] = set()
    while ready := {name for name, after in graph.items() if name not in settled and settled.issuperset(after)}:
        settled |= ready
    if settled == set(graph):
        _check_questions(read_definition(document), graph)
    else:
        assert {fault.rule for fault in faults_of(document)} in (
            {"cycle"},
            {"self-dependency"},
            {"cycle", "self-dependency"},
        )


def _check_questions(definition: SagaDefinition, graph: dict[str, list[str]]) -> None:
    """The definition's answers about its graph, against a walk of the edges."""
    for place, name in enumerate(definition.order):
        before, waiting = set[str](), list(graph[name])
        while waiting:
            other = waiting.pop()
            before.add(other)
            waiting.extend(graph[other])
        assert definition.ancestors[name] == before
        assert before <= set(definition.order[:place])
        assert {other for other in graph if name in definition.ancestors[other]} == definition.descendants[name]
        assert set(definition.followers[name]) == {other for other, after in graph.items() if name in after}
