"""What is old is forgotten, a little at a time, so that nobody waits long for those who clean up."""

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
rounds_max = 50  # of one kind in one sweep; what is left then waits for the next
breath_seconds = 0.05  # between two rounds: those who move sagas go first
workers_kept = timedelta(days=7)


class Prunable(Protocol):
    """Something of which some of what is old can be forgotten; how much was. Zero: nothing is left to forget."""

    async def prune(self, now: datetime) -> int: ...


class Forgetting:
    """Sweeps every ten minutes. Any number of coordinators may."""

    def __init__(self, kinds: Sequence[Prunable], fleet: FleetStore, now: Callable[[], datetime]) -> None:
        self._kinds, self._fleet, self._now = kinds, fleet, now

    async def run(self) -> None:
        while True:
            await asyncio.sleep(sweep_seconds)
            try:
                await self.sweep()
            except StoreUnavailable as error:
                log.warning("What is old stays: %s", error, extra={"action": "forgetting.store_unavailable"})

    async def sweep(self) -> int:
        """Forget what is old; how many rows. Raises StoreUnavailable."""
        now = self._now()
        forgotten = await uncut(self._fleet.bury(now - workers_kept))
        for kind in self._kinds:
            for _ in range(rounds_max):
                gone = await uncut(kind.prune(now))
                forgotten += gone
                if not gone:
                    break
                await asyncio.sleep(breath_seconds)
        return forgotten
