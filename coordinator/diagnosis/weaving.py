"""One saga's report out of two: its incident's, which says what is wrong and has been worded and checked, and its own,
which says what happened to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from coordinator.diagnosis.evidence import EvidenceId
from coordinator.diagnosis.remedy import PlannedRemedy
from coordinator.diagnosis.report import Report

remedies_max = 8


def digest_of(report: Report) -> str:
    """The same for reports that say the same on the same evidence: 64 hexadecimal digits."""
    facts = [
        [[one.cls, str(one.culprit), one.root_step, round(one.confidence, 1)] for one in report.hypotheses],
        report.contested,
        report.blast_radius.sagas_failed,
        sorted(one.digest for one in report.evidence),
        sorted(str(one.kind) for one in report.remedies),
    ]
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()


def clash(one: Report, other: Report) -> bool:
    """Whether an id means one thing here and another there."""
    digests = {item.id: item.digest for item in one.evidence}
    return any(digests.get(item.id, item.digest) != item.digest for item in other.evidence)


def woven(incident: Report, own: Report) -> Report:
    """The incident's report with this saga's own symptom, effects, residue and remedies. Their ids must not clash."""
    mine = [remedy for remedy in own.remedies if remedy.target.saga_id == own.saga_id]
    remedies = (*mine, *(remedy for remedy in incident.remedies if remedy.target.saga_id in (None, own.saga_id)))
    cited = set(_cited(own, mine))
    known = {item.id for item in incident.evidence}
    added = tuple(item for item in own.evidence if item.id in cited and item.id not in known)
    return incident.model_copy(
        update={
            "saga_id": own.saga_id,
            "phase": own.phase,
            "symptom_step": own.symptom_step,
            "symptom": own.symptom,
            "effects": own.effects,
            "residue": own.residue,
            "remedies": tuple(dict.fromkeys(remedies))[:remedies_max],
            "flags": incident.flags | own.flags,
            "evidence": (*incident.evidence, *added),
            "quality": incident.quality.model_copy(update={"milliseconds": own.quality.milliseconds}),
        }
    )


def _cited(own: Report, remedies: list[PlannedRemedy]) -> Iterator[EvidenceId]:
    for cited in (
        *(effect.evidence for effect in own.effects),
        *(left.evidence for left in own.residue),
        *(remedy.evidence for remedy in remedies),
    ):
        yield from cited
