"""Sagas as a diagnosis looks at them: what happened to some of many, those like them that went well, and how many
wait for whom. Every answer is bounded, and every query has an index that it walks no further than its bound."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from coordinator.saga.state import Saga, SagaStatus
from coordinator.store.choosing import id_at
from coordinator.store.database import Database
from coordinator.store.sagas import read_saga
from coordinator.store.schema import history, sagas, steps
from coordinator.store.values import HistoryEntry, Unreadable

sagas_max = 100  # of one answer
entries_max = 20_000  # of one answer, over all its sagas
looked_at_max = 2_000  # sagas that are looked at to find those that went well


class SampleReader:
    """Reads what a report rests on. It writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sagas(self, ids: Iterable[str]) -> dict[str, Saga | Unreadable]:
        """These sagas, at most `sagas_max`. What isn't there is left out."""
        wanted = list(dict.fromkeys(ids))[:sagas_max]
        async with self._database.reading() as connection:
            rows = (await connection.execute(sa.select(sagas).where(sagas.c.id.in_(wanted)))).all()
            step_rows = (await connection.execute(sa.select(steps).where(steps.c.saga_id.in_(wanted)))).all()
        runs: dict[str, list[sa.Row[Any]]] = {}
        for row in step_rows:
            runs.setdefault(row.saga_id, []).append(row)
        return {row.id: read_saga(row, runs.get(row.id, ())) for row in rows}

    async def histories(self, ids: Iterable[str]) -> dict[str, list[HistoryEntry]]:
        """What happened to these sagas, at most `sagas_max`, each from its beginning; `entries_max` entries in all, so
        that the last saga's may be cut short."""
        wanted = list(dict.fromkeys(ids))[:sagas_max]
        chosen = sa.select(history).where(history.c.saga_id.in_(wanted))
        chosen = chosen.order_by(history.c.saga_id, history.c.seq).limit(entries_max)
        found: dict[str, list[HistoryEntry]] = {saga_id: [] for saga_id in wanted}
        async with self._database.reading() as connection:
            for row in await connection.execute(chosen):
                entry = HistoryEntry(row.seq, row.at, row.event, json.loads(row.facts), tuple(json.loads(row.notes)))
                found[row.saga_id].append(entry)
        return found

    async def completed(self, definition: str, since: datetime, until: datetime, *, limit: int) -> list[str]:
        """Ids of sagas of a definition that began in this time and completed, newest first; looked for among the newest
        `looked_at_max` of that time."""
        began = sa.and_(sagas.c.id >= id_at(since), sagas.c.id < id_at(until))
        newest = sa.select(sagas.c.id, sagas.c.status).where(sagas.c.definition == definition, began)
        looked_at = newest.order_by(sagas.c.id.desc()).limit(looked_at_max).subquery()
        chosen = sa.select(looked_at.c.id).where(looked_at.c.status == SagaStatus.COMPLETED.value)
        async with self._database.reading() as connection:
            rows = await connection.execute(chosen.order_by(looked_at.c.id.desc()).limit(limit))
            return list(rows.scalars())

    async def awaited(self, participants: Collection[str], *, limit: int) -> Mapping[str, int]:
        """How many sagas wait for a reply of each of these participants; `limit` means that many or more."""
        parts = []
        for number, participant in enumerate(participants):
            found = sa.select(sa.literal(1).label("one"))
            found = found.where(sagas.c.waiting_on == "reply", sagas.c.waiting_for == participant).limit(limit)
            parts.append(sa.select(sa.func.count()).select_from(found.subquery()).scalar_subquery().label(f"n{number}"))
        if not parts:
            return {}
        async with self._database.reading() as connection:
            row = (await connection.execute(sa.select(*parts))).one()
        return dict(zip(participants, row, strict=True))
