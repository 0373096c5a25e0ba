"""What goes into the store and what comes out of it: plain frozen values. Times are aware UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from coordinator.saga.decision import SendCommand
from coordinator.saga.state import Cause, Direction, Saga, SagaStatus, StepRun, StepStatus
from coordinator.store.notified import Notice


class CommandKind(StrEnum):
    """What a row of the outbox asks for. An inquiry about an action is no action: it is never voided."""

    ACTION = "action"
    COMPENSATION = "compensation"
    INQUIRY = "inquiry"


class DeadLetterStatus(StrEnum):
    OPEN = "open"
    REDRIVEN = "redriven"
    DISCARDED = "discarded"


class BulkState(StrEnum):
    """How far something asked of many sagas is."""

    WAITING = "waiting"  # for a coordinator to take it in hand
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


class HoldScope(StrEnum):
    """How much of the fleet a hold pauses."""

    ALL = "all"
    DEFINITION = "definition"
    PARTICIPANT = "participant"


# --- sagas, as the engine writes and reads them -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One thing that happened to a saga. `event` and `facts` are what `record.dump_event` gives."""

    seq: int  # the revision it led to
    at: datetime
    event: str
    facts: Mapping[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One command that has to leave. `id` is "<saga id>/<key>"; `body` the encoded command."""

    id: str
    saga_id: str
    definition: str
    participant: str
    kind: CommandKind
    body: str
    created_at: datetime
    tries: int = 0  # how often it was claimed before

    @property
    def key(self) -> str:
        """What tells it apart from the other commands of its saga."""
        return self.id[len(self.saga_id) + 1 :]

    @classmethod
    def of(cls, saga: Saga, send: SendCommand, *, body: str, created_at: datetime) -> OutboxRow:
        kind = CommandKind.INQUIRY if send.inquiry else CommandKind(send.command.kind)
        return cls(f"{saga.id}/{send.key}", saga.id, saga.definition, send.participant, kind, body, created_at)


@dataclass(frozen=True, slots=True)
class NewSaga:
    """A saga to be kept for the first time, with everything its start led to."""

    saga: Saga
    entries: tuple[HistoryEntry, ...]
    outbox: tuple[OutboxRow, ...] = ()
    caller: str = ""
    key: str | None = None  # the caller's idempotency key
    body_hash: str = ""  # of the request that came with the key
    waiting_on: str | None = None
    waiting_for: str | None = None
    notices: tuple[Notice, ...] = ()
    newest: bool = False  # its definition has to be the newest of its name


@dataclass(frozen=True, slots=True)
class Created:
    """The saga is kept (or was, by an earlier try of the same transaction)."""

    saga_id: str


@dataclass(frozen=True, slots=True)
class Repeated:
    """The same request came before: this is the saga it started."""

    saga_id: str


@dataclass(frozen=True, slots=True)
class KeyReused:
    """Another request came with the same idempotency key before: nothing was started."""

    saga_id: str  # what the key belongs to


@dataclass(frozen=True, slots=True)
class Outdated:
    """Its definition had to be the newest, and there is a newer one: nothing was started."""

    saga_id: str  # of which nothing is kept; it may begin again


Creation = Created | Repeated | KeyReused | Outdated


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A saga whose stored record cannot be read."""

    saga_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Change:
    """A saga that moved: its new state, and what the move led to. `steps` holds the changed ones only."""

    saga: Saga
    expected_revision: int
    steps: tuple[StepRun, ...] = ()
    entries: tuple[HistoryEntry, ...] = ()
    outbox: tuple[OutboxRow, ...] = ()
    void_unsent: bool = False
    waiting_on: str | None = None
    waiting_for: str | None = None
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit did. `voided` names, per saga, the keys of commands that certainly never left."""

    moved: frozenset[str]
    stale: frozenset[str]  # someone else moved these first: load and decide again
    voided: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


# --- sagas, as people look at them ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SagaFilter:
    """Which sagas to list. What is None or empty does not restrict. Times: from inclusive, to exclusive."""

    definition: str | None = None
    version: int | None = None
    statuses: tuple[SagaStatus, ...] = ()
    step: str | None = None  # something has happened to this step
    step_statuses: tuple[StepStatus, ...] = ()  # with `step`: it stands there now
    failed_step: str | None = None  # it turned the saga, or blocks it
    current_step: str | None = None  # the saga is at it now
    tag: str | None = None
    business_key: str | None = None
    words: str | None = None  # how its id, its business key or its idempotency key begins
    created_from: datetime | None = None
    created_to: datetime | None = None
    quiet_since: datetime | None = None  # not final, not paused, and nothing has happened since before then
    waiting_on: str | None = None
    waiting_on_any: tuple[str, ...] = ()
    waiting_for: str | None = None
    unsent_since: datetime | None = None  # a command of it has been in the outbox since before then, or can't leave it
    incident: str | None = None
    family: str | None = None
    fingerprint: str | None = None
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SagaSummary:
    """One line of a list of sagas."""

    id: str
    definition: str
    version: int
    status: SagaStatus
    direction: Direction
    revision: int
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    wake_at: datetime | None
    paused_at: datetime | None
    waiting_on: str | None
    waiting_for: str | None
    failed_step: str | None
    business_key: str | None
    tags: tuple[str, ...]
    cause: Cause | None


@dataclass(frozen=True, slots=True)
class Unsent:
    """A command that is still in the outbox, and why."""

    key: str
    participant: str
    kind: CommandKind
    created_at: datetime
    available_at: datetime  # when a relay may take it (again)
    tries: int
    last_error: str | None
    parked_reason: str | None


@dataclass(frozen=True, slots=True)
class SagaDetail:
    saga: Saga
    updated_at: datetime
    wake_at: datetime | None
    waiting_on: str | None
    waiting_for: str | None
    unsent: tuple[Unsent, ...]


@dataclass(frozen=True, slots=True)
class Counted:
    """How many there are; where it is capped, that many or more."""

    count: int
    capped: bool = False


@dataclass(frozen=True, slots=True)
class SagaPage:
    items: tuple[SagaSummary, ...]
    cursor: str | None  # where the next page begins; None: this is the last


# --- the outbox -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in the outbox for one participant."""

    participant: str
    waiting: int
    parked: int
    oldest: datetime | None  # of those waiting


@dataclass(frozen=True, slots=True)
class ParkedRow:
    """A command that could not be sent, put aside with its reason."""

    row: OutboxRow
    reason: str
    last_error: str | None


# --- definitions, dead letters, the fleet -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Registered:
    version: int
    new: bool  # False: the newest version already says the same


@dataclass(frozen=True, slots=True)
class StoredDefinition:
    name: str
    version: int
    document: str
    hash: str
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message nobody could process. `id` is stable over redeliveries of the same message."""

    id: str
    at: datetime
    source: str  # the queue, or whatever it came from
    reason: str
    body: str
    participant: str | None = None
    saga_id: str | None = None
    command_key: str | None = None
    redelivered: int = 0  # how often it came again
    status: DeadLetterStatus = DeadLetterStatus.OPEN
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    resolved_why: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    status: DeadLetterStatus | None = None
    source: str | None = None
    participant: str | None = None
    saga_id: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetterPage:
    items: tuple[DeadLetter, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign of life of one worker of a participant."""

    participant: str
    worker: str
    version: str = ""
    actions: tuple[str, ...] = ()
    compensations: tuple[str, ...] = ()
    interval_seconds: float = 5.0
    in_flight: int = 0
    stopping: bool = False
    host: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)  # what it was started with
    holding: Mapping[str, float] = field(default_factory=dict)  # commands in hand, and for how many seconds


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker as it was last heard of."""

    beat: Beat
    first_seen: datetime
    last_seen: datetime
    live: bool  # heard of within three of its intervals, and not stopping


@dataclass(frozen=True, slots=True)
class FleetHold:
    """A pause of all sagas, of a definition's, or of a participant's commands. `name` is "" where all are meant.

    With `rate_per_second` it is a throttle: it pauses nothing, and lets no more than that through.
    """

    id: str
    scope: HoldScope
    name: str
    since: datetime
    held_by: str
    reason: str
    until: datetime | None = None  # None: it holds until it is ended, or until `ends_at`
    ended_by: str | None = None
    ends_at: datetime | None = None
    rate_per_second: float | None = None

    def over_at(self, at: datetime) -> datetime | None:
        """When it was over, if it is by that time."""
        if self.until is None and self.ends_at is not None and self.ends_at <= at:
            return self.ends_at
        return self.until
