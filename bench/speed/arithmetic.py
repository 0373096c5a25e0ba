"""The sums of the benchmark, apart from everything that runs, so that they can be tested."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of these that at least `share` of them don't exceed; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    rank = -(-len(ordered) * round(share * 1000) // 1000)  # rounded up, in whole numbers: 0.99 is no such float
    return ordered[max(0, min(len(ordered), rank) - 1)]


@dataclass(frozen=True, slots=True)
class Ratio:
    """One thing divided by another, round by round. The machine's speed drifts: only what was measured within a round
    may be compared."""

    figure: str
    of: str
    to: str
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({', '.join(f'{one:.2f}' for one in self.rounds)})"


def ratio(figure: str, of: str, to: str, pairs: Sequence[tuple[float, float]]) -> Ratio | None:
    """What came first divided by what came second, of each round; rounds without a divisor are left out."""
    rounds = tuple(first / second for first, second in pairs if second)
    return Ratio(figure, of, to, rounds) if rounds else None
