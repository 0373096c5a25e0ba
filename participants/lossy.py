"""A broker that loses replies on their way: what a timeout looks like can then be seen.

It carries every message as the broker inside does, but of each command that asks for `lose_reply` (see
`participants.knobs`) it drops the first reply, and tells the participant that it was delivered.
"""

from __future__ import annotations

from collections.abc import Callable

from amends import Address, Broker, Command, Confirm, Reply
from amends.broker import Consumer, Lane
from amends.message import decode, encode_item, frame
from participants.knobs import Knob, chosen

doomed_max = 10_000  # commands whose reply is still to be lost; beyond it the oldest is spared


class LossyBroker:
    """A Broker around another. `lost` is told of each reply that is dropped; nobody else ever learns of it."""

    def __init__(self, inside: Broker, lost: Callable[[Reply], None]) -> None:
        self._inside, self._lost = inside, lost
        self._doomed: dict[str, None] = {}  # ids of commands, oldest first

    @property
    def connected(self) -> bool:
        return self._inside.connected

    async def publish(self, address: Address, body: bytes, *, transient: bool = False) -> Confirm:
        """As `Broker.publish`, but for the replies that are to be lost."""
        if transient:
            return await self._inside.publish(address, body, transient=True)
        if address.lane == "commands":
            self._mark(body)
            return await self._inside.publish(address, body)
        kept = self._thinned(body)
        return Confirm.CONFIRMED if kept is None else await self._inside.publish(address, kept)

    def _mark(self, body: bytes) -> None:
        for command in decode(body):
            if isinstance(command, Command) and command.attempt == 1 and _asks_for_loss(command):
                self._doomed[command.id] = None
                if len(self._doomed) > doomed_max:
                    del self._doomed[next(iter(self._doomed))]

    def _thinned(self, body: bytes) -> bytes | None:
        """The message without what is to be lost; None if nothing is left of it."""
        if not self._doomed:
            return body
        replies = [item for item in decode(body) if isinstance(item, Reply)]
        lost = [reply for reply in replies if reply.id in self._doomed]
        if not lost:
            return body
        for reply in lost:
            del self._doomed[reply.id]
            self._lost(reply)
        kept = [encode_item(reply) for reply in replies if reply not in lost]
        return frame("replies", kept) if kept else None

    async def announce(self, key: str, body: bytes, *, event_id: str) -> Confirm:
        return await self._inside.announce(key, body, event_id=event_id)

    async def declare(self, participant: str) -> None:
        await self._inside.declare(participant)

    async def subscribe(self, lane: Lane, participant: str | None, *, prefetch: int) -> Consumer:
        return await self._inside.subscribe(lane, participant, prefetch=prefetch)

    async def dead_letters(self) -> Consumer:
        return await self._inside.dead_letters()

    async def close(self) -> None:
        await self._inside.close()


def _asks_for_loss(command: Command) -> bool:
    simulate = command.data.get("simulate") if isinstance(command.data, dict) else None
    if not isinstance(simulate, dict):
        return False
    try:
        return chosen(command, simulate) is Knob.LOSE_REPLY
    except ValueError:  # no such knob: the handler says so
        return False
