"""What was the matter last time. It may tip a balance and no more: only what a person has confirmed counts, the less
the longer ago, and never for a class of which nothing is seen now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import exp

from coordinator.diagnosis.analyser.facts import Facts
from coordinator.diagnosis.analyser.ledger import Entry, Ledger
from coordinator.diagnosis.analyser.naming import plain, step_entity
from coordinator.diagnosis.analyser.score import Vote
from coordinator.diagnosis.cause import FaultClass
from coordinator.diagnosis.evidence import EvidenceKind, Trust
from coordinator.diagnosis.report import Similar

points_max = 0.5
fades_days = 20.0


def remembered(facts: Facts, similar: Sequence[Similar], ledger: Ledger) -> Iterator[Vote]:
    """A vote for the class of each like incident that a person has confirmed, together no more than a nudge."""
    left = points_max
    symptom = facts.failing.symptom
    for one in similar:
        if not one.verified or one.cls is FaultClass.UNKNOWN or left <= 0:
            continue
        days = max(0.0, (facts.case.at - one.at).total_seconds() / 86_400)
        points = min(left, points_max * one.similarity * exp(-days / fades_days))
        left -= points
        ref = ledger.enter(
            Entry(
                EvidenceKind.HISTORY_MATCH,
                Trust.COORDINATOR,
                f"Incident {plain(one.incident_id)} looked like this ({one.similarity:.2f}) and was {one.cls}.",
                subjects=(step_entity(symptom.definition, symptom.step),),
                fact={"similarity": round(one.similarity, 2), "class": str(one.cls), "days_ago": round(days, 1)},
                ts_from=one.at,
                source_ref=f"incident:{one.incident_id}",
                weight=0.5,
            )
        )
        yield Vote(one.cls, points, (ref,))
