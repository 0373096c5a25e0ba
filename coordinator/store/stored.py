"""What is stored exactly as it is, for who checks the store: sagas with the columns that repeat their record, and the
file that holds everything where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from coordinator.saga.state import Saga
from coordinator.store.database import Database
from coordinator.store.dialect import dialect_of
from coordinator.store.sagas import read_saga
from coordinator.store.schema import sagas, steps
from coordinator.store.values import Unreadable


def sqlite_file(database_url: str) -> Path | None:
    """The file of an SQLite database, from the root. None: it is a server's. Raises UnsupportedDatabase."""
    url = dialect_of(database_url).url
    return Path(url.database or "").resolve() if url.get_backend_name() == "sqlite" else None


@dataclass(frozen=True, slots=True)
class StoredSaga:
    """A saga out of its record, and what the columns beside the record say of it and of its steps."""

    saga: Saga | Unreadable
    columns: Mapping[str, Any]
    step_statuses: Mapping[str, str]


_columns = ("status", "direction", "revision", "definition", "version", "business_key", "finished_at", "paused_at")


class StoredSagas:
    """It reads, and each answer is of one moment."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, saga_id: str) -> StoredSaga | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(sa.select(sagas).where(sagas.c.id == saga_id))).first()
            if row is None:
                return None
            runs = (await connection.execute(sa.select(steps).where(steps.c.saga_id == saga_id))).all()
        columns = {name: row._mapping[name] for name in _columns}
        return StoredSaga(read_saga(row, runs), columns, {run.name: run.status for run in runs})

    async def newest(self, *, below: str | None, limit: int) -> list[str]:
        """Ids of sagas, the newest first, below that one."""
        chosen = sa.select(sagas.c.id).order_by(sagas.c.id.desc()).limit(limit)
        if below is not None:
            chosen = chosen.where(sagas.c.id < below)
        async with self._database.reading() as connection:
            return list((await connection.execute(chosen)).scalars())
