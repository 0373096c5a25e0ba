"""What the servers can do at most for anybody: single-row commits a second, and messages confirmed a second.

Each counts as a "saga" here. The client is this process; what it takes of the machine is part of the limit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aio_pika
import asyncpg

from bench.speed.load import Demand, Tally
from bench.speed.product import Servers

body = b"x" * 400


class _Limit:
    """The same thing again and again, so many at a time."""

    def __init__(self, servers: Servers, in_flight: int) -> None:
        self._servers = servers
        self.in_flight = in_flight

    @asynccontextmanager
    async def _turns(self, count: int, once: Callable[[int], Awaitable[object]]) -> AsyncIterator[Tally]:
        tally, stopping = Tally(), asyncio.Event()

        async def work(number: int) -> None:
            while not stopping.is_set():
                began = time.monotonic()
                await once(number)
                now = time.monotonic()
                tally.ended_at.append(now)
                tally.seconds.append(now - began)

        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(work(number))
            yield tally
            stopping.set()


class Commits(_Limit):
    """Rows inserted into PostgreSQL, each in a transaction of its own."""

    async def start(self) -> None:
        connection = await asyncpg.connect(self._servers.dsn)
        try:
            await connection.execute("CREATE TABLE IF NOT EXISTS limit_rows (id bigserial PRIMARY KEY, body text)")
        finally:
            await connection.close()

    async def stop(self) -> None:
        """Nothing is left running."""

    def pids(self) -> dict[str, list[int]]:
        return {"PostgreSQL": [self._servers.postgres.pid or 0]}

    def databases(self) -> dict[str, str]:
        return {}

    @asynccontextmanager
    async def load(self, demand: Demand) -> AsyncIterator[Tally]:
        count = demand.in_flight
        connections = [await asyncpg.connect(self._servers.dsn) for _ in range(count)]
        try:
            statements = [await one.prepare("INSERT INTO limit_rows (body) VALUES ($1)") for one in connections]
            async with self._turns(count, lambda number: statements[number].fetch(body.decode())) as tally:
                yield tally
        finally:
            for one in connections:
                await one.close()


class Publishes(_Limit):
    """Messages published to RabbitMQ and confirmed, each by itself."""

    def __init__(self, servers: Servers, in_flight: int, kind: str) -> None:
        super().__init__(servers, in_flight)
        self._kind = kind

    async def start(self) -> None:
        """Nothing has to be running beforehand."""

    async def stop(self) -> None:
        """Nothing is left running."""

    def pids(self) -> dict[str, list[int]]:
        return {"RabbitMQ": [self._servers.rabbitmq.pid or 0]}

    def databases(self) -> dict[str, str]:
        return {}

    @asynccontextmanager
    async def load(self, demand: Demand) -> AsyncIterator[Tally]:
        name = f"limit.{self._kind}"
        connection = await aio_pika.connect(self._servers.rabbitmq.url)
        async with connection:
            channel = await connection.channel(publisher_confirms=True)
            queue = await channel.declare_queue(name, durable=True, arguments={"x-queue-type": self._kind})

            async def once(_: int) -> object:
                message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                return await channel.default_exchange.publish(message, name)

            try:
                async with self._turns(demand.in_flight, once) as tally:
                    yield tally
            finally:
                await queue.delete(if_unused=False, if_empty=False)
