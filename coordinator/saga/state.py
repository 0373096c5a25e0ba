"""Where a saga stands: frozen values, and the tables of moves that are allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

from coordinator.errors import IllegalMove
from coordinator.saga.changing import replace
from coordinator.saga.definition import Unset
from coordinator.saga.event import Failure, Kind, Settlement, Undone


class SagaStatus(StrEnum):
    RUNNING = "running"
    COMPENSATING = "compensating"
    BLOCKED = "blocked"  # needs a person; branches that don't depend on the block go on
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    CLOSED = "closed"  # ended by a person with effects left behind


class Direction(StrEnum):
    """Which way a saga goes; a blocked one remembers it."""

    FORWARD = "forward"
    BACKWARD = "backward"


class StepStatus(StrEnum):
    PENDING = "pending"
    WAITING = "waiting"  # for its next attempt
    DISPATCHED = "dispatched"
    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    FAILED = "failed"
    SKIPPED = "skipped"
    COMPENSATING = "compensating"
    COMPENSATED = "compensated"
    BLOCKED = "blocked"
    WAIVED = "waived"


SAGA_MOVES: Mapping[SagaStatus, frozenset[SagaStatus]] = {
    SagaStatus.RUNNING: frozenset({SagaStatus.COMPLETED, SagaStatus.COMPENSATING, SagaStatus.BLOCKED}),
    SagaStatus.COMPENSATING: frozenset({SagaStatus.COMPENSATED, SagaStatus.BLOCKED}),
    SagaStatus.BLOCKED: frozenset({SagaStatus.RUNNING, SagaStatus.COMPENSATING, SagaStatus.CLOSED}),
    SagaStatus.COMPLETED: frozenset(),
    SagaStatus.COMPENSATED: frozenset(),
    SagaStatus.CLOSED: frozenset(),
}
FINAL = frozenset(status for status, moves in SAGA_MOVES.items() if not moves)

_S = StepStatus
STEP_MOVES: Mapping[StepStatus, frozenset[StepStatus]] = {
    _S.PENDING: frozenset({_S.DISPATCHED, _S.SKIPPED, _S.FAILED, _S.BLOCKED, _S.SUCCEEDED}),
    _S.WAITING: frozenset({_S.DISPATCHED, _S.SUCCEEDED, _S.FAILED, _S.SKIPPED}),
    _S.DISPATCHED: frozenset({_S.WAITING, _S.SUCCEEDED, _S.REFUSED, _S.FAILED, _S.BLOCKED, _S.PENDING}),
    _S.SUCCEEDED: frozenset({_S.COMPENSATING, _S.BLOCKED}),
    # Late evidence: a step thought not to have happened did.
    _S.REFUSED: frozenset({_S.COMPENSATING, _S.SUCCEEDED}),
    _S.FAILED: frozenset({_S.COMPENSATING, _S.SUCCEEDED}),
    _S.SKIPPED: frozenset({_S.COMPENSATING}),
    _S.COMPENSATING: frozenset({_S.COMPENSATED, _S.BLOCKED}),
    _S.COMPENSATED: frozenset({_S.COMPENSATING}),
    _S.BLOCKED: frozenset(
        {_S.WAITING, _S.DISPATCHED, _S.COMPENSATING, _S.SUCCEEDED, _S.FAILED, _S.SKIPPED, _S.COMPENSATED, _S.WAIVED}
    ),
    _S.WAIVED: frozenset(),
}


class ClockKind(StrEnum):
    """What a running clock waits for."""

    TIMEOUT = "timeout"  # a reply to the attempt that was sent
    BACKOFF = "backoff"  # the next attempt
    GRACE = "grace"  # a reply that is still welcome though the saga has turned
    INQUIRY = "inquiry"  # an answer of the participant's inbox
    DEADLINE = "deadline"  # the whole saga


@dataclass(frozen=True, slots=True)
class Clock:
    """A wait that ends by itself. `frozen_seconds` is how much of it pauses of the fleet have already added."""

    kind: ClockKind
    since: datetime
    due: datetime
    frozen_seconds: float = 0.0
    extensions: int = 0  # how often it ran out while nobody could have answered

    def postponed(self, seconds: float) -> Clock:
        return replace(self, due=self.due + timedelta(seconds=seconds))


class Purpose(StrEnum):
    """Why a participant's inbox is asked what became of an action. Every inquiry fences what has not run."""

    PIVOT = "pivot"  # the last attempt of the pivot is unknown
    RETRY = "retry"  # a person wants another input
    SETTLE = "settle"  # a person states what is so
    SKIP = "skip"  # a person goes on without it


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A question to the participant's inbox, and what is to follow from the answer."""

    purpose: Purpose
    tries: int = 1
    by: str = ""
    reason: str = ""
    data: Any = field(default_factory=Unset)  # of a retry
    settlement: Settlement | None = None
    result: Any = None  # of a settlement


