"""The smaller parts: what a new definition changed, which reports are the same, what is old, loops that end."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from coordinator import forgetting
from coordinator.diagnosis.cause import Entity, EntityKind, FaultClass, Phase
from coordinator.diagnosis.evidence import Evidence, EvidenceKind, Trust
from coordinator.diagnosis.incidents import of_one_cause
from coordinator.diagnosis.redaction import redact
from coordinator.diagnosis.registrations import differences, told_max
from coordinator.diagnosis.remedy import PlannedRemedy, RemedyKind, Target, Tier
from coordinator.diagnosis.report import Certainty, Flag, Hypothesis, Report, StepEffect
from coordinator.diagnosis.weaving import clash, digest_of, woven
from coordinator.errors import StoreUnavailable
from coordinator.forgetting import Forgetting
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.registration import read_definition
from coordinator.store.observed import IncidentRow, IncidentStatus
from coordinator.supervisor import lasting
from tests.engine.conftest import chain

noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
card = Entity(kind=EntityKind.DEPENDENCY, name="card-provider")


# --- definitions ------------------------------------------------------------------------------------------------------


def plan(**facts: Any) -> SagaDefinition:
    first, *others = chain["steps"]
    return read_definition({**chain, "steps": [{**first, **facts}, *others]}, version=1)


def test_a_first_version_differs_from_nothing() -> None:
    assert differences(None, plan(), redact) == {}


def test_each_thing_that_is_another_is_told_before_and_after() -> None:
    after = plan(timeout="5s", participant="stock", retry={"give_up_on": ["B", "A"]}, input={"key": "hunter2" * 40})
    found = differences(plan(), after, redact)
    assert found["reserve.timeout"] == "30 -> 5"
    assert found["reserve.participant"] == "inventory -> stock"
    assert found["reserve.retry.give_up_on"] == '[] -> ["A", "B"]'
    assert found["reserve.input"].startswith("none -> ")
    assert len(found["reserve.input"]) < 250


def test_what_is_told_of_a_definition_is_bounded() -> None:
    many = {"name": "wide", "steps": [{**chain["steps"][0], "name": f"s{n}"} for n in range(60)]}
    few = {"name": "wide", "steps": many["steps"][:1]}
    found = differences(read_definition(few, version=1), read_definition(many, version=2), redact)
    assert len(found) == told_max
    assert found["s1"] == "absent -> there"


def test_the_whole_sagas_own_clocks_are_told_too() -> None:
    later = read_definition({**chain, "deadline": "2h"}, version=2)
    assert differences(plan(), later, redact) == {"deadline_seconds": "none -> 7200"}


# --- reports ----------------------------------------------------------------------------------------------------------


def evidence(evidence_id: str, number: int = 1) -> Evidence:
    return Evidence(
        id=evidence_id, kind=EvidenceKind.ATTEMPT, trust=Trust.COORDINATOR, fact={"n": number}, text=f"fact {number}"
    )


def report(*known: Evidence, **facts: Any) -> Report:
    verdict = Hypothesis(rank=1, cls=FaultClass.DOWNSTREAM_UNAVAILABLE, culprit=card, confidence=0.9)
    stated = {"headline": "h", "symptom_step": "chain.charge", "symptom": "s", "hypotheses": (verdict,), **facts}
    return Report(created_at=noon, analyser_version="1", phase=Phase.FORWARD, evidence=known, **stated)


def test_reports_are_the_same_by_what_they_rest_on_and_not_by_their_ids() -> None:
    assert digest_of(report(evidence("E01-aaa"))) == digest_of(report(evidence("E07-bbb"), headline="other words"))
    assert digest_of(report(evidence("E01-aaa"))) != digest_of(report(evidence("E01-aaa", 2)))


def test_a_sagas_report_has_its_incidents_verdict_and_its_own_effects() -> None:
    effect = StepEffect(step="charge", certainty=Certainty.UNKNOWN, text="may be", evidence=("E01-bbb",))
    own_remedy = PlannedRemedy(kind=RemedyKind.PARK_SAGA, target=Target(saga_id="s1"), tier=Tier.A, text="park")
    others = own_remedy.model_copy(update={"target": Target(saga_id="s2")})
    of_incident = report(evidence("E01-aaa"), incident_id="i", remedies=(others,), headline="of the incident")
    own = report(
        evidence("E01-bbb", 2),
        evidence("E02-bbb", 3),
        saga_id="s1",
        effects=(effect,),
        remedies=(own_remedy,),
        flags=frozenset({Flag.NON_IDEMPOTENT_STEP}),
    )
    both = woven(of_incident, own)
    assert (both.headline, both.saga_id, both.incident_id) == ("of the incident", "s1", "i")
    assert [item.id for item in both.evidence] == ["E01-aaa", "E01-bbb"]  # and nothing that nobody cites
    assert (both.effects, both.remedies, both.flags) == ((effect,), (own_remedy,), own.flags)


def test_ids_that_mean_two_things_are_noticed() -> None:
    assert clash(report(evidence("E01-aaa")), report(evidence("E01-aaa", 2)))
    assert not clash(report(evidence("E01-aaa")), report(evidence("E01-aaa"), evidence("E02-aaa", 2)))


def incident(name: str, minutes: float, **facts: Any) -> IncidentRow:
    at = noon + timedelta(minutes=minutes)
    shown = {"cls": "downstream_unavailable", "culprit": str(card), "confidence": 0.9, **facts}
    return IncidentRow(name, "family", IncidentStatus.OPEN, at, at, at, 1, **shown)


def test_incidents_are_one_only_if_all_speaks_for_it() -> None:
    own, sure = incident("b", 5), report()
    same, late = incident("a", 0), incident("c", 60)
    other = incident("d", 5, culprit="dependency bank")
    unsure = incident("e", 5, confidence=0.3)
    unlike = incident("f", 5, cls="downstream_timeout")
    found = of_one_cause(own, sure, [own, same, late, other, unsure, unlike])
    assert [one.id for one in found] == ["a", "b"]
    assert of_one_cause(own, sure.model_copy(update={"contested": True}), [same]) == (own,)
    assert of_one_cause(own, sure.model_copy(update={"flags": frozenset({Flag.CONFOUNDED})}), [same]) == (own,)
    refusal = sure.verdict.model_copy(update={"cls": FaultClass.BUSINESS_REJECTION})
    assert of_one_cause(own, sure.model_copy(update={"hypotheses": (refusal,)}), [same]) == (own,)


# --- loops ------------------------------------------------------------------------------------------------------------


async def test_a_loop_that_ends_begins_again_and_is_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pauses: list[float] = []
    begun = Counter[str]()
    stays = asyncio.Event()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async def loop() -> None:
        begun["loop"] += 1
        if begun["loop"] == 1:
            raise RuntimeError("unforeseen")
        if begun["loop"] == 2:
            raise asyncio.CancelledError  # that nobody asked for
        if begun["loop"] > 3:
            stays.set()
            await asyncio.Event().wait()

    monkeypatch.setattr("coordinator.supervisor.asyncio.sleep", pause)
    ended: list[int] = []
    with caplog.at_level(logging.ERROR):
        task = asyncio.ensure_future(lasting("a loop", loop, ended=lambda: ended.append(1)))
        await stays.wait()
    assert (len(ended), pauses) == (3, [1.0, 2.0, 4.0])
    assert "unforeseen" in caplog.text
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_is_old_is_forgotten_until_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Store:
        rows = 12

        async def prune(self, now: datetime) -> int:
            gone = min(5, self.rows)
            self.rows -= gone
            return gone

    class Fleet:
        away = True

        async def bury(self, silent_since: datetime) -> int:
            if self.away:
                self.away = False
                raise StoreUnavailable("away")
            assert silent_since == noon - forgetting.workers_kept
            return 1

    store = Store()
    monkeypatch.setattr(forgetting, "sweep_seconds", 0.01)
    sweeping = Forgetting([store], Fleet(), lambda: noon)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable):
        await sweeping.sweep()
    assert await sweeping.sweep() == 13
    store.rows = 3
    task = asyncio.ensure_future(sweeping.run())
    while store.rows:  # noqa: ASYNC110 — the loop gives no signal
        await asyncio.sleep(0.005)
    task.cancel()
