"""What nobody could read or carry out: kept in the database with the reason, seen by people, redriven or discarded.

A redrive is refused unless its command is still awaited: an order that the saga has given up must not be carried out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import sha256

from amends.broker import Address, Broker, Delivery
from amends.errors import BrokerError
from amends.message import Command, Reply, Unreadable, decode, encode_item, frame
from coordinator.engine import Engine
from coordinator.errors import Disbelieved, RedriveRefused, StoreUnavailable, UnknownDeadLetter
from coordinator.saga.clocks import current_key
from coordinator.saga.state import Saga, StepStatus
from coordinator.store.dead_letters import DeadLetterStore
from coordinator.store.sagas import SagaStore
from coordinator.store.values import DeadLetter, DeadLetterStatus
from coordinator.supervisor import uncut
from coordinator.trust import Trust, not_believed
from coordinator.wire import replied

log = logging.getLogger(__name__)

prefetch = 100
resubscribe_seconds = 1.0


class DeadLetters:
    """Keeps dead letters; `run` collects those that the broker has."""

    def __init__(
        self,
        store: DeadLetterStore,
        sagas: SagaStore,
        broker: Broker,
        engine: Engine,
        now: Callable[[], datetime],
        trust: Trust | None = None,
    ) -> None:
        self._trust = trust or Trust()
        self._store, self._sagas, self._broker, self._engine, self._now = store, sagas, broker, engine, now

    async def run(self) -> None:
        """Move dead letters from the broker into the database until cancelled."""
        while True:
            try:
                consumer = await self._broker.dead_letters()
                try:
                    while True:
                        deliveries = await consumer.take(prefetch)
                        await self._keep_all(deliveries)
                        await consumer.acknowledge(deliveries)
                finally:
                    await consumer.close()
            except BrokerError as error:
                log.warning("Dead letters wait: %s", error, extra={"action": "dead_letters.broker_unavailable"})
                await asyncio.sleep(resubscribe_seconds)

    async def keep_unreadable(self, address: Address, item: Unreadable) -> None:
        """Keep an item of a message that could not be read."""
        await self._keep([self._letter(address, item.raw, item.reason)])

    async def keep_reply(self, reply: Reply, reason: str) -> None:
        """Keep a reply that no saga can take."""
        letter = self._letter(Address("replies", reply.participant), encode_item(reply), reason, reply)
        await self._keep([letter])

    async def redrive(self, letter_id: str, by: str, why: str) -> DeadLetter:
        """Send a dead letter again. Raises UnknownDeadLetter, RedriveRefused."""
        letter = await self._open(letter_id)
        item = _only_item(letter)
        if isinstance(item, Command):
            if not await self.is_awaited(item):
                raise RedriveRefused(letter_id, "its command is no longer awaited; discard it")
            confirm = await self._broker.publish(
                Address("commands", item.participant), frame("commands", [letter.body])
            )
            if confirm.value not in ("confirmed", "unknown"):
                raise RedriveRefused(letter_id, f"the broker answered {confirm.value}; try again")
        elif isinstance(item, Reply):
            await self._believe(letter, item)
        else:
            raise RedriveRefused(letter_id, "it can't be read, so it can't be sent; discard it")
        return await self._resolve(letter, DeadLetterStatus.REDRIVEN, by, why)

    async def _believe(self, letter: DeadLetter, reply: Reply) -> None:
        """Let a reply of a dead letter happen, unless it is one that was not believed."""
        event = replied(reply, self._now())
        doubt = self._trust.doubt_token(reply.saga_id, event.command, reply.participant, reply.reply_token)
        if doubt is None and letter.reason.startswith(not_believed):
            doubt = letter.reason
        if doubt is not None:
            raise RedriveRefused(letter.id, f"{doubt}; if it happened all the same, settle the step")
        try:
            await self._engine.handle(reply.saga_id, event, participant=reply.participant)
        except Disbelieved as error:
            raise RedriveRefused(letter.id, f"{not_believed}{error}") from error

    async def discard(self, letter_id: str, by: str, why: str) -> DeadLetter:
        """Put a dead letter aside for good. Raises UnknownDeadLetter, RedriveRefused."""
        return await self._resolve(await self._open(letter_id), DeadLetterStatus.DISCARDED, by, why)

    async def _open(self, letter_id: str) -> DeadLetter:
        letter = await self._store.get(letter_id)
        if letter is None:
            raise UnknownDeadLetter(letter_id)
        if letter.status is not DeadLetterStatus.OPEN:
            raise RedriveRefused(letter_id, f"it was {letter.status} by {letter.resolved_by}")
        return letter

    async def _resolve(self, letter: DeadLetter, status: DeadLetterStatus, by: str, why: str) -> DeadLetter:
        if not await self._store.resolve(letter.id, status, by=by, why=why, now=self._now()):
            raise RedriveRefused(letter.id, "somebody else resolved it at this moment")
        return (await self._store.get(letter.id)) or letter

    async def is_awaited(self, command: Command) -> bool:
        """Whether the saga still waits for this very command."""
        saga = (await self._sagas.load([command.saga_id])).get(command.saga_id)
        if not isinstance(saga, Saga) or saga.final:
            return False
        run = saga.step(command.step)
        waits = run.status in (StepStatus.DISPATCHED, StepStatus.COMPENSATING) or run.inquiry is not None
        return waits and current_key(run).startswith(
            f"{command.step}/{command.iteration}/{command.kind}/{command.epoch}/"
        )

    async def _keep_all(self, deliveries: Sequence[Delivery]) -> None:
        """Keep what the broker could not deliver: every item by itself, so that each can be redriven by itself."""
        letters = []
        for delivery in deliveries:
            reason = delivery.reason or "dead-lettered by the broker"
            for item in decode(delivery.body):
                if isinstance(item, Unreadable):
                    letters.append(self._letter(delivery.address, item.raw, f"{reason}; {item.reason}"))
                elif isinstance(item, Command | Reply):
                    letters.append(self._letter(delivery.address, encode_item(item), reason, item))
        await self._keep(letters)

    async def _keep(self, letters: Sequence[DeadLetter]) -> None:
        while letters:
            try:
                await uncut(self._store.keep(letters))
                return
            except StoreUnavailable as error:
                log.warning("Dead letters wait: %s", error, extra={"action": "dead_letters.store_unavailable"})
                await asyncio.sleep(1.0)

    def _letter(self, address: Address, body: str, reason: str, item: Command | Reply | None = None) -> DeadLetter:
        source = f"{address.lane}.{address.participant}" if address.participant else address.lane
        log.warning("Dead letter from %s: %s", source, reason, extra={"action": "dead_letters.kept"})
        return DeadLetter(
            id=sha256(f"{source}\n{body}".encode()).hexdigest()[:32],
            at=self._now(),
            source=source,
            reason=reason,
            body=body,
            participant=address.participant or None,
            saga_id=item.saga_id if item else None,
            command_key=f"{item.id.removeprefix(item.saga_id + '/')}/{item.attempt}" if item else None,
        )


def _only_item(letter: DeadLetter) -> object:
    """The item of a dead letter, whichever list it came from."""
    (command,) = decode(frame("commands", [letter.body]))
    (reply,) = decode(frame("replies", [letter.body]))
    return reply if isinstance(command, Unreadable) else command
