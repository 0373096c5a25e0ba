"""How much anybody may ask: a bucket of requests each, filled at a steady rate. Bounded: whoever was silent longest is
forgotten first, with a full bucket."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

callers_max = 10_000
burst_seconds = 2.0  # of requests at the full rate that may come at once


class Rates:
    """`take` a request of somebody's; 0.0, or how many seconds they have to wait."""

    def __init__(
        self, per_second: float, *, burst: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second, self._clock = per_second, clock
        self._burst = max(1.0, burst if burst is not None else per_second * burst_seconds)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def take(self, who: str) -> float:
        if self._per_second <= 0:
            return 0.0
        left = self._now_left(who)
        waits = 0.0 if left >= 1 else (1 - left) / self._per_second
        self._keep(who, left if waits else left - 1)
        return waits

    def empty(self, who: str) -> float:
        """How long somebody has to wait who has used up theirs; nothing is taken."""
        left = self._now_left(who) if who in self._left else self._burst
        return 0.0 if left >= 1 or self._per_second <= 0 else (1 - left) / self._per_second

    def _now_left(self, who: str) -> float:
        now = self._clock()
        left, at = self._left.get(who, (self._burst, now))
        return min(self._burst, left + (now - at) * self._per_second)

    def _keep(self, who: str, left: float) -> None:
        self._left[who] = (left, self._clock())
        self._left.move_to_end(who)
        if len(self._left) > callers_max:
            self._left.popitem(last=False)
