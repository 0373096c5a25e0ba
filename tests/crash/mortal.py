"""Death at a named moment. The broker and the database driver are watched from outside; the product has no hooks.

    command.before_publish   committed to the outbox, not with the broker yet
    command.mid_publish      handed to the broker, no confirm yet
    command.confirmed        with the broker, still in the outbox
    command.taken            with a participant, nothing done yet
    command.acknowledging    answered, about to be acknowledged
    command.acknowledged     answered and acknowledged
    reply.…                  the same, on the way back
    saga.before_commit       all statements of a coordinator's transaction done, not committed
    books.before_commit      the same, of a participant's
    saga.started             committed, not answered

A moment of a message may be narrowed to messages that carry one step's command: `command.taken:charge` for the action,
`command.taken:undo charge` for the compensation.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from amends.broker import Address, Broker, Confirm, Consumer, Delivery, Lane
from amends.message import Command, Kind, Reply, decode


class Mortal:
    """Dies when a moment is reached for the n-th time. With no moment it lives."""

    def __init__(self, moment: str | None, nth: int = 1) -> None:
        self.moment, self.nth = moment, nth

    def reach(self, moment: str, body: bytes | None = None) -> None:
        if self.moment is None:
            return
        name, _, carried = self.moment.partition(":")
        if name != moment or (carried and carried not in _carried(body)):
            return
        self.nth -= 1
        if self.nth == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def watches(self, moment: str) -> bool:
        return self.moment is not None and self.moment.partition(":")[0] == moment

    def watch_commits(self, databases: dict[str, str]) -> None:
        """Reach `<name>.before_commit` at each commit that wrote something; `databases`: a name by database."""

        @event.listens_for(sa.Engine, "before_cursor_execute")
        def written(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if statement.lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE") or " SET " in statement:
                connection.info["wrote"] = True

        @event.listens_for(sa.Engine, "commit")
        def commit(connection: Any) -> None:
            name = databases.get(connection.engine.url.database)
            if connection.info.pop("wrote", False) and name is not None:
                self.reach(f"{name}.before_commit")


def _carried(body: bytes | None) -> list[str]:
    items = decode(body) if body is not None else ()
    return [
        item.step if item.kind is Kind.ACTION else f"undo {item.step}"
        for item in items
        if isinstance(item, Command | Reply)
    ]


def _of(lane: Lane) -> str:
    return "command" if lane == "commands" else "reply"


class MortalBroker:
    """A broker whose user dies at a moment of its messages."""

    def __init__(self, broker: Broker, mortal: Mortal) -> None:
        self._broker, self._mortal = broker, mortal

    @property
    def connected(self) -> bool:
        return self._broker.connected

    async def publish(self, address: Address, body: bytes, *, transient: bool = False) -> Confirm:
        if transient:
            return await self._broker.publish(address, body, transient=True)
        what = _of(address.lane)
        self._mortal.reach(f"{what}.before_publish", body)
        if self._mortal.watches(f"{what}.mid_publish"):
            publishing = asyncio.ensure_future(self._broker.publish(address, body))
            for _ in range(3):  # as many turns of the loop as it takes to hand a message to the socket
                await asyncio.sleep(0)
            self._mortal.reach(f"{what}.mid_publish", body)
            confirm = await publishing
        else:
            confirm = await self._broker.publish(address, body)
        if confirm is Confirm.CONFIRMED:
            self._mortal.reach(f"{what}.confirmed", body)
        return confirm

    async def announce(self, key: str, body: bytes, *, event_id: str) -> Confirm:
        return await self._broker.announce(key, body, event_id=event_id)

    async def declare(self, participant: str) -> None:
        await self._broker.declare(participant)

    async def subscribe(self, lane: Lane, participant: str | None, *, prefetch: int) -> Consumer:
        consumer = await self._broker.subscribe(lane, participant, prefetch=prefetch)
        return MortalConsumer(consumer, self._mortal, _of(lane))

    async def dead_letters(self) -> Consumer:
        return await self._broker.dead_letters()

    async def close(self) -> None:
        await self._broker.close()


class MortalConsumer:
    """A consumer whose user dies with a delivery in hand."""

    def __init__(self, consumer: Consumer, mortal: Mortal, what: str) -> None:
        self._consumer, self._mortal, self._what = consumer, mortal, what

    async def take(self, limit: int) -> Sequence[Delivery]:
        deliveries = await self._consumer.take(limit)
        self._reach("taken", deliveries)
        return deliveries

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self._reach("acknowledging", deliveries)
        await self._consumer.acknowledge(deliveries)
        self._reach("acknowledged", deliveries)

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        await self._consumer.dead_letter(delivery, reason)

    async def close(self) -> None:
        await self._consumer.close()

    def _reach(self, when: str, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._mortal.reach(f"{self._what}.{when}", delivery.body)
