"""How a loop that polls rests in between: until its next poll, or until an earlier time it has been told of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime


class Alarm:
    """Set any number of times; rings once, at the earliest of them, or at the poll."""

    def __init__(self, now: Callable[[], datetime], poll_seconds: float) -> None:
        self._now, self._poll_seconds = now, poll_seconds
        self._earliest: datetime | None = None
        self._set = asyncio.Event()

    def set(self, at: datetime) -> None:
        if self._earliest is None or at < self._earliest:
            self._earliest = at
            self._set.set()

    async def rest(self) -> None:
        """Return at the earliest time set, at most `poll_seconds` from now."""
        loop = asyncio.get_running_loop()
        poll = loop.time() + self._poll_seconds
        while True:
            self._set.clear()
            wait = poll - loop.time()
            if self._earliest is not None:
                wait = min(wait, (self._earliest - self._now()).total_seconds())
            if wait <= 0:
                break
            try:
                async with asyncio.timeout(wait):
                    await self._set.wait()
            except TimeoutError:
                continue  # it is time, or the clock of the database says otherwise: look again
        self._earliest = None
