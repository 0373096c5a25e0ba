"""A judge that finds everything right measures nothing: each way of being wrong is planted once."""

from __future__ import annotations

import dataclasses

import pytest

from bench.diagnosis import baselines, gates, parts, writing
from bench.diagnosis.cases import Label
from bench.diagnosis.grading import Grade, Share, calibration_error, grades, grouping, metrics, wilson
from bench.diagnosis.healing import Healed
from bench.diagnosis.healing import lines as healing_lines
from bench.diagnosis.injections import Attempt
from coordinator.diagnosis.cause import FaultClass
from coordinator.diagnosis.evidence import EvidenceKind
from coordinator.diagnosis.remedy import PlannedRemedy, RemedyKind, Tier
from tests.bench.judged import affected, label, labelled, result, said
from tests.diagnosis.reports import error_id, participant, provider, version


def only(*, truth: Label = label, **changed: object) -> Grade:
    (grade,) = grades([result(truth=truth, **changed)])  # type: ignore[arg-type]
    return grade


def test_a_right_report_is_right_in_everything() -> None:
    grade = only(effects=({"charge": {"unknown"}}, {"charge": "unknown"}))
    assert grade.grounded_joint, grade.why
    assert (grade.cites, grade.groups_covered, grade.effects_right) == (grade.cites_valid, 2, 1)
    assert (grade.onset_error, grade.radius_error) == (0.0, 0.0)
    assert grade.helped
    assert not grade.harmed


def test_another_kind_of_cause_is_wrong_and_says_so() -> None:
    grade = only(truth=labelled(FaultClass.LOCK_CONTENTION))
    assert not grade.cls_right
    assert not grade.grounded_joint
    assert "downstream_timeout instead of lock_contention" in grade.why


def test_one_of_several_right_kinds_is_right() -> None:
    assert only(truth=labelled(FaultClass.LOCK_CONTENTION, FaultClass.DOWNSTREAM_TIMEOUT)).cls_right


def test_blaming_somebody_else_is_wrong_and_a_bystander_is_counted() -> None:
    grade = only(
        truth=labelled(FaultClass.DOWNSTREAM_TIMEOUT, blamed=[participant], not_culprits=frozenset({provider}))
    )
    assert grade.cls_right
    assert not grade.joint
    assert grade.innocent_blamed


def test_a_right_guess_without_the_evidence_is_not_grounded() -> None:
    grade = only(truth=dataclasses.replace(label, cites=(frozenset({EvidenceKind.WORKER_STATE}),)))
    assert grade.joint
    assert not grade.grounded_joint


def test_a_verdict_on_texts_alone_is_not_grounded() -> None:
    report = said()
    verdict = report.verdict.model_copy(update={"supports": (error_id,)})
    bare = report.model_copy(update={"hypotheses": (verdict, *report.hypotheses[1:]), "chain": ()})
    assert not only(report=bare, truth=dataclasses.replace(label, cites=())).grounded


def test_evidence_that_is_not_there_makes_a_citation_invalid() -> None:
    report = said()
    verdict = report.verdict.model_copy(update={"supports": (*report.verdict.supports, "E99-zzz")})
    grade = only(report=report.model_copy(update={"hypotheses": (verdict,)}))
    assert grade.cites == grade.cites_valid + 1


def test_a_wrong_effect_is_counted_and_one_that_is_lacking_too() -> None:
    grade = only(effects=({"charge": {"applied"}, "label": {"undone"}}, {"charge": "not_applied"}))
    assert (grade.effects, grade.effects_right, grade.effects_missing) == (1, 0, 1)


def test_a_remedy_that_would_do_harm_is_counted() -> None:
    harm = PlannedRemedy(kind=RemedyKind.ROLL_BACK, tier=Tier.C, text="Roll back", evidence=())
    assert only(report=said().model_copy(update={"remedies": (harm,)})).harmed


def test_who_should_not_know_and_says_something_has_not_abstained() -> None:
    found = metrics([result(truth=labelled(FaultClass.UNKNOWN, blamed=[]))])
    assert found["abstain F1"] == 0.0
    assert str(found["Class@1"]).startswith("0.000")


