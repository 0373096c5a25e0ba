"""Who wants to be told of what, and what became of telling them: plain frozen values. Times are aware UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Target(StrEnum):
    """Where notifications go."""

    WEBHOOK = "webhook"
    AMQP = "amqp"
    LOG = "log"


class NoticeState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"  # given up, until somebody asks for it again
    DROPPED = "dropped"  # its subscription ended first


@dataclass(frozen=True, slots=True)
class Subscription:
    """Somebody who wants to be told. No events: all of them; no definitions: those of all."""

    id: str
    target: Target
    created_at: datetime
    created_by: str
    url: str = ""
    events: tuple[str, ...] = ()
    definitions: tuple[str, ...] = ()
    secret: str = ""
    failures: int = 0  # in a row
    open_until: datetime | None = None  # after too many of them: nothing is tried before
    last_error: str | None = None

    def wants(self, event: str, definition: str) -> bool:
        return (not self.events or event in self.events) and (not self.definitions or definition in self.definitions)


@dataclass(frozen=True, slots=True)
class Notice:
    """One event for one subscription, to be kept with the change that it tells of."""

    id: str  # newer is greater
    subscription_id: str
    event_id: str
    event: str
    definition: str
    body: str
    at: datetime
    saga_id: str | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """A notice as it is kept, with what became of it."""

    notice: Notice
    state: NoticeState
    attempts: int
    next_at: datetime | None
    delivered_at: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class NotificationFilter:
    state: NoticeState | None = None
    subscription_id: str | None = None
    saga_id: str | None = None
    event: str | None = None


@dataclass(frozen=True, slots=True)
class NotificationPage:
    items: tuple[Notification, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits for one subscription."""

    waiting: int
    next_at: datetime


@dataclass(frozen=True, slots=True)
class OpenedIncident:
    """An incident that has just been opened, told of by the first failure in it."""

    id: str
    family: str
    definition: str
    error_type: str
    template: str
    failures: int
    at: datetime
