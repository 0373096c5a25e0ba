"""The shapes of the answers about what sagas run on: participants, pauses, dead letters, the outbox."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from coordinator.web.seen import Counted, of_payload


@dataclass(frozen=True, slots=True)
class FleetPause:
    """A pause of everything, of a definition's sagas or of a participant's commands; with a rate, a throttle."""

    id: str
    scope: str
    name: str | None
    since: datetime
    by: str
    reason: str
    until: datetime | None
    ended_by: str | None
    ends_at: datetime | None  # when it ends by itself
    rate_per_second: float | None


@dataclass(frozen=True, slots=True)
class Healing:
    """How much is done without a person now; and what it was last switched to, which never exceeds the settings."""

    mode: str
    switched_to: str | None
    switched_at: datetime | None
    switched_by: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class FleetPauseList:
    items: tuple[FleetPause, ...]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    id: str
    at: datetime
    source: str
    reason: str
    body: str | None = field(metadata=of_payload)
    participant: str | None
    saga_id: str | None
    command_key: str | None
    redelivered: int
    status: str
    resolved_at: datetime | None
    resolved_by: str | None
    resolved_why: str | None
    payloads_hidden: bool = False  # True: who asks may not see them, and has null instead


@dataclass(frozen=True, slots=True)
class DeadLetterList:
    items: tuple[DeadLetter, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in the outbox for one participant. In process, that includes what its workers are at."""

    participant: str
    waiting: int
    parked: int
    oldest_at: datetime | None
    paused: bool


@dataclass(frozen=True, slots=True)
class ParkedCommand:
    """A command that can't be published, with why."""

    id: str
    saga_id: str
    definition: str
    participant: str
    kind: str
    created_at: datetime
    tries: int
    reason: str
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Outbox:
    backlog: tuple[Backlog, ...]
    parked: tuple[ParkedCommand, ...]


@dataclass(frozen=True, slots=True)
class Worker:
    id: str
    version: str
    live: bool
    stopping: bool
    in_flight: int
    first_seen: datetime
    last_seen: datetime
    actions: tuple[str, ...]
    compensations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits for a participant: in the outbox, and beyond it, the sagas that wait for its reply."""

    waiting: int
    parked: int
    oldest_at: datetime | None
    awaited: Counted


@dataclass(frozen=True, slots=True)
class Minute:
    minute: datetime
    attempts: int
    failed: int  # or unknown


@dataclass(frozen=True, slots=True)
class Recent:
    """How a participant's attempts ended of late. Where it is capped, there were more than could be read."""

    minutes: int
    attempts: int
    succeeded: int
    refused: int
    failed: int
    unknown: int
    late: int
    error_rate: float | None  # failed or unknown, of all
    handler_seconds_mean: float | None
    per_minute: tuple[Minute, ...]  # the oldest first; those without attempts are left out
    capped: bool


@dataclass(frozen=True, slots=True)
class Participant:
    """Everything known of a participant: its workers, and what the live ones answer."""

    name: str
    live: bool
    paused: bool
    versions: tuple[str, ...]
    actions: tuple[str, ...]
    compensations: tuple[str, ...]
    workers: tuple[Worker, ...]
    workers_live: int
    workers_lost: int  # silent without a goodbye, and heard of within the last hour
    in_flight: int  # commands in the hands of its live workers, by their own word
    queue: Queue
    recent: Recent | None  # None: this coordinator counts no attempts, for it explains no failures
    pause: FleetPause | None
    throttle: FleetPause | None


@dataclass(frozen=True, slots=True)
class ParticipantList:
    items: tuple[Participant, ...]
