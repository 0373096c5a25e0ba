"""How fast: a bucket that fills at a rate, and gives what is in it. For who may do something only so often."""

from __future__ import annotations

burst_seconds = 0.25  # what a bucket holds when it is full; at least one


class Pace:
    """Of one thing. `at` is the event loop's time, in seconds; the rate may be another one each time."""

    def __init__(self) -> None:
        self._tokens = 1.0
        self._at: float | None = None

    def allowance(self, rate_per_second: float, at: float) -> int:
        """How many may be done now."""
        if self._at is not None:
            self._tokens += max(0.0, at - self._at) * rate_per_second
        self._at = at
        self._tokens = min(self._tokens, max(1.0, rate_per_second * burst_seconds))
        return int(self._tokens)

    def spend(self, count: int) -> None:
        """So many were done, whether or not anybody had asked how many may be."""
        self._tokens = max(0.0, self._tokens - count)

    def seconds_to_next(self, rate_per_second: float) -> float:
        """How long until the bucket that has just been asked holds another one."""
        return max(0.0, (1.0 - self._tokens) / rate_per_second)

    def room(self, rate_per_second: float, at: float, *, ahead_seconds: float) -> int:
        """How many will have been allowed within the next `ahead_seconds`, those of now included."""
        self.allowance(rate_per_second, at)
        return int(self._tokens + ahead_seconds * rate_per_second)
