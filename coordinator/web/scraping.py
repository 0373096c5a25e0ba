"""The look at the database that a scrape needs, taken once for all who scrape within a few seconds.

Several may scrape one coordinator, impatiently, while the database is slow: they share one look, and who comes while it
is being taken waits for it instead of asking again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from coordinator.diagnosis.diagnosis import Diagnosis
from coordinator.errors import StoreUnavailable
from coordinator.store.database import DatabaseClock
from coordinator.store.figures import FigureReader, Figures

fresh_seconds = 5.0
scrape_seconds_max = 2.0


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen. `remedies` is by kind and state."""

    figures: Figures
    incidents_open: int = 0
    remedies: Mapping[tuple[str, str], int] | None = None


class Scraping:
    def __init__(self, figures: FigureReader, diagnosis: Diagnosis | None, clock: DatabaseClock) -> None:
        self._figures, self._diagnosis, self._clock = figures, diagnosis, clock
        self.fresh_seconds = fresh_seconds
        self._turn = asyncio.Lock()
        self._seen: Look | None = None
        self._seen_at: float | None = None

    async def look(self) -> Look | None:
        """What the database says, at most a few seconds old. None: it does not answer now."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            if self._seen_at is None or loop.time() - self._seen_at >= self.fresh_seconds:
                self._seen = await self._take()
                self._seen_at = loop.time()
            return self._seen

    async def _take(self) -> Look | None:
        try:
            async with asyncio.timeout(scrape_seconds_max):
                figures = await self._figures.read(self._clock.now())
                if self._diagnosis is None:
                    return Look(figures)
                incidents_open = await self._diagnosis.reader.count_open()
                return Look(figures, incidents_open, await self._diagnosis.remedies.counts())
        except (StoreUnavailable, TimeoutError):
            return None  # amends_database_up says so
