"""A clock that jumps: minutes of a saga's life in seconds of ours.

The loop's `time()` goes on only when there is nothing to do but wait, and then at once to the next timer. It stands
still while a thread works for the loop. SQLite, which aiosqlite keeps in a thread, is called in the loop's own, so that
one run is like the other.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, TypeVarTuple

from aiosqlite.core import Connection

from coordinator.store.database import Database, DatabaseClock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

began = datetime(2031, 3, 3, 9, 0, tzinfo=UTC)  # what the clock says when a world begins
real_wait_seconds = 0.05
idle_max = 100
looks_together = 32  # turns of the loop between two looks at what threads and sockets have to say
statements_together = 8  # of one connection, before others have their turn


class _Jumping(selectors.DefaultSelector):
    """A selector that, where another would sleep, moves the clock."""

    loop: VirtualLoop
    idle = 0
    looks = 0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is not None and timeout <= 0:
            self.looks += 1
            return super().select(0) if self.loop.working or self.looks % looks_together == 0 else []
        ready = super().select(0)
        if ready:
            return ready
        if self.loop.working:  # a thread will wake us
            return super().select(real_wait_seconds)
        if timeout is None:
            self.idle += 1
            if self.idle > idle_max:
                raise RuntimeError("everybody waits, and nobody will ever wake them")
            return super().select(real_wait_seconds)
        self.idle = 0
        self.loop.jump(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own."""

    def __init__(self) -> None:
        selector = _Jumping()
        selector.loop = self
        self._at = 0.0
        self.working = 0  # what threads are doing for us now
        super().__init__(selector)

    def time(self) -> float:
        return self._at

    def jump(self, seconds: float) -> None:
        """Nothing happens for so long."""
        self._at += seconds

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        self.working += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._worked)
        return future

    def _worked(self, _future: object) -> None:
        self.working -= 1


class LoopClock(DatabaseClock):
    """The coordinator's clock, in a world whose time is the loop's."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)

    async def sync(self) -> None:
        """There is nobody else to agree with."""

    def now(self) -> datetime:
        return now()


def now() -> datetime:
    """The date and time in the running world."""
    return began + timedelta(seconds=asyncio.get_running_loop().time())


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in a world of its own."""
    with sqlite_in_the_loop(), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


@contextmanager
def sqlite_in_the_loop() -> Iterator[None]:
    """Within the block, aiosqlite's connections do their work where they are called."""
    kept = {name: Connection.__dict__[name] for name in _instead}
    for name, function in _instead.items():
        setattr(Connection, name, function)
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(Connection, name, function)


class _Here:
    """Stands for the queue to a connection's thread: what is put in it is done at once."""

    def put_nowait(self, item: tuple[asyncio.Future[Any] | None, Callable[[], Any]]) -> None:
        future, function = item
        try:
            result = function()
        except Exception as error:
            if future is None:
                raise
            future.set_exception(error)
        else:
            if future is not None:
                future.set_result(result)


_begin = Connection.__init__


def _init(self: Any, *arguments: Any, **more: Any) -> None:
    _begin(self, *arguments, **more)
    self._tx = _Here()


async def _execute(self: Any, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not self._running or self._connection is None:
        raise ValueError("Connection closed")
    self.executed = getattr(self, "executed", 0) + 1
    if self.executed % statements_together == 0:
        await asyncio.sleep(0)  # others may go on between two statements, as they may in the world
    return function(*args, **kwargs)


def _await(self: Any) -> Generator[Any, None, Any]:
    return self._connect().__await__()  # type: ignore[no-any-return]


_instead: dict[str, Any] = {"__init__": _init, "_execute": _execute, "__await__": _await}
