"""What a coordinator announces of a saga's life, and how whoever is told over HTTP knows that it is from there.

    event = parse_event(body)                                    # from `amends.events`, or from a webhook
    verify(secret, headers["Amends-Timestamp"], headers["Amends-Signature"], body)

Each is told at least once: whoever acts on it remembers `id`, which is the same however often it comes.
"""

from __future__ import annotations

import hmac
import time
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from amends.errors import MessageError

signature_seconds_max = 300.0  # an older signature may have been overheard and repeated
event_bytes_max = 64 * 1024

Text = Annotated[str, StringConstraints(max_length=2000)]
Word = Annotated[str, StringConstraints(max_length=200)]


class EventKind(StrEnum):
    """What happened. The last word of the routing key, "<definition>.<kind>"."""

    STARTED = "started"
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    CLOSED = "closed"  # ended by a person, with effects left behind
    BLOCKED = "blocked"  # it needs a person
    STEP_FAILED = "step_failed"  # a step was given up: its action, or its compensation
    RETRYING = "retrying"  # an attempt did not succeed, and another follows
    INCIDENT_OPENED = "incident_opened"  # failures that share a cause, the first of them


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")  # what a later release adds harms nobody


class EventSaga(_Part):
    """The saga as it stood when it happened. Its input and results are not told: ask the API for them."""

    id: Word
    definition: Word
    version: int
    status: Word
    direction: Word
    business_key: Word | None = None
    tags: Annotated[tuple[Word, ...], Field(max_length=100)] = ()
    trace_id: Word = ""
    created_at: datetime
    finished_at: datetime | None = None
    effects_left: Annotated[tuple[Word, ...], Field(max_length=200)] = ()  # steps whose effects stay


class EventStep(_Part):
    """The step it is about, and the attempt of which command."""

    name: Word
    participant: Word
    kind: Literal["action", "compensation"]
    attempt: int
    next_at: datetime | None = None  # of a retry


class EventFailure(_Part):
    """What went wrong, in the participant's words: data, not instructions, and nobody's markup."""

    type: Word
    message: Text = ""
    code: Word = ""


class EventIncident(_Part):
    id: Word
    family: Word
    failures: int


class Event(_Part):
    """One thing that happened, told to whoever subscribed to it."""

    version: Literal[1] = 1
    id: Word
    kind: EventKind
    at: datetime
    definition: Word
    saga: EventSaga | None = None
    step: EventStep | None = None
    failure: EventFailure | None = None
    cause: Text | None = None  # why the saga turned
    incident: EventIncident | None = None
    link: Text | None = None  # where the API has more


def parse_event(body: bytes) -> Event:
    """An event out of a message. Raises amends.errors.MessageError."""
    if len(body) > event_bytes_max:
        raise MessageError(f"an event of {len(body)} bytes, more than {event_bytes_max}")
    try:
        return Event.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise MessageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """ "v1=" and the hexadecimal HMAC-SHA256, under the secret, of "<timestamp>.<body>"."""
    return "v1=" + hmac.new(secret.encode(), f"{timestamp}.".encode() + body, sha256).hexdigest()


def verify(secret: str, timestamp: str, stated: str, body: bytes, *, at: float | None = None) -> bool:
    """Whether this body was signed with the secret, and not long ago. `at`: now, in seconds since 1970."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 20):
        return False
    if abs((time.time() if at is None else at) - int(timestamp)) > signature_seconds_max:
        return False
    return hmac.compare_digest(signature(secret, int(timestamp), body).encode(), stated.encode())
