"""Participants as those who operate them see them: who is there, what waits for them, how they have done of late."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from coordinator.store.observed import Tallied
from coordinator.store.overview import Ended
from coordinator.store.values import Backlog, Counted, FleetHold, HoldScope, Worker
from coordinator.web import fleet as shown
from coordinator.web import seen
from coordinator.web.desk import Desk

recent_minutes = 15
lost_for_max = timedelta(hours=1)  # whoever is silent for longer was put away, or replaced


async def participants(desk: Desk, name: str | None = None) -> list[shown.Participant]:
    """Every participant that was heard of or has something waiting, by name; or that one, if there is such."""
    stores, at = desk.coordinator.stores, desk.coordinator.clock.now()
    workers = await stores.fleet.workers(at, participant=name)
    backlog, _ = await stores.overview.backlog()
    of: dict[str, list[Worker]] = {}
    for worker in workers:
        of.setdefault(worker.beat.participant, []).append(worker)
    queues = {one.participant: one for one in backlog}
    names = [one for one in sorted({*of, *queues}) if name in (None, one)]
    awaited = await stores.overview.awaited(names)
    recent = await _recent(desk, names, name, at)
    holds = await stores.fleet.holds(at)
    return [
        _participant(one, of.get(one, ()), _queue(queues.get(one), awaited.get(one)), recent.get(one), holds, at)
        for one in names
    ]


def lost(worker: Worker, at: datetime) -> bool:
    """Whether it fell silent, of late and without a goodbye."""
    return not worker.live and not worker.beat.stopping and at - worker.last_seen < lost_for_max


def pause(hold: FleetHold) -> shown.FleetPause:
    return shown.FleetPause(
        hold.id,
        hold.scope,
        hold.name or None,
        hold.since,
        hold.held_by,
        hold.reason,
        hold.until,
        hold.ended_by,
        hold.ends_at,
        hold.rate_per_second,
    )


def _participant(
    name: str,
    workers: Sequence[Worker],
    queue: shown.Queue,
    recent: shown.Recent | None,
    holds: Sequence[FleetHold],
    at: datetime,
) -> shown.Participant:
    live = [worker.beat for worker in workers if worker.live]
    own = [hold for hold in holds if hold.scope is HoldScope.PARTICIPANT and hold.name == name]
    paused = [hold for hold in own if hold.rate_per_second is None]
    paused += [hold for hold in holds if hold.scope is HoldScope.ALL]
    throttles = [hold for hold in own if hold.rate_per_second is not None]
    return shown.Participant(
        name=name,
        live=bool(live),
        paused=bool(paused),
        versions=tuple(sorted({beat.version for beat in live if beat.version})),
        actions=tuple(sorted({action for beat in live for action in beat.actions})),
        compensations=tuple(sorted({name for beat in live for name in beat.compensations})),
        workers=tuple(_worker(worker) for worker in workers),
        workers_live=len(live),
        workers_lost=sum(lost(worker, at) for worker in workers),
        in_flight=sum(beat.in_flight for beat in live),
        queue=queue,
        recent=recent,
        pause=pause(paused[0]) if paused else None,
        throttle=pause(throttles[0]) if throttles else None,
    )


def _worker(worker: Worker) -> shown.Worker:
    beat = worker.beat
    return shown.Worker(
        id=beat.worker,
        version=beat.version,
        live=worker.live,
        stopping=beat.stopping,
        in_flight=beat.in_flight,
        first_seen=worker.first_seen,
        last_seen=worker.last_seen,
        actions=beat.actions,
        compensations=beat.compensations,
    )


def _queue(backlog: Backlog | None, awaited: Counted | None) -> shown.Queue:
    sagas = seen.counted(awaited or Counted(0))
    if backlog is None:
        return shown.Queue(0, 0, None, sagas)
    return shown.Queue(backlog.waiting, backlog.parked, backlog.oldest, sagas)


async def _recent(desk: Desk, names: Iterable[str], only: str | None, at: datetime) -> Mapping[str, shown.Recent]:
    if desk.coordinator.diagnosis is None:
        return {}
    since = at.replace(second=0, microsecond=0) - timedelta(minutes=recent_minutes - 1)
    found, capped = await desk.coordinator.stores.overview.ended(since, participant=only)
    return {name: _told([one for one in found if one.participant == name], capped=capped) for name in names}


def _told(ended: Sequence[Ended], *, capped: bool) -> shown.Recent:
    of = {outcome: sum(one.count for one in ended if one.outcome == outcome) for outcome in Tallied}
    # A success that came late ends an attempt that has been counted as unknown already.
    attempts = sum(of.values()) - of[Tallied.LATE]
    bad = (Tallied.FAILED, Tallied.UNKNOWN)
    answered = sum(one.count for one in ended if one.outcome != Tallied.UNKNOWN)
    minutes = dict.fromkeys(one.minute for one in ended)
    return shown.Recent(
        minutes=recent_minutes,
        attempts=attempts,
        succeeded=of[Tallied.SUCCEEDED],
        refused=of[Tallied.REFUSED],
        failed=of[Tallied.FAILED],
        unknown=of[Tallied.UNKNOWN],
        late=of[Tallied.LATE],
        error_rate=sum(of[outcome] for outcome in bad) / attempts if attempts else None,
        handler_seconds_mean=sum(one.seconds_sum for one in ended) / answered if answered else None,
        per_minute=tuple(
            shown.Minute(
                minute,
                sum(one.count for one in ended if one.minute == minute and one.outcome != Tallied.LATE),
                sum(one.count for one in ended if one.minute == minute and one.outcome in bad),
            )
            for minute in minutes
        ),
        capped=capped,
    )
