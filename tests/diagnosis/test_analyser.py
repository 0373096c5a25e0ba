"""The analyser as a whole: any case becomes a report that holds together."""

from __future__ import annotations

from coordinator.diagnosis.analyser import analyse
from coordinator.diagnosis.case import Case
from coordinator.diagnosis.cause import FaultClass
from coordinator.diagnosis.report import Report
from coordinator.saga.event import Call
from tests.diagnosis.cases import World, fails, noon


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


def test_a_case_with_nothing_in_it_is_unknown() -> None:
    report = analyse(Case(noon, "n", noon, ()))
    holds_together(report)
    assert report.verdict.cls is FaultClass.UNKNOWN


def test_the_first_failure_ever_names_the_dependency_that_could_not_be_reached() -> None:
    world = World()
    call = Call("card-provider", 2.0, "ConnectTimeout", "errno ETIMEDOUT")
    seen = world.saga(
        charge_card=fails(
            "ConnectTimeout", "card-provider did not answer", "errno ETIMEDOUT", seconds=2.0, calls=(call,)
        )
    )
    report = analyse(world.case(focus=seen))
    holds_together(report)
    assert report.verdict.cls is FaultClass.DOWNSTREAM_TIMEOUT
    assert report.verdict.culprit
    assert str(report.verdict.culprit) == "dependency card-provider"
