"""What is old is forgotten, a little at a time: counts after days, incidents after weeks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from coordinator.errors import StoreUnavailable
from coordinator.store.fleet import FleetStore
from coordinator.supervisor import uncut

log = logging.getLogger(__name__)

sweep_seconds = 600.0
rounds_max = 50  # of one store in one sweep; what is left then waits for the next
workers_kept = timedelta(days=7)


class Prunable(Protocol):
    """A store of which some of what is old can be forgotten; how much was. Zero: nothing is left to forget."""

    async def prune(self, now: datetime) -> int: ...


class Forgetting:
    """Sweeps every ten minutes. Any number of coordinators may."""

    def __init__(self, stores: Sequence[Prunable], fleet: FleetStore, now: Callable[[], datetime]) -> None:
        self._stores, self._fleet, self._now = stores, fleet, now

    async def run(self) -> None:
        while True:
            await asyncio.sleep(sweep_seconds)
            try:
                await self.sweep()
            except StoreUnavailable as error:
                log.warning("What is old stays: %s", error, extra={"action": "diagnosis.store_unavailable"})

    async def sweep(self) -> int:
        """Forget what is old; how many rows. Raises StoreUnavailable."""
        now = self._now()
        forgotten = await uncut(self._fleet.bury(now - workers_kept))
        for store in self._stores:
            for _ in range(rounds_max):
                gone = await uncut(store.prune(now))
                forgotten += gone
                if not gone:
                    break
                await asyncio.sleep(0)
        return forgotten
