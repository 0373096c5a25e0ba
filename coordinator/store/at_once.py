"""A whole batch as one statement, where the database has statements that change several tables: one round trip, which
is its own transaction, instead of one for each table and two around them.

All or nothing. Where a row isn't as it was expected to be, or is there already, nothing is changed: what is to be kept
of such a batch is found out statement by statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
import sqlalchemy as sa

from coordinator.store.bulk import Bulk
from coordinator.store.database import Database

moved_before = "amends: another coordinator was first, it is tried again"

Records = Sequence[Sequence[Any]]


class AtOnce:
    """Statements, each with rows of its own name. As many rows as the first is given, it has to return."""

    def __init__(self, database: Database, first: Bulk, *others: Bulk) -> None:
        self._database = database
        self._parts = (first, *others)
        returned = first.statement.cte("returned")
        count = sa.select(sa.func.count()).select_from(returned).scalar_subquery()
        expected = sa.bindparam("expected", type_=sa.BigInteger)
        # Only an error undoes everything; whoever reads the server's log finds this one explained.
        told = sa.case((count == expected, sa.literal_column("'1'")), else_=sa.literal_column(f"'{moved_before}'"))
        checked = sa.select(sa.cast(told, sa.Integer))
        self._statement = checked.add_cte(*(part.statement.cte(f"part_{n}") for n, part in enumerate(others)))

    async def run(self, *records: Records) -> bool:
        """Keep the records of each statement. False: nothing was kept, who knows why. Raises StoreUnavailable."""
        if self._database.straight is None:
            return False
        parameters: dict[str, Any] = {"expected": len(records[0])}
        for part, rows in zip(self._parts, records, strict=True):
            parameters |= part.rows.bind(rows)
        try:
            await self._database.alone(self._statement, parameters)
        except asyncpg.PostgresError:  # one that is not of the moment: it lies in what was to be kept
            return False
        return True
