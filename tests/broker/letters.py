"""What tests of a broker say often."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from amends.broker import Address, Broker, Confirm, Consumer, Delivery

payment = Address("commands", "payment")
reply = Address("replies", "payment")
patience_seconds = 20.0


async def take_all(consumer: Consumer, count: int, limit: int = 100) -> list[Delivery]:
    """Take until there are `count` deliveries, however many come at a time."""
    taken: list[Delivery] = []
    async with asyncio.timeout(patience_seconds):
        while len(taken) < count:
            taken.extend(await consumer.take(min(limit, count - len(taken))))
    return taken


def bodies(deliveries: Iterable[Delivery]) -> list[bytes]:
    return [delivery.body for delivery in deliveries]


class Outbox:
    """Publishes that go on beside the test, since in process they last until somebody has acknowledged them."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._sending: list[asyncio.Task[Confirm]] = []

    async def send(self, address: Address, *contents: bytes) -> None:
        """Publish in this order, without waiting for confirms."""
        for body in contents:
            self._sending.append(asyncio.create_task(self._broker.publish(address, body)))
            await asyncio.sleep(0)

    async def confirms(self) -> list[Confirm]:
        """Every answer so far, waiting for those that are still to come."""
        async with asyncio.timeout(patience_seconds):
            return list(await asyncio.gather(*self._sending))

    async def leave(self) -> None:
        """End what nobody is going to acknowledge."""
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
