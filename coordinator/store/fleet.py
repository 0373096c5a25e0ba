"""The fleet: which workers of which participants are alive, and what is held back by a person."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from coordinator.store.bulk import encode, insert_rows
from coordinator.store.database import Database
from coordinator.store.dialect import storable
from coordinator.store.schema import holds, workers
from coordinator.store.values import Beat, FleetHold, HoldScope, Worker

workers_max = 5000  # of one list
holds_max = 1000  # of one list
intervals_missed_max = 3
reason_chars_max = 2000

_said = ("version", "actions", "compensations", "interval_seconds", "in_flight", "stopping", "last_seen", "live_until")
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

    async def hold(self, scope: HoldScope, name: str, *, by: str, reason: str, now: datetime) -> FleetHold:
        """Hold back everything, a definition's sagas or a participant's commands; the hold that is there already,
        if there is one. `name` is "" for everything. Raises ValueError where it should (not) be.
        """
        if (name == "") != (scope is HoldScope.ALL):
            raise ValueError("a hold names what it holds, unless that is everything")
        values = {
            "id": str(uuid.uuid4()),
            "scope": scope.value,
            "name": name,
            "since": now,
            "held_by": storable(by, reason_chars_max),
            "reason": storable(reason, reason_chars_max),
        }
        insert = self._database.dialect.insert(holds).on_conflict_do_nothing()
        async with self._database.begin() as connection:
            await connection.execute(insert, values)
            return _hold((await connection.execute(sa.select(holds).where(_active(scope, name)))).one())

    async def release(self, scope: HoldScope, name: str, *, by: str, now: datetime) -> FleetHold | None:
        """End a hold. None: nothing is held."""
        end = sa.update(holds).where(_active(scope, name)).values(until=now, ended_by=storable(by, reason_chars_max))
        async with self._database.begin() as connection:
            row = (await connection.execute(end.returning(*holds.c))).first()
        return None if row is None else _hold(row)

    async def holds(self, *, ended_since: datetime | None = None) -> list[FleetHold]:
        """Holds that are active, and those that ended at or after that time; the oldest first, at most `holds_max`."""
        chosen: sa.ColumnElement[bool] = holds.c.until.is_(None)
        if ended_since is not None:
            chosen = sa.or_(chosen, holds.c.until >= ended_since)
        query = sa.select(holds).where(chosen).order_by(holds.c.since, holds.c.id).limit(holds_max)
        async with self._database.reading() as connection:
            return [_hold(row) for row in await connection.execute(query)]


def _active(scope: HoldScope, name: str) -> sa.ColumnElement[bool]:
    return sa.and_(holds.c.scope == scope.value, holds.c.name == name, holds.c.until.is_(None))


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
    )
    return Worker(beat, row.first_seen, row.last_seen, live=row.live_until > now and not row.stopping)


def _hold(row: sa.Row[Any]) -> FleetHold:
    return FleetHold(**{**row._mapping, "scope": HoldScope(row.scope)})
