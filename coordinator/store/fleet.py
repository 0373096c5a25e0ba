"""The fleet: which workers of which participants are alive, and what is held back by a person."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from math import inf
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.store.bulk import insert_rows
from coordinator.store.database import Database
from coordinator.store.dialect import storable
from coordinator.store.encoding import encode
from coordinator.store.schema import holds, workers
from coordinator.store.values import Beat, FleetHold, HoldScope, Worker

workers_max = 5000  # of one list
holds_max = 1000  # of one list
hold_races_max = 50  # how often one who asks may be forestalled by others who ask in the same moment
intervals_missed_max = 3
reason_chars_max = 2000
host_chars_max = 200
holding_seconds_max = 1e9
ran_out = "its end"  # what ends a hold that nobody ended

_about = ("version", "actions", "compensations", "interval_seconds", "in_flight", "stopping")
_said = (*_about, "last_seen", "live_until", "host", "settings", "holding")
_beaten = ("participant", "worker", "first_seen", *_said)


class FleetStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._beat = insert_rows(database.dialect, workers, _beaten, overwrite=_said)

    async def beat(self, batch: Sequence[Beat], *, now: datetime) -> None:
        """Workers gave a sign of life. Of one worker's several signs the last counts."""
        newest = {(beat.participant, beat.worker): beat for beat in batch}
        records = [_record(beat, now) for _, beat in sorted(newest.items())]
        async with self._database.begin() as connection:
            await self._beat.run(connection, records)

    async def live(self, now: datetime) -> list[Worker]:
        """Workers heard of within three of their intervals, and not stopping; at most `workers_max`."""
        alive = sa.and_(workers.c.live_until > now, workers.c.stopping.is_(False))
        return await self._workers(now, sa.select(workers).where(alive))

    async def workers(self, now: datetime, *, participant: str | None = None) -> list[Worker]:
        """Every worker that is remembered, by participant; at most `workers_max`."""
        chosen = sa.select(workers)
        if participant is not None:
            chosen = chosen.where(workers.c.participant == participant)
        return await self._workers(now, chosen)

    async def _workers(self, now: datetime, chosen: sa.Select[Any]) -> list[Worker]:
        ordered = chosen.order_by(workers.c.participant, workers.c.worker).limit(workers_max)
        async with self._database.reading() as connection:
            return [_worker(row, now) for row in await connection.execute(ordered)]

    async def bury(self, silent_since: datetime) -> int:
        """Forget workers not heard of since then; how many."""
        gone = sa.delete(workers).where(workers.c.last_seen < silent_since).returning(workers.c.worker)
        async with self._database.begin() as connection:
            return len((await connection.execute(gone)).all())

    async def hold(
        self,
        scope: HoldScope,
        name: str,
        *,
        by: str,
        reason: str,
        now: datetime,
        ends_at: datetime | None = None,
        rate_per_second: float | None = None,
    ) -> FleetHold:
        """Hold back everything, a definition's sagas or a participant's commands, until it is ended or `ends_at` has
        come; with a rate, let no more than that through. The hold that is there already, if it lasts as long and lets
        no more through; else this one takes its place. `name` is "" for everything. Raises ValueError where it should
        (not) be, for an end that is over, and for a rate that lets nothing through or isn't a participant's.
        """
        if (name == "") != (scope is HoldScope.ALL):
            raise ValueError("a hold names what it holds, unless that is everything")
        if (ends_at is not None and ends_at <= now) or (rate_per_second is not None and not 0 < rate_per_second < inf):
            raise ValueError("a hold ends later than it begins, and a throttle lets something through")
        if rate_per_second is not None and scope is not HoldScope.PARTICIPANT:
            raise ValueError("only a participant is throttled")
        async with self._database.begin() as connection:
            return await self._place(connection, scope, name, by, reason, now, ends_at, rate_per_second)

    async def _place(
        self,
        connection: AsyncConnection,
        scope: HoldScope,
        name: str,
        by: str,
        reason: str,
        now: datetime,
        ends_at: datetime | None,
        rate_per_second: float | None,
    ) -> FleetHold:
        values = {
            "id": str(uuid.uuid4()),
            "scope": scope.value,
            "name": name,
            "since": now,
            "held_by": storable(by, reason_chars_max),
            "reason": storable(reason, reason_chars_max),
            "ends_at": ends_at,
            "rate_per_second": rate_per_second,
        }
        there = _unended(scope, name, throttles=rate_per_second is not None)
        over = sa.update(holds).where(there, holds.c.ends_at <= now).values(until=holds.c.ends_at, ended_by=ran_out)
        replaced = sa.update(holds).where(there, _less(ends_at, rate_per_second))
        replaced = replaced.values(until=now, ended_by=values["held_by"])
        weaker = sa.select(holds.c.id).where(there, _less(ends_at, rate_per_second))
        await connection.execute(over)
        for _ in range(hold_races_max):
            await connection.execute(replaced)
            await connection.execute(self._database.dialect.insert(holds).on_conflict_do_nothing(), values)
            # Who asked in the same moment may have come between; theirs gives way, too, if it is weaker.
            if (await connection.execute(weaker)).first() is None:
                break
        return _hold((await connection.execute(sa.select(holds).where(there))).one(), now)

    async def release(self, scope: HoldScope, name: str, *, by: str, now: datetime) -> FleetHold | None:
        """End a pause. None: nothing is paused. A throttle is ended by its id."""
        return await self._end(_unended(scope, name, throttles=False), by, now)

    async def end(self, hold_id: str, *, by: str, now: datetime) -> FleetHold | None:
        """End this pause or throttle, and no other in its place. None: it is over."""
        return await self._end(_this(hold_id), by, now)

    async def slow(
        self,
        hold_id: str,
        participants: Iterable[str],
        *,
        by: str,
        reason: str,
        now: datetime,
        ends_at: datetime,
        rate_per_second: float,
    ) -> tuple[FleetHold, list[FleetHold]] | None:
        """End this pause or throttle, and in the same moment throttle these participants until `ends_at`, each unless
        it is throttled to less already. None: it is over, and nothing was done."""
        async with self._database.begin() as connection:
            ended = await self._end_within(connection, _this(hold_id), by, now)
            if ended is None:
                return None
            throttles = [
                await self._place(connection, HoldScope.PARTICIPANT, name, by, reason, now, ends_at, rate_per_second)
                for name in sorted(set(participants))
            ]
        return ended, throttles

    async def one(self, hold_id: str, now: datetime) -> FleetHold | None:
        """This pause or throttle, if it still holds."""
        chosen = sa.select(holds).where(_this(hold_id), _lasts_beyond(now))
        async with self._database.reading() as connection:
            row = (await connection.execute(chosen)).first()
        return None if row is None else _hold(row, now)

    async def _end(self, chosen: sa.ColumnElement[bool], by: str, now: datetime) -> FleetHold | None:
        async with self._database.begin() as connection:
            return await self._end_within(connection, chosen, by, now)

    async def _end_within(
        self, connection: AsyncConnection, chosen: sa.ColumnElement[bool], by: str, now: datetime
    ) -> FleetHold | None:
        end = sa.update(holds).where(chosen, _lasts_beyond(now))
        end = end.values(until=now, ended_by=storable(by, reason_chars_max))
        row = (await connection.execute(end.returning(*holds.c))).first()
        return None if row is None else _hold(row, now)

    async def holds(self, now: datetime, *, ended_since: datetime | None = None) -> list[FleetHold]:
        """Holds that are active, and those that ended at or after that time; the oldest first, at most `holds_max`."""
        chosen = sa.and_(holds.c.until.is_(None), _lasts_beyond(now))
        if ended_since is not None:
            ran_out_since = sa.and_(holds.c.until.is_(None), holds.c.ends_at >= ended_since)
            chosen = sa.or_(chosen, ran_out_since, holds.c.until >= ended_since)
        query = sa.select(holds).where(chosen).order_by(holds.c.since, holds.c.id).limit(holds_max)
        async with self._database.reading() as connection:
            return [_hold(row, now) for row in await connection.execute(query)]


