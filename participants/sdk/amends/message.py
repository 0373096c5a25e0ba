"""What travels between the coordinator and its participants: the wire contract.

A message on the broker is always a *list*: `{"version": 1, "commands": [...]}` to a participant,
`{"version": 1, "replies": [...]}` or `{"version": 1, "heartbeats": [...]}` back. Each item of a list has its own
identity, context and outcome, and one that cannot be read harms only itself.

A command's identity is `saga_id, step, iteration, kind, epoch`. The attempt is *not* part of it: attempt 2 of a step
is the same command, sent again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import PydanticSerializationError

from amends.errors import MessageError, PayloadError
from amends.payload import check_value, is_plain, nodes_max, parse

version = 1
items_max = 32  # commands or replies in one message: five times the throughput of one each, measured
message_bytes_max = 2 * 1024 * 1024  # RabbitMQ 4 refuses above 16 MiB; two full payloads and their frame fit
payload_bytes_max = 256 * 1024  # one input, result or piece of data, encoded
error_chars_max = 8 * 1024
log_lines_max = 50
log_line_chars_max = 500
causes_max = 8
frames_max = 3
calls_max = 8  # of one reply: the last ones
settings_max = 16
holding_max = 32
seconds_max = 1e9  # thirty years: what is added up over and over stays a number

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,62}$")]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]
Counter = Annotated[int, Field(ge=0, le=1_000_000)]
# Neither infinite nor NaN, which a text such as "inf" would be read as.
Seconds = Annotated[float, Field(ge=0, le=seconds_max, allow_inf_nan=False)]
# What kind of error it is in the words of a standard: "http 429", "grpc UNAVAILABLE", "sqlstate 40001", "errno ENOSPC",
# "amqp 404", "smtp 421", "tls CERTIFICATE_EXPIRED", "dns EAI_NONAME", "timeout", or a participant's own.
Code = Annotated[str, StringConstraints(max_length=80)]
Token = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_-]+$")]
# What a worker was started with, that may matter when somebody asks why it fails.
Settings = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=63)],
        Annotated[str, StringConstraints(max_length=200)],
    ],
    Field(max_length=settings_max),
]


class Kind(StrEnum):
    """The two kinds of a command: do the step, or undo it."""

    ACTION = "action"
    COMPENSATION = "compensation"


class Answer(StrEnum):
    """What a reply says. The first three are outcomes of a handler, the others answers of the inbox."""

    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    FAILED = "failed"
    FENCED = "fenced"  # an action that came after its compensation or inquiry: no effect, now or ever
    IN_PROGRESS = "in_progress"  # an external handler holds the lease: ask again later, no attempt is consumed
    EXPIRED = "expired"  # older than the inbox remembers: proves nothing
    NOT_EXECUTED = "not_executed"  # only to an inquiry: never ran; an action is now fenced


class Effect(StrEnum):
    """What a `failed` reply proves about the world."""

    NONE = "none"
    UNKNOWN = "unknown"


class Undone(StrEnum):
    """What a successful compensation found."""

    UNDONE = "undone"
    NOTHING_TO_UNDO = "nothing_to_undo"


class Item(BaseModel):
    """The identity that a command and its reply share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    saga_id: Identifier
    step: Name
    iteration: Counter = 0
    kind: Kind
    epoch: Counter = 0
    attempt: Annotated[int, Field(ge=1, le=1_000_000)]
    inquire: bool = False

    @property
    def id(self) -> str:
        """The command's stable id, the same for every attempt: an idempotency key for other systems."""
        return f"{self.saga_id}/{self.step}/{self.iteration}/{self.kind}/{self.epoch}"


class Command(Item):
    """One order to a participant: run a handler, or (`inquire`) say what became of an earlier order."""

    saga: Name  # the name of the definition
    participant: Name
    handler: Name  # the action's or the compensation's name
    data: Any = None  # the step's input
    result: Any = None  # to a compensation: the action's result where it is known
    succeeded: bool = False  # to a compensation: the action is known to have succeeded, whatever it gave
    reason: Annotated[str, StringConstraints(max_length=error_chars_max)] | None = None  # to a compensation: why
    timeout_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    issued_at: datetime
    expires_at: datetime
    traceparent: Annotated[str, StringConstraints(max_length=200)] | None = None
    reply_token: Token | None = None  # to be sent back with the reply: it proves that its sender got the command


class Underlying(BaseModel):
    """An error that another one was raised from, or raised while handling."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Annotated[str, StringConstraints(max_length=200)]
    message: Annotated[str, StringConstraints(max_length=1000)] = ""
    code: Code = ""


class Failure(BaseModel):
    """Why a handler did not succeed: a type and a code for rules, a message for people, its last log lines for both.

    `causes` are what it was raised from, the nearest first, so that the last is where the trouble began. `frames` are
    the innermost of the service's own functions, the innermost first: "module:function".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Annotated[str, StringConstraints(max_length=200)]
    message: Annotated[str, StringConstraints(max_length=error_chars_max)] = ""
    logs: Annotated[tuple[str, ...], Field(max_length=log_lines_max)] = ()
    code: Code = ""
    causes: Annotated[tuple[Underlying, ...], Field(max_length=causes_max)] = ()
    frames: Annotated[tuple[Annotated[str, StringConstraints(max_length=200)], ...], Field(max_length=frames_max)] = ()
    retry_after_seconds: Seconds | None = None


