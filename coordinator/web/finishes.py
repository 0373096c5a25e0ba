"""Those who wait for a saga to end: told by this process's engine, with the saga in its hands. Another coordinator may
be the one that ends it, so the database is looked at as well, in one statement for all who wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager

from coordinator.errors import StoreUnavailable
from coordinator.saga.decision import Decision
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.state import Saga

log = logging.getLogger(__name__)

waiters_max = 2_000
look_seconds = 0.25

# What is heard: the saga as it ended, or None from who only knows that it has, or that nobody waits any longer.
End = asyncio.Future[Saga | None]


class Finishes:
    """Who waits for which saga. `observe` is an engine's observer; `ended` says which of these sagas are final."""

    def __init__(self, ended: Callable[[Collection[str]], Awaitable[Collection[str]]]) -> None:
        self._ended = ended
        self._waiting: dict[str, set[End]] = {}
        self._count = 0
        self._stopping = False
        self._looking: asyncio.Task[None] | None = None

    def observe(self, _: SagaDefinition, __: Saga, decision: Decision) -> None:
        if decision.saga.final:
            self._tell(decision.saga.id, decision.saga)

    def stop(self) -> None:
        """Nobody waits any longer: the process ends."""
        self._stopping = True
        if self._looking is not None:
            self._looking.cancel()
        for saga_id in list(self._waiting):
            self._tell(saga_id, None)

    @contextmanager
    def expecting(self, saga_id: str) -> Iterator[End]:
        """Hear of this saga's end within the block, which may begin before the saga does. When too many wait already,
        the answer is there at once: None."""
        end: End = asyncio.get_running_loop().create_future()
        if self._stopping or self._count >= waiters_max:
            end.set_result(None)
            yield end
            return
        self._waiting.setdefault(saga_id, set()).add(end)
        self._count += 1
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="finishes")
        try:
            yield end
        finally:
            self._count -= 1
            self._waiting[saga_id].discard(end)
            if not self._waiting[saga_id]:
                del self._waiting[saga_id]

    async def _look(self) -> None:
        """Look for those that others have ended, for as long as anybody waits."""
        try:
            while self._waiting:
                await asyncio.sleep(look_seconds)
                try:
                    for saga_id in await self._ended(self._waiting.keys()):
                        self._tell(saga_id, None)
                except StoreUnavailable as error:
                    log.warning("Ends can't be looked at: %s", error, extra={"action": "finishes.store_unavailable"})
        finally:
            self._looking = None

    def _tell(self, saga_id: str, saga: Saga | None) -> None:
        for end in self._waiting.get(saga_id, ()):
            if not end.done():
                end.set_result(saga)


async def heard(end: End, seconds: float) -> Saga | None:
    """Wait for an end, no longer than this. None: ask the database how the saga stands."""
    try:
        async with asyncio.timeout(seconds):
            return await end
    except TimeoutError:
        return None
