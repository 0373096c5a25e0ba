"""Reports as the analyser would write them, for whoever shows or keeps them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from coordinator.diagnosis.cause import Entity, EntityKind, FaultClass, Phase
from coordinator.diagnosis.evidence import Evidence, EvidenceKind, Trust
from coordinator.diagnosis.remedy import PlannedRemedy, RemedyKind, Target, Tier
from coordinator.diagnosis.report import (
    BlastRadius,
    Certainty,
    ChainLink,
    Claim,
    ClaimKind,
    Flag,
    Hypothesis,
    Report,
    Residue,
    RuledOut,
    RuledOutBecause,
    Similar,
    StepEffect,
    Transience,
)

now = datetime(2026, 11, 21, 14, 5, 0, tzinfo=UTC)
onset = now - timedelta(minutes=3)
provider = Entity(kind=EntityKind.DEPENDENCY, name="card-provider")
saga_id = "0190b5d2-7c1e-7000-8000-00000000000a"


def evidence(number: int, text: str, kind: EvidenceKind = EvidenceKind.ATTEMPT, **more: Any) -> Evidence:
    given = {"trust": Trust.COORDINATOR, "ts_from": onset, "subjects": (provider,), **more}
    return Evidence(id=f"E{number:02}-k3q", kind=kind, text=text, **given)


def report(**more: Any) -> Report:
    """A payment service that can't reach its provider: everything a report can have, once."""
    given: dict[str, Any] = {
        "incident_id": "0190b5d2-7c1e-7000-8000-0000000000f1",
        "saga_id": saga_id,
        "saga_ids": (saga_id,),
        "created_at": now,
        "analyser_version": "1",
        "headline": "payment can't connect to card-provider within 2 s since 14:02 (3 sagas)",
        "phase": Phase.FORWARD,
        "symptom_step": "place_order.charge-card",
        "symptom": "ConnectTimeout: connecting to <host>:<port> timed out after <duration>",
        "hypotheses": (
            Hypothesis(
                rank=1,
                cls=FaultClass.DOWNSTREAM_TIMEOUT,
                culprit=provider,
                root_step="place_order.charge-card",
                confidence=0.87,
                supports=("E01-k3q", "E02-k3q"),
                contradicts=("E04-k3q",),
            ),
            Hypothesis(
                rank=2,
                cls=FaultClass.DOWNSTREAM_UNAVAILABLE,
                culprit=provider,
                confidence=0.09,
                supports=("E01-k3q",),
            ),
        ),
        "chain": (
            ChainLink(text="card-provider stopped answering connects", at=onset, evidence=("E02-k3q",)),
            ChainLink(
                text="payment.charge waited 2 s for it, three times, and gave up",
                at=onset + timedelta(seconds=9),
                evidence=("E01-k3q",),
            ),
            ChainLink(text="place_order turned back at charge-card", at=onset + timedelta(seconds=9), evidence=()),
        ),
        "claims": (
            Claim(
                kind=ClaimKind.OBSERVATION,
                text="all 9 calls to card-provider since 14:02 timed out; before, 0 of 212",
                evidence=("E02-k3q",),
            ),
            Claim(kind=ClaimKind.IMPACT, text="every order with a card fails", evidence=("E01-k3q",)),
            Claim(kind=ClaimKind.ADVICE, text="tell the provider the times above", evidence=("E02-k3q",)),
        ),
        "ruled_out": (
            RuledOut(
                entity=Entity(kind=EntityKind.WORKER_VERSION, name="payment@1.4.2"),
                because=RuledOutBecause.CHANGE_AFTER_ONSET,
                text="first seen at 14:04, two minutes after the first failure",
                evidence=("E03-k3q",),
            ),
        ),
        "transience": Transience.PERSISTENT,
        "onset": onset,
        "blast_radius": BlastRadius(
            sagas_failed=3, sagas_at_risk=2, sagas_stuck=1, since=onset, rate_per_minute=1.0, still_growing=True
        ),
        "effects": (
            StepEffect(step="create-order", certainty=Certainty.UNDONE, text="cancelled at 14:02:11"),
            StepEffect(step="reserve-stock", certainty=Certainty.UNDONE, text=""),
            StepEffect(
                step="charge-card",
                certainty=Certainty.NOT_APPLIED,
                text="no connection was made, so nothing was sent",
                evidence=("E01-k3q",),
            ),
            StepEffect(step="assign-courier", certainty=Certainty.NOT_RUN, text=""),
            StepEffect(step="confirm-order", certainty=Certainty.NOT_RUN, text=""),
        ),
        "residue": (
            Residue(
                saga_id="0190b5d2-7c1e-7000-8000-00000000000b",
                step="reserve-stock",
                text="its compensation gave up after 5 attempts",
                todo="Release the stock by hand, then settle the step",
                evidence=("E04-k3q",),
            ),
        ),
        "similar": (
            Similar(
                incident_id="0190b5d2-7c1e-7000-8000-0000000000e9",
                at=now - timedelta(days=9),
                headline="payment can't connect to card-provider within 2 s",
                similarity=0.93,
                matched_on=("the same error", "the same step"),
                differences=("it took 40 minutes",),
                cls=FaultClass.DOWNSTREAM_TIMEOUT,
                resolution="the provider's firewall had a new rule; they took it back",
                verified=True,
            ),
        ),
        "remedies": (
            PlannedRemedy(
                kind=RemedyKind.OPEN_CIRCUIT,
                target=Target(participant="payment", seconds=300),
                tier=Tier.A,
                text="send payment nothing for 5 minutes, then try a few",
                evidence=("E02-k3q",),
            ),
            PlannedRemedy(
                kind=RemedyKind.RETRY_LATER,
                tier=Tier.D,
                text="start the orders again, with growing pauses, once the provider answers",
                evidence=("E02-k3q",),
            ),
        ),
        "flags": frozenset({Flag.REDACTED}),
        "evidence": (
            evidence(1, "attempts 1 to 3 of charge-card failed with ConnectTimeout after 2.0 s each"),
            evidence(
                2,
                "9 of 9 calls to card-provider failed since 14:02, of 212 before none",
                EvidenceKind.DEPENDENCY_STATE,
                trust=Trust.PARTICIPANT,
            ),
            evidence(3, "payment@1.4.2 was first seen at 14:04", EvidenceKind.DEPLOY),
            evidence(4, "reserve-stock's compensation gave up", EvidenceKind.SAGA_EVENT),
        ),
    }
    return Report(**{**given, **more})
