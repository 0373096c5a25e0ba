"""What a handler called while it ran: every call to something it depends on, how long it took, how it ended.

    async with calling("card-provider"):
        await provider.charge(…)

Calls travel with the reply, those that worked, too: who knows only of failures can't tell a slow dependency from a slow
service, nor a dependency that fails for one worker from one that fails for all.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Self

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from amends.capture import clean_text
from amends.failure import nearest_code, type_of
from amends.message import Call, calls_max

cut_off = "amends cut_off"  # it had not ended when whoever waited for it was cancelled

# Whose calls these are is known by the context alone: tasks and threads that a handler starts inherit it.
_calls: ContextVar[deque[Call] | None] = ContextVar("amends_calls", default=None)


@contextmanager
def calls_kept() -> Iterator[deque[Call]]:
    """Collect the calls of this context: the last `calls_max`."""
    calls: deque[Call] = deque(maxlen=calls_max)
    token = _calls.set(calls)
    try:
        yield calls
    finally:
        _calls.reset(token)


def now_seconds() -> float:
    """The clock that durations are measured by: the running loop's, so that one with a clock of its own is believed."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:  # a thread
        return time.monotonic()


def calling(dependency: str) -> Calling:
    """One call of the running handler to `dependency`; `with` or `async with`, as often as there are calls.

    The name is what people read and rules compare: "card-provider", a host; never a URL with an id in it. The error
    that ends the block goes on as it is. Outside a handler only the span is made.
    """
    return Calling(dependency)


class Calling:
    """A call while it lasts: a client's span, and an entry among the handler's calls."""

    def __init__(self, dependency: str) -> None:
        self._dependency = clean_text(dependency, 100) or "?"
        self._open = ExitStack()
        self._span: Span = trace.INVALID_SPAN
        self._calls: deque[Call] | None = None
        self._began = 0.0

    def __enter__(self) -> Self:
        self._span = self._open.enter_context(
            trace.get_tracer("amends").start_as_current_span(
                f"call {self._dependency}",
                kind=SpanKind.CLIENT,
                attributes={"peer.service": self._dependency},
                record_exception=False,  # its message may be somebody's secret; the handler's span has it if it matters
                set_status_on_exception=False,
            )
        )
        self._calls = _calls.get()
        self._began = now_seconds()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        seconds = max(0.0, now_seconds() - self._began)
        said, code = ("", "") if error is None else (type_of(error), _code(error))
        if self._calls is not None:
            self._calls.append(Call(dependency=self._dependency, seconds=seconds, error=said, code=code))
        if error is not None:
            self._span.set_attribute("error.type", code or said)
            self._span.set_status(Status(StatusCode.ERROR, said))
        self._open.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


def _code(error: BaseException) -> str:
    return cut_off if isinstance(error, asyncio.CancelledError) else nearest_code(error)
