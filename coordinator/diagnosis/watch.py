"""Looks on as the engine commits: counts how every attempt ended, and notes what failed.

An observer costs microseconds, never waits and never raises; what it saw is written every two seconds. What memory has
no room for is dropped and counted: no failure that is not told is worth a saga that is not moved.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from coordinator.diagnosis.counts import Changed, Counts
from coordinator.diagnosis.describing import Describing
from coordinator.diagnosis.failures import Noticed, noticed
from coordinator.errors import StoreUnavailable
from coordinator.saga.decision import Decision
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.state import Saga
from coordinator.store.incidents import IncidentStore, Telling
from coordinator.store.observed import FailedStep
from coordinator.store.outcomes import OutcomeStore
from coordinator.supervisor import uncut

log = logging.getLogger(__name__)

flush_seconds = 2.0
failures_waiting_max = 20_000
batch_max = 500  # failures of one transaction
described_at_once = 5  # failures that are masked before others may run


class Silence(Protocol):
    """What is known of a command that nobody answered, in a word; None: nothing."""

    def __call__(self, participant: str, command: str, sent_at: datetime | None) -> str | None: ...


class Watch:
    """An observer of the engine. `source` tells this process's counts from those of others."""

    def __init__(
        self,
        outcomes: OutcomeStore,
        incidents: IncidentStore,
        *,
        now: Callable[[], datetime],
        source: str,
        redact: Callable[[str], str],
        silence: Silence,
        telling: Telling | None = None,
    ) -> None:
        self._outcomes, self._incidents = outcomes, incidents
        self._now, self._source, self._silence = now, source, silence
        self._telling = telling
        self._counts = Counts(redact)
        self._noticed: deque[Noticed] = deque()
        self._describing = Describing()
        self._rows: list[FailedStep] = []  # described, and not written yet
        self._flushing = asyncio.Lock()
        self.failures_dropped = 0
        self.faults = 0  # decisions that could not be watched

    @property
    def keys_dropped(self) -> int:
        """How often something was counted without the worker or the error it belongs to, for want of room."""
        return self._counts.keys_dropped

    def observe(self, definition: SagaDefinition, before: Saga, decision: Decision) -> None:
        """An observer of the engine."""
        try:
            self._counts.count(definition, before, decision)
            for failure in noticed(definition, before, decision):
                if len(self._noticed) >= failures_waiting_max:
                    self._noticed.popleft()
                    self.failures_dropped += 1
                self._noticed.append(failure)
        except Exception:
            self.faults += 1
            if self.faults == 1:  # one is enough to mend it; they are counted
                log.exception("Saga %s could not be watched", before.id, extra={"action": "diagnosis.watch_failed"})

    async def run(self) -> None:
        """Write what has gathered every two seconds, until cancelled. While the database is away it gathers on."""
        while True:
            await asyncio.sleep(flush_seconds)
            try:
                await self.flush()
            except StoreUnavailable as error:
                log.warning("What failed waits: %s", error, extra={"action": "diagnosis.store_unavailable"})

    async def flush(self) -> None:
        """Write what has gathered. Raises StoreUnavailable; what was not written is kept, as far as there is room."""
        async with self._flushing:
            await self._flush_counts()
            self._describing.begin()
            while self._noticed or self._rows:
                await self._describe()
                await uncut(self._incidents.record(self._rows, now=self._now(), telling=self._telling))
                self._rows = []

    async def _flush_counts(self) -> None:
        changed: Changed = self._counts.changed()
        try:
            if changed:
                await uncut(self._outcomes.put(changed.tallies, changed.calls, source=self._source))
        except BaseException:
            self._counts.give_back(changed)
            raise
        self._counts.forget_old()

    async def _describe(self) -> None:
        """Bring the oldest failures into the form in which they are kept. Masking takes a while: others run between."""
        while self._noticed and len(self._rows) < batch_max:
            self._rows.extend(self._described(self._take(described_at_once)))
            await asyncio.sleep(0)

    def _take(self, limit: int) -> list[Noticed]:
        return [self._noticed.popleft() for _ in range(min(limit, len(self._noticed)))]

    def _described(self, failures: Sequence[Noticed]) -> list[FailedStep]:
        rows = []
        for one in failures:
            try:
                silence = self._silence(one.participant, one.command, one.sent_at) if one.silent else None
                rows.append(self._describing.describe(one, silence))
            except Exception:
                self.faults += 1
                log.exception(
                    "The failure of saga %s could not be described",
                    one.saga_id,
                    extra={"action": "diagnosis.watch_failed"},
                )
        return rows
