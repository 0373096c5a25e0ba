"""What the database says of the whole in numbers, for gauges: one look, of which every part is bounded.

Where there is more than a look takes in, the oldest is looked at and the number is the bound: a gauge that says "many"
in a few milliseconds is worth more than one that keeps the database busy while it has trouble.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.saga.state import FINAL, SagaStatus
from coordinator.store.database import Database
from coordinator.store.dialect import Moment
from coordinator.store.schema import dead_letters, outbox, sagas, workers
from coordinator.store.values import Backlog, DeadLetterStatus

sagas_max = 20_000  # of one status
rows_max = 50_000  # of the outbox, waiting and parked each
letters_max = 10_000
groups_max = 300  # of one figure: definitions, participants
stuck_after = timedelta(minutes=15)  # without a move, though it is neither blocked nor paused

_active = tuple(status for status in SagaStatus if status not in FINAL)
_moving = (SagaStatus.RUNNING.value, SagaStatus.COMPENSATING.value)


@dataclass(frozen=True, slots=True)
class Figures:
    """Numbers of one moment."""

    at: datetime
    active: Mapping[tuple[str, str], int] = field(default_factory=dict)  # by definition and status
    stuck: Mapping[str, int] = field(default_factory=dict)  # by definition
    waiting: Mapping[tuple[str, str], int] = field(default_factory=dict)  # by what they wait on, and which participant
    backlog: tuple[Backlog, ...] = ()
    workers: Mapping[str, int] = field(default_factory=dict)  # live ones of every participant that was heard of
    dead_letters: Mapping[str, int] = field(default_factory=dict)  # open ones, by where they came from


class FigureReader:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, now: datetime) -> Figures:
        """Everything, as of one moment. Raises StoreUnavailable."""
        async with self._database.reading() as connection:
            active, stuck = await _sagas(connection, now)
            return Figures(
                now,
                active,
                stuck,
                await _waiting(connection),
                await _backlog(connection),
                await _workers(connection, now),
                await _dead_letters(connection),
            )


def _looked_at(*columns: sa.Column[Any]) -> sa.Subquery:
    """The sagas that are not final, the oldest of each status."""
    parts = [
        sa.select(*columns).where(sagas.c.status == status.value).order_by(sagas.c.id).limit(sagas_max).subquery()
        for status in _active
    ]
    return sa.union_all(*(sa.select(part) for part in parts)).subquery("looked_at")


async def _sagas(connection: AsyncConnection, now: datetime) -> tuple[dict[tuple[str, str], int], dict[str, int]]:
    seen = _looked_at(sagas.c.definition, sagas.c.status, sagas.c.updated_at, sagas.c.paused_at).c
    late = sa.and_(seen.status.in_(_moving), seen.paused_at.is_(None), seen.updated_at < now - stuck_after)
    stuck_count = sa.func.count(sa.case((late, 1))).label("stuck")
    query = sa.select(seen.definition, seen.status, sa.func.count().label("found"), stuck_count)
    query = query.group_by(seen.definition, seen.status).order_by(sa.text("found DESC")).limit(groups_max)
    active: dict[tuple[str, str], int] = {}
    stuck: dict[str, int] = {}
    for row in await connection.execute(query):
        active[row.definition, row.status] = row.found
        stuck[row.definition] = stuck.get(row.definition, 0) + row.stuck
    return active, stuck


async def _waiting(connection: AsyncConnection) -> dict[tuple[str, str], int]:
    seen = _looked_at(sagas.c.waiting_on, sagas.c.waiting_for).c
    query = sa.select(seen.waiting_on, seen.waiting_for, sa.func.count().label("found"))
    query = query.where(seen.waiting_on.is_not(None)).group_by(seen.waiting_on, seen.waiting_for)
    rows = await connection.execute(query.order_by(sa.text("found DESC")).limit(groups_max))
    # A quarantined saga waits for a reason, which is a text of its own.
    found: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row.waiting_on, "" if row.waiting_on == "unreadable" else row.waiting_for or "")
        found[key] = found.get(key, 0) + row.found
    return found


async def _backlog(connection: AsyncConnection) -> tuple[Backlog, ...]:
    columns = (outbox.c.participant, outbox.c.created_at, outbox.c.parked_reason)
    free = sa.select(*columns).where(outbox.c.parked_reason.is_(None)).order_by(outbox.c.available_at).limit(rows_max)
    parked = sa.select(*columns).where(outbox.c.parked_reason.is_not(None)).order_by(outbox.c.created_at)
    both = sa.union_all(sa.select(free.subquery()), sa.select(parked.limit(rows_max).subquery())).subquery("both")
    waits = both.c.parked_reason.is_(None)
    query = sa.select(
        both.c.participant,
        sa.func.count(sa.case((waits, 1))).label("waiting"),
        sa.func.count(both.c.parked_reason).label("parked"),
        sa.func.min(sa.case((waits, both.c.created_at)), type_=Moment).label("oldest"),
    ).group_by(both.c.participant)
    rows = await connection.execute(query.order_by(sa.text("waiting DESC")).limit(groups_max))
    return tuple(Backlog(row.participant, row.waiting, row.parked, row.oldest) for row in rows)


async def _workers(connection: AsyncConnection, now: datetime) -> dict[str, int]:
    alive = sa.and_(workers.c.live_until > now, workers.c.stopping.is_(False))
    query = sa.select(workers.c.participant, sa.func.count(sa.case((alive, 1))).label("live"))
    query = query.group_by(workers.c.participant).order_by(workers.c.participant).limit(groups_max)
    return {row.participant: row.live for row in await connection.execute(query)}


async def _dead_letters(connection: AsyncConnection) -> dict[str, int]:
    unresolved = sa.select(dead_letters.c.source).where(dead_letters.c.status == DeadLetterStatus.OPEN.value)
    seen = unresolved.limit(letters_max).subquery()
    query = sa.select(seen.c.source, sa.func.count().label("found")).group_by(seen.c.source)
    rows = await connection.execute(query.order_by(sa.text("found DESC")).limit(groups_max))
    return {row.source: row.found for row in rows}
