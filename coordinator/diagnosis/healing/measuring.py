"""How attempts end lately, by participant: what a remedy is to make better."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from coordinator.diagnosis.healing.policy import Recent
from coordinator.store.observed import Tallied
from coordinator.store.outcomes import OutcomeStore
from coordinator.supervisor import uncut

lately = timedelta(minutes=5)
minute = timedelta(minutes=1)

_worked = frozenset({Tallied.SUCCEEDED, Tallied.REFUSED})  # who refuses has understood, and answers
_failed = frozenset({Tallied.FAILED, Tallied.UNKNOWN})


class Measuring:
    """Reads what was counted. Counts are per minute, and a few seconds behind."""

    def __init__(self, outcomes: OutcomeStore) -> None:
        self._outcomes = outcomes

    async def since(self, since: datetime, at: datetime) -> Mapping[str, Recent]:
        """By participant, from the minute of `since` on. Raises StoreUnavailable."""
        begin = since.replace(second=0, microsecond=0)
        counted = await uncut(self._outcomes.tallies(begin, at + minute))
        found: dict[str, list[int]] = {}
        for tally in counted.items:
            counts = found.setdefault(tally.place.participant, [0, 0, 0])
            counts[0] += tally.count * (tally.outcome in _worked)
            counts[1] += tally.count * (tally.outcome in _failed)
            counts[2] += tally.count * (tally.outcome is Tallied.UNKNOWN)
        seconds = max(1.0, (at - begin).total_seconds())
        return {name: Recent(worked, failed, silent, seconds) for name, (worked, failed, silent) in found.items()}

    async def lately(self, at: datetime) -> Mapping[str, Recent]:
        return await self.since(at - lately, at)

    async def of(self, participant: str, since: datetime, at: datetime) -> Recent:
        return (await self.since(since, at)).get(participant, Recent())
