"""How much waits already: beyond a bound no more is started, so that what was started can be finished in its time."""

from __future__ import annotations

import asyncio
import logging
import random

from coordinator.engine import Engine
from coordinator.errors import StoreUnavailable
from coordinator.store.outbox import OutboxStore
from coordinator.supervisor import uncut

log = logging.getLogger(__name__)

look_seconds = 1.0
starting_max = 2_000  # starts that wait for this process; a busy machine commits them within some seconds
come_back_seconds = (2, 10)  # by chance in between, so that not all who were sent away come back together


class Pressure:
    """Looks every second. The bound is soft: what is started between two looks comes on top."""

    def __init__(self, outbox: OutboxStore, engine: Engine, unsent_max: int) -> None:
        self._outbox, self._engine, self._unsent_max = outbox, engine, unsent_max
        self._unsent = 0

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except StoreUnavailable as error:
                log.warning("Nobody knows what waits: %s", error, extra={"action": "pressure.store_unavailable"})
            await asyncio.sleep(look_seconds)

    async def look(self) -> None:
        """Count what waits to be sent, up to the bound. Raises StoreUnavailable."""
        before, self._unsent = self._unsent, await uncut(self._outbox.unsent(self._unsent_max))
        if (before >= self._unsent_max) != (self._unsent >= self._unsent_max):
            what = "No saga is started" if self._unsent >= self._unsent_max else "Sagas are started again"
            log.warning("%s: %d commands wait to be sent", what, self._unsent, extra={"action": "pressure.turned"})

    def too_high(self) -> str | None:
        """Why nothing may be started now, for people. None: it may."""
        if self._unsent >= self._unsent_max:
            return f"{self._unsent} commands or more wait to be sent to participants, see `amends outbox`"
        if self._engine.starting >= starting_max:
            return f"{starting_max} sagas or more wait to be started by this coordinator"
        return None


def come_back() -> int:
    """After how many seconds somebody who was sent away may try again."""
    return random.randint(*come_back_seconds)
