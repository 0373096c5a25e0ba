"""A report to work on: the card provider that does not answer."""

from __future__ import annotations

from datetime import UTC, datetime

from coordinator.diagnosis.cause import Entity, EntityKind, FaultClass, Phase
from coordinator.diagnosis.evidence import Evidence, EvidenceKind, Trust
from coordinator.diagnosis.remedy import PlannedRemedy, RemedyKind, Target, Tier
from coordinator.diagnosis.report import BlastRadius, ChainLink, Claim, ClaimKind, Hypothesis, Report

onset = datetime(2026, 3, 1, 14, 2, tzinfo=UTC)
provider = Entity(kind=EntityKind.DEPENDENCY, name="card-provider")
participant = Entity(kind=EntityKind.PARTICIPANT, name="payment")
version = Entity(kind=EntityKind.WORKER_VERSION, name="payment@1.4.2")
step = Entity(kind=EntityKind.STEP, name="place_order.charge-card")

calls_id, error_id, health_id = "E01-abc", "E02-abc", "E03-abc"


def report_of_a_silent_provider(
    *,
    incident_id: str = "0199-an-incident",
    confidence: float = 0.9,
    second: float = 0.05,
    failures: int = 258,
    wording: str = "connection timed out to <host> password=hunter2",
) -> Report:
    """A report with two hypotheses, three pieces of evidence, two remedies."""
    share = failures / (failures + 7)
    calls = Evidence(
        id=calls_id,
        kind=EvidenceKind.DEPENDENCY_STATE,
        trust=Trust.COORDINATOR,
        subjects=(provider, participant),
        ts_from=onset,
        fact={"failed": failures, "ok": 7, "share": share, "p95_seconds": 5.004},
        text=f"card-provider: {failures} of {failures + 7} calls failed since 14:02",
    )
    error = Evidence(
        id=error_id,
        kind=EvidenceKind.ERROR,
        trust=Trust.EXTERNAL_TEXT,
        subjects=(step,),
        fact={"count": failures, "template": wording},
        text=wording,
    )
    health = Evidence(
        id=health_id,
        kind=EvidenceKind.COUNTER_EVIDENCE,
        trust=Trust.COORDINATOR,
        subjects=(version,),
        fact={"failed": 3, "ok": 122},
        text="payment@1.4.2 succeeds elsewhere: 122 of 125",
    )
    return Report(
        incident_id=incident_id,
        created_at=onset,
        analyser_version="test",
        headline="payment can't reach card-provider",
        phase=Phase.FORWARD,
        symptom_step=step.name,
        symptom="connection timed out to <host>",
        hypotheses=(
            Hypothesis(
                rank=1,
                cls=FaultClass.DOWNSTREAM_TIMEOUT,
                culprit=provider,
                confidence=confidence,
                supports=(calls_id, error_id),
                contradicts=(),
            ),
            Hypothesis(
                rank=2,
                cls=FaultClass.BAD_DEPLOY,
                culprit=version,
                confidence=second,
                supports=(error_id,),
                contradicts=(health_id,),
            ),
        ),
        chain=(ChainLink(text="card-provider answers too late", evidence=(calls_id,)),),
        claims=(Claim(kind=ClaimKind.OBSERVATION, text="Calls fail", evidence=(calls_id,)),),
        onset=onset,
        blast_radius=BlastRadius(sagas_failed=failures, since=onset),
        remedies=(
            PlannedRemedy(
                kind=RemedyKind.OPEN_CIRCUIT,
                target=Target(participant="payment", seconds=60),
                tier=Tier.A,
                text="Pause payment for a minute",
                evidence=(calls_id,),
            ),
            PlannedRemedy(kind=RemedyKind.RETRY_LATER, tier=Tier.C, text="Start them again", evidence=(calls_id,)),
        ),
        evidence=(calls, error, health),
    )
