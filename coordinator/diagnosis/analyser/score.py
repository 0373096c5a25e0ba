"""From votes to hypotheses: points add up per class and culprit, what isn't admissible is struck out, the rest become
probabilities, and where none stands out the answer is `unknown`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from itertools import pairwise
from math import exp, floor

from coordinator.diagnosis.analyser.ledger import Ledger, Ref
from coordinator.diagnosis.cause import Entity, FaultClass

unknown_points = 0.9  # what an explanation has to outweigh
confidence_min = 0.5  # of the best one, to be a verdict
margin_min = 0.15  # to the next one
doubtful_max = 0.45  # of an explanation that is no verdict
without_firm_evidence_max = 0.5
confounded_max = 0.6
alone_without_code_max = 0.75
nothing_told_less = 0.1
hypotheses_max = 3


@dataclass(frozen=True, slots=True)
class Vote:
    """What one rule says for an explanation (`points` above 0) or against it, and on which evidence. Points are
    log-odds. A vote against has no culprit of its own: it counts against the class."""

    cls: FaultClass
    points: float
    evidence: tuple[Ref, ...]
    culprit: Entity | None = None
    root_step: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One explanation, added up."""

    cls: FaultClass
    culprit: Entity | None
    root_step: str | None
    points: float
    confidence: float = 0.0
    supports: tuple[Ref, ...] = ()
    contradicts: tuple[Ref, ...] = ()


def candidates_of(
    votes: Sequence[Vote], admissible: Mapping[FaultClass, bool], common: Sequence[Ref] = ()
) -> tuple[Candidate, ...]:
    """One candidate per class that something speaks for and that may be named, the best first. `common` is evidence
    that every explanation rests on: that it failed, and how."""
    found: list[Candidate] = []
    for cls in FaultClass:
        mine = [vote for vote in votes if vote.cls is cls]
        in_favour = [vote for vote in mine if vote.points > 0]
        if cls is FaultClass.UNKNOWN or not in_favour or not admissible.get(cls, False):
            continue
        culprit, root_step = _to_blame(in_favour)
        if culprit is None:
            continue
        found.append(
            Candidate(
                cls,
                culprit,
                root_step,
                sum(vote.points for vote in mine),
                supports=tuple(dict.fromkeys((*_refs(in_favour), *common))),
                contradicts=_refs(vote for vote in mine if vote.points < 0),
            )
        )
    return tuple(sorted(found, key=lambda candidate: -candidate.points))


def _to_blame(votes: Sequence[Vote]) -> tuple[Entity | None, str | None]:
    """Whom the votes for a class name, by the points behind each; the first named on a tie."""
    behind: dict[Entity, float] = {}
    for vote in votes:
        if vote.culprit is not None:
            behind[vote.culprit] = behind.get(vote.culprit, 0.0) + vote.points
    if not behind:
        return None, None
    culprit = max(behind, key=lambda entity: behind[entity])
    steps = [vote.root_step for vote in votes if vote.root_step and vote.culprit == culprit]
    return culprit, steps[0] if steps else None


def _refs(votes: Iterable[Vote]) -> tuple[Ref, ...]:
    """The evidence of these votes, the weightiest vote's first, each once."""
    ordered = sorted(votes, key=lambda vote: -abs(vote.points))
    return tuple(dict.fromkeys(ref for vote in ordered for ref in vote.evidence if ref >= 0))


@dataclass(frozen=True, slots=True)
class Limits:
    """What keeps confidence down, whatever the points."""

    confounded: bool = False
    alone_without_code: bool = False
    nothing_told: bool = False


def ranked(candidates: Sequence[Candidate], ledger: Ledger, limits: Limits) -> tuple[Candidate, ...]:
    """The hypotheses with their probabilities, the verdict first. There always is one, if only `unknown`."""
    unknown = Candidate(FaultClass.UNKNOWN, None, None, unknown_points)
    everything = [*candidates, unknown]
    top = max(candidate.points for candidate in everything)
    weights = [exp(candidate.points - top) for candidate in everything]
    shares = [
        replace(candidate, confidence=weight / sum(weights))
        for candidate, weight in zip(everything, weights, strict=True)
    ]
    shares.sort(key=lambda candidate: -candidate.confidence)
    best = shares[0]
    margin = best.confidence - (shares[1].confidence if len(shares) > 1 else 0.0)
    well_founded = len(best.supports) >= 2 and ledger.firm(best.supports)
    sure = best.confidence >= confidence_min and margin >= margin_min and well_founded
    probable = calibrated(best.confidence)
    # The others share what is left, as they did.
    left = (1.0 - probable) / (1.0 - best.confidence) if best.confidence < 1.0 else 0.0
    weighed = [
        replace(candidate, confidence=candidate.confidence * left if place else probable)
        for place, candidate in enumerate(shares[:hypotheses_max])
    ]
    kept = [_limited(candidate, ledger, limits) for candidate in weighed]
    if best.cls is not FaultClass.UNKNOWN and not sure:
        kept = _in_doubt(kept)
    total = sum(candidate.confidence for candidate in kept)
    scale = 1.0 / total if total > 1.0 else 1.0
    return tuple(
        replace(candidate, confidence=floor(candidate.confidence * scale * 10_000) / 10_000) for candidate in kept
    )


def _in_doubt(candidates: Sequence[Candidate]) -> list[Candidate]:
    """None stands out: that is the verdict, and the best of them are named after it."""
    others = [
        replace(candidate, confidence=min(candidate.confidence, doubtful_max))
        for candidate in candidates
        if candidate.cls is not FaultClass.UNKNOWN
    ][: hypotheses_max - 1]
    doubt = Candidate(FaultClass.UNKNOWN, None, None, unknown_points, confidence=1.0 - others[0].confidence)
    return [doubt, *others]


def _limited(candidate: Candidate, ledger: Ledger, limits: Limits) -> Candidate:
    confidence = candidate.confidence
    if candidate.cls is FaultClass.UNKNOWN:
        return candidate
    if not ledger.firm(candidate.supports):
        confidence = min(confidence, without_firm_evidence_max)
    if limits.confounded:
        confidence = min(confidence, confounded_max)
    if limits.alone_without_code:
        confidence = min(confidence, alone_without_code_max)
    if limits.nothing_told:
        confidence = max(0.0, confidence - nothing_told_less)
    return replace(candidate, confidence=confidence)


def calibrated(share: float) -> float:
    """The probability that a share of the points has turned out to mean, by the table shipped beside this file: pairs
    of (share, probability), rising, joined by straight lines."""
    points = _table()
    for (left, low), (right, high) in pairwise(points):
        if share <= right:
            return low + (high - low) * (share - left) / (right - left)
    return points[-1][1]


@cache
def _table() -> tuple[tuple[float, float], ...]:
    text = resources.files(__package__).joinpath("calibration.json").read_text("utf-8")
    return tuple((float(share), float(probability)) for share, probability in json.loads(text)["points"])
