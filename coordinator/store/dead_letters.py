"""Dead letters: messages nobody could process, kept with the reason until somebody redrives or discards them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from coordinator.store.bulk import Bulk, columns_of
from coordinator.store.database import Database
from coordinator.store.dialect import epoch, micros, storable
from coordinator.store.pruning import delete_old
from coordinator.store.schema import dead_letters
from coordinator.store.values import DeadLetter, DeadLetterFilter, DeadLetterPage, DeadLetterStatus

page_max = 200
kept = timedelta(days=90)  # after somebody has dealt with it
body_chars_max = 64 * 1024
reason_chars_max = 2000
name_chars_max = 200  # ids and names out of a message that nobody could read

_kept = ("id", "at", "source", "participant", "reason", "body", "saga_id", "command_key", "redelivered", "status")


class DeadLetterStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        rows = database.dialect.rows("v", columns_of(dead_letters, _kept))
        insert = database.dialect.insert(dead_letters).from_select(list(_kept), rows.only())
        again = {"redelivered": dead_letters.c.redelivered + 1}
        self._keep = Bulk(rows, insert.on_conflict_do_update(index_elements=["id"], set_=again))

    async def keep(self, batch: Sequence[DeadLetter]) -> None:
        """Keep messages, cut to what the database can hold. One that is there already counts as redelivered."""
        again: dict[str, int] = {}
        letters: dict[str, DeadLetter] = {}
        for letter in batch:
            again[letter.id] = again.get(letter.id, -1) + 1
            letters.setdefault(letter.id, letter)
        async with self._database.begin() as connection:
            await self._keep.run(connection, [_record(letter) for _, letter in sorted(letters.items())])
            # One statement can't meet a row twice; a message that came several times in a batch is rare.
            for letter_id in (letter_id for letter_id, times in sorted(again.items()) for _ in range(times)):
                await self._keep.run(connection, [_record(letters[letter_id])])

    async def prune(self, now: datetime) -> int:
        """Forget some of those that were dealt with long ago; how many. Zero: nothing is left to forget."""
        dealt = [status.value for status in DeadLetterStatus if status is not DeadLetterStatus.OPEN]
        old = sa.and_(dead_letters.c.status.in_(dealt), dead_letters.c.at < now - kept)
        async with self._database.begin() as connection:
            return len(await delete_old(connection, dead_letters, old, dead_letters.c.resolved_at < now - kept))

    async def page(
        self, chosen: DeadLetterFilter | None = None, *, limit: int = 50, cursor: str | None = None
    ) -> DeadLetterPage:
        """Dead letters that fit the filter, newest first, at most `page_max`. Raises ValueError for a bad cursor."""
        size = max(1, min(limit, page_max))
        query = sa.select(dead_letters).where(*_conditions(chosen or DeadLetterFilter()))
        if cursor is not None:
            place = sa.tuple_(
                *(sa.literal(part, kind) for part, kind in zip(_place(cursor), _place_types, strict=True))
            )
            query = query.where(sa.tuple_(dead_letters.c.at, dead_letters.c.id) < place)
        query = query.order_by(dead_letters.c.at.desc(), dead_letters.c.id.desc()).limit(size + 1)
        async with self._database.reading() as connection:
            items = [_letter(row) for row in await connection.execute(query)]
        last = items[size - 1] if len(items) > size else None
        return DeadLetterPage(tuple(items[:size]), f"{micros(last.at)}.{last.id}" if last else None)

    async def get(self, letter_id: str) -> DeadLetter | None:
        async with self._database.reading() as connection:
            found = await connection.execute(sa.select(dead_letters).where(dead_letters.c.id == letter_id))
            row = found.first()
        return None if row is None else _letter(row)

    async def resolve(self, letter_id: str, status: DeadLetterStatus, *, by: str, why: str, now: datetime) -> bool:
        """Redriven or discarded: the first to say so wins. False: it isn't open (any more)."""
        if status is DeadLetterStatus.OPEN:
            raise ValueError("a resolved dead letter is not open")
        first = sa.update(dead_letters).where(dead_letters.c.id == letter_id)
        first = first.where(dead_letters.c.status == DeadLetterStatus.OPEN.value)
        values = {
            "status": status.value,
            "resolved_at": now,
            "resolved_by": storable(by, reason_chars_max),
            "resolved_why": storable(why, reason_chars_max),
        }
        async with self._database.begin() as connection:
            resolved = await connection.execute(first.values(values).returning(dead_letters.c.id))
            return resolved.first() is not None


_place_types = (dead_letters.c.at.type, sa.Text())


def _place(cursor: str) -> tuple[datetime, str]:
    at, _, letter_id = cursor.partition(".")
    return epoch + timedelta(microseconds=int(at)), letter_id


def _conditions(chosen: DeadLetterFilter) -> list[sa.ColumnElement[bool]]:
    equal: list[tuple[sa.Column[Any], str | None]] = [
        (dead_letters.c.status, chosen.status),
        (dead_letters.c.source, chosen.source),
        (dead_letters.c.participant, chosen.participant),
        (dead_letters.c.saga_id, chosen.saga_id),
    ]
    return [column == str(value) for column, value in equal if value is not None]


def _record(letter: DeadLetter) -> tuple[Any, ...]:
    def name(text: str | None) -> str | None:
        return None if text is None else storable(text, name_chars_max)

    return (
        storable(letter.id, name_chars_max),
        letter.at,
        storable(letter.source, name_chars_max),
        name(letter.participant),
        storable(letter.reason, reason_chars_max),
        storable(letter.body, body_chars_max),
        name(letter.saga_id),
        name(letter.command_key),
        letter.redelivered,
        DeadLetterStatus.OPEN.value,
    )


def _letter(row: sa.Row[Any]) -> DeadLetter:
    values = {**row._mapping, "status": DeadLetterStatus(row.status)}
    return DeadLetter(**values)
