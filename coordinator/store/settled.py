"""Sagas that have ended, as they are forgotten: with all that is theirs, and not while anything is on its way."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from coordinator.store.bulk import Bulk, columns_of
from coordinator.store.database import Database
from coordinator.store.dialect import Dialect, Moment
from coordinator.store.ids import first_id
from coordinator.store.schema import dead_letters, history, idempotency, outbox, saga_tags, sagas, steps
from coordinator.store.values import DeadLetterStatus

sagas_max = 500  # in one transaction: with their steps and history some ten thousand rows


class SettledSagas:
    """Forgets sagas that have ended."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = _Statements(database.dialect)

    async def forget(self, definition: str, ended_before: datetime) -> int:
        """Forget up to `sagas_max` sagas of a definition that ended before that, the oldest first; how many.

        Left are those with a command still in the outbox, or with a dead letter that nobody has dealt with. Two
        coordinators that do this at once take different ones.
        """
        asked = {"definition": definition, "first": first_id(ended_before), "before": ended_before}
        async with self._database.begin() as connection:
            chosen = (await connection.execute(self._sql.choose, asked)).all()
            ids = [(row.id,) for row in chosen]
            tags = [(tag, row.id) for row in chosen for tag in dict.fromkeys(_tags(row.record))]
            await self._sql.tags.run(connection, tags)
            for gone in self._sql.followers:
                await gone.run(connection, ids)
            await self._sql.sagas.run(connection, ids)
        return len(ids)


def _tags(record: str) -> list[str]:
    """The tags of a saga's record. One that can't be read any more has lost them: their rows find nothing then."""
    try:
        return [str(tag) for tag in json.loads(record)["tags"]]
    except (ValueError, TypeError, KeyError):
        return []


class _Statements:
    def __init__(self, dialect: Dialect) -> None:
        # An id tells when its saga was started, so the index by definition leads past nothing that is younger. What is
        # older and has not ended is walked over again in each sweep; it is what waits for a person, and that is little.
        unsent = sa.exists().where(outbox.c.saga_id == sagas.c.id)
        buried = sa.exists().where(dead_letters.c.saga_id == sagas.c.id, dead_letters.c.status == DeadLetterStatus.OPEN)
        self.choose = (
            sa.select(sagas.c.id, sagas.c.record)
            .where(
                sagas.c.definition == sa.bindparam("definition", type_=sa.Text),
                sagas.c.id < sa.bindparam("first", type_=sa.Text),
                sagas.c.finished_at < sa.bindparam("before", type_=Moment),
                ~unsent,
                ~buried,
            )
            .order_by(sagas.c.id)
            .limit(sagas_max)
            .with_for_update(skip_locked=True, of=sagas)
        )
        self.tags = _deletion(dialect, saga_tags, ("tag", "saga_id"))
        self.followers = tuple(_deletion(dialect, table, ("saga_id",)) for table in (idempotency, history, steps))
        self.sagas = _deletion(dialect, sagas, ("id",))


def _deletion(dialect: Dialect, table: sa.Table, names: tuple[str, ...]) -> Bulk:
    """Delete the rows that have these values."""
    rows = dialect.rows("v", columns_of(table, names))
    columns: Any = [table.c[name] for name in names]
    named = columns[0] if len(columns) == 1 else sa.tuple_(*columns)
    return Bulk(rows, sa.delete(table).where(named.in_(sa.select(*(rows.c[name] for name in names)))))
