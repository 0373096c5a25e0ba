"""Which incidents are one: families are told apart by what errors say, and one cause can speak in several ways.

So after a report exists, open incidents with the same kind of cause and the same culprit, in the same stretch of time,
become one; the oldest takes in the others. Never across different culprits, whatever else is alike: to tell somebody
about two things as if they were one costs more than to tell of one thing twice. An incident is not taken apart again:
its facets stay, each with its own step, error and count, and families are fine enough that what they bring together
has one error from one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from coordinator.diagnosis.cause import FaultClass
from coordinator.diagnosis.report import Flag, Report
from coordinator.store.observed import IncidentRow, IncidentStatus

confidence_min = 0.5  # below it a report only guesses
together = timedelta(minutes=10)  # two incidents that are further apart are two

# Several of these may well have one culprit, and several causes: each refusal has a reason of its own.
_never = frozenset({FaultClass.UNKNOWN, FaultClass.BUSINESS_REJECTION, FaultClass.DATA_CONFLICT})
_doubtful = frozenset({Flag.CONFOUNDED, Flag.INSUFFICIENT_EVIDENCE, Flag.INJECTION_SUSPECTED})


def may_merge(report: Report) -> bool:
    """Whether a report says surely enough what is to blame, so that others with the same may be one with it."""
    verdict = report.verdict
    return (
        verdict.cls not in _never
        and verdict.culprit is not None
        and verdict.confidence >= confidence_min
        and not report.contested
        and not report.flags & _doubtful
    )


def of_one_cause(own: IncidentRow, report: Report, others: Sequence[IncidentRow]) -> tuple[IncidentRow, ...]:
    """The open incidents that are one with this, itself included, the oldest first; only itself: none is."""
    if own.status is not IncidentStatus.OPEN or not may_merge(report):
        return (own,)
    verdict = report.verdict
    same = [
        other
        for other in others
        if other.id != own.id
        and other.status is IncidentStatus.OPEN
        and (other.cls, other.culprit) == (verdict.cls.value, str(verdict.culprit))
        and (other.confidence or 0.0) >= confidence_min
        and _overlap(own, other)
    ]
    return tuple(sorted([own, *same], key=lambda one: (one.opened_at, one.id)))


def _overlap(one: IncidentRow, other: IncidentRow) -> bool:
    return one.first_at <= other.last_at + together and other.first_at <= one.last_at + together
