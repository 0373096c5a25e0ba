"""Sagas as people look at them: one in detail, its history, lists of many, and how many there are."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from coordinator.saga.record import load
from coordinator.saga.state import Cause, Direction, SagaStatus
from coordinator.store.bulk import Bulk, columns_of
from coordinator.store.choosing import arms, chosen_sagas, id_of
from coordinator.store.database import Database
from coordinator.store.sagas import read_saga
from coordinator.store.schema import history, idempotency, outbox, sagas, steps
from coordinator.store.values import (
    CommandKind,
    Counted,
    HistoryEntry,
    SagaDetail,
    SagaFilter,
    SagaPage,
    SagaSummary,
    Unreadable,
    Unsent,
)

page_max = 200  # sagas of one page
history_max = 1000  # entries of one page
unsent_max = 200  # commands of one saga shown
unsent_of_many_max = 2_000
count_max = 10_000  # of one status; more are counted as this many


class SagaReader:
    """The people's side of the sagas. It writes nothing, and each answer is of one moment."""

    def __init__(self, database: Database) -> None:
        self._database = database
        ids = database.dialect.rows("v", columns_of(sagas, ("id",)))
        final = sa.select(sagas.c.id).join_from(ids.selectable, sagas, sagas.c.id == ids.c.id)
        self._ended = Bulk(ids, final.where(sagas.c.finished_at.is_not(None)))

    async def get(self, saga_id: str) -> SagaDetail | Unreadable | None:
        """A saga with its steps, what it waits for, and its commands still in the outbox. None: there is none."""
        async with self._database.reading() as connection:
            row = (await connection.execute(sa.select(sagas).where(sagas.c.id == saga_id))).first()
            if row is None:
                return None
            runs = await connection.execute(sa.select(steps).where(steps.c.saga_id == saga_id))
            saga = read_saga(row, runs)
            waiting = sa.select(outbox).where(outbox.c.saga_id == saga_id)
            waiting = waiting.order_by(outbox.c.created_at, outbox.c.key).limit(unsent_max)
            unsent = tuple(_unsent(left) for left in await connection.execute(waiting))
        if isinstance(saga, Unreadable):
            return saga
        return SagaDetail(saga, row.updated_at, row.wake_at, row.waiting_on, row.waiting_for, unsent)

    async def ended(self, ids: Collection[str]) -> set[str]:
        """Which of these sagas are final."""
        async with self._database.reading() as connection:
            return {row.id for row in await self._ended.run(connection, [(saga_id,) for saga_id in ids])}

    async def started(self, caller: str, key: str) -> tuple[str, str] | None:
        """What a caller started under an idempotency key: the saga's id, and the hash of the request."""
        chosen = sa.select(idempotency.c.saga_id, idempotency.c.body_hash)
        chosen = chosen.where(idempotency.c.caller == caller, idempotency.c.key == key)
        async with self._database.reading() as connection:
            row = (await connection.execute(chosen)).first()
        return None if row is None else (row.saga_id, row.body_hash)

    async def history(self, saga_id: str, *, after_seq: int = -1, limit: int = page_max) -> list[HistoryEntry]:
        """What happened to a saga after that entry, oldest first, at most `history_max` entries."""
        chosen = sa.select(history).where(history.c.saga_id == saga_id, history.c.seq > after_seq)
        async with self._database.reading() as connection:
            rows = await connection.execute(chosen.order_by(history.c.seq).limit(min(limit, history_max)))
            return [
                HistoryEntry(row.seq, row.at, row.event, json.loads(row.facts), tuple(json.loads(row.notes)))
                for row in rows
            ]

    async def page(self, chosen: SagaFilter | None = None, *, limit: int = 50, cursor: str | None = None) -> SagaPage:
        """Sagas that fit the filter, newest first, at most `page_max`. `cursor` is the former page's."""
        size = max(1, min(limit, page_max))
        chosen = chosen or SagaFilter()
        found: list[sa.Row[Any]] = []
        async with self._database.reading() as connection:
            # Each status and each wait has its own end of an index; together they would all be sorted.
            for arm in arms(chosen):
                query = chosen_sagas(arm, *_summary_columns)
                id_column = id_of(arm)
                if cursor is not None:
                    query = query.where(id_column < cursor)
                found += await connection.execute(query.order_by(id_column.desc()).limit(size + 1))
        found.sort(key=lambda row: row.id, reverse=True)
        items = tuple(_summary(row) for row in found[:size])
        return SagaPage(items, items[-1].id if len(found) > size else None)

    async def count(self, chosen: SagaFilter, *, limit: int = count_max) -> Counted:
        """How many sagas fit the filter, up to `limit` of each status that it names."""
        total = capped = 0
        async with self._database.reading() as connection:
            for arm in arms(chosen):
                there = chosen_sagas(arm, id_of(arm)).limit(limit).subquery()
                found = (await connection.execute(sa.select(sa.func.count()).select_from(there))).scalar_one()
                total, capped = total + found, capped + (found >= limit)
        return Counted(total, capped > 0)

    async def unsent(self, ids: Collection[str]) -> Mapping[str, tuple[Unsent, ...]]:
        """The commands of these sagas that are still in the outbox, at most `unsent_of_many_max` in all."""
        waiting = sa.select(outbox).where(outbox.c.saga_id.in_(list(ids))).order_by(outbox.c.saga_id, outbox.c.key)
        found: dict[str, tuple[Unsent, ...]] = {}
        if not ids:
            return found
        async with self._database.reading() as connection:
            for row in await connection.execute(waiting.limit(unsent_of_many_max)):
                found[row.saga_id] = (*found.get(row.saga_id, ()), _unsent(row))
        return found

    async def counts(self, definition: str | None = None) -> Mapping[SagaStatus, int]:
        """How many sagas stand in each status; `count_max` means that many or more."""
        parts = []
        for status in SagaStatus:
            found = sa.select(sa.literal(1).label("one")).where(sagas.c.status == status.value)
            if definition is not None:
                found = found.where(sagas.c.definition == definition)
            counted = sa.select(sa.func.count()).select_from(found.limit(count_max).subquery()).scalar_subquery()
            parts.append(counted.label(status.value))
        async with self._database.reading() as connection:
            row = (await connection.execute(sa.select(*parts))).one()
        return {status: row._mapping[status.value] for status in SagaStatus}


