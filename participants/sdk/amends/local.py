"""The broker in process: queues in memory, for the embedded coordinator and for tests.

It keeps RabbitMQ's promises except one: memory is not durable. So it confirms a message only when its consumer has
acknowledged it, and until then the sender's outbox remains the place where the message is kept.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from amends.broker import (
    Address,
    Confirm,
    Consumer,
    Delivery,
    Lane,
    check_participant,
    check_subscription,
    delivery_limit_reason,
    is_announceable,
    is_publishable,
    reason_chars_max,
    returns_max,
)
from amends.errors import BrokerClosed, BrokerError

_dead_letters_prefetch = 100


@dataclass(frozen=True, slots=True, eq=False)
class LocalDelivery:
    """A message as one consumer sees it. `confirm` is the sender's, still waiting; None if it doesn't wait."""

    body: bytes
    address: Address
    confirm: asyncio.Future[Confirm] | None
    redelivered: bool = False
    reason: str | None = None
    sender: str | None = None  # one process, nobody to tell from another
    reply_to: str | None = None
    published_at: float | None = field(default_factory=time.time)
    returns: int = 0  # how often it was handed back

    def settle(self, confirm: Confirm) -> None:
        """Answer the sender, unless it was answered, or was cancelled while it waited."""
        if self.confirm is not None and not self.confirm.done():
            self.confirm.set_result(confirm)


@dataclass(slots=True, eq=False)
class _Queue:
    """Messages in order, bounded by what nobody has acknowledged yet, waiting or held."""

    messages_max: int
    bytes_max: int
    waiting: deque[LocalDelivery] = field(default_factory=deque)
    consumers: list[LocalConsumer] = field(default_factory=list)
    messages: int = 0
    bytes: int = 0

    def put(self, message: LocalDelivery) -> bool:
        """Append a message and wake the consumers; False if the queue is full."""
        if self.messages >= self.messages_max or self.bytes + len(message.body) > self.bytes_max:
            return False
        self.messages += 1
        self.bytes += len(message.body)
        self.waiting.append(message)
        self.wake()
        if self.consumers:  # they take turns, as RabbitMQ's do: whoever was asked first is asked last next time
            self.consumers.append(self.consumers.pop(0))
        return True

    def forget(self, message: LocalDelivery) -> None:
        """A message left this queue for good."""
        self.messages -= 1
        self.bytes -= len(message.body)

    def wake(self) -> None:
        for consumer in self.consumers:
            consumer.wake()


class LocalConsumer:
    """A subscription to one queue of a LocalBroker."""

    def __init__(self, broker: LocalBroker, queue: _Queue, prefetch: int) -> None:
        self._broker = broker
        self._queue = queue
        self._prefetch = prefetch
        self._held: dict[int, LocalDelivery] = {}
        self._stirred = asyncio.Event()
        self._closed = False
        queue.consumers.append(self)

    def wake(self) -> None:
        """Something changed that a waiting `take` should look at."""
        self._stirred.set()

    async def take(self, limit: int) -> Sequence[Delivery]:
        """As `Consumer.take`."""
        while True:
            if self._closed:
                raise BrokerClosed("the subscription ended")
            room = min(limit, self._prefetch - len(self._held))
            taken = [self._queue.waiting.popleft() for _ in range(min(room, len(self._queue.waiting)))]
            if taken:
                self._held.update((id(message), message) for message in taken)
                return taken
            self._stirred.clear()
            await self._stirred.wait()

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """As `Consumer.acknowledge`: this is what answers the senders CONFIRMED."""
        for delivery in deliveries:
            message = self._release(delivery)
            if message is not None:
                self._queue.forget(message)
                message.settle(Confirm.CONFIRMED)

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """As `Consumer.dead_letter`. The sender's confirm goes along: it waits for who consumes the dead letters."""
        if delivery.reason is not None:
            raise BrokerError("a dead letter stays one: keep it and acknowledge it")
        message = self._release(delivery)
        if message is not None:
            self._queue.forget(message)
            self._broker.bury(message, reason)

    def _release(self, delivery: Delivery) -> LocalDelivery | None:
        """Take a delivery out of what is held. None if it isn't held: it was handed back, or is done with."""
        message = self._held.pop(id(delivery), None)
        self._stirred.set()
        return message

    async def close(self) -> None:
        """As `Consumer.close`: what it held is the next to be delivered, in its order."""
        if self._closed:
            return
        self._closed = True
        self._queue.consumers.remove(self)
        for message in reversed(self._held.values()):
            if message.returns >= returns_max and message.reason is None:
                self._queue.forget(message)
                self._broker.bury(message, delivery_limit_reason)
            else:
                back = replace(message, redelivered=True, returns=message.returns + 1)
                self._queue.waiting.appendleft(back)
        self._held.clear()
        self._stirred.set()
        self._queue.wake()


