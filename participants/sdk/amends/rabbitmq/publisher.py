"""Publishing to RabbitMQ: the one place that decides what became of a message."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import DeliveryError
from aiormq import abc, spec
from aiormq.abc import DeliveredMessage

from amends.broker import Confirm
from amends.rabbitmq.link import Link, deadline, failures

log = logging.getLogger(__name__)

publish_seconds_max = 5.0
published_header = "amends-published-ms"
persistent, fleeting = 2, 1  # delivery modes
misses_max = 3  # so many publishes without any answer meanwhile, and the connection is replaced


@dataclass(frozen=True, slots=True)
class Message:
    """A body and what the broker is told of it."""

    body: bytes
    properties: spec.Basic.Properties


def message_of(
    body: bytes,
    headers: dict[str, Any] | None = None,
    *,
    transient: bool = False,
    kind: str | None = None,
    user: str | None = None,
    reply_to: str | None = None,
) -> Message:
    properties = spec.Basic.Properties(
        content_type="application/json",
        headers=headers,
        delivery_mode=fleeting if transient else persistent,
        # The library finds a returned message by its id alone: two in flight with one id get each other's answers.
        message_id=uuid4().hex,
        message_type=kind,
        user_id=user,
        reply_to=reply_to,
    )
    return Message(body, properties)


def published_now() -> dict[str, int]:
    """A header that says when, in milliseconds: AMQP's own has only whole seconds."""
    return {published_header: time.time_ns() // 1_000_000}


def published_at_of(headers: Mapping[str, Any] | None) -> float | None:
    """What that header says, in seconds. Nothing, if it makes no sense."""
    said = (headers or {}).get(published_header)
    return said / 1000 if isinstance(said, int) and 0 < said < 1 << 53 else None


class Publisher:
    """One channel to publish on. It opens itself when it is needed and was closed."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._below: abc.AbstractChannel | None = None
        self._opening = asyncio.Lock()
        self._misses = 0
        self._answered_at = 0.0

    async def publish(self, exchange: str, key: str, message: Message, *, mandatory: bool = True) -> Confirm:
        """Publish, and say what became of it. Never raises but for a cancellation that was asked for. What is not
        `mandatory` may have nowhere to go.

        The message was checked beforehand: an error here says nothing about it, it may be a neighbour's, for the
        broker closes the channel on one bad publish and fails all that are in flight on it.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        sent = False
        try:
            async with deadline(publish_seconds_max):
                channel = await self._open()
                if channel is None or self._link.blocked:
                    return Confirm.UNSENT
                sent = True
                result: object = await channel.basic_publish(
                    message.body,
                    exchange=exchange,
                    routing_key=key,
                    properties=message.properties,
                    mandatory=mandatory,
                )
            confirm = Confirm.UNROUTABLE if isinstance(result, DeliveredMessage) else Confirm.CONFIRMED
        except DeliveryError:
            confirm = Confirm.NACKED
        except failures as error:
            if isinstance(error, TimeoutError):
                self._missed(started)
            log.info("No answer to a publish to %s: %r", key, error, extra={"action": "broker.unanswered"})
            return Confirm.UNKNOWN if sent else Confirm.UNSENT
        self._misses = 0
        self._answered_at = loop.time()
        return confirm

    def _missed(self, started: float) -> None:
        """Count a publish without an answer, unless others were answered meanwhile or the broker asked us to wait."""
        if self._answered_at > started or self._link.blocked:
            return
        self._misses += 1
        if self._misses >= misses_max and self._link.connection is self._connection:
            self._misses = 0
            self._link.drop()

    async def _open(self) -> abc.AbstractChannel | None:
        """An open channel, or None while there is no connection. It is the one beneath the library's own, which would
        copy every message once more."""
        connection = self._link.connection
        if connection is None:
            return None
        if not self._is_open(connection):
            async with self._opening:
                if not self._is_open(connection):
                    if self._connection is connection:  # the broker closed the channel: an exchange may be gone
                        await self._link.prepare(connection)
                    self._connection = connection
                    self._channel = await connection.channel(on_return_raises=False)
                    self._below = await self._channel.get_underlay_channel()
        return self._below

    def _is_open(self, connection: AbstractConnection) -> bool:
        return self._connection is connection and self._channel is not None and not self._channel.is_closed
