"""Texts made to keep a reader of errors busy, and how busy it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

chars = 8_192
seconds_max = (
    0.4  # of processor time for one text, on a machine that does other things; quadratic ones take ten times it
)


def combined(pieces: Sequence[str]) -> Iterator[str]:
    """Each piece after each other one, again and again, and each once before a long rest."""
    for one in pieces:
        for other in pieces:
            yield ((one + other) * chars)[:chars]
        yield (one + "a" * chars)[:chars]
        yield (one * chars)[: chars - 1] + "\n"


def slowest(read: Callable[[str], object], texts: Iterator[str]) -> tuple[float, str]:
    """How long the slowest of the texts took, and how it begins."""
    worst = (0.0, "")
    for text in texts:
        began = time.thread_time()
        read(text)
        worst = max(worst, (time.thread_time() - began, text[:30]))
    return worst
