"""Rows written whether or not they are there, so that neither costs more than it has to.

PostgreSQL's ON CONFLICT writes down in its log that it tries each row, and again that it was the first, or that it has
locked the one before. Where nobody else can write the same rows meanwhile, because their saga's row is held, what is
there is updated and what isn't is inserted; should somebody have been first after all, the key says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from coordinator.store.bulk import Bulk, columns_of, insert_rows
from coordinator.store.dialect import Dialect


def put_rows(dialect: Dialect, table: sa.Table, columns: Sequence[str], overwrite: Sequence[str], *, name: str) -> Bulk:
    """Insert rows; of those that are there, overwrite these columns. No row may come twice."""
    if not dialect.changes_many_tables:
        return insert_rows(dialect, table, columns, overwrite=overwrite, name=name)
    rows = dialect.rows(name, columns_of(table, columns))
    key = [column.name for column in table.primary_key]
    update = sa.update(table).values({column: rows.c[column] for column in overwrite})
    update = update.where(*(table.c[column] == rows.c[column] for column in key))
    there = table.alias("there")
    # Both see the table as it was before the statement.
    new = rows.only().where(~sa.exists().where(*(there.c[column] == rows.c[column] for column in key)))
    insert = sa.insert(table).from_select(list(columns), new)
    return Bulk(rows, insert.add_cte(update.cte(f"{name}_there")))
