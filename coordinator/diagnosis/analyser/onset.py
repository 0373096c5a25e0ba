"""When it began: the stretch of minutes that best divides what is normal from what is not, then the first failure in
it, to the second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from coordinator.diagnosis.analyser.failing import Failing
from coordinator.diagnosis.analyser.figures import likelihood, z_of
from coordinator.diagnosis.analyser.fleet import Fleet, Share
from coordinator.diagnosis.analyser.ledger import Entry, Ledger, Ref
from coordinator.diagnosis.analyser.naming import clock, percent, step_entity
from coordinator.diagnosis.case import Case
from coordinator.diagnosis.evidence import EvidenceKind, Trust

gain_min = 6.0  # of log-likelihood: less is chance, given how many stretches are tried
jump_z_min = 3.0
minute = timedelta(minutes=1)
minutes_max = 240


@dataclass(frozen=True, slots=True)
class Onset:
    """When it began, as far as can be told. `at` is the first sign of it; nothing before it can be a symptom."""

    at: datetime | None
    inside: Share  # of attempts at the failing steps since then
    outside: Share  # before, and after it was over
    jumped: bool  # the share rose, and not by chance
    known: bool  # there was a before to compare with
    ref: Ref | None = None

    @property
    def minute(self) -> datetime | None:
        return self.at.replace(second=0, microsecond=0) if self.at else None

    @property
    def z(self) -> float:
        return z_of(self.inside.bad, self.inside.total, self.outside.bad, self.outside.total)


def onset_of(case: Case, failing: Failing, fleet: Fleet, ledger: Ledger) -> Onset:
    """Find it. Without counts it is the start of the first failed attempt."""
    series = fleet.series()[-minutes_max:]
    begun, over, gain = _stretch([share for _, share in series])
    firsts = sorted(one.attempt.started_at for one in failing.tried)
    if begun is None:
        at = firsts[0] if firsts else min((one.at for one in case.failures), default=None)
        everything = sum((share for _, share in series), Share())
        return Onset(at, everything, Share(), jumped=False, known=False)
    inside = sum((share for _, share in series[begun:over]), Share())
    outside = sum((share for _, share in series[:begun] + series[over:]), Share())
    jumped = gain >= gain_min and z_of(inside.bad, inside.total, outside.bad, outside.total) >= jump_z_min
    known = sum(share.total for _, share in series[:begun]) >= 8
    at = _first(case, failing, series[begun][0] if jumped else None) or series[begun][0]
    onset = Onset(at, inside, outside, jumped=jumped, known=known)
    return Onset(at, inside, outside, jumped=jumped, known=known, ref=_entry(onset, failing, ledger))


def _stretch(series: Sequence[Share]) -> tuple[int | None, int, float]:
    """The stretch [begin, end) whose rate differs most from the rest's, upwards; and by how much."""
    count = len(series)
    bad, total = [0], [0]
    for share in series:
        bad.append(bad[-1] + share.bad)
        total.append(total[-1] + share.total)
    if not bad[-1]:
        return None, count, 0.0
    best: tuple[float, int, int] | None = None
    for begin in range(count):
        if not series[begin].bad:
            continue
        for end in range(begin + 1, count + 1):
            bad_in, all_in = bad[end] - bad[begin], total[end] - total[begin]
            bad_out, all_out = bad[-1] - bad_in, total[-1] - all_in
            if all_out and bad_in * all_out < bad_out * all_in:
                continue
            gain = likelihood(bad_in, all_in) + likelihood(bad_out, all_out)
            # Of two that divide equally well, the one that lasts longer.
            if best is None or gain > best[0] + 1e-9 or (gain > best[0] - 1e-9 and end - begin > best[2] - best[1]):
                best = (gain, begin, end)
    if best is None:
        return None, count, 0.0
    return best[1], best[2], best[0] - likelihood(bad[-1], total[-1])


def _first(case: Case, failing: Failing, since: datetime | None) -> datetime | None:
    """The start of the first failed attempt that ended since then; what failed before is what always fails."""
    times = [one.attempt.started_at for one in failing.tried if since is None or one.at >= since]
    if times:
        first = min(times)
        # A failure that was long on its way tells when it was sent, not when the trouble began.
        return first if since is None else max(first, since - minute)
    seen = [one.at for one in case.failures if since is None or one.at >= since]
    seen += [facet.first_at for facet in case.facets if since is None or facet.first_at >= since]
    return min(seen, default=None)


def _entry(onset: Onset, failing: Failing, ledger: Ledger) -> Ref | None:
    if onset.at is None:
        return None
    symptom, inside, outside = failing.symptom, onset.inside, onset.outside
    text = f"Since {clock(onset.at)} {inside.bad} of {inside.total} attempts fail so ({percent(inside.rate)})"
    text += f", otherwise {outside.bad} of {outside.total}." if outside.total else "; there is nothing to compare with."
    return ledger.enter(
        Entry(
            EvidenceKind.ONSET,
            Trust.COORDINATOR,
            text,
            subjects=tuple(step_entity(step.definition, step.step) for step in failing.steps[:3]),
            fact={
                "failed": inside.bad,
                "of": inside.total,
                "failed_otherwise": outside.bad,
                "of_otherwise": outside.total,
                "z": round(onset.z, 1),
                "jumped": onset.jumped,
            },
            ts_from=onset.at,
            source_ref=f"tallies:{symptom.name}",
            weight=2.5 if onset.jumped else 1.0,
        )
    )
