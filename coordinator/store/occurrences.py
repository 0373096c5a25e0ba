"""What happened in the world around the sagas, as coordinators saw it: changes, and things lost and found."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from coordinator.store.bulk import insert_rows
from coordinator.store.database import Database
from coordinator.store.dialect import storable
from coordinator.store.encoding import encode
from coordinator.store.observed import Occurrence, OccurrenceKind
from coordinator.store.pruning import delete_old
from coordinator.store.schema_diagnosis import occurrences

occurrences_max = 2000  # of one list
id_chars_max = 200
subject_chars_max = 400
fact_chars_max = 1000
facts_max = 100
kept = timedelta(hours=48)

_kept = ("id", "at", "kind", "subject", "facts")


class OccurrenceStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._put = insert_rows(database.dialect, occurrences, _kept, unless_there=True)

    async def put(self, seen: Sequence[Occurrence]) -> None:
        """Keep what happened; what has been told before stays as it was told first."""
        told: dict[str, tuple[Any, ...]] = {}
        for occurrence in seen:
            record = _record(occurrence)
            told.setdefault(record[0], record)
        async with self._database.begin() as connection:
            await self._put.run(connection, [record for _, record in sorted(told.items())])

    async def get(self, occurrence_id: str) -> Occurrence | None:
        query = sa.select(occurrences).where(occurrences.c.id == occurrence_id)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else _occurrence(row)

    async def between(self, since: datetime, until: datetime, *, limit: int = occurrences_max) -> list[Occurrence]:
        """What happened from `since` to before `until`: the newest `limit`, in the order in which they happened."""
        newest = sa.select(occurrences).where(occurrences.c.at >= since, occurrences.c.at < until)
        newest = newest.order_by(occurrences.c.at.desc(), occurrences.c.id.desc())
        async with self._database.reading() as connection:
            rows = (await connection.execute(newest.limit(max(1, min(limit, occurrences_max))))).all()
        return [_occurrence(row) for row in reversed(rows)]

    async def prune(self, now: datetime) -> int:
        """Forget some of what is older than `kept`; how many. Zero: nothing is left to forget."""
        async with self._database.begin() as connection:
            return len(await delete_old(connection, occurrences, occurrences.c.at < now - kept))


def _record(seen: Occurrence) -> tuple[Any, ...]:
    facts = {storable(name, id_chars_max): _fact(fact) for name, fact in list(seen.facts.items())[:facts_max]}
    subject = storable(seen.subject, subject_chars_max)
    return (storable(seen.id, id_chars_max), seen.at, seen.kind.value, subject, encode(facts))


def _fact(fact: str | int | float | bool | None) -> str | int | float | bool | None:
    if isinstance(fact, str):
        return storable(fact, fact_chars_max)
    if isinstance(fact, float) and not math.isfinite(fact):
        return str(fact)  # JSON has no word for it
    return fact


def _occurrence(row: sa.Row[Any]) -> Occurrence:
    return Occurrence(row.id, row.at, OccurrenceKind(row.kind), row.subject, json.loads(row.facts))
