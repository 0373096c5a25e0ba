"""How long attempts take and wait, against the time the definition gives them: before the trouble and since."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.diagnosis.analyser.failing import Failing, FailingStep
from coordinator.diagnosis.analyser.fleet import Fleet, Timing
from coordinator.diagnosis.analyser.ledger import Entry, Ledger, Ref
from coordinator.diagnosis.analyser.naming import plain, seconds, step_entity
from coordinator.diagnosis.analyser.onset import Onset
from coordinator.diagnosis.evidence import EvidenceKind, Trust
from coordinator.saga.definition import timeout_seconds_default

count_min = 5
nearly = 0.9
half = 0.5


@dataclass(frozen=True, slots=True)
class Timings:
    """Of the step that a report is about. None of a figure: too few attempts say so."""

    timeout_seconds: float
    before: Timing
    since: Timing
    late: int  # successes that came when nobody waited any more
    overdue: int  # failed attempts that a handler began only when nobody waited any more
    begun: int  # failed attempts of which it is known when a handler began
    ref: Ref | None
    overdue_ref: Ref | None

    @property
    def slow_as_ever(self) -> bool:
        """The work always took about as long as, or longer than, it is given now."""
        usual = self.before.seconds_p95 if self.before.count >= count_min else None
        return usual is not None and usual >= nearly * self.timeout_seconds

    @property
    def slower(self) -> bool:
        """The work takes much longer than it did."""
        if min(self.before.count, self.since.count) < count_min:
            return False
        then, now = self.before.seconds_p95, self.since.seconds_p95
        return then is not None and now is not None and now >= 3 * then and now >= 0.05 * self.timeout_seconds

    @property
    def quick(self) -> bool:
        """The work, once begun, is done in a small part of the time."""
        now = self.since.seconds_p95
        return self.since.count >= count_min and now is not None and now <= 0.25 * self.timeout_seconds

    @property
    def mostly_overdue(self) -> bool:
        """Those that failed had not been slow: they had lain somewhere until their time was over."""
        return self.overdue >= 2 and self.overdue >= half * self.begun

    @property
    def queueing(self) -> bool:
        """Commands wait for a worker for a large part of the time they have."""
        now = self.since.wait_p95
        if self.since.count < count_min or now is None or now < 0.25 * self.timeout_seconds:
            return False
        usual = self.before.wait_p95 if self.before.count >= count_min else None
        return now >= half * self.timeout_seconds or (usual is not None and now >= 5 * usual)


def timings_of(failing: Failing, fleet: Fleet, onset: Onset, ledger: Ledger) -> Timings:
    """The figures of the step that the report is about, or none."""
    symptom, start = failing.symptom, onset.minute
    rows = [row for row in fleet.own if row.path == symptom.place]
    before = Fleet.timing(row for row in rows if start is not None and row.minute < start)
    now = [row for row in rows if start is None or row.minute >= start]
    since = Fleet.timing(now)
    late = sum(row.late for row in now)
    limit = _timeout(failing)
    ref = _entry(symptom, limit, before, since, late, ledger) if since.count or before.count else None
    own = [
        one
        for one in failing.tried
        if (one.seen.saga.definition, one.step.name, str(one.attempt.command.kind)) == symptom.place
    ]
    waits = [one.waited for one in own if one.waited is not None]
    begun = len(waits) + sum(one.silent and bool(one.begun) for one in own)
    overdue_ref = _overdue_entry(symptom, limit, waits, begun, ledger) if waits else None
    return Timings(limit, before, since, late, len(waits), begun, ref, overdue_ref)


def _overdue_entry(symptom: FailingStep, limit: float, waits: list[float], begun: int, ledger: Ledger) -> Ref:
    text = f"Of {begun} silent attempts at {plain(symptom.step)} that a handler is known to have begun,"
    text += f" {len(waits)} were begun only when their {seconds(limit)} were over, after {seconds(max(waits))} at most."
    return ledger.enter(
        Entry(
            EvidenceKind.TIMING,
            Trust.COORDINATOR,
            text,
            subjects=(step_entity(symptom.definition, symptom.step),),
            fact={"begun": begun, "overdue": len(waits), "waited_seconds_max": round(max(waits), 2)},
            source_ref=f"step:{symptom.name}",
            weight=1.5,
        )
    )


def _timeout(failing: Failing) -> float:
    symptom = failing.symptom
    for seen in failing.sagas:
        if seen.saga.definition == symptom.definition and symptom.step in seen.definition.by_name:
            return seen.definition.by_name[symptom.step].timeout_seconds
    return timeout_seconds_default


def _entry(symptom: FailingStep, limit: float, before: Timing, since: Timing, late: int, ledger: Ledger) -> Ref:
    parts = []
    for when, timing in (("since then", since), ("before", before)):
        if timing.seconds_p95 is not None:
            waited = f", after waiting {seconds(timing.wait_p95)}" if timing.wait_p95 is not None else ""
            parts.append(f"{when} 95 % are done within {seconds(timing.seconds_p95)}{waited}")
    text = f"{plain(symptom.step)} has {seconds(limit)}; {'; '.join(parts) or 'nothing succeeded'}"
    text += f"; {late} came too late." if late else "."
    return ledger.enter(
        Entry(
            EvidenceKind.TIMING,
            Trust.COORDINATOR,
            text,
            subjects=(step_entity(symptom.definition, symptom.step),),
            fact={
                "timeout_seconds": limit,
                "p95_seconds": _rounded(since.seconds_p95),
                "p95_seconds_before": _rounded(before.seconds_p95),
                "wait_p95_seconds": _rounded(since.wait_p95),
                "wait_p95_seconds_before": _rounded(before.wait_p95),
                "late": late,
            },
            source_ref=f"tallies:{symptom.name}",
            weight=1.5,
        )
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