def _unended(scope: HoldScope, name: str, *, throttles: bool) -> sa.ColumnElement[bool]:
    """The one hold of its kind that nobody has ended; it may have run out."""
    rate = holds.c.rate_per_second
    kind = rate.is_not(None) if throttles else rate.is_(None)
    return sa.and_(holds.c.scope == scope.value, holds.c.name == name, holds.c.until.is_(None), kind)


def _this(hold_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(holds.c.id == hold_id, holds.c.until.is_(None))


def _lasts_beyond(at: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(holds.c.ends_at.is_(None), holds.c.ends_at > at)


def _less(ends_at: datetime | None, rate_per_second: float | None) -> sa.ColumnElement[bool]:
    """A hold that ends earlier, or lets more through."""
    less = holds.c.ends_at.is_not(None) if ends_at is None else holds.c.ends_at < ends_at
    return less if rate_per_second is None else sa.or_(less, holds.c.rate_per_second > rate_per_second)


def _record(beat: Beat, now: datetime) -> tuple[Any, ...]:
    return (
        beat.participant,
        beat.worker,
        now,
        beat.version,
        encode(beat.actions),
        encode(beat.compensations),
        beat.interval_seconds,
        beat.in_flight,
        beat.stopping,
        now,
        now + timedelta(seconds=beat.interval_seconds * intervals_missed_max),
        storable(beat.host, host_chars_max),
        encode(dict(beat.settings)),
        encode({command: min(seconds, holding_seconds_max) for command, seconds in beat.holding.items()}),
    )


def _worker(row: sa.Row[Any], now: datetime) -> Worker:
    beat = Beat(
        participant=row.participant,
        worker=row.worker,
        version=row.version,
        actions=tuple(json.loads(row.actions)),
        compensations=tuple(json.loads(row.compensations)),
        interval_seconds=row.interval_seconds,
        in_flight=row.in_flight,
        stopping=row.stopping,
        host=row.host,
        settings=json.loads(row.settings),
        holding=json.loads(row.holding),
    )
    return Worker(beat, row.first_seen, row.last_seen, live=row.live_until > now and not row.stopping)


def _hold(row: sa.Row[Any], now: datetime) -> FleetHold:
    hold = FleetHold(**{**row._mapping, "scope": HoldScope(row.scope)})
    ended = hold.over_at(now)
    return hold if ended == hold.until else replace(hold, until=ended, ended_by=ran_out)
