"""The other end of the wire for the tests: a coordinator that sends what it is told and hears what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from amends import Address, Broker, Command, Confirm, Reply, ServingLimits
from amends.broker import Consumer
from amends.message import Heartbeat, decode, encode_item, frame
from tests.sdk.shop import Shop

quick = ServingLimits(heartbeat_seconds=60, grace_seconds=5, retry_seconds_max=0.2)
orders = Address("commands", "payment")


class Coordinator:
    """The other end: sends lists of commands, hears replies and heartbeats."""

    def __init__(self, broker: Broker, consumer: Consumer) -> None:
        self.broker = broker
        self.consumer = consumer
        self.heartbeats: list[Heartbeat] = []
        self._sending: set[asyncio.Task[Confirm]] = set()

    def send(self, *commands: Command) -> asyncio.Task[Confirm]:
        """One list. The task ends when the participant has acknowledged it."""
        return self.send_body(frame("commands", [encode_item(order) for order in commands]))

    def send_body(self, body: bytes) -> asyncio.Task[Confirm]:
        sending = asyncio.create_task(self.broker.publish(orders, body))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        return sending

    async def hear(self, count: int) -> list[Reply]:
        """Wait for so many replies; keep the heartbeats aside."""
        replies: list[Reply] = []
        async with asyncio.timeout(20):
            while len(replies) < count:
                deliveries = await self.consumer.take(32)
                for delivery in deliveries:
                    for item in decode(delivery.body):
                        if isinstance(item, Heartbeat):
                            self.heartbeats.append(item)
                        elif isinstance(item, Reply):
                            replies.append(item)
                await self.consumer.acknowledge(deliveries)
        return replies

    async def last_words(self) -> Heartbeat:
        """The heartbeat that says goodbye."""
        return await self.next_heartbeat(lambda heartbeat: heartbeat.stopping)

    async def next_heartbeat(self, is_it: Callable[[Heartbeat], bool]) -> Heartbeat:
        """Wait until the latest heartbeat is the one."""
        async with asyncio.timeout(20):
            while not (self.heartbeats and is_it(self.heartbeats[-1])):
                deliveries = await self.consumer.take(32)
                items = [item for delivery in deliveries for item in decode(delivery.body)]
                self.heartbeats.extend(item for item in items if isinstance(item, Heartbeat))
                await self.consumer.acknowledge(deliveries)
        return self.heartbeats[-1]


@asynccontextmanager
async def serving(shop: Shop, broker: Broker, limits: ServingLimits = quick) -> AsyncIterator[asyncio.Task[None]]:
    """The participant at work; stopped, with grace, at the end."""
    task = asyncio.create_task(shop.participant.serve(broker, limits=limits))
    try:
        yield task
    finally:
        if not task.done():
            shop.participant.stop()
            async with asyncio.timeout(20):
                await task


def sagas(replies: Sequence[Reply]) -> list[str]:
    return sorted(reply.saga_id for reply in replies)
