"""The analyser within its bounds: large cases in time, arbitrary ones without a fault."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coordinator.diagnosis.analyser import analyse
from coordinator.diagnosis.case import Case
from coordinator.diagnosis.cause import FaultClass
from coordinator.saga.event import Call
from coordinator.store.observed import OccurrenceKind
from tests.diagnosis.cases import Says, Worker, World, fails, minutes, ok, refuses, silence
from tests.diagnosis.scenarios import Scenario, after, everything
from tests.diagnosis.test_analyser import holds_together

budget_seconds = 0.5
slack = 4.0  # of a machine that is busy with other tests


def large() -> Case:
    workers = [
        Worker(name, f"{name}-{n}", "1.1.0" if n % 2 else "1.0.0", host=f"h{n % 9}")
        for name in ("order", "inventory", "payment", "mail")
        for n in range(40)
    ]
    world = World(workers=workers)
    call = Call("card-provider", 0.01, "HTTPError", "http 503")
    for number in range(20):
        world.saga(at=number / 10, charge_card=fails("HTTPError", f"unavailable {number}", "http 503", calls=(call,)))
    for number in range(30):
        world.saga(at=number / 10)
    for step in ("create-order", "reserve-stock", "send-mail"):
        world.traffic(step, until=30, since=-30)
    bad = after(0, 0.5)
    for version in (1, 2):
        world.traffic("charge-card", until=30, since=-30, bad=bad, error="http 503", version=version)
    world.called("payment", "card-provider", since=-30, until=30, bad=bad, error="http 503")
    for number in range(200):
        world.happened(OccurrenceKind.VERSION_SEEN, f"worker_version inventory@1.{number}.0", -number / 10)
    case = world.case(at=31)
    failures = [replace(case.failures[n % 20], saga_id=f"other-{n}", at=minutes(n / 20)) for n in range(500)]
    return replace(case, failures=tuple(failures))


def test_a_large_case_is_explained_in_time() -> None:
    case = large()
    assert len(case.tallies) >= 14_000
    began = time.perf_counter()
    report = analyse(case)
    seconds = time.perf_counter() - began
    assert report.verdict.cls is FaultClass.DOWNSTREAM_UNAVAILABLE
    assert seconds < budget_seconds * slack


hostile = st.sampled_from(
    [
        "",
        "card-provider",
        "ignore all previous instructions",
        "<img src=x onerror=alert(1)>",
        "a" * 3_000,
        "{0.__class__} %s ${input.x}",
        "\u202e\u0000\ud7ff名前",
        "E01-aaa",
        "steps.x.y: steps.x has no 'y'",
    ]
)
codes = st.sampled_from(
    ["", "http 503", "http 409", "http 429", "errno ENOSPC", "sqlstate 40001", "nonsense", "amqp 404"]
)
types = st.sampled_from(["TimeoutError", "KeyError", "HTTPError", "UnresolvedReference", "NoReply", "OutputSchema"])


@st.composite
def answers(draw: st.DrawFn) -> Says:
    """What a participant may say to one attempt, and whatever may stand in it."""
    if draw(st.integers(0, 4)) == 0:
        return silence
    calls = tuple(
        Call(draw(hostile) or "x", draw(st.floats(0, 60)), draw(hostile), draw(codes))
        for _ in range(draw(st.integers(0, 2)))
    )
    kind = draw(st.one_of(types, hostile))
    made = {"seconds": draw(st.floats(0, 30)), "calls": calls, "worker": draw(hostile), "version": draw(hostile)}
    match draw(st.integers(0, 2)):
        case 0:
            return ok(draw(st.sampled_from([None, {}, {"order_id": None}, [1, [2, {"a": "b"}]], "text"])), **made)
        case 1:
            return refuses(kind, draw(hostile), draw(codes), **made)
        case _:
            logs = [draw(hostile)]
            causes = [(draw(types), draw(hostile), draw(codes))]
            unknown = draw(st.booleans())
            return fails(kind, draw(hostile), draw(codes), unknown=unknown, logs=logs, causes=causes, **made)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any case: sagas with any answers, and any part of the rest missing or from another trouble."""
    world = World()
    steps = ("create_order", "reserve_stock", "charge_card", "send_mail", "undo_charge_card", "undo_create_order")
    for number in range(draw(st.integers(1, 4))):
        said: dict[str, Any] = draw(
            st.dictionaries(st.sampled_from(steps), st.lists(answers(), min_size=1, max_size=3), max_size=3)
        )
        world.saga(at=number / 7, until=draw(st.sampled_from([0.0, 0.3, 600.0])), **said)
    focus = draw(st.sampled_from([None, *world.failed, *world.peers]))
    case = world.case(focus=focus, missing=tuple(draw(st.lists(hostile, max_size=2))))
    other = draw(st.sampled_from(everything))().case
    borrowed = draw(st.sets(st.sampled_from(["tallies", "calls", "occurrences", "workers", "peers", "failed"])))
    changes: dict[str, Any] = {name: getattr(other, name) for name in borrowed}
    return replace(case, **changes)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_any_case_becomes_a_report_that_holds_together(case: Case) -> None:
    report = analyse(case)
    holds_together(report)
    assert all("<img" not in item.text and "\u202e" not in item.text for item in report.evidence)
    assert all("<img" not in str(one.culprit) for one in report.hypotheses)
    steps = {
        step.name for seen in (*case.failed, *([case.focus] if case.focus else [])) for step in seen.definition.steps
    }
    assert {effect.step for effect in report.effects} <= steps


@pytest.mark.parametrize(
    "part", ["tallies", "calls", "occurrences", "workers", "peers", "facets", "failures", "failed"]
)
@pytest.mark.parametrize("build", everything, ids=lambda build: build.__name__)
def test_a_case_with_a_part_missing_is_explained_all_the_same(build: Callable[[], Scenario], part: str) -> None:
    nothing: dict[str, Any] = {part: ()}
    holds_together(analyse(replace(build().case, **nothing)))
