"""One supervised connection to RabbitMQ, and what every call into the library is wrapped in.

The connections are plain ones: a reconnecting connection of the library restores what it declared before, and one
queue whose arguments changed would then keep it down for ever.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPError, ChannelPreconditionFailed
from aiormq.exceptions import ChannelAccessRefused

from amends.errors import BrokerClosed, BrokerError
from amends.rabbitmq import topology

log = logging.getLogger(__name__)

heartbeat_seconds = 10  # a silent connection is given up after three of these
connect_seconds_max = 10.0
declare_seconds_max = 10.0
close_seconds_max = 2.0
unbind_seconds_max = 0.5  # who stops has little time, and it is a courtesy
pause_first_seconds, pause_seconds_max = 0.5, 10.0
steady_seconds = 10.0  # a connection that lived this long starts the pauses over

failures = (AMQPError, OSError, RuntimeError, BrokerClosed)  # all that a call inside a `deadline` may raise


@asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[None]:
    """A deadline for calls into the library, whose many ways to fail it makes a few: `failures`, or our own errors.

    When a connection gets stuck the library fails what waits on it with CancelledError. Let through, it would end the
    caller's task without a trace, since a task group ignores a child that was cancelled. When one callback of a channel
    fails, whatever it raised is handed to all who wait on that channel, a ValueError or a bare Exception as well. And
    who is cancelled while the library is closing something gets its failure instead, or no error at all, and would
    never end.
    """
    task = asyncio.current_task()
    cancels = task.cancelling() if task else 0
    try:
        async with asyncio.timeout(seconds):
            yield
        if task and task.cancelling() > cancels:
            raise asyncio.CancelledError  # swallowed somewhere on the way, and nobody would ask a second time
    except asyncio.CancelledError:
        if task and task.cancelling() > cancels:
            raise
        raise BrokerClosed("the connection ended") from None
    except Exception as error:
        if task and task.cancelling() > cancels:
            raise asyncio.CancelledError from error
        if isinstance(error, (AMQPError, OSError, RuntimeError, BrokerError)):
            raise
        raise BrokerClosed(f"the channel ended: {error!r}") from error


async def close_in_time(closable: AbstractConnection | AbstractChannel) -> None:
    """Close in bounded time. A peer that doesn't answer any more is left to the heartbeat, which aborts it."""
    try:
        async with deadline(close_seconds_max):
            await closable.close()
    except failures as error:
        log.debug("Not closed in order: %r", error, extra={"action": "broker.close_failed"})


async def pause(attempt: int) -> None:
    """Wait before the next attempt, a random time so that not all come back to a restarted broker at once."""
    await asyncio.sleep(random.uniform(0.0, min(pause_seconds_max, pause_first_seconds * 2 ** min(attempt, 10))))


async def declare(
    connection: AbstractConnection,
    queues: Iterable[topology.Queue],
    exchanges: Iterable[topology.Exchange] = topology.exchanges,
) -> bool:
    """Declare exchanges and queues on a throw-away channel. False: who we are may not. Raises BrokerError where one
    exists otherwise."""
    try:
        async with deadline(declare_seconds_max):
            channel = await connection.channel(publisher_confirms=False)
            try:
                for exchange in exchanges:
                    await channel.declare_exchange(
                        exchange.name, exchange.type, durable=True, arguments={**exchange.arguments}
                    )
                for queue in queues:
                    declared = await channel.declare_queue(queue.name, durable=True, arguments={**queue.arguments})
                    for exchange_name, key in queue.bindings:
                        await declared.bind(exchange_name, key)
            finally:
                await close_in_time(channel)
    except ChannelPreconditionFailed as error:
        raise BrokerError(f"RabbitMQ has it declared with other arguments: {error}") from error
    except ChannelAccessRefused as error:
        # A participant with least privileges configures nothing; the coordinators have declared what it needs.
        log.info("Not allowed to declare: %s", error, extra={"action": "broker.declare_refused"})
        return False
    return True


async def unbind(connection: AbstractConnection, queue: topology.Queue) -> None:
    """Let nothing more come into a queue, in bounded time. If that fails it fills for as long as it exists."""
    try:
        async with deadline(unbind_seconds_max):
            channel = await connection.channel(publisher_confirms=False)
            bound = await channel.get_queue(queue.name, ensure=False)
            for exchange_name, key in queue.bindings:
                await bound.unbind(exchange_name, key)
    except failures as error:
        log.debug("Not unbound: %r", error, extra={"action": "broker.unbind_failed"})


class Link:
    """One connection, kept open: replaced, after a pause, whenever it ends or is dropped."""

    def __init__(self, url: str, name: str, prepare: Callable[[AbstractConnection], Awaitable[None]]) -> None:
        self.connection: AbstractConnection | None = None
        self.prepare = prepare
        self._url = url
        self._name = name
        self._up = asyncio.Event()
        self._ended = asyncio.Event()
        self._closed = False
        self._first: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._keep(), name=f"broker link {name}")

    async def first(self) -> Exception | None:
        """Wait for the end of the first attempt to connect, and say what was wrong with it."""
        return await asyncio.shield(self._first)

    async def opened(self) -> AbstractConnection:
        """Wait until there is a connection. Raises BrokerClosed once this link is closed."""
        while self.connection is None:
            if self._closed:
                raise BrokerClosed("the broker was closed")
            await self._up.wait()
        return self.connection

    @property
    def blocked(self) -> bool:
        """Whether the broker has asked us to publish nothing, for want of memory or disk."""
        if self.connection is None or self.connection.transport is None:
            return False
        waiting = self.connection.transport.connection.ready()
        try:
            waiting.send(None)  # one step by hand: it ends at once unless the connection is blocked
        except StopIteration:
            return False
        waiting.close()
        return True

    def drop(self) -> None:
        """Replace the connection: it doesn't answer."""
        self._ended.set()

    async def close(self) -> None:
        self._closed = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._up.set()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        attempt = 0
        while not self._closed:
            started = loop.time()
            try:
                await self._hold()
                error: Exception | None = None
            except (*failures, BrokerError) as failure:
                error = failure
            if not self._first.done():
                self._first.set_result(error)
            attempt = 0 if loop.time() - started > steady_seconds else attempt + 1
            log.warning(
                "Connection %s ended (%r), connecting again", self._name, error, extra={"action": "broker.disconnected"}
            )
            await pause(attempt)

    async def _hold(self) -> None:
        """One connection's life."""
        self._ended.clear()
        async with deadline(connect_seconds_max):
            connection = await aio_pika.connect(
                self._url, heartbeat=heartbeat_seconds, client_properties={"connection_name": self._name}
            )
        try:
            if connection.transport is None:
                raise BrokerClosed("the connection ended at once")
            connection.transport.connection.closing.add_done_callback(lambda _: self._ended.set())
            await self.prepare(connection)
            self.connection = connection
            self._up.set()
            log.info("Connection %s is open", self._name, extra={"action": "broker.connected"})
            if not self._first.done():
                self._first.set_result(None)
            await self._ended.wait()
        finally:
            self.connection = None
            self._up.clear()
            await close_in_time(connection)
