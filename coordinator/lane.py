"""Where jobs wait for the engine: a bounded queue that is taken from as a batch, and given back to at its head."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Generic, Protocol, TypeVar

from amends.linger import Linger

waiting_max = 20_000  # jobs that may wait in memory; beyond it the caller waits


class Job(Protocol):
    """Something to be done to a saga, whose caller waits for `done`."""

    @property
    def saga_id(self) -> str: ...
    @property
    def done(self) -> asyncio.Future[Any]: ...


T = TypeVar("T", bound=Job)


class Lane(Generic[T]):
    """Jobs that wait, oldest first, bounded. `take` returns all that wait, up to a limit, and lets
    them become more for a moment if others were just worked on."""

    def __init__(self) -> None:
        self.linger = Linger()  # who takes a batch works on it
        self._waiting: deque[T] = deque()
        self._some = asyncio.Event()
        self._room = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    async def put(self, job: T) -> None:
        while len(self._waiting) >= waiting_max:
            self._room.clear()
            await self._room.wait()
        self.put_now(job)

    def put_now(self, job: T) -> None:
        job.done.add_done_callback(_read)
        self._waiting.append(job)
        self._some.set()

    def put_first(self, job: T) -> None:
        self._waiting.appendleft(job)
        self._some.set()

    async def take(self, limit: int) -> list[T]:
        await self._some.wait()
        await self.linger.wait(job.saga_id for job in self._waiting)
        taken = [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]
        self._room.set()
        if not self._waiting:
            self._some.clear()
        return taken


def fail(done: asyncio.Future[Any], error: Exception) -> None:
    """Tell the caller, if it still waits."""
    if not done.done():
        done.set_exception(error)


def _read(done: asyncio.Future[Any]) -> None:
    """A caller that went away does not make its job's error an unread one."""
    if not done.cancelled():
        done.exception()
