"""The broker as Amends sees it: addresses, lists of bytes, confirms and acknowledgements. Two implementations are
real: `LocalBroker` here, in process, and `amends.rabbitmq.RabbitBroker`. The same behaviour suite runs on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol

Lane = Literal["commands", "replies"]


class Confirm(Enum):
    """What is known about a publish once it ended. Only CONFIRMED lets the sender forget."""

    CONFIRMED = "confirmed"
    UNROUTABLE = "unroutable"  # nobody has declared that queue: nothing was kept
    NACKED = "nacked"  # the broker said no (a full queue): nothing was kept
    PERMANENT = "permanent"  # this message can never be published: park it
    UNKNOWN = "unknown"  # silence: it may or may not be there; repeat it


@dataclass(frozen=True, slots=True)
class Address:
    """Where a message goes: a participant's command queue, or the coordinators' one reply queue."""

    lane: Lane
    participant: str  # to whom (commands), or from whom (replies)


class Delivery(Protocol):
    """One message, held by a consumer until it acknowledges."""

    @property
    def body(self) -> bytes: ...
    @property
    def redelivered(self) -> bool: ...
    @property
    def address(self) -> Address: ...


class Consumer(Protocol):
    """A subscription. What it took and did not acknowledge comes again, to it or to another, when it ends."""

    async def take(self, limit: int) -> Sequence[Delivery]:
        """Wait for at least one delivery, return all that wait, at most `limit`. Raises BrokerClosed when it ended."""
        ...

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """These are done with. A connection lost meanwhile is no error here: they will simply come again."""
        ...

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """Nobody can process this: hand it to the dead letters with the reason."""
        ...

    async def close(self) -> None:
        """Stop consuming; hand back what is unacknowledged."""
        ...


class Broker(Protocol):
    """Publishes with confirms, and subscribes."""

    async def publish(self, address: Address, body: bytes, *, transient: bool = False) -> Confirm:
        """Publish one message and say what became of it, in bounded time; never raises for a broker's fault.

        In process the answer comes when the consumer has acknowledged, so it may take as long as the handler does.
        A `transient` message (a heartbeat) need not survive anything.
        """
        ...

    async def subscribe(self, lane: Lane, participant: str | None, *, prefetch: int) -> Consumer:
        """Consume a participant's commands (`lane="commands"`), or all replies (`lane="replies"`, participant None).

        Declares what it consumes. Raises BrokerError (BrokerClosed where trying again helps).
        """
        ...

    async def dead_letters(self) -> Consumer:
        """Consume what was dead-lettered or could not be routed, to be kept in the database."""
        ...

    async def close(self) -> None: ...
