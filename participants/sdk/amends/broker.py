"""The broker as Amends sees it: addresses, lists of bytes, confirms and acknowledgements. Two implementations are
real: `amends.local.LocalBroker`, in process, and `amends.rabbitmq.RabbitBroker`. One behaviour suite runs on both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol

from amends.errors import BrokerError
from amends.message import message_bytes_max

Lane = Literal["commands", "replies"]

returns_max = 50  # a message handed back more often than this kills its consumers: it becomes a dead letter
reason_chars_max = 2000  # a dead letter's reason travels in a header, and headers beyond 128 KiB end a connection
delivery_limit_reason = "delivery_limit"  # the reason of a dead letter that was handed back too often


class Confirm(Enum):
    """What is known about a publish once it ended. Only CONFIRMED lets the sender forget."""

    CONFIRMED = "confirmed"
    UNROUTABLE = "unroutable"  # nobody has declared that queue: nothing was kept; declare it and repeat
    NACKED = "nacked"  # the broker said no (a full queue): nothing was kept
    PERMANENT = "permanent"  # this message can never be published: park it
    UNSENT = "unsent"  # the broker is away: nothing left this process, it costs no attempt; repeat it later
    UNKNOWN = "unknown"  # silence: it may or may not be there; repeat it


@dataclass(frozen=True, slots=True)
class Address:
    """Where a message goes: a participant's command queue, or the coordinators' one reply queue."""

    lane: Lane
    participant: str  # to whom (commands), or from whom (replies)
    to: str | None = None  # of replies: the one coordinator that they are for, instead of any


class Delivery(Protocol):
    """One message, held by a consumer until it acknowledges."""

    @property
    def body(self) -> bytes: ...
    @property
    def redelivered(self) -> bool:
        """Whether somebody may have held it before, and handed it back or lost it."""
        ...

    @property
    def address(self) -> Address:
        """Where it was published to; of a dead letter, where it was published to when it was alive."""
        ...

    @property
    def published_at(self) -> float | None:
        """When it was published, in seconds since 1970 by its publisher's clock, if that said so."""
        ...

    @property
    def reply_to(self) -> str | None:
        """Which coordinator has published it, if it would rather have the replies itself: `Address.to`."""
        ...

    @property
    def sender(self) -> str | None:
        """The user who published it, as the broker vouches. None if the broker knows no users, or none was stated."""
        ...

    @property
    def reason(self) -> str | None:
        """Of a dead letter, why it is one. None of any other."""
        ...


class Consumer(Protocol):
    """A subscription. What it took and did not acknowledge comes again, to it or to another, when it ends."""

    async def take(self, limit: int) -> Sequence[Delivery]:
        """Wait for at least one delivery, return all that wait, at most `limit`.

        Raises BrokerClosed when the subscription ended: the connection was lost, the queue was deleted, or `close`
        was called. What it took is no longer its own then; `Broker.subscribe` waits until there is a new one.
        """
        ...

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """These are done with. A connection lost meanwhile is no error here: they will simply come again."""
        ...

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """Nobody can process this: hand it to the dead letters with the reason, and be done with it here.

        It is in one of the two queues at any time, so that a crash loses nothing. Raises BrokerError for a delivery
        that is a dead letter already.
        """
        ...

    async def close(self) -> None:
        """Stop consuming; hand back what is unacknowledged."""
        ...


class Broker(Protocol):
    """Publishes with confirms, and subscribes."""

    @property
    def connected(self) -> bool:
        """Whether a publish can leave now. For readiness and dashboards; `publish` may be called regardless."""
        ...

    async def publish(self, address: Address, body: bytes, *, transient: bool = False) -> Confirm:
        """Publish one message and say what became of it, in bounded time; never raises for a broker's fault. What is
        for one coordinator is UNROUTABLE when that one is gone: any other takes it.

        Many may be in flight together; the caller bounds how many. In process the answer comes when the consumer has
        acknowledged, so it may take as long as the handler does, or as long as nobody consumes.
        A `transient` message (a heartbeat) need not survive anything, and is old news within seconds.
        """
        ...

    async def announce(self, key: str, body: bytes, *, event_id: str) -> Confirm:
        """Tell of an event, under "<definition>.<kind>", whoever listens: nobody is a confirm too. As `publish`."""
        ...

    async def declare(self, participant: str) -> None:
        """See to it that the participant's command queue exists, so that its commands wait there while it is away.

        Where the broker is away the queue is declared before anything is published again. Idempotent. Raises
        BrokerError if the queue exists with other arguments or the name can't be one.
        """
        ...

    async def subscribe(self, lane: Lane, participant: str | None, *, prefetch: int) -> Consumer:
        """Consume a participant's commands (`lane="commands"`), or all replies (`lane="replies"`, participant None).

        Declares what it consumes, and holds at most `prefetch` deliveries unacknowledged. Waits, with growing pauses,
        while the broker is away. Raises BrokerClosed once this broker object was closed, and BrokerError for what
        trying again won't help: no right to consume, or a queue that exists with other arguments.
        """
        ...

    async def dead_letters(self) -> Consumer:
        """Consume what was dead-lettered or could not be routed, to be kept in the database. As `subscribe`."""
        ...

    async def close(self) -> None:
        """End all consumers and connections. What was in flight is answered UNKNOWN, what comes after it UNSENT."""
        ...


_participant_name = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
_coordinator = re.compile(r"[a-z0-9]{1,32}")


def check_participant(name: str) -> str:
    """The name, if it can be a participant's and so part of a queue's name. Raises BrokerError."""
    if not _participant_name.fullmatch(name):
        raise BrokerError(f"{name[:100]!r} can't be the name of a participant")
    return name


def is_publishable(address: Address, body: bytes) -> bool:
    """Whether a message could ever be published: asked first, so that no later error can be taken for the answer."""
    named = _participant_name.fullmatch(address.participant) and (address.to is None or is_coordinator(address.to))
    return len(body) <= message_bytes_max and bool(named)


def is_coordinator(name: object) -> bool:
    """Whether this can be who replies are for."""
    return isinstance(name, str) and _coordinator.fullmatch(name) is not None


_event_key = re.compile(r"[A-Za-z0-9_-]{1,100}(\.[A-Za-z0-9_-]{1,100}){1,3}")


def is_announceable(key: str, body: bytes) -> bool:
    """As `is_publishable`, of an event."""
    return len(body) <= message_bytes_max and _event_key.fullmatch(key) is not None


def check_subscription(lane: Lane, participant: str | None, prefetch: int) -> None:
    """Raise BrokerError unless the arguments of `Broker.subscribe` make sense together."""
    if prefetch < 1:
        raise BrokerError(f"a prefetch of {prefetch} delivers nothing")
    if lane == "commands":
        check_participant(participant or "")
    elif participant is not None:
        raise BrokerError("replies are consumed together, whoever they are from")
