"""What lies between the parts of the world: each worker and the coordinator have a line to the broker that can be cut.

A line that is cut tells nobody. What was taken over it stays with whoever took it until the broker notices.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from amends.broker import Address, Confirm, Consumer, Delivery, Lane
from amends.errors import BrokerClosed
from amends.local import LocalBroker
from amends.message import Reply, decode

silence_seconds = 5.0  # after which a publish without an answer is given up

Passed = Callable[[Sequence[Reply]], None]


class Line:
    """A Broker for one process of the world, over the broker that all share."""

    def __init__(self, broker: LocalBroker, *, passed: Passed | None = None) -> None:
        self._broker = broker
        self._passed = passed  # told of replies that have got through
        self._up = asyncio.Event()
        self._up.set()
        self.polite = False  # a line that is cut says so at once, as a connection that was closed does
        self.dumb = False
        self.mute_heartbeats = False
        self._consumers: list[LineConsumer] = []

    @property
    def connected(self) -> bool:
        return self._up.is_set()

    def cut(self, *, polite: bool = False) -> None:
        """Nothing gets through any more."""
        self.polite = polite
        self._up.clear()
        if polite:
            for consumer in self._consumers:
                consumer.sever()

    def hang(self) -> None:
        """What comes is still taken; nothing that is said gets out."""
        self.dumb = True

    def mend(self) -> None:
        self._up.set()

    async def release(self) -> None:
        """The broker has noticed: what was taken over this line is given to others."""
        for consumer in list(self._consumers):
            await consumer.lose()

    async def publish(self, address: Address, body: bytes, *, transient: bool = False) -> Confirm:
        """As `Broker.publish`."""
        if not self._up.is_set():
            if self.polite:
                return Confirm.UNSENT
            await asyncio.sleep(silence_seconds)
            if not self._up.is_set():
                return Confirm.UNKNOWN
        if self.dumb:
            await asyncio.sleep(silence_seconds)
            return Confirm.UNKNOWN
        if transient and self.mute_heartbeats:
            return Confirm.CONFIRMED
        confirm = await self._broker.publish(address, body, transient=transient)
        if self._passed is not None and address.lane == "replies" and not transient:
            self._passed([item for item in decode(body) if isinstance(item, Reply)])
        return confirm

    async def announce(self, key: str, body: bytes, *, event_id: str) -> Confirm:
        return await self._broker.announce(key, body, event_id=event_id)

    async def declare(self, participant: str) -> None:
        await self._broker.declare(participant)

    async def subscribe(self, lane: Lane, participant: str | None, *, prefetch: int) -> Consumer:
        await self._up.wait()
        consumer = LineConsumer(self._up, await self._broker.subscribe(lane, participant, prefetch=prefetch))
        self._consumers.append(consumer)
        return consumer

    async def dead_letters(self) -> Consumer:
        await self._up.wait()
        consumer = LineConsumer(self._up, await self._broker.dead_letters())
        self._consumers.append(consumer)
        return consumer

    async def close(self) -> None:
        """The broker itself stays: others still use it."""
        for consumer in list(self._consumers):
            await consumer.lose()


class LineConsumer:
    """A subscription over a line."""

    def __init__(self, up: asyncio.Event, consumer: Consumer) -> None:
        self._up = up
        self._consumer = consumer
        self._severed = asyncio.Event()

    def sever(self) -> None:
        self._severed.set()

    async def lose(self) -> None:
        await self._consumer.close()

    async def take(self, limit: int) -> Sequence[Delivery]:
        """As `Consumer.take`. A line that hangs takes nothing, one that was closed says so."""
        await self._up.wait()
        if self._severed.is_set():
            await self._consumer.close()
            raise BrokerClosed("the connection was closed")
        taking = asyncio.ensure_future(self._consumer.take(limit))
        severed = asyncio.ensure_future(self._severed.wait())
        try:
            await asyncio.wait({taking, severed}, return_when=asyncio.FIRST_COMPLETED)
            if taking.done():
                return taking.result()
            await self._consumer.close()
            raise BrokerClosed("the connection was closed")
        finally:
            for task in (taking, severed):
                task.cancel()

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        if self._up.is_set():
            await self._consumer.acknowledge(deliveries)

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        await self._consumer.dead_letter(delivery, reason)

    async def close(self) -> None:
        """Over a line that hangs nobody hears it."""
        if self._up.is_set():
            await self._consumer.close()
