"""The analyser as a whole: any case becomes a report that holds together, and named troubles are found."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coordinator.diagnosis.analyser import analyse
from coordinator.diagnosis.case import Case
from coordinator.diagnosis.cause import FaultClass
from coordinator.diagnosis.evidence import Trust
from coordinator.diagnosis.report import Report
from coordinator.saga.event import Call
from coordinator.saga.state import SagaStatus
from tests.diagnosis.cases import World, fails, noon, ok
from tests.diagnosis.scenarios import Scenario, everything


def holds_together(report: Report) -> None:
    """What must be so of every report."""
    known = {item.id for item in report.evidence}
    cited = [ref for one in report.hypotheses for ref in (*one.supports, *one.contradicts)]
    for part in (report.claims, report.chain, report.ruled_out, report.effects, report.residue, report.remedies):
        cited += [ref for one in part for ref in one.evidence]
    assert set(cited) <= known
    assert len(known) == len(report.evidence)
    assert sum(one.confidence for one in report.hypotheses) <= 1.0 + 1e-6
    assert all(one.culprit for one in report.hypotheses if one.cls is not FaultClass.UNKNOWN)
    verdict = report.verdict
    if verdict.cls is not FaultClass.UNKNOWN:
        assert len(verdict.supports) >= 2
        firm = {item.id for item in report.evidence if item.trust in (Trust.COORDINATOR, Trust.INFRA)}
        assert firm & set(verdict.supports)


@pytest.mark.parametrize("build", everything, ids=lambda build: build.__name__)
def test_the_trouble_is_found(build: Callable[[], Scenario]) -> None:
    scenario = build()
    report = analyse(scenario.case)
    holds_together(report)
    told = [(str(one.cls), str(one.culprit), one.confidence) for one in report.hypotheses]
    assert report.verdict.cls is scenario.cls, told
    if scenario.culprits:
        assert str(report.verdict.culprit) in scenario.culprits, told
    assert not {str(one.culprit) for one in report.hypotheses[:1]} & set(scenario.innocent)
    assert set(scenario.flags) <= {str(flag) for flag in report.flags}


@pytest.mark.parametrize("build", everything, ids=lambda build: build.__name__)
def test_the_same_case_gives_the_same_report(build: Callable[[], Scenario]) -> None:
    case = build().case
    assert analyse(case) == analyse(case)


def test_a_case_with_nothing_in_it_is_unknown() -> None:
    report = analyse(Case(noon, "n", noon, ()))
    holds_together(report)
    assert report.verdict.cls is FaultClass.UNKNOWN


def test_the_first_failure_ever_names_the_dependency_that_could_not_be_reached() -> None:
    world = World()
    call = Call("card-provider", 2.0, "ConnectTimeout", "errno ETIMEDOUT")
    failing = fails("ConnectTimeout", "no answer", "errno ETIMEDOUT", seconds=2.0, calls=(call,))
    seen = world.saga(charge_card=failing)
    report = analyse(world.case(focus=seen))
    holds_together(report)
    assert report.verdict.cls is FaultClass.DOWNSTREAM_TIMEOUT
    assert report.verdict.culprit
    assert str(report.verdict.culprit) == "dependency card-provider"


def test_of_a_saga_that_completed_the_step_that_needed_a_second_attempt_is_told() -> None:
    world = World()
    seen = world.saga(reserve_stock=[fails("ConnectError", "connection refused", "errno ECONNREFUSED"), ok()])
    assert seen.saga.status is SagaStatus.COMPLETED
    report = analyse(world.case(focus=seen))
    holds_together(report)
    assert report.symptom_step == "place_order.reserve-stock"
