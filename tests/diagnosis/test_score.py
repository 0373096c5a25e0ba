"""From votes to a verdict: what no evidence admits is never named, limits hold whatever the points, and the past moves
a balance only where a person has confirmed it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.diagnosis.analyser import analyse, score
from coordinator.diagnosis.analyser.admissible import admissible_classes
from coordinator.diagnosis.analyser.facts import Facts, facts_of
from coordinator.diagnosis.analyser.history import points_max, remembered
from coordinator.diagnosis.analyser.ledger import Entry, Ledger, Ref
from coordinator.diagnosis.analyser.score import Candidate, Limits, Vote, candidates_of, ranked
from coordinator.diagnosis.case import PastIncident
from coordinator.diagnosis.cause import Entity, EntityKind, FaultClass
from coordinator.diagnosis.evidence import EvidenceKind, Trust
from coordinator.diagnosis.report import Similar
from tests.diagnosis.cases import World, fails, noon
from tests.diagnosis.scenarios import Scenario, everything, provider_down, two_at_once

provider = Entity(kind=EntityKind.DEPENDENCY, name="card-provider")
timeout, deploy = FaultClass.DOWNSTREAM_TIMEOUT, FaultClass.BAD_DEPLOY


def entered(ledger: Ledger, *trusts: Trust) -> tuple[Ref, ...]:
    return tuple(
        ledger.enter(Entry(EvidenceKind.ATTEMPT, trust, f"fact {number}")) for number, trust in enumerate(trusts)
    )


def verdict(points: float, *trusts: Trust, limits: Limits = Limits()) -> Candidate:  # noqa: B008  # frozen
    ledger = Ledger("n")
    votes = [Vote(timeout, points, entered(ledger, *(trusts or (Trust.COORDINATOR, Trust.COORDINATOR))), provider)]
    return ranked(candidates_of(votes, {timeout: True}), ledger, limits)[0]


def test_what_no_evidence_admits_is_never_named_whatever_speaks_for_it() -> None:
    ledger = Ledger("n")
    refs = entered(ledger, Trust.COORDINATOR, Trust.COORDINATOR)
    votes = [Vote(deploy, 9.0, refs, provider), Vote(timeout, 2.0, refs, provider)]
    assert [one.cls for one in candidates_of(votes, {timeout: True, deploy: False})] == [timeout]
    assert [one.cls for one in candidates_of(votes, {timeout: True})] == [timeout]
    assert [one.cls for one in candidates_of(votes, {timeout: True, deploy: True})] == [deploy, timeout]


@pytest.mark.parametrize("build", everything, ids=lambda build: build.__name__)
def test_every_hypothesis_of_a_report_is_one_that_the_evidence_admits(build: Callable[[], Scenario]) -> None:
    case = build().case
    admissible = {cls for cls, may in admissible_classes(facts_of(case, Ledger(case.nonce))).items() if may}
    assert {one.cls for one in analyse(case).hypotheses} <= admissible


def test_a_confidence_is_what_the_table_says_and_not_the_share_of_the_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "_table", lambda: ((0.0, 0.0), (0.5, 0.1), (1.0, 0.7)))  # another than is shipped
    assert score.calibrated(0.25) == pytest.approx(0.05)
    assert verdict(9.0).confidence == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        (Limits(confounded=True), 0.6),
        (Limits(alone_without_code=True), 0.75),
        (Limits(nothing_told=True), 0.9),
    ],
)
def test_what_limits_confidence_does_so_whatever_the_points(limits: Limits, most: float) -> None:
    assert verdict(50.0, limits=limits).confidence <= most


def test_hearsay_alone_is_no_verdict() -> None:
    told = verdict(50.0, Trust.PARTICIPANT, Trust.EXTERNAL_TEXT)
    assert told.cls is FaultClass.UNKNOWN
    assert verdict(50.0, Trust.PARTICIPANT, Trust.COORDINATOR).cls is timeout


def test_a_balance_that_does_not_tip_is_no_verdict() -> None:
    ledger = Ledger("n")
    refs = entered(ledger, Trust.COORDINATOR, Trust.COORDINATOR)
    votes = [Vote(timeout, 4.0, refs, provider), Vote(deploy, 3.9, refs, provider)]
    first, *others = ranked(candidates_of(votes, {timeout: True, deploy: True}), ledger, Limits())
    assert first.cls is FaultClass.UNKNOWN
    assert {one.cls for one in others} == {timeout, deploy}


# --- the past ---------------------------------------------------------------------------------------------------------


def before(cls: FaultClass, *, verified: bool, **changes: object) -> Similar:
    one = Similar(
        incident_id="i-1",
        at=noon - timedelta(days=1),
        headline="It was so",
        similarity=1.0,
        matched_on=(),
        cls=cls,
        verified=verified,
    )
    return one.model_copy(update=changes)


def facts() -> Facts:
    return facts_of(provider_down().case, Ledger("n"))


def points(past: Sequence[Similar]) -> float:
    return sum(vote.points for vote in remembered(facts(), past, Ledger("n")))


def test_only_what_a_person_confirmed_counts_and_the_less_the_longer_ago() -> None:
    assert points([before(deploy, verified=False)]) == 0
    yesterday = points([before(deploy, verified=True)])
    long_ago = points([before(deploy, verified=True, at=noon - timedelta(days=40))])
    assert points_max >= yesterday > long_ago > 0
    assert points([before(FaultClass.UNKNOWN, verified=True)]) == 0


def test_however_many_agree_the_past_is_no_more_than_a_nudge() -> None:
    assert points([before(deploy, verified=True)] * 3) == pytest.approx(points_max)


@pytest.mark.parametrize("verified", [False, True])
def test_a_past_of_another_class_overrules_nothing_that_is_seen_now(verified: bool) -> None:
    case = two_at_once().case
    alone = analyse(case)
    one = PastIncident(
        incident_id="i-1",
        at=noon - timedelta(days=1),
        family=case.failures[0].family,
        fingerprints=frozenset({case.failures[0].fingerprint}),
        steps=frozenset({"place_order.charge-card"}),
        templates=(case.failures[0].template,),
        cls=str(deploy),
        culprit="worker_version payment@9.9.9",
        headline="A version was broken",
        resolution="it was rolled back",
        verified=verified,
    )
    again = analyse(replace(case, past=(one,)))
    assert [past.incident_id for past in again.similar] == ["i-1"]
    assert (again.verdict.cls, again.verdict.culprit) == (alone.verdict.cls, alone.verdict.culprit)
    assert deploy not in {hypothesis.cls for hypothesis in again.hypotheses}
    if not verified:
        assert again.verdict.confidence == alone.verdict.confidence


def test_an_unknown_failure_is_not_explained_by_the_past_alone() -> None:
    world = World()
    world.saga(charge_card=fails("Exception", "failed"))
    case = world.case()
    failed = case.failures[0]
    facts = frozenset({failed.fingerprint}), frozenset({"place_order.charge-card"}), (failed.template,)
    past = tuple(
        PastIncident(
            f"i-{n}",
            noon - timedelta(days=1),
            failed.family,
            *facts,
            str(timeout),
            str(provider),
            "Slow",
            "waited",
            True,
        )
        for n in range(3)
    )
    assert analyse(replace(case, past=past)).verdict.cls is FaultClass.UNKNOWN
