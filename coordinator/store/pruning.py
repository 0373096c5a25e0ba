"""How what is old is forgotten: some rows at a time, so that nobody waits long for those who clean up."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

rows_max = 5000  # of one table in one transaction


async def delete_old(connection: AsyncConnection, table: sa.Table, *old: sa.ColumnElement[bool]) -> list[Any]:
    """Delete up to `rows_max` of the rows that are old; the first part of their keys."""
    key = list(table.primary_key)
    chosen = sa.select(*key).where(*old).limit(rows_max)
    deleted = sa.delete(table).where(sa.tuple_(*key).in_(chosen) if len(key) > 1 else key[0].in_(chosen))
    return list((await connection.execute(deleted.returning(key[0]))).scalars())
