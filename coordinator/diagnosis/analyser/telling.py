"""The report: the hypotheses, and what follows from them, in sentences that cite what they rest on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from coordinator.diagnosis.analyser.facts import Facts
from coordinator.diagnosis.analyser.ledger import Kept, Ledger, Ref, cut
from coordinator.diagnosis.analyser.naming import plain, short
from coordinator.diagnosis.analyser.score import Candidate
from coordinator.diagnosis.cause import FaultClass
from coordinator.diagnosis.report import (
    BlastRadius,
    Claim,
    ClaimKind,
    Hypothesis,
    Quality,
    Report,
    Residue,
    StepEffect,
    claim_chars_max,
    headline_chars_max,
)

residue_max = 20


def tell(facts: Facts, hypotheses: Sequence[Candidate], ledger: Ledger, version: str) -> Report:
    """Put the report together."""
    kept = ledger.close(_cited(facts, hypotheses))
    case, failing = facts.case, facts.failing
    return Report(
        incident_id=case.incident.id if case.incident else None,
        saga_id=case.focus.saga.id if case.focus else None,
        saga_ids=tuple(seen.saga.id for seen in failing.sagas),
        created_at=case.at,
        analyser_version=version,
        headline=cut(_headline(facts, hypotheses[0]), headline_chars_max),
        phase=failing.phase,
        symptom_step=cut(failing.symptom.name, 200),
        symptom=_symptom(facts),
        hypotheses=tuple(_hypothesis(rank, one, kept) for rank, one in enumerate(hypotheses, start=1)),
        claims=_claims(facts, kept),
        blast_radius=_blast_radius(facts),
        effects=tuple(
            StepEffect(step=one.step.name, certainty=one.certainty, text=one.text, evidence=kept.ids(one.evidence))
            for one in facts.effects
        ),
        residue=tuple(
            Residue(
                saga_id=one.seen.saga.id, step=one.step, text=one.text, todo=one.todo, evidence=kept.ids(one.evidence)
            )
            for one in facts.residue[:residue_max]
        ),
        evidence=kept.evidence,
        quality=Quality(evidence_kinds=dict(Counter(str(item.kind) for item in kept.evidence))),
    )


def _cited(facts: Facts, hypotheses: Sequence[Candidate]) -> dict[Ref, float]:
    cited: dict[Ref, float] = {}
    for place, candidate in enumerate(hypotheses):
        for ref in (*candidate.supports, *candidate.contradicts):
            cited[ref] = max(cited.get(ref, 0.0), 10.0 - place)
    for one in facts.effects:
        for ref in one.evidence:
            cited[ref] = max(cited.get(ref, 0.0), 2.0)
    return cited


def _hypothesis(rank: int, candidate: Candidate, kept: Kept) -> Hypothesis:
    return Hypothesis(
        rank=rank,
        cls=candidate.cls,
        culprit=candidate.culprit,
        root_step=candidate.root_step,
        confidence=candidate.confidence,
        supports=kept.ids(candidate.supports),
        contradicts=kept.ids(candidate.contradicts),
    )


def _headline(facts: Facts, verdict: Candidate) -> str:
    symptom = facts.failing.symptom
    if verdict.cls is FaultClass.UNKNOWN or verdict.culprit is None:
        return f"{plain(symptom.step)} fails, and what is known does not say why"
    return f"{short(verdict.culprit)}: {str(verdict.cls).replace('_', ' ')} at {plain(symptom.step)}"


def _symptom(facts: Facts) -> str:
    for facet in facts.case.facets:
        return cut(facet.template, claim_chars_max)
    for one in facts.failing.tried:
        if one.failure:
            return cut(plain(one.failure.code or one.failure.type), claim_chars_max)
    return ""


def _claims(facts: Facts, kept: Kept) -> tuple[Claim, ...]:
    ids = kept.ids(facts.attempts_ref)
    text = f"{plain(facts.failing.symptom.step)} failed in {facts.failing.total} saga(s)."
    return (Claim(kind=ClaimKind.OBSERVATION, text=text, evidence=ids),) if ids else ()


def _blast_radius(facts: Facts) -> BlastRadius:
    failing, case = facts.failing, facts.case
    return BlastRadius(
        sagas_failed=failing.total,
        sagas_at_risk=case.at_risk,
        sagas_stuck=case.stuck,
        definitions=tuple(dict.fromkeys(plain(step.definition) for step in failing.steps)),
        steps=tuple(dict.fromkeys(plain(step.name) for step in failing.steps)),
        since=min((one.attempt.started_at for one in failing.tried), default=None),
    )
