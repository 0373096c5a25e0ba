"""Statements that carry many rows: the same text however many there are, so that it is planned once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.store.database import Database
from coordinator.store.dialect import Dialect, Rows


class Bulk:
    """A statement and the rows it takes as its parameter. Without rows it isn't run at all."""

    def __init__(self, rows: Rows, statement: Any) -> None:
        self.rows = rows
        self.statement = statement

    async def run(
        self, connection: AsyncConnection, records: Sequence[Sequence[Any]], **parameters: Any
    ) -> Sequence[sa.Row[Any]]:
        """What the statement returns, if anything. `records` are in the order of the rows' columns."""
        if not records:
            return ()
        result = await connection.execute(self.statement, {**self.rows.bind(records), **parameters})
        return result.all() if result.returns_rows else ()

    async def alone(self, database: Database, records: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        """As `run`, as a transaction of its own. Raises StoreUnavailable."""
        return await database.alone(self.statement, self.rows.bind(records)) if records else ()


def columns_of(table: sa.Table, names: Collection[str]) -> dict[str, Any]:
    return {name: table.c[name].type for name in names}


def insert_rows(
    dialect: Dialect,
    table: sa.Table,
    columns: Sequence[str],
    *,
    unless_there: bool = False,
    overwrite: Collection[str] = (),
    returning: Sequence[str] = (),
    name: str = "v",
) -> Bulk:
    """Insert rows. One whose key is there already fails, is left out, or has these columns overwritten. Those of one
    statement each have a `name` of their own."""
    rows = dialect.rows(name, columns_of(table, columns))
    statement = dialect.insert(table).from_select(list(columns), rows.only())
    if unless_there:
        statement = statement.on_conflict_do_nothing()
    elif overwrite:
        statement = statement.on_conflict_do_update(
            index_elements=[column.name for column in table.primary_key],
            set_={name: statement.excluded[name] for name in overwrite},
        )
    if returning:
        statement = statement.returning(*(table.c[name] for name in returning))
    return Bulk(rows, statement)