_summary_columns: tuple[sa.Column[Any], ...] = (
    sagas.c.id,
    sagas.c.definition,
    sagas.c.version,
    sagas.c.status,
    sagas.c.direction,
    sagas.c.revision,
    sagas.c.created_at,
    sagas.c.updated_at,
    sagas.c.finished_at,
    sagas.c.wake_at,
    sagas.c.paused_at,
    sagas.c.waiting_on,
    sagas.c.waiting_for,
    sagas.c.failed_step,
    sagas.c.business_key,
    sagas.c.record,
)


def _summary(row: sa.Row[Any]) -> SagaSummary:
    try:
        record = json.loads(row.record)
        cause = load(Cause, record["cause"]) if record.get("cause") else None
        tags = tuple(record.get("tags", ()))
    except (ValueError, TypeError, KeyError, AttributeError):
        # One corrupt record must not hide the others; `get` says what is wrong with it.
        cause, tags = None, ()
    return SagaSummary(
        id=row.id,
        definition=row.definition,
        version=row.version,
        status=SagaStatus(row.status),
        direction=Direction(row.direction),
        revision=row.revision,
        created_at=row.created_at,
        updated_at=row.updated_at,
        finished_at=row.finished_at,
        wake_at=row.wake_at,
        paused_at=row.paused_at,
        waiting_on=row.waiting_on,
        waiting_for=row.waiting_for,
        failed_step=row.failed_step,
        business_key=row.business_key,
        tags=tags,
        cause=cause,
    )


def _unsent(row: sa.Row[Any]) -> Unsent:
    return Unsent(
        key=row.key,
        participant=row.participant,
        kind=CommandKind(row.kind),
        created_at=row.created_at,
        available_at=row.available_at,
        tries=row.tries,
        last_error=row.last_error,
        parked_reason=row.parked_reason,
    )
