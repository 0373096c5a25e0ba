"""How long a batch is waited for: a few times as long as the last one took, if that was of several sagas.

Under load every process is woken by each message of another, does a little and wakes the next: what a batch costs
beside its contents becomes most of the bill. Whoever has just worked lets the next batch grow for a while. Since it is
measured by the work, nothing has to be set to a machine's speed. (Kafka's producers wait for their batches likewise,
`linger.ms`, but always, and for a time that somebody has to choose.)

A saga that is alone waits for nobody: what comes next of those that were in the last batch is no company, and where
the last batch was of one saga, there is nobody to wait for yet. Once there is more to do than can be done one by one,
batches grow by themselves, and from then on they are waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager

from amends.calls import now_seconds

linger_seconds_max = 0.03  # measured: with 12 ms, batches of a moderate load stay small and cost more
times = 2.0  # measured: with three, a few sagas at a time wait for longer; with one, many gain less


class Linger:
    """Of one who works in batches."""

    def __init__(self) -> None:
        self._until = 0.0
        self._last: Set[str] = frozenset()

    async def wait(self, sagas: Iterable[str]) -> None:
        """Return when the next batch may begin, of which there is already something of these."""
        seconds = self._until - now_seconds()
        if seconds > 0 and len(self._last) > 1 and not all(saga in self._last for saga in sagas):
            await asyncio.sleep(seconds)

    @contextmanager
    def working(self, sagas: Iterable[str]) -> Iterator[None]:
        """Around the work on a batch."""
        self._last = frozenset(sagas)
        began = now_seconds()
        try:
            yield
        finally:
            ended = now_seconds()
            self._until = ended + min(linger_seconds_max, (ended - began) * times)
