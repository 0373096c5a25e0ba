"""How a report is judged: by what the injector knows, through nothing but what the product shows."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.diagnosis.cases import grounds
from bench.diagnosis.running import Item, Result, seconds_of
from coordinator.diagnosis.cause import FaultClass
from coordinator.diagnosis.evidence import EvidenceKind
from coordinator.diagnosis.report import Report

onset_tolerance_seconds = 60.0
remedies_seen = 3  # of a report: what a person would try first

_neutral = frozenset(
    {
        EvidenceKind.ERROR,
        EvidenceKind.ATTEMPT,
        EvidenceKind.SAGA_EVENT,
        EvidenceKind.SPAN,
        EvidenceKind.TIMING,
        EvidenceKind.ONSET,
        EvidenceKind.STEP_CONTRAST,
        EvidenceKind.COUNTER_EVIDENCE,
        EvidenceKind.HISTORY_MATCH,
    }
)


@dataclass(slots=True)
class Grade:
    """How one report did."""

    name: str
    kind: str
    hard: bool
    truth: str
    said: str = "nothing"
    culprit: str = ""
    confidence: float = 0.0
    cls_right: bool = False
    culprit_right: bool = False
    grounded: bool = False
    innocent_blamed: bool = False
    innocents: int = 0
    cites: int = 0
    cites_valid: int = 0
    supports: int = 0
    supports_fitting: int = 0
    groups: int = 0
    groups_covered: int = 0
    effects: int = 0
    effects_right: int = 0
    effects_missing: int = 0
    onset_error: float | None = None
    radius_error: float | None = None
    helped: bool = False
    harmed: bool = False
    affected: int = 0
    why: list[str] = field(default_factory=list)

    @property
    def joint(self) -> bool:
        return self.cls_right and self.culprit_right

    @property
    def grounded_joint(self) -> bool:
        return self.joint and self.grounded


def grades(results: Iterable[Result]) -> list[Grade]:
    return [_grade(result, number, item) for result in results for number, item in enumerate(result.items)]


def _grade(result: Result, number: int, item: Item) -> Grade:
    label = item.label
    name = result.name if len(result.items) == 1 else f"{result.name}{'ab'[number]}"
    grade = Grade(name, result.kind, result.hard, label.classes[0].value, affected=len(item.affected))
    report = item.report
    if report is None:
        grade.why.append("no incident" if item.affected else "nobody failed: the case is worth nothing")
        return grade
    _verdict(grade, item, report)
    _citations(grade, item, report)
    _effects(grade, item)
    onset = seconds_of(report)
    if label.onset is not None and onset is not None:
        grade.onset_error = abs(onset - label.onset)
    if item.affected:
        grade.radius_error = abs(report.blast_radius.sagas_failed - len(item.affected)) / len(item.affected)
    tried = {remedy.kind for remedy in report.remedies[:remedies_seen]}
    grade.helped = bool(tried & label.actions_any)
    forbidden = {remedy.kind for remedy in report.remedies} & label.actions_forbidden
    grade.harmed = bool(forbidden)
    if forbidden:
        grade.why.append(f"forbidden: {', '.join(sorted(forbidden))}")
    return grade


def _verdict(grade: Grade, item: Item, report: Report) -> None:
    label, verdict = item.label, report.verdict
    grade.said, grade.confidence = verdict.cls.value, verdict.confidence
    grade.culprit = str(verdict.culprit) if verdict.culprit else ""
    grade.cls_right = verdict.cls in label.classes
    grade.culprit_right = label.abstain or verdict.culprit in item.blamed
    grade.innocents = len(label.not_culprits)
    grade.innocent_blamed = verdict.culprit in label.not_culprits
    if not grade.cls_right:
        grade.why.append(f"{verdict.cls.value} instead of {' or '.join(label.classes)}")
    elif not grade.culprit_right:
        known = ", ".join(sorted(map(str, item.blamed)))[:160]
        grade.why.append(f"blames {grade.culprit or 'nobody'} instead of {known}")


def _citations(grade: Grade, item: Item, report: Report) -> None:
    label, verdict = item.label, report.verdict
    known = {one.id: one for one in report.evidence}
    cited = [
        *verdict.supports,
        *(one for claim in report.claims for one in claim.evidence),
        *(one for link in report.chain for one in link.evidence),
        *(one for ruled in report.ruled_out for one in ruled.evidence),
        *(one for effect in report.effects for one in effect.evidence),
        *(one for remedy in report.remedies for one in remedy.evidence),
    ]
    grade.cites, grade.cites_valid = len(cited), sum(one in known for one in cited)
    causal = {*verdict.supports, *(one for link in report.chain for one in link.evidence)}
    kinds = {known[one].kind for one in causal if one in known}
    grade.groups = len(label.cites)
    grade.groups_covered = sum(bool(group & kinds) for group in label.cites)
    fitting = frozenset().union(_neutral, *label.cites, *(group for cls in label.classes for group in grounds[cls]))
    grade.supports = len(verdict.supports)
    grade.supports_fitting = sum(one in known and known[one].kind in fitting for one in verdict.supports)
    accused = any(
        one in known
        and known[one].kind in (EvidenceKind.DEPLOY, EvidenceKind.CONFIG_CHANGE)
        and set(known[one].subjects) & label.not_culprits
        for one in verdict.supports
    )
    firm = any(one in known and known[one].trust.value in ("coordinator", "infra") for one in verdict.supports)
    enough = label.abstain or (len(set(verdict.supports)) >= 2 and firm)
    grade.grounded = (grade.groups_covered == grade.groups and not accused and enough) or label.abstain
    if grade.joint and not grade.grounded:
        lacking = [sorted(group) for group in label.cites if not group & kinds]
        grade.why.append(f"not grounded: lacks {lacking}" if lacking else "not grounded")


def _effects(grade: Grade, item: Item) -> None:
    for effects in item.effects:
        for step, right in effects.right.items():
            said = effects.said.get(step)
            if said is None:
                grade.effects_missing += right != {"not_run", "not_applied"}
                continue
            grade.effects += 1
            grade.effects_right += said in right
            if said not in right:
                grade.why.append(f"effect of {step}: {said}, is {'/'.join(sorted(right))}")


# --- sums -------------------------------------------------------------------------------------------------------------


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The interval that holds the true share in 95 of 100 cases."""
    if not n:
        return 0.0, 1.0
    z, share = 1.96, successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    successes: int
    n: int

    @classmethod
    def of(cls, flags: Iterable[bool]) -> Share:
        known = list(flags)
        return cls(sum(known), len(known))

    @classmethod
    def sum(cls, shares: Iterable[Share]) -> Share:
        """What several come to together."""
        known = list(shares)
        return cls(sum(one.successes for one in known), sum(one.n for one in known))

    @property
    def value(self) -> float:
        return self.successes / self.n if self.n else float("nan")

    def __str__(self) -> str:
        if not self.n:
            return "–"
        low, high = wilson(self.successes, self.n)
        return f"{self.value:.3f} ({self.successes}/{self.n}; {low:.2f}–{high:.2f})"


