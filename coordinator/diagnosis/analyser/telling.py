"""The report: the hypotheses, and what follows from them, in sentences that cite what they rest on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from coordinator.diagnosis.analyser.advice import Proposal, proposals_of
from coordinator.diagnosis.analyser.exoneration import Acquitted, acquitted_by
from coordinator.diagnosis.analyser.facts import Facts
from coordinator.diagnosis.analyser.ledger import Kept, Ledger, Ref, cut
from coordinator.diagnosis.analyser.naming import plain
from coordinator.diagnosis.analyser.prose import Sentence, chain_of, claims_of, headline, symptom_line
from coordinator.diagnosis.analyser.reckoning import blast_radius, flags_of, missing_of, transience_of
from coordinator.diagnosis.analyser.score import Candidate
from coordinator.diagnosis.remedy import PlannedRemedy
from coordinator.diagnosis.report import (
    ChainLink,
    Claim,
    Hypothesis,
    Quality,
    Report,
    Residue,
    RuledOut,
    Similar,
    StepEffect,
    claim_chars_max,
    claims_max,
)

residue_max = 20
saga_ids_max = 20


def tell(
    facts: Facts, hypotheses: tuple[Candidate, ...], similar: Sequence[Similar], ledger: Ledger, version: str
) -> Report:
    """Put the report together. What lost its evidence for want of room is left out, and counted."""
    verdict = hypotheses[0]
    claims, chain = tuple(claims_of(facts, verdict, hypotheses)), tuple(chain_of(facts, verdict))
    acquitted, proposals = acquitted_by(facts, hypotheses), proposals_of(facts, verdict)
    kept = ledger.close(_cited(facts, hypotheses, claims, chain, acquitted, proposals))
    told = _told(claims, kept)
    case, failing = facts.case, facts.failing
    report = Report(
        incident_id=case.incident.id if case.incident else None,
        saga_id=case.focus.saga.id if case.focus else None,
        saga_ids=tuple(seen.saga.id for seen in failing.sagas[:saga_ids_max]),
        created_at=case.at,
        analyser_version=version,
        headline=headline(facts, verdict),
        phase=failing.phase,
        symptom_step=f"{plain(failing.symptom.definition)}.{plain(failing.symptom.step)}",
        symptom=symptom_line(facts),
        hypotheses=tuple(_hypothesis(rank, one, facts, kept) for rank, one in enumerate(hypotheses, start=1)),
        chain=_chain(chain, kept),
        ruled_out=_ruled_out(acquitted, kept),
        claims=told,
        transience=transience_of(facts, verdict),
        onset=facts.onset.at,
        blast_radius=blast_radius(facts),
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
        similar=tuple(similar),
        remedies=tuple(
            PlannedRemedy(
                kind=one.kind, target=one.target, tier=one.tier, text=one.text, evidence=kept.ids(one.evidence)
            )
            for one in proposals
        ),
        flags=flags_of(facts, verdict),
        evidence=kept.evidence,
    )
    return report.model_copy(update={"quality": _quality(report, dropped=len(claims) - len(told))})


def _told(claims: Sequence[Sentence], kept: Kept) -> tuple[Claim, ...]:
    """Claims that still cite something."""
    found = [
        Claim(kind=one.kind, text=cut(one.text, claim_chars_max), evidence=ids)
        for one in claims
        if (ids := kept.ids(one.evidence))
    ]
    return tuple(found[:claims_max])


def _chain(links: Sequence[Sentence], kept: Kept) -> tuple[ChainLink, ...]:
    return tuple(
        ChainLink(text=cut(one.text, claim_chars_max), at=one.at, evidence=ids)
        for one in links
        if (ids := kept.ids(one.evidence))
    )


def _ruled_out(acquitted: Sequence[Acquitted], kept: Kept) -> tuple[RuledOut, ...]:
    return tuple(
        RuledOut(entity=one.entity, because=one.because, text=cut(one.text, claim_chars_max), evidence=ids)
        for one in acquitted
        if (ids := kept.ids(one.evidence))
    )


def _cited(
    facts: Facts,
    hypotheses: Sequence[Candidate],
    claims: Iterable[Sentence],
    chain: Iterable[Sentence],
    acquitted: Iterable[Acquitted],
    proposals: Iterable[Proposal],
) -> dict[Ref, float]:
    """How much rests on each entry: the verdict most, then what else is said."""
    cited: dict[Ref, float] = {}

    def rests(refs: Iterable[Ref], weight: float) -> None:
        for ref in refs:
            cited[ref] = max(cited.get(ref, 0.0), weight)

    for place, candidate in enumerate(hypotheses):
        rests(candidate.supports, 10.0 - 2 * place)
        rests(candidate.contradicts, 7.0 - 2 * place)
    for sentence in (*claims, *chain):
        rests(sentence.evidence, 5.0)
    for one in acquitted:
        rests(one.evidence, 4.0)
    for proposal in proposals:
        rests(proposal.evidence, 3.0)
    for effect in facts.effects:
        rests(effect.evidence, 3.0)
    for left in facts.residue[:residue_max]:
        rests(left.evidence, 2.0)
    return cited


def _hypothesis(rank: int, candidate: Candidate, facts: Facts, kept: Kept) -> Hypothesis:
    return Hypothesis(
        rank=rank,
        cls=candidate.cls,
        culprit=candidate.culprit,
        root_step=candidate.root_step,
        confidence=candidate.confidence,
        supports=kept.ids(candidate.supports),
        contradicts=kept.ids(candidate.contradicts),
        missing=missing_of(facts) if rank == 1 else (),
    )


def _quality(report: Report, *, dropped: int) -> Quality:
    parts = (report.claims, report.chain, report.ruled_out, report.effects, report.residue, report.remedies)
    cited = [ref for part in parts for one in part for ref in one.evidence]
    cited += [ref for one in report.hypotheses for ref in (*one.supports, *one.contradicts)]
    kinds = Counter(str(item.kind) for item in report.evidence)
    return Quality(citations=len(cited), citations_valid=len(cited), claims_dropped=dropped, evidence_kinds=dict(kinds))
