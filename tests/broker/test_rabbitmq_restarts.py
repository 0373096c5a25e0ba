"""RabbitMQ killed, restarted and emptied: what was confirmed survives a crash, and an empty one is filled again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from amends.broker import Address, Broker, Confirm
from amends.errors import BrokerClosed
from amends.rabbitmq import RabbitBroker
from tests.broker.letters import bodies, patience_seconds, payment
from tests.servers import OwnRabbitMQ, ephemeral_rabbitmq

pytestmark = pytest.mark.rabbitmq


# RabbitMQ (3.10 at least) writes down half a second late which quorum queues exist. One that is killed before loses all
# that the new queue had confirmed, and leaves the queue without a leader for minutes.
settled_seconds = 2.0


@pytest.fixture(scope="module")
def server() -> Iterator[OwnRabbitMQ]:
    """A RabbitMQ of our own, to be killed, whose queues are not new."""

    async def declare_all(url: str) -> None:
        broker = await RabbitBroker.connect(url, name="test")
        await broker.declare("payment")
        await broker.close()

    with ephemeral_rabbitmq() as started:
        asyncio.run(declare_all(started.url))
        time.sleep(settled_seconds)
        yield started


@pytest.fixture
async def broker(server: OwnRabbitMQ) -> AsyncIterator[RabbitBroker]:
    opened = await RabbitBroker.connect(server.url, name="test")
    yield opened
    await opened.close()


class Relay:
    """Sends bodies with a window of ten, repeating what was not confirmed, and declaring what is missing."""

    def __init__(self, broker: Broker, address: Address) -> None:
        self._broker = broker
        self._address = address
        self._window = asyncio.Semaphore(10)
        self.answers: list[Confirm] = []
        self.confirmed: list[bytes] = []
        self._progress = asyncio.Event()

    async def send(self, body: bytes) -> None:
        async with self._window:
            while (answer := await self._broker.publish(self._address, body)) is not Confirm.CONFIRMED:
                self.answers.append(answer)
                if answer is Confirm.UNROUTABLE:
                    await self._broker.declare(self._address.participant)
                await asyncio.sleep(0.05)
            self.confirmed.append(body)
            self._progress.set()

    async def wait_for(self, count: int) -> None:
        while len(self.confirmed) < count:
            self._progress.clear()
            await self._progress.wait()


async def receive(broker: Broker, received: set[bytes], wanted: set[bytes]) -> None:
    """What a participant's loop does, over as many subscriptions as it takes."""
    while not wanted <= received:
        consumer = await broker.subscribe("commands", "payment", prefetch=50)
        try:
            while not wanted <= received:
                deliveries = await consumer.take(50)
                received.update(bodies(deliveries))
                await consumer.acknowledge(deliveries)
        except BrokerClosed:
            continue
        await consumer.close()


async def test_a_crash_during_publishes_loses_nothing_that_was_confirmed(
    server: OwnRabbitMQ, broker: RabbitBroker
) -> None:
    await broker.declare("payment")
    relay = Relay(broker, payment)
    sent = [b"crash-%d" % number for number in range(600)]
    async with asyncio.timeout(patience_seconds * 3), asyncio.TaskGroup() as tasks:
        for body in sent:
            tasks.create_task(relay.send(body))
        await relay.wait_for(100)
        await asyncio.to_thread(server.kill)
        assert await broker.publish(payment, b"down") in (Confirm.UNSENT, Confirm.UNKNOWN)
        await asyncio.to_thread(server.start)
    assert set(relay.answers) <= {Confirm.UNKNOWN, Confirm.UNSENT, Confirm.NACKED}
    assert relay.answers
    received: set[bytes] = set()
    async with asyncio.timeout(patience_seconds):
        await receive(broker, received, set(sent))


async def test_a_consumer_goes_on_after_a_restart(server: OwnRabbitMQ, broker: RabbitBroker) -> None:
    sent = {b"restart-%d" % number for number in range(200)}
    received: set[bytes] = set()
    relay = Relay(broker, payment)
    async with asyncio.timeout(patience_seconds * 3), asyncio.TaskGroup() as tasks:
        tasks.create_task(receive(broker, received, sent))
        for body in sorted(sent):
            tasks.create_task(relay.send(body))
        await relay.wait_for(50)
        await asyncio.to_thread(server.restart)
    assert sent <= received


async def test_a_wiped_broker_gets_its_topology_back(server: OwnRabbitMQ, broker: RabbitBroker) -> None:
    """The broker is disposable: what it had confirmed is gone with it and the timers send that again, but nobody has to
    declare anything by hand, nor start anything again."""
    await broker.declare("payment")
    assert await broker.publish(payment, b"gone") is Confirm.CONFIRMED
    received: set[bytes] = set()
    async with asyncio.timeout(patience_seconds * 3), asyncio.TaskGroup() as tasks:
        await asyncio.to_thread(server.restart, wipe=True)
        relay = Relay(broker, payment)
        await relay.send(b"after")
        assert Confirm.UNROUTABLE not in relay.answers  # declared with the new connection, before any publish
        tasks.create_task(receive(broker, received, {b"after"}))
    graves = await broker.dead_letters()
    await graves.close()
