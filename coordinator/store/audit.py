"""The audit as it is kept: rows are added, read, and forgotten when old; the database refuses anything else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from coordinator.store.access import AuditEntry, AuditFilter, AuditPage
from coordinator.store.bulk import insert_rows
from coordinator.store.database import Database
from coordinator.store.dialect import storable
from coordinator.store.encoding import encode
from coordinator.store.ids import first_id
from coordinator.store.pruning import delete_old
from coordinator.store.schema_access import audit

page_max = 200
text_chars_max = 1000
name_chars_max = 200

_of = audit.c
_columns = tuple(column.name for column in audit.columns)


class AuditStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = insert_rows(database.dialect, audit, _columns, unless_there=True)

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """Keep entries, in one transaction. One that is there already stays: a commit may have to be repeated."""
        await self._insert.alone(self._database, [_record(entry) for entry in entries])

    async def forget(self, before: datetime) -> int:
        """Delete some of what was entered before then, which must be a month ago; how much."""
        async with self._database.begin() as connection:
            return len(await delete_old(connection, audit, _of.id < first_id(before)))

    async def page(self, chosen: AuditFilter | None = None, *, limit: int = 50, cursor: str | None = None) -> AuditPage:
        """Entries that fit, newest first, at most `page_max`."""
        size = max(1, min(limit, page_max))
        chosen = chosen or AuditFilter()
        query = sa.select(audit)
        equal: list[tuple[sa.Column[Any], str | None]] = [
            (_of.who, chosen.who),
            (_of.action, chosen.action),
            (_of.target, chosen.target),
        ]
        query = query.where(*(column == value for column, value in equal if value is not None))
        if chosen.under is not None:
            beyond = sa.and_(_of.target > f"{chosen.under}/", _of.target < f"{chosen.under}0")  # 0 follows the slash
            query = query.where(sa.or_(_of.target == chosen.under, beyond))
        # Ids begin with the millisecond, so that a time is a place in their order.
        if chosen.since is not None:
            query = query.where(_of.id >= first_id(chosen.since))
        if chosen.until is not None:
            query = query.where(_of.id < first_id(chosen.until))
        if cursor is not None:
            query = query.where(_of.id < cursor)
        async with self._database.reading() as connection:
            rows = await connection.execute(query.order_by(_of.id.desc()).limit(size + 1))
            items = [_entry(row) for row in rows]
        return AuditPage(tuple(items[:size]), items[size - 1].id if len(items) > size else None)

    async def get(self, entry_id: str) -> AuditEntry | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(sa.select(audit).where(_of.id == entry_id))).first()
        return None if row is None else _entry(row)


def _record(entry: AuditEntry) -> tuple[Any, ...]:
    values = {name: getattr(entry, name) for name in _columns}
    for name in ("who", "on_behalf_of", "target", "request_id", "address"):
        values[name] = None if values[name] is None else storable(values[name], name_chars_max)
    for name in ("why", "problem"):
        values[name] = None if values[name] is None else storable(values[name], text_chars_max)
    for name in ("before", "after"):
        values[name] = None if values[name] is None else encode(dict(values[name]))
    return tuple(values.values())


def _entry(row: sa.Row[Any]) -> AuditEntry:
    values = dict(row._mapping)
    for name in ("before", "after"):
        values[name] = None if values[name] is None else json.loads(values[name])
    return AuditEntry(**values)
