"""Senses what happens around the sagas: workers that come, go and fall silent, versions, settings, definitions, pauses,
the broker, the database, participants that don't keep up. Each difference from the last look is an occurrence.

While signs of life can't reach us (the broker or the database was away, or this process stood still) nobody counts as
lost: that everybody is silent says something of us.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from coordinator.definitions import Definitions
from coordinator.diagnosis.cause import Entity, EntityKind
from coordinator.diagnosis.registrations import differences
from coordinator.diagnosis.roster import Roster, occurrence
from coordinator.errors import InvalidDefinition, StoreUnavailable, UnknownDefinition
from coordinator.store.definitions import DefinitionStore
from coordinator.store.fleet import FleetStore
from coordinator.store.observed import Occurrence, OccurrenceKind
from coordinator.store.occurrences import OccurrenceStore
from coordinator.store.outbox import OutboxStore
from coordinator.store.samples import SampleReader
from coordinator.store.values import FleetHold, HoldScope, StoredDefinition, Worker
from coordinator.supervisor import uncut

log = logging.getLogger(__name__)

look_seconds = 1.0
slow_look_every = 5  # looks between two at definitions and pauses
backlog_every = 15  # looks between two at what participants have before them
stood_still = timedelta(seconds=5)  # this long between two looks, and the process itself was held up
blind_intervals = 3  # of the slowest worker: after this, a sign of life has had its chance
blind_seconds_max = 60.0
lookback = timedelta(minutes=10)  # definitions and pauses since then are told, by whichever coordinator is there
waiting_max = 1_000  # occurrences that wait for the database
told_max = 5_000  # ids that are remembered as told
awaited_max = 2_000  # of one participant; more are counted as this many
awaited_much = 20  # commands more than its workers have in hand
behind_seconds = 5.0

broker = Entity(kind=EntityKind.BROKER, name="broker")
database = Entity(kind=EntityKind.DATABASE, name="coordinator")


class Sensors:
    """`connected` says whether the broker can be reached, `publish_trouble` to whom publishing fails, and how,
    `published` how many commands are with the broker though the outbox still has them."""

    def __init__(
        self,
        occurrences: OccurrenceStore,
        fleet: FleetStore,
        definition_store: DefinitionStore,
        definitions: Definitions,
        samples: SampleReader,
        outbox: OutboxStore,
        *,
        now: Callable[[], datetime],
        redact: Callable[[str], str],
        connected: Callable[[], bool],
        publish_trouble: Callable[[], Mapping[str, str]],
        published: Callable[[], Mapping[str, int]],
    ) -> None:
        self._occurrences, self._fleet, self._samples, self._outbox = occurrences, fleet, samples, outbox
        self._definition_store, self._definitions = definition_store, definitions
        self._now, self._redact, self._connected = now, redact, connected
        self._publish_trouble, self._published = publish_trouble, published
        self._roster = Roster(redact)
        self._waiting: deque[Occurrence] = deque()
        self._told: OrderedDict[str, None] = OrderedDict()
        self._looks = 0
        self._looked_at: datetime | None = None
        self._blind_until: datetime | None = None
        self._broker_there = True
        self._database_lost_at: datetime | None = None
        self._unpublished: frozenset[str] = frozenset()
        self._workers: Sequence[Worker] = ()
        self.dropped = 0  # occurrences for which there was no room while the database was away

    def silence(self, participant: str, command: str, sent_at: datetime | None) -> str | None:
        """What is known of a command that nobody answered, in a word."""
        return self._roster.silence(participant, command, sent_at)

    async def run(self) -> None:
        """Look every second until cancelled."""
        while True:
            try:
                await self.look()
            except StoreUnavailable as error:
                self._lose_database(error)
            await asyncio.sleep(look_seconds)

    async def look(self) -> None:
        """Look once, and write what is different. Raises StoreUnavailable."""
        at = self._now()
        self._look_at_broker(at)
        self._workers = await uncut(self._fleet.workers(at))
        self._find_database(at)
        if self._looked_at and at - self._looked_at > stood_still:
            self._blind(at)
        self._looked_at = at
        blind = not self._broker_there or (self._blind_until is not None and at < self._blind_until)
        self._tell(self._roster.look(self._workers, at, blind=blind))
        if self._looks % slow_look_every == 0:
            await self._look_at_definitions(at)
            self._tell(self._paused(await uncut(self._fleet.holds(at, ended_since=at - lookback)), at))
        if self._looks % backlog_every == 0 and not blind:  # whatever waits then, waits for another reason
            await self._look_at_backlog(at)
        self._looks += 1
        await self._write()

    # -- writing -----------------------------------------------------------------------------------------------------

    def _tell(self, found: Sequence[Occurrence] | Iterator[Occurrence]) -> None:
        for one in found:
            if one.id in self._told:
                continue
            self._told[one.id] = None
            if len(self._told) > told_max:
                self._told.popitem(last=False)
            if len(self._waiting) >= waiting_max:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(one)

    async def _write(self) -> None:
        if self._waiting:
            batch = list(self._waiting)
            await uncut(self._occurrences.put(batch))
            for one in batch:
                log.info("%s: %s", one.subject, one.kind.value.replace("_", " "), extra={"action": f"seen.{one.kind}"})
            self._waiting.clear()

    # -- broker and database -----------------------------------------------------------------------------------------

    def _look_at_broker(self, at: datetime) -> None:
        there = self._connected()
        if there != self._broker_there:
            kind = OccurrenceKind.BROKER_BACK if there else OccurrenceKind.BROKER_LOST
            self._tell([occurrence(kind, at, broker, _moment(at))])
            self._broker_there = there
            self._blind(at)
        trouble = self._publish_trouble()
        for participant in trouble.keys() - self._unpublished:
            subject = Entity(kind=EntityKind.PARTICIPANT, name=participant)
            failed = OccurrenceKind.PUBLISH_FAILED
            error = self._redact(trouble[participant])
            self._tell([occurrence(failed, at, subject, _moment(at), participant=participant, error=error)])
        self._unpublished = frozenset(trouble)

    def _lose_database(self, error: StoreUnavailable) -> None:
        if self._database_lost_at is None:
            log.warning("Nothing can be sensed: %s", error, extra={"action": "diagnosis.store_unavailable"})
            self._database_lost_at = at = self._now()
            self._tell([occurrence(OccurrenceKind.DATABASE_LOST, at, database, _moment(at))])

    def _find_database(self, at: datetime) -> None:
        lost_at, self._database_lost_at = self._database_lost_at, None
        if lost_at is not None:
            back = OccurrenceKind.DATABASE_BACK
            seconds = round((at - lost_at).total_seconds(), 1)
            self._tell([occurrence(back, at, database, _moment(lost_at), lost_seconds=seconds)])
            self._blind(at)

    def _blind(self, at: datetime) -> None:
        slowest = max((worker.beat.interval_seconds for worker in self._workers if worker.live), default=5.0)
        self._blind_until = at + timedelta(seconds=min(slowest * blind_intervals, blind_seconds_max))

    # -- definitions and pauses --------------------------------------------------------------------------------------

    async def _look_at_definitions(self, at: datetime) -> None:
        for stored in await uncut(self._definition_store.since(at - lookback)):
            subject = Entity(kind=EntityKind.DEFINITION_VERSION, name=f"{stored.name}@{stored.version}")
            registered = occurrence(OccurrenceKind.DEFINITION_REGISTERED, stored.created_at, subject)
            if registered.id not in self._told:
                facts = await self._difference(stored)
                kind = OccurrenceKind.DEFINITION_REGISTERED
                self._tell([occurrence(kind, stored.created_at, subject, version=stored.version, **facts)])

    async def _difference(self, stored: StoredDefinition) -> dict[str, str]:
        try:
            after = await self._definitions.get(stored.name, stored.version)
            before = await self._definitions.get(stored.name, stored.version - 1) if stored.version > 1 else None
        except (InvalidDefinition, UnknownDefinition) as error:
            # One of the two was accepted under older rules: that there is a new version is known all the same.
            return {"unreadable": self._redact(str(error))[:200]}
        return differences(before, after, self._redact)

    def _paused(self, holds: Sequence[FleetHold], at: datetime) -> Iterator[Occurrence]:
        for hold in holds:
            kind = EntityKind.PARTICIPANT if hold.scope is HoldScope.PARTICIPANT else EntityKind.DEFINITION
            subject = Entity(kind=kind, name=hold.name or "*")
            facts = {
                "scope": hold.scope.value,
                "by": self._redact(hold.held_by),
                "reason": self._redact(hold.reason),
                "rate_per_second": hold.rate_per_second,
            }
            if hold.since >= at - lookback:
                yield occurrence(OccurrenceKind.PAUSED, hold.since, subject, hold.id, **facts)
            over_at = hold.over_at(at)
            if over_at is not None:
                yield occurrence(OccurrenceKind.RESUMED, over_at, subject, hold.id, **facts)

    # -- who doesn't keep up -----------------------------------------------------------------------------------------

    async def _look_at_backlog(self, at: datetime) -> None:
        waiting = {backlog.participant: backlog for backlog in await uncut(self._outbox.pending())}
        participants = {worker.beat.participant for worker in self._workers} | set(waiting)
        published = self._published()
        awaited = await uncut(self._samples.awaited(sorted(participants), limit=awaited_max))
        for participant in sorted(participants):
            live = [worker for worker in self._workers if worker.live and worker.beat.participant == participant]
            in_flight = sum(worker.beat.in_flight for worker in live)
            backlog = waiting.get(participant)
            unsent = max(0, backlog.waiting - published.get(participant, 0)) if backlog else 0
            oldest = (at - backlog.oldest).total_seconds() if unsent and backlog and backlog.oldest else 0.0
            replies = awaited.get(participant, 0)
            if oldest < behind_seconds and replies <= max(awaited_much, 2 * in_flight) and (live or not replies):
                continue
            self._tell(
                [
                    occurrence(
                        OccurrenceKind.BACKLOG,
                        at,
                        Entity(kind=EntityKind.PARTICIPANT, name=participant),
                        _quarter(at),
                        waiting=unsent,
                        awaited=replies,
                        in_flight=in_flight,
                        workers=len(live),
                        oldest_seconds=round(oldest, 1),
                    )
                ]
            )


def _moment(at: datetime) -> str:
    """Of what several coordinators see within seconds of each other."""
    return at.replace(second=at.second - at.second % 10, microsecond=0).isoformat()


def _quarter(at: datetime) -> str:
    """One sample in fifteen seconds is enough, whoever takes it."""
    return at.replace(second=at.second - at.second % 15, microsecond=0).isoformat()
