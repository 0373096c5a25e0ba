"""How a saga hears: replies become events, heartbeats become the fleet, and what nobody can read becomes a dead letter.

A message is acknowledged only when everything in it has been committed. One that comes again is recognised by the core.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from amends.broker import Broker, Consumer, Delivery
from amends.errors import BrokerError
from amends.message import Heartbeat, Reply, Unreadable, decode, encode_item
from coordinator.dead_letters import DeadLetters
from coordinator.engine import Engine
from coordinator.errors import Disbelieved, Quarantined, StoreUnavailable, UnknownSaga
from coordinator.move import Handled
from coordinator.store.fleet import FleetStore
from coordinator.store.values import Beat
from coordinator.supervisor import uncut
from coordinator.trust import Trust, not_believed
from coordinator.wire import replied

log = logging.getLogger(__name__)

prefetch = 200  # messages, each a list of up to 32 replies
take_max = 64
resubscribe_seconds = 0.5


class Replies:
    """Consumes the coordinators' reply queue until cancelled."""

    def __init__(
        self,
        broker: Broker,
        engine: Engine,
        fleet: FleetStore,
        dead_letters: DeadLetters,
        now: Callable[[], datetime],
        trust: Trust | None = None,
    ) -> None:
        self._trust = trust or Trust()
        self._broker, self._engine, self._fleet = broker, engine, fleet
        self._dead_letters, self._now = dead_letters, now

    async def run(self) -> None:
        while True:
            try:
                consumer = await self._broker.subscribe("replies", None, prefetch=prefetch)
                try:
                    await self._consume(consumer)
                finally:
                    await consumer.close()
            except* BrokerError as errors:
                reasons = "; ".join(str(error) for error in errors.exceptions)
                log.warning("Replies can't be heard: %s", reasons, extra={"action": "replies.broker_unavailable"})
                await asyncio.sleep(resubscribe_seconds)

    async def _consume(self, consumer: Consumer) -> None:
        """Handle what comes, several batches at a time, so that the engine always has a full one to work on.

        A batch that fails for a reason nobody foresaw ends the loop, and so the process: it must not be passed over.
        """
        async with asyncio.TaskGroup() as working:
            while True:
                working.create_task(self._handle(consumer, await consumer.take(take_max)))

    async def _handle(self, consumer: Consumer, deliveries: Sequence[Delivery]) -> None:
        """Settle every item of these messages, then acknowledge them. What the database can't take now is repeated."""
        while True:
            try:
                await self._settle([(delivery, item) for delivery in deliveries for item in decode(delivery.body)])
                break
            except StoreUnavailable as error:
                log.warning("Replies wait: %s", error, extra={"action": "replies.store_unavailable"})
                await asyncio.sleep(1.0)
        await consumer.acknowledge(deliveries)

    async def _settle(self, items: Sequence[tuple[Delivery, object]]) -> None:
        heartbeats = [item for delivery, item in items if isinstance(item, Heartbeat) and self._lives(delivery, item)]
        if heartbeats:
            await uncut(self._fleet.beat([_beat(heartbeat) for heartbeat in heartbeats], now=self._now()))
        handled: list[tuple[Reply, asyncio.Future[Handled]]] = []
        for delivery, item in items:
            match item:
                case Heartbeat():
                    continue
                case Reply():
                    outcome = await self._reply(delivery, item)
                    if outcome is not None:
                        handled.append((item, outcome))
                case Unreadable():
                    await self._dead_letters.keep_unreadable(delivery.address, item)
                case _:
                    unread = Unreadable(encode_item(item), "a command on the reply queue")  # type: ignore[arg-type]
                    await self._dead_letters.keep_unreadable(delivery.address, unread)
        for reply, outcome in handled:
            await self._outcome(reply, outcome)

    def _lives(self, delivery: Delivery, heartbeat: Heartbeat) -> bool:
        """Whether a heartbeat is believed. One that is not is no letter to keep: the next comes in seconds."""
        doubt = self._trust.doubt_sender(heartbeat.participant, delivery.sender)
        if doubt is not None:
            log.warning("A heartbeat is %s", doubt, extra={"action": "replies.disbelieved"})
        return doubt is None

    async def _reply(self, delivery: Delivery, reply: Reply) -> asyncio.Future[Handled] | None:
        """Let a reply happen to its saga; None: it is not believed, and kept as a dead letter."""
        event = replied(reply, self._now())
        doubt = self._trust.doubt_sender(reply.participant, delivery.sender) or self._trust.doubt_token(
            reply.saga_id, event.command, reply.participant, reply.reply_token
        )
        if doubt is not None:
            await self._dead_letters.keep_reply(reply, doubt)
            return None
        return await self._engine.ask(reply.saga_id, event, participant=reply.participant)

    async def _outcome(self, reply: Reply, outcome: asyncio.Future[Handled]) -> None:
        try:
            await outcome
        except Disbelieved as error:
            await self._dead_letters.keep_reply(reply, f"{not_believed}{error}")
        except UnknownSaga:
            await self._dead_letters.keep_reply(reply, "unknown saga: never started here, or already purged")
        except Quarantined as error:
            await self._dead_letters.keep_reply(reply, str(error))


def _beat(heartbeat: Heartbeat) -> Beat:
    return Beat(
        participant=heartbeat.participant,
        worker=heartbeat.worker,
        version=heartbeat.worker_version,
        actions=heartbeat.actions,
        compensations=heartbeat.compensations,
        interval_seconds=heartbeat.interval_seconds,
        in_flight=heartbeat.in_flight,
        stopping=heartbeat.stopping,
        host=heartbeat.host,
        settings=heartbeat.settings,
        holding={held.command: held.seconds for held in heartbeat.holding},
    )
