"""Runs the loops of a process, and treats any of them that ends, for whatever reason, as a failure of the process.

A loop that died silently is the worst that can happen to a coordinator: everything looks well and nothing moves.
aiormq, for one, ends a pending publish with a CancelledError that nobody asked for, which a plain TaskGroup would
overlook.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")
Loop = Callable[[], Awaitable[None]]

lasting_seconds_max = 60.0  # between two beginnings of a loop that keeps ending


class LoopEnded(Exception):
    """A loop that should run for as long as the process ended by itself."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the loop {name!r} ended; the process can't go on without it")
        self.name = name


class Supervisor:
    """Runs named loops until `stop`. `failure` is done with LoopEnded when one ended by itself."""

    def __init__(self, loops: Mapping[str, Loop]) -> None:
        self._loops = loops
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self.failure: asyncio.Future[LoopEnded] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        for name, loop in self._loops.items():
            task = asyncio.ensure_future(loop())
            task.set_name(name)
            task.add_done_callback(self._ended)
            self._tasks[name] = task

    def dead(self) -> list[str]:
        """The names of the loops that no longer run."""
        return [name for name, task in self._tasks.items() if task.done()]

    async def stop(self, *, grace_seconds: float = 5.0) -> None:
        """End every loop, in the order opposite to that in which they were given, each within the grace."""
        self._stopping = True
        async with AsyncExitStack() as stack:
            for task in self._tasks.values():
                stack.push_async_callback(_end, task, grace_seconds)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._stopping:
            return
        error = None if task.cancelled() else task.exception()
        log.critical("The loop %s ended", task.get_name(), exc_info=error, extra={"action": "supervisor.loop_ended"})
        if not self.failure.done():
            self.failure.set_result(LoopEnded(task.get_name()))


async def lasting(name: str, loop: Loop, *, ended: Callable[[], None]) -> None:
    """Run a loop that the process can do without: should it end by itself, that is logged and told, and it begins
    again, after a second at first, then later and later."""
    pause_seconds = 1.0
    while True:
        began = asyncio.get_running_loop().time()
        error: BaseException | None = None
        try:
            await loop()
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            error = cancelled  # that nobody asked for
        except Exception as failure:
            error = failure
        ended()
        if asyncio.get_running_loop().time() - began > lasting_seconds_max:
            pause_seconds = 1.0
        log.error(
            "The loop %s ended; it begins again in %.0f s",
            *(name, pause_seconds),
            exc_info=error,
            extra={"action": "supervisor.loop_begins_again"},
        )
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, lasting_seconds_max)


async def _end(task: asyncio.Task[None], grace_seconds: float) -> None:
    task.cancel()
    await asyncio.wait([task], timeout=grace_seconds)
    if not task.done():
        log.error(
            "The loop %s did not end in %s s", task.get_name(), grace_seconds, extra={"action": "supervisor.slow_stop"}
        )


async def uncut(work: Coroutine[Any, Any, T], *, grace_seconds: float = 3.0) -> T:
    """Await what must not be cut in two: a transaction. A cancellation waits for its end, for the grace at most.

    Drivers do survive a cancellation in the middle, but at the price of the connection, and not every one at once.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait([task], timeout=grace_seconds)
        raise