@dataclass(frozen=True, slots=True)
class StepRun:
    """One step of one saga. The first block is its action, the second its compensation."""

    name: str
    status: StepStatus = StepStatus.PENDING
    iteration: int = 0
    attempt: int = 0  # the last one sent; never restarts
    budget_from: int = 0  # the attempt after which the present budget began
    unclean: bool = False  # an attempt may have had an effect that no reply has settled
    happened: bool = False  # a success was heard
    data: Any = field(default_factory=Unset)  # what a person edited it to; else it follows from the definition
    result: Any = None
    overlooked: bool = False  # it succeeded after it had been given up: those behind it went on without its result
    fault: str | None = None
    failure: Failure | None = None

    epoch: int = 0
    undo_attempt: int = 0
    undo_budget_from: int = 0
    undone: Undone | None = None
    undo_refused: bool = False
    zombie: bool = False  # a success contradicted its compensation, and a new epoch has been opened for it
    late_success: bool = False  # a success was recorded after the compensation it belongs to had run

    clock: Clock | None = None
    sent_at: datetime | None = None  # when the last command of either kind, or inquiry, was sent
    deferred: bool = False  # the participant is still at it: the next sending repeats the attempt
    begun: bool = False  # the participant said that it was at the present attempt of the action
    blocked: Kind | None = None  # which of the two commands gave up
    inquiry: Inquiry | None = None
    settled_by: str | None = None  # the person whose word this status rests on, and the evidence

    def move(self, status: StepStatus, **changes: Any) -> StepRun:
        """The one door through which a step's status changes. Raises IllegalMove."""
        if status is not self.status and status not in STEP_MOVES[self.status]:
            raise IllegalMove(f"step {self.name}: {self.status} -> {status}")
        return replace(self, status=status, **changes)


@lru_cache(maxsize=4096)
def untouched(name: str) -> StepRun:
    """A step to which nothing has happened yet."""
    return StepRun(name)


class CauseKind(StrEnum):
    """Why a saga turned."""

    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"
    FAULT = "fault"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a saga turned, or would have: in one place, for the compensations and for people."""

    kind: CauseKind
    step: str | None = None
    message: str = ""
    by: str | None = None

    def __str__(self) -> str:
        place = f"{self.step} {self.kind}" if self.step else str(self.kind)
        return f"{place}: {self.message}" if self.message else place


@dataclass(frozen=True, slots=True)
class Pause:
    since: datetime
    by: str
    reason: str


class LeftBecause(StrEnum):
    """Why an effect was left behind."""

    IRREVERSIBLE = "irreversible"  # accepted by the definition's author
    WAIVED = "waived"
    UNSETTLED = "unsettled"  # the saga was closed over it
    ZOMBIE = "zombie"  # it came to light after the saga was final; its compensation is under way


@dataclass(frozen=True, slots=True)
class EffectLeft:
    """An effect that a final saga leaves behind, or may leave behind."""

    step: str
    because: LeftBecause
    message: str = ""
    certain: bool = True  # False: it may not have happened at all


@dataclass(frozen=True, slots=True)
class Saga:
    """One running instance of a definition. `steps` holds the steps that something has happened to."""

    id: str
    definition: str
    version: int
    input: Any
    created_at: datetime
    status: SagaStatus = SagaStatus.RUNNING
    direction: Direction = Direction.FORWARD
    revision: int = 0  # how many events its history holds
    steps: Mapping[str, StepRun] = field(default_factory=dict)
    deadline: Clock | None = None
    deadline_passed: bool = False  # while the pivot was in doubt
    cause: Cause | None = None
    cancel: Cause | None = None  # asked for while the pivot was in doubt
    paused: Pause | None = None
    effects_left: tuple[EffectLeft, ...] = ()
    effects_since: datetime | None = None  # when the first effect was known, or first possible; none: not yet
    finished_at: datetime | None = None
    strays: int = 0  # replies that changed nothing
    business_key: str | None = None
    tags: tuple[str, ...] = ()
    trace_id: str = ""  # 32 hexadecimal digits, chosen at the start

    @property
    def final(self) -> bool:
        return self.status in FINAL

    @property
    def newborn(self) -> Saga:
        """It as it was before its first event: where deciding its history again begins."""
        return Saga(
            id=self.id,
            definition=self.definition,
            version=self.version,
            input=self.input,
            created_at=self.created_at,
            business_key=self.business_key,
            tags=self.tags,
            trace_id=self.trace_id,
        )

    @property
    def failed_step(self) -> str | None:
        """The step that turned it, else one that blocks it."""
        if self.cause and self.cause.step:
            return self.cause.step
        return next((run.name for run in self.steps.values() if run.status is StepStatus.BLOCKED), None)

    def step(self, name: str) -> StepRun:
        return self.steps.get(name) or untouched(name)

    def move(self, status: SagaStatus, **changes: Any) -> Saga:
        """The one door through which a saga's status changes. Raises IllegalMove."""
        if status is not self.status and status not in SAGA_MOVES[self.status]:
            raise IllegalMove(f"saga {self.id}: {self.status} -> {status}")
        return replace(self, status=status, **changes)


def wake_at(saga: Saga) -> datetime | None:
    """When the saga is to be woken, aware UTC. None: only a reply or a person moves it (or it is paused)."""
    if saga.paused:
        return None
    due = [run.clock.due for run in saga.steps.values() if run.clock]
    if saga.deadline:
        due.append(saga.deadline.due)
    return min(due, default=None)
