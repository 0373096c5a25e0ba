"""How a saga wakes: clocks that have run out are noticed and handed to the engine.

Any number of coordinators look; claiming a due saga moves its wake-up a little on, so that one of them takes it, and it
comes due again should that one die.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from coordinator.alarm import Alarm
from coordinator.engine import Engine
from coordinator.errors import CoordinatorError, StoreUnavailable
from coordinator.move import Wake
from coordinator.store.sagas import SagaStore
from coordinator.supervisor import uncut

log = logging.getLogger(__name__)

poll_seconds = 1.0
due_max = 200
claim_seconds = 10.0


class Timers:
    """Wakes sagas that are due, until cancelled. `hint` tells of a wait that has just begun."""

    def __init__(self, store: SagaStore, engine: Engine, now: Callable[[], datetime]) -> None:
        self._store, self._engine, self._now = store, engine, now
        self._alarm = Alarm(now, poll_seconds)

    def hint(self, due: datetime) -> None:
        """A saga will be due then: look at that time rather than at the next poll."""
        self._alarm.set(due)

    async def run(self) -> None:
        while True:
            try:
                woken = await self.step()
            except StoreUnavailable as error:
                woken = 0
                log.warning("Timers can't be read: %s", error, extra={"action": "timers.store_unavailable"})
            if woken < due_max:
                await self._alarm.rest()

    async def step(self) -> int:
        """Wake what is due now; returns how many sagas that were. Raises StoreUnavailable."""
        at = self._now()
        due = await uncut(self._store.due(at, due_max, lease_seconds=claim_seconds))
        results = await asyncio.gather(
            *(self._engine.handle(saga_id, Wake()) for saga_id in due), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, CoordinatorError):
                raise result
        return len(due)
