"""What a worker has in hand: deliveries until they are answered in full, commands until they are answered, and steps
until their command has ended."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Hashable, Iterable
from contextlib import asynccontextmanager
from itertools import islice

from amends.broker import Consumer, Delivery
from amends.calls import now_seconds
from amends.errors import BrokerClosed
from amends.message import Command, Holding, holding_max

log = logging.getLogger("amends.held")


class Held:
    """One delivery and how many of its items are still open. `lost`: its consumer ended, so it comes again anyway."""

    def __init__(self, consumer: Consumer, delivery: Delivery, items: int) -> None:
        self.consumer = consumer
        self.delivery = delivery
        self.open = items
        self.lost = False
        self.dead: str | None = None  # why it can't be acknowledged as done

    def settle(self, dead: str | None = None) -> None:
        """One more of its items is done with."""
        self.open -= 1
        self.dead = self.dead or dead


class Hand:
    """All deliveries in hand."""

    def __init__(self) -> None:
        self._held: set[Held] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._held)

    def take(self, held: Held) -> None:
        self._held.add(held)
        self._empty.clear()

    def lose(self, consumer: Consumer) -> None:
        """This consumer ended: what it delivered is the broker's again."""
        for held in self._held:
            if held.consumer is consumer:
                held.lost = True

    async def give_back(self, settled: Iterable[Held]) -> None:
        """Acknowledge those of which nothing is open any more, together where one consumer took them."""
        done: dict[int, list[Held]] = {}
        for held in settled:
            if held.open == 0 and held in self._held:
                self._held.discard(held)
                done.setdefault(id(held.consumer), []).append(held)
        for group in done.values():
            consumer = group[0].consumer
            await consumer.acknowledge([held.delivery for held in group if held.dead is None])
            for held in group:
                if held.dead is not None:
                    await bury(consumer, held.delivery, held.dead)
        if not self._held:
            self._empty.set()

    async def empty(self) -> None:
        """Wait until nothing is in hand."""
        await self._empty.wait()


async def bury(consumer: Consumer, delivery: Delivery, reason: str) -> None:
    """Dead-letter a delivery. If its consumer has ended meanwhile, it comes again and is buried then."""
    log.error("A message became a dead letter: %s", reason, extra={"action": "message.dead", "reason": reason})
    try:
        await consumer.dead_letter(delivery, reason)
    except BrokerClosed as error:
        log.info("It will come again: %s", error, extra={"action": "message.returns"})


class Commands:
    """The commands in hand, each with when it was taken and whether its handler's turn has come.

    One that came twice is in hand twice, so each is known by itself and not by its id.
    """

    def __init__(self) -> None:
        self._taken: dict[int, tuple[Command, float, bool]] = {}

    def take(self, command: Command) -> None:
        self._taken[id(command)] = (command, now_seconds(), False)

    def turn(self, command: Command, *, working: bool) -> None:
        """Its turn has come, or is over for now."""
        _, since, _ = self._taken[id(command)]
        self._taken[id(command)] = (command, since, working)

    def give_back(self, command: Command) -> None:
        del self._taken[id(command)]

    @property
    def working(self) -> int:
        return sum(working for _, _, working in self._taken.values())

    def holding(self) -> tuple[Holding, ...]:
        """The longest first, as many as a heartbeat may carry."""
        now = now_seconds()
        return tuple(
            Holding(command=f"{command.id}/{command.attempt}", seconds=max(0.0, now - since), working=working)
            for command, since, working in islice(self._taken.values(), holding_max)
        )


class KeyLocks:
    """Who holds a key, and who waits for it; first come, first served."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}  # a key that nobody holds is not in here

    def is_free(self, key: Hashable) -> bool:
        """Whether nobody holds it or waits for it."""
        return key not in self._waiting

    def take(self, key: Hashable) -> None:
        """Hold a key that is free, until it is given back."""
        assert self.is_free(key)
        self._waiting[key] = deque()

    def give_back(self, key: Hashable) -> None:
        """Whoever has waited longest holds it now, if anybody has."""
        waiting = self._waiting[key]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():  # who waited for it may be cancelled
                turn.set_result(None)
                return
        del self._waiting[key]

    @asynccontextmanager
    async def hold(self, key: Hashable) -> AsyncIterator[None]:
        """Hold a key as soon as it can be had."""
        if self.is_free(key):
            self.take(key)
        else:
            await self._turn(key)
        try:
            yield
        finally:
            self.give_back(key)

    async def _turn(self, key: Hashable) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[key].append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was given at this moment
                self.give_back(key)
            raise
