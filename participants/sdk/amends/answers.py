"""How a worker speaks: the replies that wait go out together, and stay until the broker has confirmed them."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from amends.broker import Address, Broker, Confirm
from amends.calls import now_seconds
from amends.errors import PayloadError
from amends.held import Hand, Held
from amends.message import Reply, encode_item, frame, items_max, message_bytes_max

log = logging.getLogger("amends.answers")

publishes_max = 4  # in flight at once: more would make the lists shorter, fewer would let one slow confirm stop all
frame_bytes = 64
pause_seconds_first = 0.1
pause_seconds_max = 5.0
direct_rest_seconds = 60.0  # what is sent past a coordinator that could not be reached, though it is there


@dataclass(frozen=True, slots=True)
class _Waiting:
    text: str
    size_bytes: int
    held: Held


class Answers:
    """Replies on their way. Its memory is bounded by what the consumer lets be in hand."""

    def __init__(self, broker: Broker, participant: str, hand: Hand) -> None:
        self._broker = broker
        self._address = Address("replies", participant)
        self._hand = hand
        self._waiting: dict[str | None, deque[_Waiting]] = {}  # by the coordinator that asked; none is empty
        self._direct_from_seconds = 0.0
        self._stirred = asyncio.Event()

    async def give(self, reply: Reply, held: Held) -> None:
        """Hand over a reply whose row is committed."""
        try:
            text = encode_item(reply)
        except PayloadError as error:
            held.settle(dead=f"its reply can't travel: {error}")
            await self._hand.give_back([held])
            return
        self._waiting.setdefault(held.delivery.reply_to, deque()).append(_Waiting(text, len(text.encode()), held))
        self._stirred.set()

    async def speak(self) -> None:
        """Publish what waits, for ever: all that is there for one coordinator at the moment, at most `items_max` in one
        message."""
        window = asyncio.Semaphore(publishes_max)
        async with asyncio.TaskGroup() as group:
            while True:
                await window.acquire()
                while not self._waiting:
                    self._stirred.clear()
                    await self._stirred.wait()
                sending = group.create_task(self._send(self._next()))
                sending.add_done_callback(lambda _: window.release())

    def _next(self) -> list[_Waiting]:
        """What is for one coordinator. Those with more come again when the others have had their turn."""
        to = next(iter(self._waiting))
        waiting = self._waiting.pop(to)
        batch = [waiting.popleft()]
        size = frame_bytes + batch[0].size_bytes
        while waiting and len(batch) < items_max:
            size += waiting[0].size_bytes + 1
            if size > message_bytes_max:
                break
            batch.append(waiting.popleft())
        if waiting:
            self._waiting[to] = waiting
        return batch

    async def _send(self, batch: Sequence[_Waiting]) -> None:
        """Publish until it is confirmed. What can never be published is taken apart, to give up only on the culprit."""
        body = frame("replies", (waiting.text for waiting in batch))
        to = batch[0].held.delivery.reply_to
        if await self._reach(to, body) or await publish_for_certain(self._broker, self._address, body):
            for waiting in batch:
                waiting.held.settle()
        elif len(batch) == 1:
            batch[0].held.settle(dead="its reply can never be published")
        else:
            for waiting in batch:
                await self._send([waiting])
        await self._hand.give_back([waiting.held for waiting in batch])

    async def _reach(self, to: str | None, body: bytes) -> bool:
        """Try once to reach the coordinator that asked. It may be gone: then any other will do."""
        if to is None or now_seconds() < self._direct_from_seconds:
            return False
        confirm = await self._broker.publish(replace(self._address, to=to), body)
        if confirm in (Confirm.NACKED, Confirm.UNKNOWN):
            # Perhaps we may not: RabbitMQ closes the channel on who tries, and fails what else is on it.
            self._direct_from_seconds = now_seconds() + direct_rest_seconds
            log.warning(
                "Replies to the coordinator that asked are %s; for %.0f s they go to all",
                *(confirm.value, direct_rest_seconds),
                extra={"action": "answers.not_direct", "confirm": confirm.value},
            )
        return confirm is Confirm.CONFIRMED


async def publish_for_certain(broker: Broker, address: Address, body: bytes) -> bool:
    """Publish, and again with growing pauses until it is confirmed; False if the broker can never take it."""
    pause_seconds = pause_seconds_first
    while True:
        match await broker.publish(address, body):
            case Confirm.CONFIRMED:
                return True
            case Confirm.PERMANENT:
                return False
            case Confirm.UNROUTABLE | Confirm.NACKED | Confirm.UNSENT | Confirm.UNKNOWN as confirm:
                log.warning(
                    "A message to %s/%s is %s, again in about %.1f s",
                    *(address.lane, address.participant, confirm.value, pause_seconds),
                    extra={"action": "publish.repeated", "confirm": confirm.value},
                )
        await asyncio.sleep(pause_seconds * random.uniform(0.5, 1.0))
        pause_seconds = min(pause_seconds_max, pause_seconds * 2)
