"""What begins by itself, what is proposed, what stays advice: each guard by itself, and no harm come what may."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.diagnosis.cause import Entity, EntityKind, FaultClass, Phase
from coordinator.diagnosis.evidence import Evidence, EvidenceKind, Trust
from coordinator.diagnosis.healing.policy import (
    Choice,
    Facts,
    Mode,
    Recent,
    decide,
    doubts,
    helped,
    helps_against,
    remedies_per_hour_max,
    retries_allowed,
)
from coordinator.diagnosis.remedy import PlannedRemedy, RemedyKind, Target, Tier, executable
from coordinator.diagnosis.report import Flag, Hypothesis, Report, Transience

noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
seen = Evidence(id="E01-abc", kind=EvidenceKind.STEP_CONTRAST, trust=Trust.COORDINATOR, text="41 of 44 failed")
said = Evidence(id="E02-abc", kind=EvidenceKind.ERROR, trust=Trust.PARTICIPANT, text="gateway timeout")
circuit = PlannedRemedy(
    kind=RemedyKind.OPEN_CIRCUIT, target=Target(participant="payment"), tier=Tier.A, text="pause payment for a while"
)
failing = Facts(at=noon, mode=Mode.AUTO, recent={"payment": Recent(succeeded=3, failed=41)})


def verdict(**changes: Any) -> Hypothesis:
    facts: dict[str, Any] = {
        "rank": 1,
        "cls": FaultClass.DOWNSTREAM_TIMEOUT,
        "culprit": Entity(kind=EntityKind.DEPENDENCY, name="card-provider"),
        "confidence": 0.95,
        "supports": ("E01-abc", "E02-abc"),
    }
    return Hypothesis(**{**facts, **changes})


def report(*remedies: PlannedRemedy, **changes: Any) -> Report:
    facts: dict[str, Any] = {
        "incident_id": "i",
        "created_at": noon,
        "analyser_version": "1",
        "headline": "payment times out",
        "phase": Phase.FORWARD,
        "symptom_step": "order.charge",
        "symptom": "gateway timeout",
        "hypotheses": (verdict(),),
        "evidence": (seen, said),
        "remedies": remedies or (circuit,),
    }
    return Report(**{**facts, **changes})


def remedy(kind: RemedyKind, tier: Tier = Tier.A, **target: Any) -> PlannedRemedy:
    return PlannedRemedy(kind=kind, target=Target(**target), tier=tier, text="do it")


def the_choice(report: Report, facts: Facts = failing) -> tuple[Choice, str]:
    (decision,) = decide(report, facts)
    return decision.choice, decision.reason


def test_a_sure_verdict_over_a_failing_participant_begins_a_circuit_that_ends() -> None:
    (decision,) = decide(report(), failing)
    assert (decision.choice, decision.scope) == (Choice.BEGIN, "participant payment")
    assert decision.remedy.target.seconds == 60
    assert "0.95 sure" in decision.reason


def test_in_the_shadow_the_same_only_casts_one() -> None:
    assert the_choice(report(), replace(failing, mode=Mode.SHADOW))[0] is Choice.SHADOW


def test_switched_off_nothing_is_begun_or_proposed() -> None:
    assert the_choice(report(), replace(failing, mode=Mode.OFF)) == (Choice.ADVICE, "healing is switched off")


trusts_nobody = report(hypotheses=(verdict(supports=("E02-abc",)),))
guards: dict[str, tuple[Report, Facts, str]] = {
    "not sure enough": (report(hypotheses=(verdict(confidence=0.8499),)), failing, "less than 0.85"),
    "contested": (report(contested=True), failing, "disagree"),
    "the model's word": (report(source="model"), failing, "not that of the rules"),
    "confounded": (report(flags=frozenset({Flag.CONFOUNDED})), failing, "two causes"),
    "tampered with": (report(flags=frozenset({Flag.INJECTION_SUSPECTED})), failing, "give orders"),
    "thin": (report(flags=frozenset({Flag.INSUFFICIENT_EVIDENCE})), failing, "thin"),
    "hearsay": (trusts_nobody, failing, "nothing that the coordinator saw"),
    "evidence of nothing": (report(evidence=()), failing, "nothing that the coordinator saw"),
    "no remedy for it": (report(hypotheses=(verdict(cls=FaultClass.POISON_PAYLOAD),)), failing, "does not help"),
    "nobody knows why": (report(hypotheses=(verdict(cls=FaultClass.UNKNOWN),)), failing, "does not help"),
    "old": (report(), replace(failing, at=noon + timedelta(seconds=301)), "5 minutes old"),
    "under way": (report(), replace(failing, busy=frozenset({"participant payment"})), "under way"),
    "all stands still": (report(), replace(failing, busy=frozenset({"everything"})), "under way"),
    "tried": (
        report(),
        replace(failing, tried=frozenset({("open_circuit", "participant payment")})),
        "tried before",
    ),
    "too many": (report(), replace(failing, begun_last_hour=remedies_per_hour_max), "in the last hour"),
    "few know": (report(), replace(failing, recent={"payment": Recent(0, 4)}), "only 4 attempts"),
    "most work": (report(), replace(failing, recent={"payment": Recent(60, 40)}), "only 40%"),
    "needs approval": (report(remedy(RemedyKind.OPEN_CIRCUIT, Tier.C, participant="payment")), failing, "approval"),
}


@pytest.mark.parametrize("name", guards)
def test_what_stands_against_it_makes_it_a_proposal_that_says_so(name: str) -> None:
    told, facts, why = guards[name]
    choice, reason = the_choice(told, facts)
    assert choice is Choice.PROPOSE
    assert why in reason


def test_a_report_cannot_free_a_remedy_from_its_tier() -> None:
    pause = remedy(RemedyKind.PAUSE_DEFINITION, Tier.A, definition="order")
    rotten = report(pause, hypotheses=(verdict(cls=FaultClass.CREDENTIAL_FAILURE, confidence=0.89),))
    choice, reason = the_choice(rotten)
    assert (choice, "less than 0.90" in reason) == (Choice.PROPOSE, True)
    sure = report(pause, hypotheses=(verdict(cls=FaultClass.CREDENTIAL_FAILURE, confidence=0.9),))
    assert the_choice(sure)[0] is Choice.BEGIN


def test_what_a_person_alone_decides_stays_advice() -> None:
    assert the_choice(report(remedy(RemedyKind.OPEN_CIRCUIT, Tier.D, participant="payment")))[0] is Choice.ADVICE


@pytest.mark.parametrize("kind", sorted(set(RemedyKind) - executable))
def test_what_the_coordinator_cannot_do_stays_advice(kind: RemedyKind) -> None:
    told = remedy(kind, saga_id="s", step="order.charge", participant="payment", definition="order")
    assert the_choice(report(told))[0] is Choice.ADVICE


@pytest.mark.parametrize("kind", sorted(executable - {RemedyKind.PAUSE_ALL}))
def test_what_does_not_say_whom_it_concerns_stays_advice(kind: RemedyKind) -> None:
    choice, reason = the_choice(report(remedy(kind)))
    assert (choice, "does not say" in reason) == (Choice.ADVICE, True)


def test_of_two_remedies_for_one_participant_the_first_begins() -> None:
    both = report(circuit, remedy(RemedyKind.THROTTLE, participant="payment"))
    assert [decision.choice for decision in decide(both, failing)] == [Choice.BEGIN, Choice.PROPOSE]


def test_a_throttle_leaves_a_tenth_at_least_and_ends_in_half_an_hour_at_most() -> None:
    busy = replace(failing, recent={"payment": Recent(succeeded=300, failed=2700)})  # ten per second
    told = [
        remedy(RemedyKind.THROTTLE, participant="payment", rate_per_second=0.01, seconds=1e6),
        remedy(RemedyKind.THROTTLE, participant="payment", rate_per_second=4.0, seconds=0.1),
        remedy(RemedyKind.THROTTLE, participant="payment"),
    ]
    targets = [decide(report(one), busy)[0].remedy.target for one in told]
    assert [(target.rate_per_second, target.seconds) for target in targets] == [(1.0, 1800), (4.0, 5), (1.0, 300)]


def test_everything_is_paused_only_while_the_broker_is_away() -> None:
    outage = report(remedy(RemedyKind.PAUSE_ALL), hypotheses=(verdict(cls=FaultClass.BROKER_OUTAGE),))
    assert "can be reached" in the_choice(outage)[1]
    assert the_choice(outage, replace(failing, broker_connected=False))[0] is Choice.BEGIN


retry = remedy(RemedyKind.RETRY_STEP, saga_id="s", step="charge")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"flags": frozenset({Flag.NON_IDEMPOTENT_STEP})}, "twice"),
        ({"transience": Transience.DETERMINISTIC}, "every time"),
        ({"hypotheses": (verdict(cls=FaultClass.BUSINESS_REJECTION),)}, "does not help"),
        ({"hypotheses": (verdict(cls=FaultClass.CREDENTIAL_FAILURE),)}, "does not help"),
    ],
)
def test_a_retry_that_may_harm_or_cannot_help_is_proposed(changes: dict[str, Any], why: str) -> None:
    assert the_choice(report(retry))[0] is Choice.BEGIN
    choice, reason = the_choice(report(retry, **changes))
    assert (choice, why in reason) == (Choice.PROPOSE, True)


def test_a_backlog_needs_no_failures_to_be_throttled() -> None:
    throttle = remedy(RemedyKind.THROTTLE, participant="payment", rate_per_second=2)
    backlog = report(throttle, hypotheses=(verdict(cls=FaultClass.WORKER_BACKLOG),))
    assert the_choice(backlog, replace(failing, recent={}))[0] is Choice.BEGIN


# Whatever a report says: the cases that no wording, no number and no target may lead out of.
sagas = st.none() | st.sampled_from(["s", "order.charge", "all", "participant payment"])
targets = st.builds(
    Target,
    saga_id=sagas,
    step=sagas,
    participant=st.none() | st.sampled_from(["payment", "inventory"]),
    definition=sagas,
    rate_per_second=st.none() | st.floats(1e-9, 1e9),
    seconds=st.none() | st.floats(1e-9, 1e12),
)
remedies = st.builds(
    PlannedRemedy,
    kind=st.sampled_from(RemedyKind),
    target=targets,
    tier=st.sampled_from(Tier),
    text=st.text(max_size=300),
)
reports = st.builds(
    report,
    remedies,
    remedies,
    hypotheses=st.builds(
        lambda cls, confidence, supports: (verdict(cls=cls, confidence=confidence, supports=supports),),
        st.sampled_from(FaultClass),
        st.floats(0, 1),
        st.sampled_from([(), ("E01-abc",), ("E02-abc",), ("E01-abc", "E02-abc")]),
    ),
    contested=st.booleans(),
    source=st.sampled_from(["deterministic", "model"]),
    flags=st.frozensets(st.sampled_from(Flag), max_size=2),
    transience=st.sampled_from(Transience),
)
worlds = st.builds(
    Facts,
    at=st.integers(-600, 600).map(lambda seconds: noon + timedelta(seconds=seconds)),
    mode=st.sampled_from(Mode),
    begun_last_hour=st.integers(0, 40),
    recent=st.dictionaries(
        st.sampled_from(["payment", "inventory"]), st.builds(Recent, st.integers(0, 99), st.integers(0, 99))
    ),
    broker_connected=st.booleans(),
)
harmful: dict[str, Callable[[Report, Facts], bool]] = {
    "doubted": lambda report, facts: bool(report.flags & doubts.keys()),
    "contested": lambda report, facts: report.contested,
    "worded by a model": lambda report, facts: report.source == "model",
    "unsure": lambda report, facts: report.verdict.confidence < 0.85,
    "unknown": lambda report, facts: report.verdict.cls is FaultClass.UNKNOWN,
    "hearsay": lambda report, facts: "E01-abc" not in report.verdict.supports,
    "not in auto": lambda report, facts: facts.mode is not Mode.AUTO,
    "too many": lambda report, facts: facts.begun_last_hour >= remedies_per_hour_max,
}


@given(reports, worlds)
def test_nothing_harmful_begins_by_itself_whatever_a_report_says(told: Report, facts: Facts) -> None:
    decisions = decide(told, facts)
    begun = [one for one in decisions if one.choice is Choice.BEGIN]
    assert [decision.remedy.kind for decision in decisions] == [planned.kind for planned in told.remedies]
    against = [why for why, is_so in harmful.items() if is_so(told, facts)]
    assert not (begun and against)
    for decision in begun:
        kind, target = decision.remedy.kind, decision.remedy.target
        assert told.verdict.cls in helps_against[kind]
        assert kind is RemedyKind.PARK_SAGA or 5 <= (target.seconds or 0) <= 1800
        usual = facts.recent.get(target.participant or "", Recent())
        assert kind is not RemedyKind.THROTTLE or (target.rate_per_second or 0) >= usual.total / usual.seconds / 10
    assert len({decision.scope for decision in begun}) == len(begun)


def test_retries_stay_below_a_tenth_of_what_succeeds_and_under_the_hour_s_bound() -> None:
    assert retries_allowed(0, 0, 0) == 0
    assert retries_allowed(1, 0, 0) == 1
    assert retries_allowed(100, 4, 4) == 6
    assert retries_allowed(100, 12, 12) == 0
    assert retries_allowed(10_000, 0, 95) == 5
    assert retries_allowed(10_000, 0, 150) == 0


def test_what_halves_the_failing_share_has_helped() -> None:
    assert helped(0.8, 0.4)
    assert helped(0.8, 0.41) is False
    assert helped(None, 0.0) is helped(0.5, None) is None
    assert Recent(3, 5, silent=4).answered == Recent(3, 1)
