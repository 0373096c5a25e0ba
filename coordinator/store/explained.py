"""What was made of failures: reports, what people said of them, calls of a model, remedies. Times are aware UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class ReportRow:
    """A report of an incident, as it was written, with what is looked for in it."""

    incident_id: str
    version: int
    at: datetime  # when the case it explains was gathered
    source: str  # deterministic | model
    cls: str
    culprit: str | None  # "<entity kind> <name>"
    confidence: float
    headline: str
    digest: str  # of the evidence it rests on
    failures: int  # how many the incident had then
    body: str  # the report, as JSON


class Verdict(StrEnum):
    """Whether a person found a report right."""

    CORRECT = "correct"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class FeedbackRow:
    """What a person said of an incident's report. `true_culprit` is an entity as JSON."""

    incident_id: str
    report_version: int
    by: str
    at: datetime
    verdict: Verdict | None = None
    true_class: str | None = None
    true_culprit: str | None = None
    resolution: str | None = None


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call of a language model, and what it cost."""

    at: datetime
    model: str
    rung: str  # which way of asking for JSON was used
    outcome: str
    tokens_in: int
    tokens_out: int
    milliseconds: float
    incident_id: str | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """What calls of the model came to."""

    calls: int
    tokens_in: int
    tokens_out: int


class RemedyState(StrEnum):
    """How far a remedy has come."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    REJECTED = "rejected"
    SHADOW = "shadow"  # it would have been begun, had that been allowed
    BEGUN = "begun"
    HELPED = "helped"
    UNDONE = "undone"  # it did not help, and was taken back
    FAILED = "failed"  # it could not be carried out
    ENDED = "ended"  # its time was over, or a person ended it


waiting_remedies = frozenset({RemedyState.PROPOSED, RemedyState.APPROVED, RemedyState.SHADOW})  # may yet be begun
over_remedies = frozenset({RemedyState.HELPED, RemedyState.UNDONE, RemedyState.FAILED, RemedyState.ENDED})


@dataclass(frozen=True, slots=True)
class RemedyRow:
    """A remedy, as a report proposed it, and what became of it.

    `scope` is what it is done to ("participant payment"): one remedy at a time is under way there. What was `measured`
    is what the remedy is to bring down, before it was begun and when it was judged.
    """

    id: str
    incident_id: str
    report_version: int
    kind: str
    scope: str
    target: str  # JSON
    tier: str
    state: RemedyState
    evidence: str  # ids, as JSON
    reason: str
    proposed_at: datetime
    automatic: bool = False  # begun by the coordinator itself
    by: str | None = None  # who decided it, begun or rejected
    decided_at: datetime | None = None
    begun_at: datetime | None = None
    ends_at: datetime | None = None
    ended_at: datetime | None = None
    measured_before: float | None = None
    measured_after: float | None = None
    outcome: str | None = None  # in a sentence


@dataclass(frozen=True, slots=True)
class HealingSwitch:
    """How much may be done without a person, who said so, and why."""

    at: datetime
    mode: str
    by: str
    reason: str
