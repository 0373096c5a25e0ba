"""Those who wait for a saga to end: woken by this process's engine, and looking at the database for the others'."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from coordinator.saga.decision import Decision
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.state import Saga

waiters_max = 2_000
look_first_seconds = 0.5
look_cap_seconds = 3.0


class Finishes:
    """Who waits for which saga. `observe` is an engine's observer."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._count = 0
        self._stopping = False

    def observe(self, _: SagaDefinition, __: Saga, decision: Decision) -> None:
        if decision.saga.final:
            for event in self._waiting.get(decision.saga.id, ()):
                event.set()

    def stop(self) -> None:
        """Nobody waits any longer: the process ends."""
        self._stopping = True
        for events in self._waiting.values():
            for event in events:
                event.set()

    async def wait(self, saga_id: str, seconds: float, ended: Callable[[], Awaitable[bool]]) -> None:
        """Return when the saga has ended, by what `ended` finds in the database, or the time is over.

        Another process may be the one that ends it, so the database is looked at now and then all the same. When too
        many wait already, this returns at once.
        """
        if self._count >= waiters_max:
            return
        event = asyncio.Event()
        self._waiting.setdefault(saga_id, set()).add(event)
        self._count += 1
        try:
            async with asyncio.timeout(seconds):
                pause = look_first_seconds
                while not self._stopping and not await ended():
                    try:
                        async with asyncio.timeout(pause):
                            await event.wait()
                    except TimeoutError:
                        pause = min(pause * 1.5, look_cap_seconds)
                    event.clear()
        except TimeoutError:
            return
        finally:
            self._count -= 1
            self._waiting[saga_id].discard(event)
            if not self._waiting[saga_id]:
                del self._waiting[saga_id]
