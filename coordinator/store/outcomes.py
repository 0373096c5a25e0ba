"""How attempts, and calls of what participants depend on, ended: counted per minute, by every coordinator for itself.

A coordinator writes the totals it has counted since that minute began. To write them again changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar

import sqlalchemy as sa

from coordinator.store.bulk import insert_rows
from coordinator.store.database import Database
from coordinator.store.dialect import storable
from coordinator.store.encoding import encode
from coordinator.store.observed import CallTallies, CallTally, Place, Tallied, Tallies, Tally
from coordinator.store.pruning import delete_old
from coordinator.store.schema_diagnosis import calls, tallies

Item = TypeVar("Item")

tallies_max = 20_000  # rows of one answer
name_chars_max = 200
rows_at_once = 1000  # worked on before others have their turn
kept = timedelta(hours=48)

_tally_counts = ("count", "seconds_sum", "seconds_buckets", "wait_seconds_sum", "wait_buckets")
_tally_place = ("minute", "definition", "version", "step", "kind", "participant", "worker", "worker_version")
_tally_columns = ("key", *_tally_place, "outcome", "error", "source", *_tally_counts)
_call_counts = ("count", "seconds_sum", "seconds_buckets")
_call_place = ("minute", "participant", "dependency", "worker", "worker_version", "error")
_call_columns = ("key", *_call_place, "source", *_call_counts)


class OutcomeStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._put_tallies = insert_rows(database.dialect, tallies, _tally_columns, overwrite=_tally_counts)
        self._put_calls = insert_rows(database.dialect, calls, _call_columns, overwrite=_call_counts)

    async def put(self, counted: Sequence[Tally], called: Sequence[CallTally], *, source: str) -> None:
        """Keep what `source` has counted so far, in place of what it said of the same before."""
        tally_rows = {row[0]: row for row in (_tally_record(tally, source) for tally in counted)}
        call_rows = {row[0]: row for row in (_call_record(call, source) for call in called)}
        async with self._database.begin() as connection:
            await self._put_tallies.run(connection, [row for _, row in sorted(tally_rows.items())])
            await self._put_calls.run(connection, [row for _, row in sorted(call_rows.items())])

    async def tallies(self, since: datetime, until: datetime, *, limit: int = tallies_max) -> Tallies:
        """What was counted in the minutes from `since` to before `until`, over all sources."""
        place = (*_tally_place, "outcome", "error")
        summed, cut = await self._summed(tallies, place, _tally_counts, since, until, limit)
        return Tallies(tuple([_tally(key, totals) async for key, totals in _unhurried(summed.items())]), cut)

    async def calls(self, since: datetime, until: datetime, *, limit: int = tallies_max) -> CallTallies:
        """The same for calls of what participants depend on."""
        summed, cut = await self._summed(calls, _call_place, _call_counts, since, until, limit)
        return CallTallies(tuple([CallTally(*key, *totals) async for key, totals in _unhurried(summed.items())]), cut)

    async def _summed(
        self,
        table: sa.Table,
        place: Sequence[str],
        counts: Sequence[str],
        since: datetime,
        until: datetime,
        limit: int,
    ) -> tuple[dict[tuple[Any, ...], list[Any]], bool]:
        """What all sources counted of the same, of the newest `limit` rows, and whether there were more."""
        size = max(1, min(limit, tallies_max))
        query = sa.select(*(table.c[name] for name in (*place, *counts)))
        query = query.where(table.c.minute >= since, table.c.minute < until)
        query = query.order_by(table.c.minute.desc(), table.c.key.desc()).limit(size + 1)
        summed: dict[tuple[Any, ...], list[Any]] = {}
        read = 0
        async with self._database.reading() as connection:
            rows = await connection.stream(query)
            async for part in rows.partitions(rows_at_once):
                for row in part[: size - read]:
                    _add(summed, row[: len(place)], row[len(place) :])
                read += len(part)
        return summed, read > size

    async def prune(self, now: datetime) -> int:
        """Forget some of what is older than `kept`; how many rows. Zero: nothing is left to forget."""
        before = now - kept
        async with self._database.begin() as connection:
            counted = await delete_old(connection, tallies, tallies.c.minute < before)
            called = await delete_old(connection, calls, calls.c.minute < before)
        return len(counted) + len(called)


# --- records ----------------------------------------------------------------------------------------------------------


def _tally_record(tally: Tally, source: str) -> tuple[Any, ...]:
    place = tally.place
    what = (
        tally.minute,
        _name(place.definition),
        place.version,
        _name(place.step),
        _name(place.kind),
        _name(place.participant),
        _name(place.worker),
        _name(place.worker_version),
        tally.outcome.value,
        _name(tally.error),
        _name(source),
    )
    waited = (tally.wait_seconds_sum, _buckets_text(tally.wait_buckets))
    return (_key(what), *what, tally.count, tally.seconds_sum, _buckets_text(tally.seconds_buckets), *waited)


def _call_record(call: CallTally, source: str) -> tuple[Any, ...]:
    what = (
        call.minute,
        _name(call.participant),
        _name(call.dependency),
        _name(call.worker),
        _name(call.worker_version),
        _name(call.error),
        _name(source),
    )
    return (_key(what), *what, call.count, call.seconds_sum, _buckets_text(call.seconds_buckets))


def _name(text: str) -> str:
    return storable(text, name_chars_max)


def _key(what: tuple[Any, ...]) -> str:
    return hashlib.blake2b(json.dumps(what, default=str).encode(), digest_size=16).hexdigest()


def _add(summed: dict[tuple[Any, ...], list[Any]], key: tuple[Any, ...], counts: Sequence[Any]) -> None:
    """Counts are a number, then seconds and their buckets, as text, in turns."""
    totals = summed.get(key)
    if totals is None:
        summed[key] = [_buckets(count) if isinstance(count, str) else count for count in counts]
        return
    for place, count in enumerate(counts):
        totals[place] = _sum(totals[place], _buckets(count)) if isinstance(count, str) else totals[place] + count


async def _unhurried(many: Iterable[Item]) -> AsyncIterator[Item]:
    """There may be many, and the sagas' own work goes on in between."""
    for number, one in enumerate(many, 1):
        if number % rows_at_once == 0:
            await asyncio.sleep(0)
        yield one


def _sum(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    size = max(len(one), len(other))
    return tuple(sum(pair) for pair in zip(_padded(one, size), _padded(other, size), strict=True))


def _padded(counts: tuple[int, ...], size: int) -> tuple[int, ...]:
    return counts + (0,) * (size - len(counts))


def _buckets_text(counts: Sequence[int]) -> str:
    return encode(list(counts))


@lru_cache(maxsize=4096)  # most minutes of most places are alike
def _buckets(text: str) -> tuple[int, ...]:
    return tuple(json.loads(text))


_outcomes = {outcome.value: outcome for outcome in Tallied}  # looked up for every row: a call of the enum costs more
_place = lru_cache(maxsize=4096)(Place)


def _tally(key: tuple[Any, ...], totals: Sequence[Any]) -> Tally:
    minute, definition, version, step, kind, participant, worker, worker_version, outcome, error = key
    place = _place(definition, version, step, kind, participant, worker, worker_version)
    return Tally(minute, place, _outcomes[outcome], error, *totals)
