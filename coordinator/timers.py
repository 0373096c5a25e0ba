"""How a saga wakes: clocks that have run out are noticed and handed to the engine.

Any number of coordinators look; claiming a due saga moves its wake-up a little on, so that one of them takes it, and it
comes due again should that one die.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from coordinator.engine import Engine, Wake
from coordinator.errors import CoordinatorError, StoreUnavailable
from coordinator.store.sagas import SagaStore

log = logging.getLogger(__name__)

poll_seconds = 1.0
due_max = 200
claim_seconds = 10.0


class Timers:
    """Wakes sagas that are due, until cancelled. `hint` tells of a wait that has just begun."""

    def __init__(self, store: SagaStore, engine: Engine, now: Callable[[], datetime]) -> None:
        self._store, self._engine, self._now = store, engine, now
        self._next: datetime | None = None
        self._earlier = asyncio.Event()

    def hint(self, due: datetime) -> None:
        """A saga will be due then: look at that time rather than at the next poll."""
        if self._next is None or due < self._next:
            self._next = due
            self._earlier.set()

    async def run(self) -> None:
        while True:
            try:
                woken = await self.step()
            except StoreUnavailable as error:
                woken = 0
                log.warning("Timers can't be read: %s", error, extra={"action": "timers.store_unavailable"})
            if woken < due_max:
                await self._rest()

    async def step(self) -> int:
        """Wake what is due now; returns how many sagas that were. Raises StoreUnavailable."""
        at = self._now()
        due = await self._store.due(at, due_max, lease_seconds=claim_seconds)
        results = await asyncio.gather(
            *(self._engine.handle(saga_id, Wake()) for saga_id in due), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, CoordinatorError):
                raise result
        return len(due)

    async def _rest(self) -> None:
        """Until the next poll, or the earliest wait that was hinted at."""
        self._earlier.clear()
        try:
            async with asyncio.timeout(poll_seconds):
                while True:
                    wait = (self._next - self._now()).total_seconds() if self._next else poll_seconds
                    if wait <= 0:
                        break
                    try:
                        async with asyncio.timeout(wait):
                            await self._earlier.wait()
                            self._earlier.clear()
                    except TimeoutError:
                        break
        except TimeoutError:
            return
        self._next = None
