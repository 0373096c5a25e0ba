"""The broker on RabbitMQ: one connection to publish on, one to consume on, each replaced when it ends.

What exists is listed in `topology`; `link` keeps a connection, `publisher` says what became of a message, `consumer`
holds what was delivered. When in doubt about a publish the answer is UNKNOWN, and the sender repeats.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable
from urllib.parse import parse_qs, unquote, urlsplit

from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AuthenticationError, InvalidFrameError, ProbableAuthenticationError
from aiormq.exceptions import ChannelAccessRefused

from amends.broker import (
    Address,
    Confirm,
    Consumer,
    Lane,
    check_participant,
    check_subscription,
    is_announceable,
    is_publishable,
)
from amends.errors import BrokerClosed, BrokerError
from amends.rabbitmq import topology
from amends.rabbitmq.consumer import RabbitConsumer
from amends.rabbitmq.link import Link, deadline, declare, declare_seconds_max, failures, pause, unbind
from amends.rabbitmq.publisher import Publisher, message_of, published_now

__all__ = ["RabbitBroker"]

log = logging.getLogger(__name__)

dead_letters_prefetch = 100
heartbeats_prefetch = 10

# The library says InvalidFrameError when the broker refuses to open the virtual host, and swallows what it said.
_hopeless = (AuthenticationError, ProbableAuthenticationError, InvalidFrameError)


class RabbitBroker:
    """Amends' broker on RabbitMQ. Use `connect`."""

    def __init__(self, url: str, name: str) -> None:
        self._declared: set[str] = set()
        self._user = _user_of(url)
        self._coordinator = secrets.token_hex(8)  # what we are called, should we be one
        self._reply_to: str | None = None
        self._fault: BrokerError | None = None
        self._publishing = Link(url, f"{name}/publish", self._prepare)
        self._consuming = Link(url, f"{name}/consume", _nothing)
        self._outgoing = Publisher(self._publishing)
        self._graves = Publisher(self._publishing)  # may lack the right to: then only this channel is closed

    @classmethod
    async def connect(cls, url: str, *, name: str) -> RabbitBroker:
        """Connect to `amqp://…`; `name` is what the broker's operators read. The topology is declared.

        A broker that is away is no error: it is waited for in the background, and publishes answer UNSENT. Raises
        BrokerError for what waiting won't help: refused credentials, no such virtual host, a queue declared otherwise.
        """
        broker = cls(url, name)
        try:
            error = await broker._publishing.first()
        except BaseException:
            await broker.close()
            raise
        if isinstance(error, _hopeless):
            broker._fault = BrokerError(
                f"RabbitMQ refuses us (are the credentials and the virtual host right?): {error}"
            )
        if broker._fault is not None:
            await broker.close()
            raise broker._fault from error
        return broker

    async def _prepare(self, connection: AbstractConnection) -> None:
        """What must exist before anything is published: after a reconnect the broker may be an empty one."""
        try:
            await declare(connection, (*topology.queues, *map(topology.command_queue, sorted(self._declared))))
        except BrokerError as error:
            if isinstance(error, BrokerClosed):
                raise
            self._fault = error
            log.error("The topology is not as it should be: %s", error, extra={"action": "broker.topology_differs"})

    @property
    def connected(self) -> bool:
        """Whether there is a connection to publish on, and the broker takes messages."""
        return self._publishing.connection is not None and not self._publishing.blocked

    async def publish(self, address: Address, body: bytes, *, transient: bool = False) -> Confirm:
        """As `Broker.publish`: answers within `publish_seconds_max` and what a dropped connection takes to close."""
        if not is_publishable(address, body):
            return Confirm.PERMANENT
        if address.lane == "commands":
            message = message_of(body, published_now(), transient=transient, reply_to=self._reply_to)
            return await self._outgoing.publish(topology.commands, address.participant, message)
        # Stated, so that the broker vouches for it: it takes no message that says it is from somebody else.
        message = message_of(body, transient=transient, user=self._user)
        kind = "heartbeat" if transient else "reply"
        plain = f"{kind}.{address.participant}"
        key = topology.direct_key(address.participant, address.to) if address.to else plain
        return await self._outgoing.publish(topology.replies, key, message)

    async def announce(self, key: str, body: bytes, *, event_id: str) -> Confirm:
        """As `Broker.announce`, on the topic exchange `amends.events`. The event's id is the header `event_id`: the
        message's own id is unique per publish."""
        if not is_announceable(key, body):
            return Confirm.PERMANENT
        message = message_of(body, {"event_id": event_id}, kind=key.rpartition(".")[2])
        return await self._outgoing.publish(topology.events, key, message, mandatory=False)

    async def declare(self, participant: str) -> None:
        """As `Broker.declare`: now, and again whenever there is a new connection."""
        queue = topology.command_queue(check_participant(participant))
        self._declared.add(participant)
        connection = self._publishing.connection
        if connection is None:
            return
        try:
            await declare(connection, [queue])
        except failures as error:
            log.info("Declared later, with the next connection: %r", error, extra={"action": "broker.declare_failed"})

    async def subscribe(self, lane: Lane, participant: str | None, *, prefetch: int) -> Consumer:
        """As `Broker.subscribe`. Heartbeats have a queue of their own, so that a backlog of replies can't age them. Who
        hears replies asks for those to its own commands from then on, if it may have a queue for them."""
        check_subscription(lane, participant, prefetch)
        if participant is None:
            queues = {topology.replies: prefetch, topology.heartbeats: min(prefetch, heartbeats_prefetch)}
            return await self._consume(topology.queues, queues, direct_prefetch=prefetch)
        queue = topology.command_queue(participant)
        return await self._consume([queue], {queue.name: prefetch})

    async def dead_letters(self) -> Consumer:
        """As `Broker.dead_letters`: both what was dead-lettered and what had nowhere to go."""
        queues = {topology.dead: dead_letters_prefetch, topology.unroutable: dead_letters_prefetch}
        return await self._consume(topology.queues, queues, dead=True)

    async def _consume(
        self,
        declared: Iterable[topology.Queue],
        queues: dict[str, int],
        *,
        dead: bool = False,
        direct_prefetch: int = 0,
    ) -> RabbitConsumer:
        attempt = 0
        while True:
            connection = await self._consuming.opened()
            try:
                await declare(connection, declared)
                direct = await self._direct(connection, direct_prefetch) if direct_prefetch else {}
                async with deadline(declare_seconds_max):
                    return await RabbitConsumer.open(connection, self._graves, queues | direct, dead=dead)
            except ChannelAccessRefused as error:
                raise BrokerError(f"not allowed to consume: {error}") from error
            except failures as error:
                log.warning("Can't consume yet: %r", error, extra={"action": "broker.subscribe_failed"})
            attempt += 1
            await pause(attempt)

    async def _direct(self, connection: AbstractConnection, prefetch: int) -> dict[str, int]:
        """See to the queue of what is for us alone, and ask for it with every command; nothing if we may have none."""
        queue = topology.direct_queue(self._coordinator)
        allowed = await declare(connection, [queue], exchanges=())  # a coordinator may be allowed nothing but its own
        self._reply_to = self._coordinator if allowed else None
        return {queue.name: prefetch} if allowed else {}

    async def close(self) -> None:
        """As `Broker.close`, in bounded time. Replies to our commands are for the other coordinators at once."""
        if self._reply_to is not None and self._consuming.connection is not None:
            await unbind(self._consuming.connection, topology.direct_queue(self._reply_to))
        await asyncio.gather(self._publishing.close(), self._consuming.close())


def _user_of(url: str) -> str | None:
    """Whom we log in as, if the URL says so. A certificate's name is known to the broker alone."""
    parts = urlsplit(url)
    mechanism = parse_qs(parts.query).get("auth", ["plain"])[0]
    return unquote(parts.username) if parts.username and mechanism.lower() != "external" else None


async def _nothing(_: AbstractConnection) -> None:
    """Consumers declare what they consume when they subscribe."""