class LocalBroker:
    """A broker for one process and one event loop. Full queues answer NACKED, as a bounded RabbitMQ queue does."""

    def __init__(self, *, queue_messages_max: int = 10_000, queue_bytes_max: int = 256 * 1024 * 1024) -> None:
        self._messages_max = queue_messages_max
        self._bytes_max = queue_bytes_max
        self._commands: dict[str, _Queue] = {}
        self._replies = self._new_queue()
        self._dead = self._new_queue()
        self._listeners: list[tuple[re.Pattern[str], asyncio.Queue[bytes]]] = []
        self._unanswered: set[asyncio.Future[Confirm]] = set()
        self._closed = False

    def _new_queue(self) -> _Queue:
        return _Queue(self._messages_max, self._bytes_max)

    @property
    def connected(self) -> bool:
        """True until it is closed."""
        return not self._closed

    async def publish(self, address: Address, body: bytes, *, transient: bool = False) -> Confirm:
        """As `Broker.publish`: answers when the consumer has acknowledged; a transient message is answered at once."""
        if not is_publishable(address, body):
            return Confirm.PERMANENT
        if self._closed:
            return Confirm.UNSENT
        queue = self._commands.get(address.participant) if address.lane == "commands" else self._replies
        if queue is None or address.to is not None:
            return Confirm.UNROUTABLE
        confirm: asyncio.Future[Confirm] | None = None if transient else asyncio.get_running_loop().create_future()
        if not queue.put(LocalDelivery(body, address, confirm)):
            return Confirm.NACKED
        if confirm is None:
            return Confirm.CONFIRMED
        self._unanswered.add(confirm)
        confirm.add_done_callback(self._unanswered.discard)
        return await confirm

    async def announce(self, key: str, body: bytes, *, event_id: str) -> Confirm:
        """As `Broker.announce`. A listener that is behind answers NACKED for all: the event comes again."""
        if not is_announceable(key, body):
            return Confirm.PERMANENT
        if self._closed:
            return Confirm.UNSENT
        heard = [queue for pattern, queue in self._listeners if pattern.fullmatch(key)]
        if any(queue.full() for queue in heard):
            return Confirm.NACKED
        for queue in heard:
            queue.put_nowait(body)
        return Confirm.CONFIRMED

    def listen(self, pattern: str = "#") -> asyncio.Queue[bytes]:
        """Hear of events from now on, as a queue bound to `amends.events` by this pattern would: "*" stands for one
        word of the key, "#" for all."""
        words = (
            ".*" if pattern == "#" else r"\.".join(r"[^.]+" if w == "*" else re.escape(w) for w in pattern.split("."))
        )
        queue: asyncio.Queue[bytes] = asyncio.Queue(self._messages_max)
        self._listeners.append((re.compile(words), queue))
        return queue

    def bury(self, message: LocalDelivery, reason: str) -> None:
        """Move a message that left its queue to the dead letters. If these are full its sender keeps it: NACKED."""
        if not self._dead.put(replace(message, redelivered=False, returns=0, reason=reason[:reason_chars_max])):
            message.settle(Confirm.NACKED)

    async def declare(self, participant: str) -> None:
        """As `Broker.declare`."""
        self._commands.setdefault(check_participant(participant), self._new_queue())

    async def subscribe(self, lane: Lane, participant: str | None, *, prefetch: int) -> Consumer:
        """As `Broker.subscribe`. Several consumers of one queue compete."""
        check_subscription(lane, participant, prefetch)
        if self._closed:
            raise BrokerClosed("the broker was closed")
        if participant is None:
            return LocalConsumer(self, self._replies, prefetch)
        await self.declare(participant)
        return LocalConsumer(self, self._commands[participant], prefetch)

    async def dead_letters(self) -> Consumer:
        """As `Broker.dead_letters`."""
        if self._closed:
            raise BrokerClosed("the broker was closed")
        return LocalConsumer(self, self._dead, _dead_letters_prefetch)

    async def close(self) -> None:
        """As `Broker.close`."""
        self._closed = True
        for queue in (self._replies, self._dead, *self._commands.values()):
            for consumer in list(queue.consumers):
                await consumer.close()
        for confirm in list(self._unanswered):
            if not confirm.done():
                confirm.set_result(Confirm.UNKNOWN)