def test_a_fault_that_nobody_failed_of_is_worth_nothing_and_the_gate_says_so() -> None:
    dead = result("dead", hit=())
    dead.items[0].report = None
    (grade,) = grades([dead])
    assert not grade.grounded_joint
    table = "\n".join(writing.gates_table([dead, result()]))
    assert "faults that nobody failed of | 0.500 (1/2" in table
    assert "does not hold" in table


# --- sums -------------------------------------------------------------------------------------------------------------


def test_the_interval_is_wilsons() -> None:
    assert list(wilson(8, 10)) == pytest.approx([0.490, 0.943], abs=0.001)
    assert wilson(0, 0) == (0.0, 1.0)
    assert str(Share.sum([Share(3, 4), Share(1, 4)])).startswith("0.500 (4/8")


def test_being_sure_and_wrong_is_an_error_of_calibration() -> None:
    sure = Grade("one", "kind", False, "timeout", confidence=0.95)
    right = dataclasses.replace(sure, cls_right=True, culprit_right=True)
    assert calibration_error([sure] * 10) == pytest.approx(0.95)
    assert calibration_error([right] * 19 + [sure]) == pytest.approx(0.0)


def test_two_faults_in_one_incident_are_merged_and_one_in_two_is_split() -> None:
    assert grouping([result()]) == (1.0, 0.0)
    half = {saga: f"fault {number % 2}" for number, saga in enumerate(affected)}
    f1, merged = grouping([dataclasses.replace(result(), truth=half)])
    assert f1 == pytest.approx(2 / 3)
    assert merged == 1.0
    split = {saga: f"incident {number % 2}" for number, saga in enumerate(affected)}
    f1, merged = grouping([dataclasses.replace(result(), grouped=split)])
    assert f1 == pytest.approx(2 / 3)
    assert merged == 0.0


# --- whether the cases are worth anything, and the page ---------------------------------------------------------------


def test_the_same_text_under_two_labels_is_a_pair() -> None:
    other = result("other", truth=labelled(FaultClass.BAD_DEPLOY, blamed=[version]))
    assert gates.minimal_pairs([result(), other]) == Share(2, 2)
    assert gates.minimal_pairs([result(), result("again")]) == Share(0, 2)


def test_a_reader_of_texts_is_right_only_where_the_text_says_it() -> None:
    told = baselines.scores([result(text="timed out waiting for https://card-provider.internal/charge")])
    assert told["B1f"]["joint"] == Share(1, 1)
    assert told["B1f"]["G-joint"] == Share(0, 1)  # the text is no evidence of the provider's state
    vague = baselines.scores([result(text="something went wrong", truth=labelled(FaultClass.BAD_DEPLOY))])
    assert vague["B1f"]["class"] == Share(0, 1)


def test_the_page_shows_each_kind_with_its_interval_and_the_diagram_is_drawn() -> None:
    results = [result(), result("other", truth=labelled(FaultClass.BAD_DEPLOY, blamed=[version]))]
    table = "\n".join(writing.split_table("dev", results))
    assert "| downstream_timeout | 0.500 (1/2; 0.09–0.91)" in table
    assert "| B1f |" in table
    assert writing.diagram(results).count("<circle") == 1
    assert writing.figures(results)["metrics"]["Joint@1"] == {"value": 0.5, "of": 2, "successes": 1}


def test_what_an_attempt_achieved_and_what_a_remedy_harmed_is_told() -> None:
    lines, _ = parts.injection_lines([Attempt(3, "gds", "rules", ("told",)), Attempt(3, "gds", "model", ())])
    assert any("1 of 1 attempts" in line for line in lines)
    assert any("payload 3 at gds: told" in line for line in lines)
    worse = Healed("case", {"pause_all": 1}, helped=0, harmed=9, failed_without=1, failed_with=10)
    assert "1 were worse" in healing_lines([worse])[0][0]
    lines, _ = parts.counterfactual_lines(["one", "two"], [Share(4, 4), Share(0, 2)])
    assert "Without effect: two." in lines
