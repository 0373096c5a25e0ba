"""A running coordinator: which parts it has, in which order they begin and end. `building` puts it together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from amends.broker import Broker
from coordinator.access.access import Access
from coordinator.bulk import Bulks
from coordinator.config import Settings
from coordinator.dead_letters import DeadLetters
from coordinator.definitions import Definitions
from coordinator.diagnosis.diagnosis import Diagnosis
from coordinator.engine import Engine
from coordinator.errors import StoreUnavailable
from coordinator.fleet import Fleet
from coordinator.forgetting import Forgetting
from coordinator.listing import Listing
from coordinator.notifications.courier import Courier
from coordinator.notifications.subscriptions import Subscriptions
from coordinator.pressure import Pressure
from coordinator.relay import Relay
from coordinator.replies import Replies
from coordinator.store.database import Database, DatabaseClock
from coordinator.store.stores import Stores
from coordinator.supervisor import Supervisor
from coordinator.telemetry.export import Telemetry
from coordinator.timers import Timers

log = logging.getLogger(__name__)

clock_sync_seconds = 10.0
flush_seconds_max = 2.0  # of what was noted and not yet written, at the end


@dataclass
class App:
    """A running coordinator without its web face."""

    settings: Settings
    database: Database
    clock: DatabaseClock
    broker: Broker
    stores: Stores
    definitions: Definitions
    fleet: Fleet
    engine: Engine
    relay: Relay
    timers: Timers
    dead_letters: DeadLetters
    replies: Replies
    listing: Listing
    bulks: Bulks
    subscriptions: Subscriptions
    courier: Courier
    access: Access
    pressure: Pressure
    forgetting: Forgetting
    diagnosis: Diagnosis | None = None  # None: it is switched off
    supervisor: Supervisor = field(init=False)
    telemetry: Telemetry | None = None  # to be ended with this app; None: it is somebody else's

    async def start(self) -> None:
        """Begin to move sagas. What another process left behind is found by polls."""
        self.supervisor = Supervisor(
            {
                "clock": self._keep_time,
                "fleet": self.fleet.run,
                "relay": self.relay.run,
                "engine": self.engine.run,
                "dead letters": self.dead_letters.run,
                "timers": self.timers.run,
                "replies": self.replies.run,
                "bulk": self.bulks.run,
                "subscriptions": self.subscriptions.run,
                "courier": self.courier.run,
                "access": self.access.run,
                "pressure": self.pressure.run,
                "forgetting": self.forgetting.run,
                "audit": self.access.journal.run,
                **(self.diagnosis.loops() if self.diagnosis else {}),
            }
        )
        self.supervisor.start()

    async def stop(self, *, close_broker: bool = True) -> None:
        """End in bounded time: stop hearing and waking, finish what is being committed, hand back what is unsent.

        A broker that others in this process still use is left open.
        """
        await self.supervisor.stop()
        await _flush("What was audited", self.access.flush)
        if self.diagnosis:
            await _flush("What failed", self.diagnosis.watch.flush)
        if self.telemetry:
            await asyncio.to_thread(self.telemetry.shutdown)
        if close_broker:
            async with asyncio.timeout(2.0):
                await self.broker.close()
        async with asyncio.timeout(3.0):
            await self.database.close()

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(clock_sync_seconds)
            try:
                await self.clock.sync()
            except StoreUnavailable as error:
                log.warning("The database's clock can't be asked: %s", error, extra={"action": "clock.unavailable"})


async def _flush(what: str, write: Callable[[], Awaitable[None]]) -> None:
    """Write what was noted last. What can't be written now is lost."""
    try:
        async with asyncio.timeout(flush_seconds_max):
            await write()
    except (StoreUnavailable, TimeoutError) as error:
        log.warning("%s last was not written: %s", what, error, extra={"action": "app.not_flushed"})
