"""How everything stands, in numbers: each is counted along an index and no further than its bound, so that a look costs
the same whether a thousand sagas are kept or a million."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any

import sqlalchemy as sa

from coordinator.saga.state import SagaStatus
from coordinator.store.choosing import id_at, waits
from coordinator.store.database import Database
from coordinator.store.dialect import Moment
from coordinator.store.schema import dead_letters, outbox, sagas
from coordinator.store.schema_diagnosis import tallies
from coordinator.store.values import Backlog, Counted, DeadLetterStatus

count_max = 10_000
minute_max = 20_000  # sagas of one minute
outbox_max = 20_000  # rows, waiting or parked
tallies_max = 20_000  # rows of one answer
durations_max = 1_000  # sagas
changed_max = 2_000  # sagas of one answer
minutes_at_once = 20  # in one statement
participants_max = 100  # counted one by one


@dataclass(frozen=True, slots=True)
class Stuck:
    sagas: Counted
    oldest: datetime | None  # when something last happened to the one that has been so for longest


@dataclass(frozen=True, slots=True)
class Waits:
    """How many sagas wait so for a participant (or for nobody in particular)."""

    kind: str
    participant: str | None
    sagas: Counted


@dataclass(frozen=True, slots=True)
class OpenLetters:
    letters: Counted
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Minute:
    """How many sagas started and finished in a minute; where it is capped, that many or more."""

    started: int
    finished: int

    @property
    def capped(self) -> bool:
        return max(self.started, self.finished) >= minute_max


@dataclass(frozen=True, slots=True)
class Durations:
    """Of the sagas that finished last."""

    sagas: int
    p50_seconds: float | None
    p95_seconds: float | None
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Ended:
    """How attempts at a participant ended in one minute."""

    participant: str
    minute: datetime
    outcome: str
    count: int
    seconds_sum: float


@dataclass(frozen=True, slots=True)
class Changed:
    """A saga that something has happened to."""

    id: str
    definition: str
    version: int
    status: str
    direction: str
    revision: int
    waiting_on: str | None
    waiting_for: str | None
    business_key: str | None
    failed_step: str | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None


class OverviewReader:
    """It writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def stuck(self, since: datetime) -> Stuck:
        """Sagas under way, neither blocked nor paused, to which nothing has happened since before then."""
        there = sa.and_(
            sagas.c.finished_at.is_(None),
            sagas.c.updated_at < since,
            sagas.c.paused_at.is_(None),
            sagas.c.status != SagaStatus.BLOCKED.value,
        )
        longest = sa.select(sagas.c.updated_at).where(there).order_by(sagas.c.updated_at).limit(1)
        async with self._database.reading() as connection:
            count = (await connection.execute(sa.select(_capped(sagas.c.id, there)))).scalar_one()
            oldest = (await connection.execute(longest)).scalar_one_or_none()
        return Stuck(_counted(count), oldest)

    async def waits(self, participants: Collection[str]) -> list[Waits]:
        """What sagas wait for, and of whom, the most frequent first. Where many wait, those that wait for somebody
        who is not among `participants` may be left out."""
        parts = []
        for kind in waits:
            first = sa.select(sagas.c.waiting_on, sagas.c.waiting_for).where(sagas.c.waiting_on == kind)
            parts.append(sa.select(first.limit(count_max).subquery()))
        each = sa.union_all(*parts).subquery()
        grouped = sa.select(each.c.waiting_on, each.c.waiting_for, sa.func.count().label("n"))
        async with self._database.reading() as connection:
            rows = (await connection.execute(grouped.group_by(each.c.waiting_on, each.c.waiting_for))).all()
            found = {(row.waiting_on, row.waiting_for): row.n for row in rows}
            full = [kind for kind in waits if sum(n for (of, _), n in found.items() if of == kind) >= count_max]
            names = sorted({*participants, *(name for kind, name in found if kind in full and name)})
            for kind in full:  # what was counted is only the first in the index
                found.update(await _of_each(connection, kind, names[:participants_max]))
        listed = [Waits(kind, name, _counted(n)) for (kind, name), n in found.items() if n]
        return sorted(listed, key=lambda one: (-one.sagas.count, one.kind, one.participant or ""))

    async def awaited(self, participants: Collection[str]) -> Mapping[str, Counted]:
        """How many sagas wait for a reply of each of these participants, at most `participants_max` of them."""
        names = sorted(set(participants))[:participants_max]
        async with self._database.reading() as connection:
            found = await _of_each(connection, "reply", names)
        return {name: _counted(found["reply", name]) for name in names}

    async def letters(self) -> OpenLetters:
        """Dead letters that nobody has resolved."""
        open_ = dead_letters.c.status == DeadLetterStatus.OPEN.value
        first = sa.select(dead_letters.c.at).where(open_).order_by(dead_letters.c.at, dead_letters.c.id).limit(1)
        async with self._database.reading() as connection:
            count = (await connection.execute(sa.select(_capped(dead_letters.c.id, open_)))).scalar_one()
            oldest = (await connection.execute(first)).scalar_one_or_none()
        return OpenLetters(_counted(count), oldest)

    async def backlog(self) -> tuple[list[Backlog], bool]:
        """What waits in the outbox for each participant, of the first `outbox_max` rows; whether there are more."""
        columns = (outbox.c.participant, outbox.c.parked_reason, outbox.c.created_at)
        waiting = sa.select(*columns).where(outbox.c.parked_reason.is_(None)).order_by(outbox.c.available_at)
        parked = sa.select(*columns).where(outbox.c.parked_reason.is_not(None)).order_by(outbox.c.created_at)
        each = sa.union_all(*(sa.select(part.limit(outbox_max).subquery()) for part in (waiting, parked))).subquery()
        waits_ = each.c.parked_reason.is_(None)
        counted = sa.select(
            each.c.participant,
            sa.func.count(sa.case((waits_, 1))).label("waiting"),
            sa.func.count(each.c.parked_reason).label("parked"),
            sa.func.min(sa.case((waits_, each.c.created_at)), type_=Moment).label("oldest"),
        )
        async with self._database.reading() as connection:
            rows = await connection.execute(counted.group_by(each.c.participant).order_by(each.c.participant))
            found = [Backlog(row.participant, row.waiting, row.parked, row.oldest) for row in rows]
        capped = max(sum(one.waiting for one in found), sum(one.parked for one in found)) >= outbox_max
        return found, capped

    async def minutes(self, spans: Sequence[tuple[datetime, datetime]]) -> list[Minute]:
        """How many sagas started and finished in each of these spans."""
        found: list[Minute] = []
        async with self._database.reading() as connection:
            for begin in range(0, len(spans), minutes_at_once):
                parts = []
                for since, until in spans[begin : begin + minutes_at_once]:
                    started = sa.and_(sagas.c.id >= id_at(since), sagas.c.id < id_at(until))
                    finished = sa.and_(sagas.c.finished_at >= since, sagas.c.finished_at < until)
                    parts += [_capped(sagas.c.id, started, minute_max), _capped(sagas.c.id, finished, minute_max)]
                labelled = (part.label(f"n{number}") for number, part in enumerate(parts))
                row = tuple((await connection.execute(sa.select(*labelled))).one())
                found += [Minute(*pair) for pair in zip(row[::2], row[1::2], strict=True)]
        return found

    async def durations(self) -> Durations:
        """How long the sagas took that finished last, `durations_max` of them."""
        newest = sa.select(sagas.c.created_at, sagas.c.finished_at).where(sagas.c.finished_at.is_not(None))
        newest = newest.order_by(sagas.c.finished_at.desc()).limit(durations_max)
        async with self._database.reading() as connection:
            rows = (await connection.execute(newest)).all()
        took = sorted((row.finished_at - row.created_at).total_seconds() for row in rows)
        since = rows[-1].finished_at if rows else None
        return Durations(len(took), _percentile(took, 0.5), _percentile(took, 0.95), since)

    async def ended(self, since: datetime, *, participant: str | None = None) -> tuple[list[Ended], bool]:
        """How attempts ended since then, of the newest `tallies_max` counts; whether there were more."""
        columns = ("participant", "minute", "outcome", "count", "seconds_sum")
        newest = sa.select(*(tallies.c[name] for name in columns)).where(tallies.c.minute >= since)
        if participant is not None:
            newest = newest.where(tallies.c.participant == participant)
        each = newest.order_by(tallies.c.minute.desc(), tallies.c.key.desc()).limit(tallies_max).subquery()
        place = (each.c.participant, each.c.minute, each.c.outcome)
        summed = sa.select(
            *place,
            sa.cast(sa.func.sum(each.c["count"]), sa.BigInteger).label("n"),
            sa.func.sum(each.c.seconds_sum).label("seconds"),
            sa.func.count().label("rows"),
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(summed.group_by(*place).order_by(each.c.minute))).all()
        found = [Ended(row.participant, row.minute, row.outcome, row.n, row.seconds) for row in rows]
        return found, sum(row.rows for row in rows) >= tallies_max

    async def changed(self, since: datetime) -> tuple[list[Changed], bool]:
        """Sagas to which something has happened since then, and that ended then or have not; the newest `changed_max`
        of each, and whether there were more. What still happens to a saga that ended earlier is not told."""
        columns = [sagas.c[name] for name in Changed.__dataclass_fields__]
        live = sa.select(*columns).where(sagas.c.finished_at.is_(None), sagas.c.updated_at >= since)
        over = sa.select(*columns).where(sagas.c.finished_at.is_not(None), sagas.c.finished_at >= since)
        found: list[Changed] = []
        capped = False
        async with self._database.reading() as connection:
            for part, column in ((live, sagas.c.updated_at), (over, sagas.c.finished_at)):
                rows = (await connection.execute(part.order_by(column.desc()).limit(changed_max + 1))).all()
                capped = capped or len(rows) > changed_max
                found += [Changed(*row) for row in rows[:changed_max]]
        return sorted(found, key=lambda one: (one.updated_at, one.id)), capped


async def _of_each(connection: Any, kind: str, names: Sequence[str]) -> dict[tuple[str, str | None], int]:
    if not names:
        return {}
    parts: Iterable[sa.Label[int]] = (
        _capped(sagas.c.id, sa.and_(sagas.c.waiting_on == kind, sagas.c.waiting_for == name)).label(f"n{number}")
        for number, name in enumerate(names)
    )
    row = (await connection.execute(sa.select(*parts))).one()
    return {(kind, name): count for name, count in zip(names, row, strict=True)}


def _capped(column: sa.Column[Any], there: sa.ColumnElement[bool], limit: int | None = None) -> sa.ScalarSelect[int]:
    """How many rows there are, counted no further than that."""
    found = sa.select(column).where(there).limit(count_max if limit is None else limit).subquery()
    return sa.select(sa.func.count()).select_from(found).scalar_subquery()


def _counted(count: int) -> Counted:
    return Counted(count, count >= count_max)


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest of these that so many are not above."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else None
