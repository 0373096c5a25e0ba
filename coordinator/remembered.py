"""Sagas as this process last committed them, so that what happens to one next need not read it first.

It may be old news: another coordinator may have moved the saga since. So what is remembered is believed only where a
compare-and-set has confirmed it; whoever finds it stale, or has nothing to commit, asks the database. Where others move
the same sagas most of what is remembered is stale, and then nothing is, for a while.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from coordinator.saga.state import Saga

bytes_max = 32 * 1024 * 1024  # of all, about
saga_bytes_max = 64 * 1024  # of one; what is larger is read each time
saga_values_max = 500
stale_share_max = 0.2
weighed = 50  # outcomes that the share is an average of, about
rest_seconds = 30.0


class Remembered:
    """Bounded in bytes; the one longest unmoved goes first. `seconds` is a monotonic clock."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._sagas: OrderedDict[str, tuple[Saga, int]] = OrderedDict()
        self._bytes = 0
        self._stale_share = 0.0
        self._rests_until = 0.0

    def get(self, saga_id: str) -> Saga | None:
        found = self._sagas.get(saga_id)
        return found[0] if found else None

    def keep(self, saga: Saga) -> None:
        """A saga as it was just committed. One that is final is not moved again."""
        self.drop(saga.id)
        size = _size(saga)
        if saga.final or size is None or self._seconds() < self._rests_until:
            return
        self._sagas[saga.id] = saga, size
        self._bytes += size
        while self._bytes > bytes_max:
            _, (_, freed) = self._sagas.popitem(last=False)
            self._bytes -= freed

    def drop(self, saga_id: str) -> None:
        found = self._sagas.pop(saga_id, None)
        if found:
            self._bytes -= found[1]

    def judge(self, *, stale: bool) -> None:
        """What the database said of one that was remembered."""
        self._stale_share += (stale - self._stale_share) / weighed
        if self._stale_share > stale_share_max:
            self._stale_share = 0.0
            self._rests_until = self._seconds() + rest_seconds
            self._sagas.clear()
            self._bytes = 0


def _size(saga: Saga) -> int | None:
    """About how many bytes a saga holds; None: more than is remembered of one."""
    waiting: list[Any] = [saga.input, *(run.result for run in saga.steps.values())]
    size, values = 1_000 * (1 + len(saga.steps)), 0
    while waiting:
        value = waiting.pop()
        values += 1
        if isinstance(value, str):
            size += len(value)
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        size += 50
        if values > saga_values_max or size > saga_bytes_max:
            return None
    return size