class Call(BaseModel):
    """One call that a handler made to something it depends on, and how it ended: `error` is "" for one that worked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dependency: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    seconds: Seconds
    error: Annotated[str, StringConstraints(max_length=200)] = ""  # the error's type
    code: Code = ""


class Reply(Item):
    """What a participant answers to one command."""

    participant: Name
    answer: Answer
    effect: Effect | None = None  # of a `failed`
    undone: Undone | None = None  # of a successful compensation
    result: Any = None
    error: Failure | None = None
    recorded_after_compensation: bool = False
    worker: Annotated[str, StringConstraints(max_length=200)] = ""
    worker_version: Annotated[str, StringConstraints(max_length=100)] = ""
    duration_seconds: Seconds = 0.0
    calls: Annotated[tuple[Call, ...], Field(max_length=calls_max)] = ()
    traceparent: Annotated[str, StringConstraints(max_length=200)] | None = None
    reply_token: Token | None = None  # what the command came with


class Holding(BaseModel):
    """A command that a worker has in hand, and for how long. `command` is "<command's id>/<attempt>".

    `working`: its handler's turn has come; otherwise it waits behind others in this worker.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: Annotated[str, StringConstraints(max_length=400)]
    seconds: Seconds
    working: bool = False


class Heartbeat(BaseModel):
    """A live worker of a participant, said every few seconds. `settings` is what it was started with that may matter
    when somebody asks why it fails; nothing secret."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    participant: Name
    worker: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    worker_version: Annotated[str, StringConstraints(max_length=100)] = ""
    actions: Annotated[tuple[Name, ...], Field(max_length=500)] = ()
    compensations: Annotated[tuple[Name, ...], Field(max_length=500)] = ()
    interval_seconds: Annotated[float, Field(gt=0, le=300, allow_inf_nan=False)]
    in_flight: Counter = 0
    holding: Annotated[tuple[Holding, ...], Field(max_length=holding_max)] = ()  # the longest first
    host: Annotated[str, StringConstraints(max_length=100)] = ""
    settings: Settings = Field(default_factory=dict)
    stopping: bool = False


Travelling = Command | Reply | Heartbeat
Plural = Literal["commands", "replies", "heartbeats"]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """One item, or a whole message, that cannot be read: kept with the reason."""

    raw: str  # at most `raw_chars_max` characters of what came
    reason: str


raw_chars_max = 4096
plain_chars_max = message_bytes_max // 8  # in no encoding too large


def encode_item(item: Travelling) -> str:
    """One item as JSON text, to be framed by `frame`. Raises PayloadError if a value in it may not travel."""
    return _encoded_plainly(item) or _encoded(item)


def _encoded_plainly(item: Travelling) -> str | None:
    """An item of which it is plain that it may travel. None: look closely."""
    free = [item.data, item.result] if isinstance(item, Command) else [item.result] if isinstance(item, Reply) else []
    if not is_plain(free, nodes=nodes_max // 2):
        return None
    try:
        text = item.model_dump_json(exclude_defaults=True)
    except PydanticSerializationError:  # a lone surrogate somewhere
        return None
    return text if len(text) <= plain_chars_max and "\\u0000" not in text else None


def _encoded(item: Travelling) -> str:
    value = item.model_dump(mode="json", exclude_defaults=True)
    check_value(value)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    if len(text.encode()) > message_bytes_max // 2:
        raise PayloadError(f"larger than {message_bytes_max // 2} bytes")
    return text


def frame(plural: Plural, items: Iterable[str]) -> bytes:
    """Encoded items as one message body."""
    return f'{{"version":{version},"{plural}":[{",".join(items)}]}}'.encode()


def decode(body: bytes) -> Sequence[Travelling | Unreadable]:
    """The items of a message, each read by itself; what cannot be read comes back as Unreadable."""
    try:
        if len(body) > message_bytes_max:
            raise MessageError(f"message of {len(body)} bytes, more than {message_bytes_max}")
        plural, values = _open(parse(body))
    except (MessageError, PayloadError) as error:
        return [Unreadable(body[:raw_chars_max].decode("utf-8", "backslashreplace"), str(error))]
    models: dict[str, type[Travelling]] = {"commands": Command, "replies": Reply, "heartbeats": Heartbeat}
    model = models[plural]
    return [_read(model, value) for value in values]


def _open(value: Any) -> tuple[str, list[Any]]:
    """Take the frame off: what kind of list this is, and its items."""
    if not isinstance(value, dict) or value.get("version") != version:
        raise MessageError(f"not a message of version {version}")
    plurals = [key for key in value if key != "version"]
    if len(plurals) != 1 or plurals[0] not in ("commands", "replies", "heartbeats"):
        raise MessageError("a message has exactly one of commands, replies, heartbeats")
    items = value[plurals[0]]
    if not isinstance(items, list) or not 1 <= len(items) <= items_max:
        raise MessageError(f"a message is a list of 1 to {items_max} items")
    return plurals[0], items


def _read(model: type[Command] | type[Reply] | type[Heartbeat], value: Any) -> Travelling | Unreadable:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return Unreadable(json.dumps(value, ensure_ascii=False)[:raw_chars_max], f"{place}: {first['msg']}")
