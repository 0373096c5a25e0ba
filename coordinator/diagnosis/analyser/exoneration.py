"""Who is not to blame, and why not: whoever fares as well as ever in the same minutes, whatever was changed only after
it had begun, whatever another thing explains better."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from coordinator.diagnosis.analyser.contrast import Dimension
from coordinator.diagnosis.analyser.facts import Facts
from coordinator.diagnosis.analyser.ledger import Ref
from coordinator.diagnosis.analyser.naming import clock, percent, short
from coordinator.diagnosis.analyser.score import Candidate
from coordinator.diagnosis.cause import Entity
from coordinator.diagnosis.report import RuledOutBecause

acquitted_max = 8


@dataclass(frozen=True, slots=True)
class Acquitted:
    """An entity that is not to blame."""

    entity: Entity
    because: RuledOutBecause
    text: str
    evidence: tuple[Ref, ...]


def acquitted_by(facts: Facts, hypotheses: tuple[Candidate, ...]) -> tuple[Acquitted, ...]:
    """The most interesting first: late changes, then the healthy ones of the kind that is accused."""
    accused = {one.culprit for one in hypotheses}
    found: dict[Entity, Acquitted] = {}
    for one in (*_late(facts), *_well(facts), *_alike(facts, hypotheses[0]), *_elsewhere(facts)):
        if one.entity not in accused and one.evidence and min(one.evidence) >= 0:
            found.setdefault(one.entity, one)
    return tuple(found.values())[:acquitted_max]


def _late(facts: Facts) -> Iterator[Acquitted]:
    for change in facts.changes:
        if change.after and change.ref >= 0:
            onset = facts.onset.at or change.occurrence.at
            text = f"{short(change.entity)} changed at {clock(change.occurrence.at)}; it had begun at {clock(onset)}."
            refs = (change.ref,) if facts.onset.ref is None else (change.ref, facts.onset.ref)
            yield Acquitted(change.entity, RuledOutBecause.CHANGE_AFTER_ONSET, text, refs)


def _well(facts: Facts) -> Iterator[Acquitted]:
    for one in facts.dependencies:
        if one.well:
            text = f"Calls to {short(one.entity)} work: {one.since.share.bad} of {one.since.share.total} failed."
            yield Acquitted(one.entity, RuledOutBecause.HEALTHY_IN_SAME_WINDOW, text, (one.ref,))


def _alike(facts: Facts, verdict: Candidate) -> Iterator[Acquitted]:
    """Others of the dimensions that stand out, which fare well; the dimension of the accused first."""
    guilty = {one.dimension for one in facts.contrasts.guilty}
    healthy = [
        one for one in facts.contrasts.healthy if one.dimension in guilty and one.dimension is not Dimension.SETTING
    ]
    kind = str(verdict.culprit.kind) if verdict.culprit else ""
    for one in sorted(healthy, key=lambda one: (str(one.dimension) != kind, one.inside.rate, one.entity.name)):
        text = f"{short(one.entity)}: {one.inside.bad} of {one.inside.total} failed ({percent(one.inside.rate)})."
        yield Acquitted(one.entity, RuledOutBecause.HEALTHY_IN_SAME_WINDOW, text, (one.ref,))


def _elsewhere(facts: Facts) -> Iterator[Acquitted]:
    """Changes just before, of what is not the reason."""
    for change in facts.changes:
        if change.suspect and change.ref >= 0:
            share = facts.contrasts.share(change.entity)
            text = f"{short(change.entity)} changed shortly before, and something else explains the failures."
            if share.total >= 8 and share.rate <= 0.2:
                text = f"{short(change.entity)} is new, and works: {share.bad} of {share.total} failed."
                yield Acquitted(change.entity, RuledOutBecause.HEALTHY_IN_SAME_WINDOW, text, (change.ref,))
            elif change.participant and change.participant != facts.failing.symptom.participant:
                yield Acquitted(change.entity, RuledOutBecause.OTHER_DIMENSION_EXPLAINS, text, (change.ref,))
