"""What participants depend on, as their calls tell: which of it fails or has become slow since the trouble began, for
whom, and what it says; and which of it is well."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from coordinator.diagnosis.analyser.failing import Failing
from coordinator.diagnosis.analyser.figures import gathered, quantile, z_of
from coordinator.diagnosis.analyser.fleet import Share
from coordinator.diagnosis.analyser.ledger import Entry, Ledger, Ref
from coordinator.diagnosis.analyser.naming import dependency_entity, participant_entity, percent, plain, seconds
from coordinator.diagnosis.analyser.onset import Onset
from coordinator.diagnosis.analyser.said import said_of
from coordinator.diagnosis.case import Case
from coordinator.diagnosis.cause import Entity
from coordinator.diagnosis.evidence import EvidenceKind, Trust
from coordinator.diagnosis.signals import SignalFamily
from coordinator.saga.event import Failure
from coordinator.store.observed import CallTally

count_min = 4
z_min = 3.0
slow_times = 3.0
slow_seconds_min = 0.2  # what is slower than before and still quick is no trouble
well_rate_max = 0.05
nearly_all = 0.95


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls of one stretch of time."""

    share: Share = field(default_factory=Share)
    errors: Mapping[str, int] | None = None
    p95: float | None = None


@dataclass(frozen=True, slots=True)
class Dependency:
    """One thing that failing participants depend on."""

    name: str
    participant: str
    since: Calls
    before: Calls
    meaning: SignalFamily | None  # of most of its errors
    named: int  # failed attempts whose last call to it failed
    everyone: bool  # whoever calls it, calls in vain
    elsewhere: Share  # calls of other participants to it, since then
    shares: Mapping[str, Share]  # by worker
    ref: Ref

    @property
    def entity(self) -> Entity:
        return dependency_entity(self.name)

    @property
    def failing(self) -> bool:
        """Its calls fail more than they used to; without a before, more than a few."""
        now, then = self.since.share, self.before.share
        if now.bad < count_min and self.named == 0:
            return False
        if then.total >= count_min:
            return z_of(now.bad, now.total, then.bad, then.total) >= z_min
        return now.rate >= 0.2 or (now.total < count_min and self.named > 0)

    @property
    def slow(self) -> bool:
        now, then = self.since.p95, self.before.p95
        if now is None or then is None or self.before.share.total < count_min or self.since.share.total < count_min:
            return False
        return now >= slow_seconds_min and now >= slow_times * then

    @property
    def well(self) -> bool:
        """Enough calls to say that it is as it always was."""
        return (
            self.since.share.total >= 2 * count_min
            and self.since.share.rate <= well_rate_max
            and not self.slow
            and not self.named
        )


def dependencies_of(case: Case, failing: Failing, onset: Onset, ledger: Ledger) -> tuple[Dependency, ...]:
    """What the failing participants call, the most suspect first."""
    named: Counter[tuple[str, str]] = Counter()
    codes: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for one in failing.tried:
        wrong = [call for call in one.attempt.calls if call.error or call.code]
        if wrong and one.failure:
            key = (one.step.participant, wrong[-1].dependency)
            named[key] += 1
            codes[key][wrong[-1].code or wrong[-1].error] += 1
    rows: dict[tuple[str, str], list[CallTally]] = defaultdict(list)
    for call in case.calls:
        rows[call.participant, call.dependency].append(call)
    found = []
    for participant, name in sorted({*rows, *named}):
        if participant in failing.participants:
            others = [row for key, mine in rows.items() if key[1] == name and key[0] != participant for row in mine]
            key = (participant, name)
            found.append(_dependency(key, rows[key], others, named[key], codes[key], onset, ledger))
    return tuple(sorted(found, key=lambda one: (-one.named, not one.failing, not one.slow, one.name)))


def _dependency(
    key: tuple[str, str],
    rows: list[CallTally],
    others: list[CallTally],
    named: int,
    codes: Counter[str],
    onset: Onset,
    ledger: Ledger,
) -> Dependency:
    start = onset.minute
    now = [row for row in rows if start is None or row.minute >= start]
    since = _calls(now)
    before = _calls(row for row in rows if start is not None and row.minute < start)
    said = Counter(since.errors or {}) + codes
    meanings: Counter[SignalFamily] = Counter()
    for code, count in said.items():
        meanings[said_of(Failure(code, code=code)).signal.family] += count
    meaning = meanings.most_common(1)[0][0] if meanings else None
    shares: dict[str, Share] = defaultdict(Share)
    for row in now:
        if row.worker and row.worker != "*":
            shares[row.worker] += Share(row.count if row.error else 0, row.count)
    everyone = since.share.total >= count_min and since.share.rate >= nearly_all and len(shares) > 1
    elsewhere = _calls(row for row in others if start is None or row.minute >= start).share
    ref = _entry(key, since, before, elsewhere, codes, ledger)
    return Dependency(key[1], key[0], since, before, meaning, named, everyone, elsewhere, dict(shares), ref)


def _calls(rows: Iterable[CallTally]) -> Calls:
    bad = total = 0
    errors: Counter[str] = Counter()
    rows = list(rows)
    for row in rows:
        total += row.count
        if row.error:
            bad += row.count
            errors[row.error] += row.count
    return Calls(Share(bad, total), errors, quantile(gathered(row.seconds_buckets for row in rows), 0.95))


def _entry(
    key: tuple[str, str], since: Calls, before: Calls, elsewhere: Share, codes: Counter[str], ledger: Ledger
) -> Ref:
    participant, name = key
    said = Counter(since.errors or {}) or codes
    most = said.most_common(1)[0][0] if said else ""
    text = f"Calls of {plain(participant)} to {plain(name)}: {since.share.bad} of {since.share.total} failed"
    if not since.share.total:
        text = f"{plain(name)}, called by {plain(participant)}, failed {sum(codes.values())} times in these attempts"
    if most:
        text += f", mostly {plain(most)}"
    if since.p95 is not None:
        text += f"; 95 % end within {seconds(since.p95)}"
    if before.share.total:
        text += f". Before: {before.share.bad} of {before.share.total} failed ({percent(before.share.rate)})"
        text += f", 95 % within {seconds(before.p95)}" if before.p95 is not None else ""
    well = since.share.total > 0 and since.share.rate <= well_rate_max and not codes
    return ledger.enter(
        Entry(
            EvidenceKind.DEPENDENCY_STATE if since.share.total else EvidenceKind.SPAN,
            Trust.PARTICIPANT,
            f"{text}.",
            subjects=(dependency_entity(name), participant_entity(participant)),
            fact={
                "failed": since.share.bad,
                "of": since.share.total,
                "failed_before": before.share.bad,
                "of_before": before.share.total,
                "p95_seconds": round(since.p95, 4) if since.p95 is not None else None,
                "p95_seconds_before": round(before.p95, 4) if before.p95 is not None else None,
                "failed_for_others": elsewhere.bad,
                "of_others": elsewhere.total,
                "mostly": plain(most) if most else "",
            },
            source_ref=f"calls:{participant}/{name}",
            weight=1.0 if well else 3.0,
        )
    )
