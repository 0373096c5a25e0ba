"""What was seen of one run of a handler: how long it took, what it logged, whom it called."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from amends.calls import calls_kept, now_seconds
from amends.capture import LogLines
from amends.message import Call


class Witness:
    """Filled while the handler runs. It outlives a transaction that was lost, and what that run said of itself."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.lines: deque[str] = deque()
        self.calls: deque[Call] = deque()

    @contextmanager
    def watching(self, logs: LogLines) -> Iterator[None]:
        """Watch a run; what was seen of an earlier one is forgotten."""
        began = now_seconds()
        try:
            with logs.capture() as self.lines, calls_kept() as self.calls:
                yield
        finally:
            self.seconds = max(0.0, now_seconds() - began)
