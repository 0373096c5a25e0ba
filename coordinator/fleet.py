"""Who is there and what is paused, as every coordinator sees it: read once a second, asked many times."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from coordinator.errors import StoreUnavailable
from coordinator.saga.event import Hold
from coordinator.store.fleet import FleetStore
from coordinator.store.values import FleetHold, HoldScope, Worker
from coordinator.supervisor import uncut

log = logging.getLogger(__name__)

refresh_seconds = 1.0
# A pause that ended longer ago than this no longer moves any clock: none runs that long without being looked at.
holds_kept = timedelta(days=7)


class Fleet:
    """The live workers and the pauses of definitions, participants and everything."""

    def __init__(self, store: FleetStore, now: Callable[[], datetime]) -> None:
        self._store, self._now = store, now
        self._workers: Sequence[Worker] = ()
        self._holds: Sequence[FleetHold] = ()

    async def refresh(self) -> None:
        """Read both anew. Raises StoreUnavailable."""
        at = self._now()
        self._workers = await uncut(self._store.live(at))
        self._holds = await uncut(self._store.holds(at, ended_since=at - holds_kept))

    async def run(self) -> None:
        """Refresh until cancelled. While the database is away the last view stands."""
        while True:
            try:
                await self.refresh()
            except StoreUnavailable as error:
                log.warning("The fleet can't be read: %s", error, extra={"action": "fleet.store_unavailable"})
            await asyncio.sleep(refresh_seconds)

    def attended(self, at: datetime) -> frozenset[str]:
        """The participants that have a live worker."""
        return frozenset(worker.beat.participant for worker in self._live(at))

    def workers_of(self, participant: str, at: datetime) -> int:
        """How many workers of a participant are alive."""
        return sum(worker.beat.participant == participant for worker in self._live(at))

    def _live(self, at: datetime) -> list[Worker]:
        return [
            worker
            for worker in self._workers
            if at - worker.last_seen <= timedelta(seconds=3 * worker.beat.interval_seconds)
        ]

    def holds(self, definition: str, participants: Collection[str]) -> tuple[Hold, ...]:
        """The pauses, present and past, that concern sagas of this definition."""
        concerning = [hold for hold in self._pauses() if _concerns(hold, definition, participants)]
        if not concerning:
            return ()
        at = self._now()
        return tuple(
            Hold(hold.since, hold.over_at(at), hold.name if hold.scope is HoldScope.PARTICIPANT else None)
            for hold in concerning
        )

    def is_held(self, definition: str, participant: str) -> bool:
        """Whether nothing of this definition may be sent to this participant now."""
        return any(_concerns(hold, definition, (participant,)) for hold in self._lasting(self._pauses()))

    @property
    def all_held(self) -> bool:
        return any(hold.scope is HoldScope.ALL for hold in self._lasting(self._pauses()))

    def held(self, scope: HoldScope) -> frozenset[str]:
        """The names of the definitions, or of the participants, that are paused now."""
        return frozenset(hold.name for hold in self._lasting(self._pauses()) if hold.scope is scope)

    @property
    def throttled(self) -> Mapping[str, float]:
        """The participants that are sent only so many commands per second now, and how many."""
        throttles = [hold for hold in self._holds if hold.rate_per_second is not None]
        return {
            hold.name: hold.rate_per_second
            for hold in self._lasting(throttles)
            if hold.scope is HoldScope.PARTICIPANT and hold.rate_per_second is not None
        }

    def _pauses(self) -> list[FleetHold]:
        """The holds that hold something back entirely."""
        return [hold for hold in self._holds if hold.rate_per_second is None]

    def _lasting(self, holds: Iterable[FleetHold]) -> list[FleetHold]:
        """Those that are not over now, whatever was so when they were read."""
        unended = [hold for hold in holds if hold.until is None]
        if not unended:
            return []
        at = self._now()
        return [hold for hold in unended if hold.over_at(at) is None]


def _concerns(hold: FleetHold, definition: str, participants: Collection[str]) -> bool:
    match hold.scope:
        case HoldScope.ALL:
            return True
        case HoldScope.DEFINITION:
            return hold.name == definition
        case HoldScope.PARTICIPANT:
            return hold.name in participants
