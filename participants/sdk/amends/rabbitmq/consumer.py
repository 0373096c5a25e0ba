"""Consuming from RabbitMQ: a channel that keeps what was delivered until it is acknowledged."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.abc import DeliveredMessage

from amends.broker import Address, Confirm, Delivery, is_coordinator, reason_chars_max
from amends.errors import BrokerClosed, BrokerError
from amends.rabbitmq import topology
from amends.rabbitmq.link import close_in_time, deadline, failures
from amends.rabbitmq.publisher import Publisher, message_of, published_at_of

log = logging.getLogger(__name__)

acknowledge_seconds_max = 5.0

_reason_header, _exchange_header = "amends-reason", "amends-exchange"


@dataclass(frozen=True, slots=True, eq=False)
class RabbitDelivery:
    """A message as one consumer got it. `tag` means something only on that consumer's channel."""

    body: bytes
    address: Address
    redelivered: bool
    reason: str | None
    exchange: str
    key: str
    consumer: RabbitConsumer
    tag: int
    sender: str | None
    published_at: float | None
    reply_to: str | None


class RabbitConsumer:
    """A channel that consumes. It doesn't outlive its connection: `take` raises, and one subscribes again."""

    def __init__(self, channel: AbstractChannel, graves: Publisher, *, dead: bool) -> None:
        self._channel = channel
        self._graves = graves
        self._dead = dead
        self._waiting: deque[RabbitDelivery] = deque()  # bounded by the prefetch
        self._outstanding: dict[int, None] = {}  # tags in the order of delivery
        self._stirred = asyncio.Event()
        self._settling = asyncio.Lock()
        self._ended = False

    @classmethod
    async def open(
        cls, connection: AbstractConnection, graves: Publisher, queues: dict[str, int], *, dead: bool = False
    ) -> RabbitConsumer:
        """Consume queues, each with its own prefetch. Raises what the library raises."""
        channel = await connection.channel(publisher_confirms=False)
        consumer = cls(channel, graves, dead=dead)
        try:
            below = await channel.get_underlay_channel()
            below.on_consumer_cancel_callbacks.add(consumer._end)
            channel.close_callbacks.add(consumer._end)
            for name, prefetch in queues.items():
                await channel.set_qos(prefetch_count=prefetch)
                await below.basic_consume(name, consumer._receive)
        except BaseException:
            await close_in_time(channel)
            raise
        return consumer

    def _end(self, *_: Any) -> None:
        """The channel or the connection was closed, or the broker took the queue away."""
        self._ended = True
        self._waiting.clear()
        self._stirred.set()

    async def _receive(self, message: DeliveredMessage) -> None:
        """Put a message where `take` finds it, and nothing else: the library cancels this when the channel closes."""
        tag = message.delivery_tag
        if tag is None or self._ended:
            return
        key, said = message.routing_key or "", message.header.properties
        exchange, reason = message.exchange or "", None
        if self._dead:
            headers = said.headers or {}
            reason = str(headers.get(_reason_header) or headers.get("x-first-death-reason") or "unroutable")
            exchange = str(headers.get(_exchange_header) or headers.get("x-first-death-exchange") or topology.commands)
        # A reply's or heartbeat's key is `reply.<participant>`, a command's only the participant.
        heard = exchange in (topology.replies, topology.orphans)
        address = Address("replies", key.split(".")[1]) if heard else Address("commands", key)
        self._outstanding[tag] = None
        redelivered = bool(message.redelivered)
        self._waiting.append(
            RabbitDelivery(
                *(message.body, address, redelivered, reason, exchange, key, self, tag),
                sender=said.user_id,
                published_at=published_at_of(said.headers),
                reply_to=said.reply_to if is_coordinator(said.reply_to) else None,
            )
        )
        self._stirred.set()

    async def take(self, limit: int) -> Sequence[Delivery]:
        """As `Consumer.take`."""
        while True:
            if self._ended:
                raise BrokerClosed("the subscription ended")
            if self._waiting:
                return [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]
            self._stirred.clear()
            await self._stirred.wait()

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """As `Consumer.acknowledge`: one frame for all that were delivered before anything still unacknowledged."""
        mine = {item.tag for item in deliveries if isinstance(item, RabbitDelivery) and item.consumer is self}
        # One at a time: should an acknowledgement of more overtake one of less, the broker closes the channel.
        async with self._settling:
            tags = mine & self._outstanding.keys()
            up_to = 0
            for tag in self._outstanding:
                if tag not in tags:
                    break
                up_to = tag
            for tag in tags:
                del self._outstanding[tag]
            if up_to:
                await self._send("basic_ack", up_to, multiple=True)
            for tag in sorted(tag for tag in tags if tag > up_to):
                await self._send("basic_ack", tag)

    async def _send(self, method: str, tag: int, **arguments: bool) -> None:
        """Send an acknowledgement. A channel that is closed is no error: what was on it will be delivered again."""
        try:
            async with deadline(acknowledge_seconds_max):
                below = await self._channel.get_underlay_channel()
                # What is queued behind what is written needs no waiting for: whatever is lost comes again.
                await getattr(below, method)(tag, **arguments, wait=False)
        except failures as error:
            log.info("Not acknowledged, it will come again: %r", error, extra={"action": "broker.unacknowledged"})
            self._end()

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """As `Consumer.dead_letter`: published with the reason to the dead letters, then acknowledged here.

        Should that fail, for want of a connection or of the right to, it is rejected and the broker moves it there
        itself; then the reason it carries is only `rejected`.
        """
        if delivery.reason is not None:
            raise BrokerError("a dead letter stays one: keep it and acknowledge it")
        if not isinstance(delivery, RabbitDelivery) or delivery.consumer is not self:
            return
        text = reason[:reason_chars_max].encode("utf-8", "backslashreplace").decode()
        headers = {_reason_header: text, _exchange_header: delivery.exchange}
        confirm = await self._graves.publish(topology.dead, delivery.key, message_of(delivery.body, headers))
        if confirm is Confirm.CONFIRMED:
            await self.acknowledge([delivery])
            return
        async with self._settling:
            if delivery.tag in self._outstanding:
                del self._outstanding[delivery.tag]
                await self._send("basic_reject", delivery.tag, requeue=False)

    async def close(self) -> None:
        """As `Consumer.close`."""
        self._end()
        await close_in_time(self._channel)