def metrics(results: Sequence[Result]) -> dict[str, object]:
    """Every metric over some cases."""
    found = grades(results)
    named = [grade for grade in found if grade.truth != "unknown"]
    precision, recall = _abstained(found)
    cited = sum(grade.cites for grade in found)
    supports = sum(grade.supports for grade in named)
    groups = sum(grade.groups for grade in named)
    effects = sum(grade.effects for grade in found)
    onsets = sorted(grade.onset_error for grade in found if grade.onset_error is not None)
    radii = sorted(grade.radius_error for grade in found if grade.radius_error is not None)
    times = sorted(taken for result in results for taken in result.milliseconds if taken)
    b3, merged = grouping(results)
    return {
        "cases": len(results),
        "items": len(found),
        "Class@1": Share.of(grade.cls_right for grade in found),
        "Culprit@1": Share.of(grade.culprit_right for grade in named),
        "Joint@1": Share.of(grade.joint for grade in found),
        "G-Joint@1": Share.of(grade.grounded_joint for grade in found),
        "G-Joint@1 of hard cases": Share.of(grade.grounded_joint for grade in found if grade.hard),
        "grounded of right": Share.of(grade.grounded for grade in named if grade.joint),
        "innocent blamed": Share.of(grade.innocent_blamed for grade in found if grade.innocents),
        "abstain F1": 2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        "citation validity": sum(grade.cites_valid for grade in found) / cited if cited else 0.0,
        "citation precision": sum(grade.supports_fitting for grade in named) / supports if supports else 0.0,
        "citation recall": sum(grade.groups_covered for grade in named) / groups if groups else 0.0,
        "effects accuracy": sum(grade.effects_right for grade in found) / effects if effects else 0.0,
        "effects judged": effects,
        "effects missing": sum(grade.effects_missing for grade in found),
        "onset within 60 s": Share.of(error <= onset_tolerance_seconds for error in onsets),
        "onset error, median s": middle(onsets),
        "blast radius error, median": middle(radii),
        "useful remedy": Share.of(grade.helped for grade in found),
        "forbidden remedy": Share.of(grade.harmed for grade in found),
        "grouping B³ F1": b3,
        "over-merge": merged,
        "ECE": calibration_error(found),
        "Brier": sum((grade.confidence - grade.joint) ** 2 for grade in found) / len(found) if found else 0.0,
        "report ms p50": middle(times),
        "report ms p95": times[int(0.95 * (len(times) - 1))] if times else 0.0,
    }


def middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0


def _abstained(found: Sequence[Grade]) -> tuple[float, float]:
    said = [grade for grade in found if grade.said == FaultClass.UNKNOWN.value]
    due = [grade for grade in found if grade.truth == FaultClass.UNKNOWN.value]
    both = sum(grade.truth == FaultClass.UNKNOWN.value for grade in said)
    return both / len(said) if said else 0.0, both / len(due) if due else 0.0


def per_class(results: Sequence[Result]) -> Mapping[str, dict[str, Share]]:
    """The same by kind of case."""
    by: dict[str, list[Grade]] = defaultdict(list)
    for grade in grades(results):
        by[grade.kind].append(grade)
    return {
        kind: {
            "class": Share.of(grade.cls_right for grade in some),
            "culprit": Share.of(grade.culprit_right for grade in some),
            "G-Joint": Share.of(grade.grounded_joint for grade in some),
        }
        for kind, some in by.items()
    }


def grouping(results: Sequence[Result]) -> tuple[float, float]:
    """B³ F1 of the failed sagas' incidents against whose failures they are, and how many pairs of different faults
    share an incident."""
    precision = recall = total = 0.0
    together = pairs = 0
    for result in results:
        pairs_of: Counter[tuple[str, str]] = Counter()
        known = [saga for saga, whose in result.truth.items() if whose != "noise" and saga in result.grouped]
        for saga in known:
            pairs_of[result.truth[saga], result.grouped[saga]] += 1
        by_truth: Counter[str] = Counter(result.truth[saga] for saga in known)
        by_group: Counter[str] = Counter(result.grouped[saga] for saga in known)
        for (truth, group), n in pairs_of.items():
            precision += n * n / by_group[group]
            recall += n * n / by_truth[truth]
        total += len(known)
        faults = [truth for truth in by_truth if truth.startswith("fault")]
        for index, one in enumerate(faults):
            for other in faults[index + 1 :]:
                pairs += 1
                mine = {group for truth, group in pairs_of if truth == one and pairs_of[truth, group] > 1}
                theirs = {group for truth, group in pairs_of if truth == other and pairs_of[truth, group] > 1}
                together += bool(mine & theirs)
    if not total:
        return 0.0, 0.0
    p, r = precision / total, recall / total
    return 2 * p * r / (p + r), together / pairs if pairs else 0.0


def bins(found: Sequence[Grade], *, count: int = 10) -> list[tuple[float, float, int]]:
    """Of each tenth of confidence: what was said on average, what was true, of how many."""
    slots: list[list[Grade]] = [[] for _ in range(count)]
    for grade in found:
        slots[min(count - 1, int(grade.confidence * count))].append(grade)
    return [
        (sum(one.confidence for one in some) / len(some), sum(one.joint for one in some) / len(some), len(some))
        for some in slots
        if some
    ]


def calibration_error(found: Sequence[Grade]) -> float:
    """The expected calibration error over ten bins."""
    return sum(abs(said - true) * n for said, true, n in bins(found)) / len(found) if found else 0.0
