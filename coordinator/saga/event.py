"""What can happen to a saga. Every fact that `decide` needs comes inside one of these: the time, what a participant
answered, what a person asked for, what the outbox and the fleet look like. Nothing is looked up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from coordinator.saga.definition import Unset


class Kind(StrEnum):
    """The two kinds of a command."""

    ACTION = "action"
    COMPENSATION = "compensation"


class Answer(StrEnum):
    """What a reply says: an outcome of the handler, or an answer of the participant's inbox."""

    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    FAILED = "failed"
    FENCED = "fenced"
    IN_PROGRESS = "in_progress"
    EXPIRED = "expired"
    NOT_EXECUTED = "not_executed"


class Effect(StrEnum):
    """What a failure proves about the world."""

    NONE = "none"
    UNKNOWN = "unknown"


class Undone(StrEnum):
    """What a successful compensation found."""

    UNDONE = "undone"
    NOTHING_TO_UNDO = "nothing_to_undo"


class Settlement(StrEnum):
    """What a person states about a step."""

    DONE = "done"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class CommandId:
    """A command within its saga. The attempt is beside it, not part of it."""

    step: str
    iteration: int = 0
    kind: Kind = Kind.ACTION
    epoch: int = 0

    def __str__(self) -> str:
        return f"{self.step}/{self.iteration}/{self.kind}/{self.epoch}"


@dataclass(frozen=True, slots=True)
class Underlying:
    """An error that another one was raised from."""

    type: str
    message: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt did not succeed: a type for rules, a message and the handler's last log lines for people.

    `code` is the kind of error in the words of a standard ("http 429"), `causes` what it was raised from, the nearest
    first, `frames` the innermost of the service's own functions.
    """

    type: str
    message: str = ""
    logs: tuple[str, ...] = ()
    code: str = ""
    causes: tuple[Underlying, ...] = ()
    frames: tuple[str, ...] = ()
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One call that a handler made to something it depends on. `error` is "" for one that worked."""

    dependency: str
    seconds: float
    error: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """A stretch of time in which the fleet was paused for this saga, or for one participant of it."""

    since: datetime
    until: datetime | None = None  # None: it still is
    participant: str | None = None  # None: the whole saga (its definition, or everything)


@dataclass(frozen=True, slots=True)
class Started:
    """The saga begins."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Replied:
    """A participant answered one attempt of a command, or an inquiry about it."""

    at: datetime
    command: CommandId
    attempt: int
    answer: Answer
    inquire: bool = False
    effect: Effect | None = None
    undone: Undone | None = None
    result: Any = None
    failure: Failure | None = None
    recorded_after_compensation: bool = False
    fault: str | None = None  # the result breaks the step's output schema
    worker: str = ""
    worker_version: str = ""
    duration_seconds: float = 0.0
    calls: tuple[Call, ...] = ()
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """The broker confirmed a command that had waited long in the outbox: its timeout starts only now."""

    at: datetime
    command: CommandId
    attempt: int


@dataclass(frozen=True, slots=True)
class Voided:
    """When the saga turned, these action commands were taken out of the outbox; they had never left it."""

    at: datetime
    commands: tuple[tuple[CommandId, int], ...]


@dataclass(frozen=True, slots=True)
class Unsendable:
    """The command just decided can't be sent: its data breaks the step's input schema, or a limit. Nothing left."""

    at: datetime
    command: CommandId
    failure: Failure


@dataclass(frozen=True, slots=True)
class Woke:
    """A clock of the saga may have run out. Beside the time come the facts that stop clocks."""

    at: datetime
    unsent: frozenset[str] = frozenset()  # "step/iteration/kind/epoch/attempt" still in the outbox
    unattended: frozenset[str] = frozenset()  # participants without a live worker
    holds: tuple[Hold, ...] = ()


@dataclass(frozen=True, slots=True)
class CancelRequested:
    at: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class RetryRequested:
    """Try a blocked step again with a new budget; with `data`, with another input."""

    at: datetime
    step: str
    by: str
    reason: str
    data: Any = field(default_factory=Unset)


@dataclass(frozen=True, slots=True)
class SettleRequested:
    """A person states that a blocked step is done, or undone, with the evidence for it."""

    at: datetime
    step: str
    settlement: Settlement
    by: str
    reason: str
    result: Any = None


@dataclass(frozen=True, slots=True)
class WaiveRequested:
    """Leave a blocked step as it is. The saga will end `closed`."""

    at: datetime
    step: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class SkipRequested:
    """Go on without a step that has not happened."""

    at: datetime
    step: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class CloseRequested:
    """End a blocked saga with its effects left behind."""

    at: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class PauseRequested:
    at: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class ResumeRequested:
    at: datetime
    by: str
    reason: str


Verb = (
    CancelRequested
    | RetryRequested
    | SettleRequested
    | WaiveRequested
    | SkipRequested
    | CloseRequested
    | PauseRequested
    | ResumeRequested
)
Event = Started | Replied | Published | Voided | Unsendable | Woke | Verb
