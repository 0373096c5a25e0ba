"""How everything stands: what is wrong first, then how much is going on. Each number is bounded, or says that it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from coordinator.saga.explain import WaitingKind
from coordinator.store.observed import IncidentFilter, IncidentStatus
from coordinator.store.overview import Waits
from coordinator.store.reader import count_max
from coordinator.store.values import Backlog, HoldScope, Worker
from coordinator.web import fleet as shown
from coordinator.web import incidents as told
from coordinator.web import seen
from coordinator.web.desk import Desk
from coordinator.web.operating import lost, pause
from coordinator.web.pace import Rates

lost_max = 50
pauses_max = 50
incidents_max = 5
lanes = {"reply", "inquiry"}


@dataclass(frozen=True, slots=True)
class Stuck:
    """Sagas under way, neither blocked nor paused, to which nothing has happened for so long."""

    for_seconds: int
    sagas: seen.Counted
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True)
class Waiting:
    kind: str
    participant: str | None
    sagas: seen.Counted


@dataclass(frozen=True, slots=True)
class Letters:
    open: seen.Counted
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True)
class Unsent:
    """Where it is capped, there is more in the outbox."""

    waiting: int
    parked: int
    oldest_at: datetime | None
    oldest_seconds: float | None
    capped: bool


@dataclass(frozen=True, slots=True)
class LostWorker:
    participant: str
    worker: str
    version: str
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Workers:
    """`lost`: silent without a goodbye, and heard of within the last hour. `unattended`: without any live worker."""

    live: int
    lost: tuple[LostWorker, ...]
    unattended: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Incidents:
    open: int
    newest: tuple[told.IncidentLine, ...]


@dataclass(frozen=True, slots=True)
class Durations:
    """From start to end, of the sagas that finished last."""

    sagas: int
    p50_seconds: float | None
    p95_seconds: float | None
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Overview:
    """`incidents` is null where this coordinator explains no failures."""

    at: datetime
    sagas: dict[str, seen.Counted]
    stuck: Stuck
    waiting_on: tuple[Waiting, ...]
    dead_letters: Letters
    outbox: Unsent
    workers: Workers
    incidents: Incidents | None
    pauses: tuple[shown.FleetPause, ...]
    broker: str
    rates: Rates
    durations: Durations


async def overview(desk: Desk, stuck_for_seconds: int) -> Overview:
    stores, at = desk.coordinator.stores, desk.coordinator.clock.now()
    reader = stores.overview
    counts = await stores.reader.counts()
    stuck = await reader.stuck(at - timedelta(seconds=stuck_for_seconds))
    letters = await reader.letters()
    backlog, more = await reader.backlog()
    workers = await stores.fleet.workers(at)
    names = {worker.beat.participant for worker in workers} | {one.participant for one in backlog}
    durations = await reader.durations()
    return Overview(
        at=at,
        sagas={status: seen.Counted(count, count >= count_max) for status, count in counts.items()},
        stuck=Stuck(stuck_for_seconds, seen.counted(stuck.sagas), stuck.oldest),
        waiting_on=_waiting(desk, await reader.waits(names), at),
        dead_letters=Letters(seen.counted(letters.letters), letters.oldest),
        outbox=_unsent(backlog, at, capped=more),
        workers=_workers(workers, at),
        incidents=await _incidents(desk),
        pauses=tuple(pause(hold) for hold in (await stores.fleet.holds(at))[:pauses_max]),
        broker="connected" if desk.coordinator.broker.connected else "degraded",
        rates=await desk.pace.rates(at),
        durations=Durations(durations.sagas, durations.p50_seconds, durations.p95_seconds, durations.since),
    )


def _waiting(desk: Desk, waits: Sequence[Waits], at: datetime) -> tuple[Waiting, ...]:
    """What is stored, told as the lists tell it: by what is paused now, and by who is there."""
    fleet = desk.coordinator.fleet
    attended, held = fleet.attended(at), fleet.held(HoldScope.PARTICIPANT)
    found = []
    for one in waits:
        kind = one.kind
        if kind in (*lanes, WaitingKind.BACKOFF) and (fleet.all_held or one.participant in held):
            kind = "paused"
        elif kind in lanes and one.participant and one.participant not in attended:
            kind = "no_consumer"
        name = None if kind == "unreadable" else one.participant  # what it stores there is the reason
        found.append(Waiting(kind, name, seen.counted(one.sagas)))
    return tuple(found)


def _unsent(backlog: Sequence[Backlog], at: datetime, *, capped: bool) -> Unsent:
    oldest = min((one.oldest for one in backlog if one.oldest), default=None)
    age = None if oldest is None else max(0.0, (at - oldest).total_seconds())
    return Unsent(sum(one.waiting for one in backlog), sum(one.parked for one in backlog), oldest, age, capped)


def _workers(workers: Sequence[Worker], at: datetime) -> Workers:
    live = [worker for worker in workers if worker.live]
    gone = sorted((worker for worker in workers if lost(worker, at)), key=lambda worker: worker.last_seen)
    shown_lost = tuple(
        LostWorker(worker.beat.participant, worker.beat.worker, worker.beat.version, worker.last_seen)
        for worker in reversed(gone[-lost_max:])
    )
    attended = {worker.beat.participant for worker in live}
    unattended = sorted({worker.beat.participant for worker in workers} - attended)
    return Workers(len(live), shown_lost, tuple(unattended))


async def _incidents(desk: Desk) -> Incidents | None:
    diagnosis = desk.coordinator.diagnosis
    if diagnosis is None:
        return None
    newest = await diagnosis.reader.page(IncidentFilter(IncidentStatus.OPEN), limit=incidents_max)
    return Incidents(await diagnosis.reader.count_open(), tuple(map(told.line, newest.items)))
