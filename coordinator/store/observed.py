"""What was observed of failures and of the fleet: the rows that diagnosis reads. Times are aware UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

# Durations are counted in buckets; the bound of bucket n, in seconds, is `bucket_seconds[n]`, and the last has none.
bucket_seconds: Sequence[float] = tuple(0.001 * 2**n for n in range(20))  # 1 ms … 524 s


class Tallied(StrEnum):
    """How an attempt ended, as it is counted."""

    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"  # no reply in time
    LATE = "late"  # a success that came after the attempt had been given up


@dataclass(frozen=True, slots=True)
class Place:
    """Where attempts ended: what is compared with what."""

    definition: str
    version: int
    step: str
    kind: str  # action | compensation
    participant: str
    worker: str  # "": nobody answered
    worker_version: str


@dataclass(frozen=True, slots=True)
class Tally:
    """How many attempts ended in one way at one place in one minute, and how long they took.

    `seconds` is time in the handler, `wait_seconds` from the decision to send to the reply, less the handler's time.
    """

    minute: datetime
    place: Place
    outcome: Tallied
    error: str  # the error's code, else its type; "" of a success
    count: int
    seconds_sum: float
    seconds_buckets: tuple[int, ...]
    wait_seconds_sum: float
    wait_buckets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CallTally:
    """How many calls of a participant to something it depends on ended in one way in one minute."""

    minute: datetime
    participant: str
    dependency: str
    worker: str
    worker_version: str
    error: str  # code, else type; "" of a success
    count: int
    seconds_sum: float
    seconds_buckets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tallies:
    """The tallies of some minutes, the newest first. `cut`: there were more, and the oldest are left out."""

    items: tuple[Tally, ...]
    cut: bool = False


@dataclass(frozen=True, slots=True)
class CallTallies:
    items: tuple[CallTally, ...]
    cut: bool = False


class OccurrenceKind(StrEnum):
    """What happened in the world around the sagas. The first block are changes: somebody did something."""

    DEFINITION_REGISTERED = "definition_registered"
    VERSION_SEEN = "version_seen"  # a worker version was heard of for the first time
    SETTING_CHANGED = "setting_changed"  # a worker started with another setting than those before it
    WORKERS_SCALED = "workers_scaled"  # workers said goodbye, or more came of a version known before
    PAUSED = "paused"
    RESUMED = "resumed"
    ANNOUNCED = "announced"  # a person or a pipeline told us

    WORKER_LOST = "worker_lost"  # silent, without a goodbye
    WORKER_BACK = "worker_back"
    BROKER_LOST = "broker_lost"
    BROKER_BACK = "broker_back"
    DATABASE_LOST = "database_lost"
    DATABASE_BACK = "database_back"
    PUBLISH_FAILED = "publish_failed"
    BACKLOG = "backlog"  # a sample of a participant that doesn't keep up


changes = frozenset(
    {
        OccurrenceKind.DEFINITION_REGISTERED,
        OccurrenceKind.VERSION_SEEN,
        OccurrenceKind.SETTING_CHANGED,
        OccurrenceKind.WORKERS_SCALED,
        OccurrenceKind.PAUSED,
        OccurrenceKind.RESUMED,
        OccurrenceKind.ANNOUNCED,
    }
)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One thing that happened. `subject` is "<entity kind> <name>", as `coordinator.diagnosis.cause.Entity` writes it.

    `facts` by kind: DEFINITION_REGISTERED {version, "<step>.<key>": "before -> after", …}; VERSION_SEEN {version,
    worker, host}; SETTING_CHANGED {setting, before, after, worker}; WORKERS_SCALED {before, after}; WORKER_LOST
    {participant, worker, host, version, last_seen, holding}; BACKLOG {waiting, awaited, in_flight, workers,
    oldest_seconds}; PUBLISH_FAILED {participant, error}; ANNOUNCED {text, by}.
    """

    id: str  # the same occurrence seen by two coordinators has one id
    at: datetime
    kind: OccurrenceKind
    subject: str
    facts: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FailedStep:
    """A step that failed its saga (or blocked it, or was given up though optional). Text is masked and redacted."""

    saga_id: str
    step: str
    kind: str  # action | compensation
    at: datetime
    definition: str
    version: int
    participant: str
    cause: str  # refused | failed | unknown | fault | deadline | blocked | zombie …
    error_type: str
    code: str
    template: str
    fingerprint: str  # F1: this step, this error, this wording: 40 hexadecimal digits
    family: str  # F2: what groups failures into incidents: a participant, a kind of error, where it came from
    worker: str
    worker_version: str
    attempts: int
    business_key: str | None = None
    incident_id: str | None = None


class IncidentStatus(StrEnum):
    OPEN = "open"
    CLOSED = "closed"  # nothing new for a while
    MERGED = "merged"  # it turned out to be part of another


@dataclass(frozen=True, slots=True)
class IncidentRow:
    """Failures that share a cause."""

    id: str
    family: str
    status: IncidentStatus
    opened_at: datetime
    first_at: datetime  # of its failures
    last_at: datetime
    failures: int
    merged_into: str | None = None
    closed_at: datetime | None = None
    cls: str | None = None  # of the newest report
    culprit: str | None = None
    confidence: float | None = None
    headline: str = ""
    report_version: int = 0
    reported_failures: int = 0  # how many there were when it was last analysed
    due_at: datetime | None = None  # when it is analysed next
    resolution: str | None = None
    resolved_by: str | None = None
    resolved_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facet:
    """Failures of an incident with one fingerprint."""

    incident_id: str
    fingerprint: str
    step: str  # "<definition>.<step>"
    kind: str
    template: str
    error_type: str
    code: str
    count: int
    first_at: datetime
    last_at: datetime
    saga_id: str  # one of them


@dataclass(frozen=True, slots=True)
class IncidentFilter:
    """Which incidents to list. What is None does not restrict. `step` is "<definition>.<step>"."""

    status: IncidentStatus | None = None
    cls: str | None = None
    participant: str | None = None
    definition: str | None = None
    step: str | None = None


@dataclass(frozen=True, slots=True)
class IncidentPage:
    items: tuple[IncidentRow, ...]
    cursor: str | None  # where the next page begins; None: this is the last


@dataclass(frozen=True, slots=True)
class FailurePage:
    items: tuple[FailedStep, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class PastRow:
    """An incident that is over, its most frequent facets, and whether a person found its report right."""

    incident: IncidentRow
    facets: tuple[Facet, ...]
    verified: bool | None  # None: nobody has said
    true_class: str | None = None  # what a person said it was, if the report was wrong
    true_culprit: str | None = None  # an entity, as JSON


@dataclass(frozen=True, slots=True)
class Standing:
    """How many sagas are concerned now; `standing_max` means that many or more."""

    stuck: int  # blocked at the steps
    at_risk: int  # not final, of the definitions
