"""The shapes of the answers. Times are in UTC, durations in seconds; what is unknown or does not apply is null."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from coordinator.store import values

# What goes through sagas is marked where it is shown: whoever may not see payloads gets null there.
PAYLOAD = "payload"
of_payload: Mapping[str, Any] = {PAYLOAD: True}
facts_of_payload: Mapping[str, Any] = {PAYLOAD: ("input", "result", "data")}


@dataclass(frozen=True, slots=True)
class Underlying:
    """An error that another one was raised from."""

    type: str
    message: str
    code: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt did not succeed: a type for rules, a message and the handler's last log lines for people.

    `code` is the kind of error in the words of a standard, "" where none is known; `causes` what it was raised from,
    the nearest first; `frames` the innermost of the service's own functions.
    """

    type: str
    message: str
    logs: tuple[str, ...]
    code: str
    causes: tuple[Underlying, ...]
    frames: tuple[str, ...]
    retry_after_seconds: float | None


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a handler made to something it depends on. `error` and `code` are "" for one that worked."""

    dependency: str
    seconds: float
    error: str
    code: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sending of a step's command. `outcome` is null while its reply is awaited."""

    number: int
    kind: str  # action, compensation, inquiry
    iteration: int
    epoch: int
    outcome: str | None
    late: bool  # the reply came after the attempt had been given up
    effect: str | None
    undone: str | None
    error: Failure | None
    worker: str | None
    worker_version: str | None
    started_at: datetime
    ended_at: datetime | None
    duration_seconds: float | None  # from the sending to the reply
    handler_seconds: float | None  # in the participant's handler
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """A clock that runs: what it waits for, since when, and when the wait is over."""

    kind: str
    since: datetime
    due: datetime


@dataclass(frozen=True, slots=True)
class Verb:
    """Something that may be asked for now, where, and what the request must say: a reason, where it overrides."""

    verb: str
    href: str
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the saga, with everything that was tried. `input` is what its action was last sent."""

    name: str
    participant: str
    action: str
    compensation: str | None
    kind: str
    optional: bool
    after: tuple[str, ...]
    status: str
    input: Any = field(metadata=of_payload)
    result: Any = field(metadata=of_payload)
    error: Failure | None
    fault: str | None  # how its result breaks the definition's schema
    undone: str | None
    blocked: str | None  # which of its commands gave up: action or compensation
    settled_by: str | None
    inquiry: str | None  # what awaits the participant's fence: retry, settle, skip, pivot
    wait: Wait | None
    attempts: tuple[Attempt, ...]
    allowed: tuple[str, ...]  # what may be asked of this step now: retry, settle, waive, skip
    verbs: tuple[Verb, ...]  # the same, with where and how


@dataclass(frozen=True, slots=True)
class Progress:
    total: int
    completed: int
    failed: int
    percentage: int  # of the present way: forward to the end, or backward to nothing left


@dataclass(frozen=True, slots=True)
class WaitingOn:
    """The one answer to "what is it waiting for?"."""

    kind: str
    message: str
    step: str | None = None
    participant: str | None = None
    command: str | None = None
    attempt: int | None = None
    attempts_max: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    workers_live: int | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """Why the saga turned."""

    kind: str
    step: str | None
    message: str
    by: str | None


@dataclass(frozen=True, slots=True)
class Pause:
    since: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class EffectLeft:
    """An effect that a final saga leaves behind, or may leave behind if it is not certain."""

    step: str
    because: str
    message: str
    certain: bool


@dataclass(frozen=True, slots=True)
class Links:
    self: str
    history: str
    timeline: str
    input: str
    result: str
    definition: str


@dataclass(frozen=True, slots=True)
class Saga:
    """One saga in full."""

    id: str
    definition: str
    version: int
    status: str
    direction: str
    revision: int
    business_key: str | None
    tags: tuple[str, ...]
    trace_id: str
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    deadline: datetime | None
    input: Any = field(metadata=of_payload)
    progress: Progress
    waiting_on: WaitingOn | None
    cause: Cause | None
    paused: Pause | None
    effects_left: tuple[EffectLeft, ...]
    results: dict[str, Any] | None = field(metadata=of_payload)
    steps: tuple[Step, ...]
    attempts_complete: bool  # False: the history is too long to be read whole here, or too old for this release
    allowed: tuple[str, ...]  # what may be asked of the saga now: cancel, pause, resume, close
    verbs: tuple[Verb, ...]
    links: Links
    payloads_hidden: bool = False  # True: who asks may not see them, and has null instead


@dataclass(frozen=True, slots=True)
class Accepted:
    """A saga was started, now or by an earlier request with the same key."""

    id: str
    definition: str
    version: int
    links: Links


@dataclass(frozen=True, slots=True)
class Result:
    """What a final saga came to."""

    id: str
    definition: str
    version: int
    status: str
    finished_at: datetime | None
    cause: Cause | None
    results: dict[str, Any] | None = field(metadata=of_payload)
    effects_left: tuple[EffectLeft, ...]
    payloads_hidden: bool = False  # True: who asks may not see them, and has null instead


@dataclass(frozen=True, slots=True)
class SagaLine:
    """One line of a list of sagas."""

    id: str
    definition: str
    version: int
    status: str
    direction: str
    revision: int
    business_key: str | None
    tags: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    waiting_on: str | None
    waiting_for: str | None
    failed_step: str | None  # what turned it, else what blocks it
    cause: Cause | None


@dataclass(frozen=True, slots=True)
class Counted:
    """How many there are; where it is capped, that many or more."""

    count: int
    capped: bool


def counted(counted: values.Counted) -> Counted:
    """A number of the store's, as the API tells it."""
    return Counted(counted.count, counted.capped)


@dataclass(frozen=True, slots=True)
class SagaList:
    items: tuple[SagaLine, ...]
    next: str | None  # where the next page is
    total: Counted | None  # if it was asked for


@dataclass(frozen=True, slots=True)
class Payload:
    """What went in or came out, as JSON text with the numbers as they are; `bytes` is the size of the whole."""

    bytes: int
    truncated: bool
    text: str | None = field(metadata=of_payload)
    payloads_hidden: bool = False


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One thing that happened, with the facts it came with, and what followed in plain words."""

    seq: int
    at: datetime
    event: str
    facts: dict[str, Any] = field(metadata=facts_of_payload)
    notes: tuple[str, ...]
    payloads_hidden: bool = False


@dataclass(frozen=True, slots=True)
class History:
    items: tuple[HistoryLine, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Fault:
    """A rule of definitions that is broken, or a warning."""

    rule: str
    message: str
    hint: str
    step: str | None


@dataclass(frozen=True, slots=True)
class Definition:
    """One version of a definition."""

    name: str
    version: int
    document: dict[str, Any]
    created_at: datetime
    created_by: str
    versions: tuple[int, ...] = ()  # the newest first; of the newest version only


@dataclass(frozen=True, slots=True)
class Registration:
    name: str
    version: int
    created: bool  # False: it equals the newest version
    warnings: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Validation:
    name: str
    valid: bool
    warnings: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class DefinitionLine:
    name: str
    version: int
    steps: int
    description: str | None
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class DefinitionList:
    items: tuple[DefinitionLine, ...]
    next: str | None
