"""Definitions drawn at random: any graph that registration accepts, of up to six steps."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from coordinator.saga.definition import SagaDefinition
from coordinator.saga.registration import read_definition

steps_max = 6
letters = "abcdef"


@st.composite
def definitions(draw: st.DrawFn) -> SagaDefinition:
    """A definition with steps of every kind. What stands beside a pivot is drawn so as to be legal."""
    count = draw(st.integers(1, steps_max))
    pivot = draw(st.none() | st.integers(0, count - 1))
    steps = [draw(_step(place, pivot)) for place in range(count)]
    document: dict[str, Any] = {"name": "any", "steps": steps, "grace": "5s"}
    if draw(st.booleans()):
        document["deadline"] = draw(st.sampled_from(["60s", "90s"]))
    return read_definition(document)


@st.composite
def _step(draw: st.DrawFn, place: int, pivot: int | None) -> dict[str, Any]:
    before = letters[:place]
    step: dict[str, Any] = {
        "name": letters[place],
        "participant": draw(st.sampled_from(["p", "q"])),
        "action": "do",
        "timeout": "10s",
        "retry": {"max_attempts": draw(st.integers(1, 3)), "first": "2s"},
        "after": sorted(draw(st.sets(st.sampled_from(before), max_size=2))) if before else [],
    }
    if pivot == place:
        return {**step, "kind": "pivot", "after": list(before)}
    if pivot is not None and place > pivot:
        after = sorted({*(name for name in step["after"] if name > letters[pivot]), letters[pivot]})
        step = {**step, "kind": draw(st.sampled_from(["retriable", "readonly"])), "after": after}
    else:
        step = {**step, **draw(_way_back())}
    if draw(st.integers(0, 3)) == 0:
        step["optional"] = True
    if draw(st.integers(0, 5)) == 0:
        step["when"] = "input.go"
    if draw(st.integers(0, 7)) == 0:
        step["input"] = "${input.address}"
    return step


@st.composite
def _way_back(draw: st.DrawFn) -> dict[str, Any]:
    which = draw(st.integers(0, 5))
    if which == 0:
        return {"irreversible": "gone is gone"}
    if which == 1:
        return {"kind": "readonly"}
    return {"compensation": "undo", "compensation_retry": {"max_attempts": draw(st.integers(1, 3)), "first": "2s"}}


inputs = st.sampled_from([None, {"go": True}, {"address": "Rome"}, {"go": True, "address": "Rome"}])
