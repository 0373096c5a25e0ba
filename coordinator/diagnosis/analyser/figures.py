"""Arithmetic on counts and buckets, with nothing in it but numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log, sqrt

from coordinator.store.observed import bucket_seconds


def z_of(bad_in: int, all_in: int, bad_out: int, all_out: int) -> float:
    """How unlikely it is that both shares are the same: standard deviations of a two-proportion test."""
    if not all_in or not all_out:
        return 0.0
    pooled = (bad_in + bad_out) / (all_in + all_out)
    variance = pooled * (1 - pooled) * (1 / all_in + 1 / all_out)
    if variance <= 0:
        return 0.0
    return (bad_in / all_in - bad_out / all_out) / sqrt(variance)


def likelihood(bad: int, total: int) -> float:
    """The log-likelihood of a constant rate, at its best."""
    if bad <= 0 or bad >= total:
        return 0.0
    share = bad / total
    return bad * log(share) + (total - bad) * log(1 - share)


def gathered(histograms: Iterable[Sequence[int]]) -> list[int]:
    """Many histograms as one; they may be of different lengths."""
    total: list[int] = []
    for counts in histograms:
        if len(counts) > len(total):
            total += [0] * (len(counts) - len(total))
        for index, count in enumerate(counts):
            if count:
                total[index] += count
    return total


def quantile(buckets: Sequence[int], share: float) -> float | None:
    """The duration, in seconds, below which this share lies; interpolated within its bucket. None: there are none."""
    total = sum(buckets)
    if total <= 0:
        return None
    wanted, passed = share * total, 0
    for index, count in enumerate(buckets):
        if count and passed + count >= wanted:
            upper = bucket_seconds[min(index, len(bucket_seconds) - 1)]
            lower = bucket_seconds[index - 1] if 0 < index <= len(bucket_seconds) else 0.0
            return lower + (upper - lower) * max(0.0, wanted - passed) / count
        passed += count
    return bucket_seconds[-1]
