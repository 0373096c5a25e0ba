"""Incidents: failures that share a cause, found or opened by their family, analysed once for all of them.

Whoever groups takes turns with all others who do, on whatever coordinator: there is never a second open incident of a
family, and no failure is counted twice or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.store.database import Database
from coordinator.store.dialect import storable
from coordinator.store.due import claim_due
from coordinator.store.grouping import Grouping, failed_columns, moved_facets, status_is
from coordinator.store.ids import new_id
from coordinator.store.notifications import insert_notices, notice_record
from coordinator.store.notified import Notice, OpenedIncident
from coordinator.store.observed import FailedStep, IncidentStatus
from coordinator.store.pruning import delete_old
from coordinator.store.schema_diagnosis import facets, failed_steps, incidents

quiet = timedelta(minutes=10)  # without a new failure an incident is over
debounce_seconds = 5.0  # a first report waits this long for failures that belong to it
kept = timedelta(days=30)
merged_max = 100  # incidents merged at once

id_chars_max = 200
name_chars_max = 100
code_chars_max = 80
template_chars_max = 500
family_chars_max = 200
resolution_chars_max = 2000

_turn = "incidents"

Telling = Callable[[Sequence[OpenedIncident]], Sequence[Notice]]


class IncidentStore:
    """The reporter's side of the incidents; `IncidentReader` is that of those who look at them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = Grouping(database.dialect)
        self._claim_due = claim_due(incidents, incidents.c.due_at)
        self._insert_notices = insert_notices(database.dialect)

    async def record(
        self,
        failures: Sequence[FailedStep],
        *,
        now: datetime,
        debounce_seconds: float = debounce_seconds,
        telling: Telling | None = None,
    ) -> frozenset[str]:
        """Put failures into their incidents; the ids of those that have new ones.

        A failure is counted once, however often and by whomever it is reported. An incident that is opened is due
        after `debounce_seconds`; one that has grown tenfold since it was analysed is due at once. `telling` says who
        is to be told of incidents that are opened; that is kept in the same transaction.
        """
        async with self._database.begin() as connection:
            await self._database.dialect.take_turn(connection, _turn)
            fresh = await self._fresh(connection, failures)
            if not fresh:
                return frozenset()
            ids, opened = await self._incidents(connection, fresh, now, now + timedelta(seconds=debounce_seconds))
            if telling and opened:
                notices = telling(_opened(fresh, opened, now))
                await self._insert_notices.run(connection, [notice_record(notice) for notice in notices])
            placed = [replace(failure, incident_id=ids[failure.family]) for failure in fresh]
            await self._sql.insert_failed.run(connection, [_failed_record(failure) for failure in placed])
            await self._sql.add_facets.run(connection, _facet_records(placed))
            await self._sql.grow.run(connection, _growth(placed), now=now)
        return frozenset(ids.values())

    async def _fresh(self, connection: AsyncConnection, failures: Sequence[FailedStep]) -> list[FailedStep]:
        """The failures nobody has reported yet, as they can be stored, in the order of their keys."""
        reported: dict[tuple[str, str, str], FailedStep] = {}
        for failure in failures:
            stored = _storable(failure)
            reported.setdefault((stored.saga_id, stored.step, stored.kind), stored)
        known = {tuple(row) for row in await self._sql.known.run(connection, list(reported))}
        return [reported[key] for key in sorted(reported.keys() - known)]

    async def _incidents(
        self, connection: AsyncConnection, fresh: Sequence[FailedStep], now: datetime, due_at: datetime
    ) -> tuple[dict[str, str], dict[str, str]]:
        """For each family of these failures the incident they go to, and of these the ones that are new. One that has
        been quiet is over."""
        began: dict[str, datetime] = {}
        for failure in fresh:
            began[failure.family] = min(failure.at, began.get(failure.family, failure.at))
        rows = await self._sql.current.run(connection, [(family,) for family in sorted(began)])
        found = {row.family: row for row in sorted(rows, key=lambda row: (row.own, row.id))}  # its own before another's
        again: dict[str, datetime] = {}
        for family, row in found.items():
            again[row.id] = min(began[family], again.get(row.id, began[family]))
        over = {row.id for row in found.values() if again[row.id] - row.last_at > quiet}
        await self._sql.close.run(connection, [(incident_id,) for incident_id in sorted(over)], now=now)
        ids = {family: row.id for family, row in found.items() if row.id not in over}
        opened = {family: new_id(now) for family in sorted(began) if family not in ids}
        records = [
            (incident_id, family, IncidentStatus.OPEN.value, now, began[family], began[family], 0, "", 0, 0, due_at)
            for family, incident_id in opened.items()
        ]
        await self._sql.insert_incidents.run(connection, records)
        return ids | opened, opened

    async def due(self, now: datetime, *, limit: int, lease_seconds: float) -> list[str]:
        """Ids of up to `limit` incidents that are to be analysed, those longest due. They come again after
        `lease_seconds`, unless a report is put meanwhile: what a crashed claimant took is not lost.
        """
        until = now + timedelta(seconds=lease_seconds)
        async with self._database.begin() as connection:
            rows = await connection.execute(self._claim_due, {"now": now, "until": until, "limit": limit})
            return list(rows.scalars())

    async def ask(self, incident_id: str, *, now: datetime) -> bool:
        """Let an incident be analysed now. False: there is none, or it is part of another."""
        ask = sa.update(incidents).values(due_at=now)
        ask = ask.where(incidents.c.id == incident_id, incidents.c.merged_into.is_(None))
        async with self._database.begin() as connection:
            return (await connection.execute(ask.returning(incidents.c.id))).first() is not None

    async def merge(self, into: str, others: Collection[str], *, now: datetime) -> bool:
        """Make open incidents part of another open one, with their failures, and let that be analysed again.

        New failures of their families go there too, for as long as it is open. False: one of them isn't open (any
        more), and nothing was merged. Raises ValueError for an incident into itself, and for more than `merged_max`.
        """
        ids = sorted(set(others))
        if into in ids or len(ids) > merged_max:
            raise ValueError(f"an incident takes up to {merged_max} others at once, and never itself")
        dialect = self._database.dialect
        parts = [(incident_id,) for incident_id in ids]
        chosen = sa.select(
            sa.func.count().label("incidents"),
            sa.func.sum(incidents.c.failures, type_=sa.BigInteger).label("failures"),
            sa.func.min(incidents.c.first_at).label("first_at"),
            sa.func.max(incidents.c.last_at).label("last_at"),
        ).where(incidents.c.id.in_([into, *ids]), status_is(IncidentStatus.OPEN))
        async with self._database.begin() as connection:
            await dialect.take_turn(connection, _turn)
            both = (await connection.execute(chosen)).one()
            if both.incidents != len(ids) + 1:
                return False
            await self._sql.merge.run(connection, parts, now=now, into=into)
            moved = sa.update(failed_steps).values(incident_id=into).where(failed_steps.c.incident_id.in_(ids))
            await connection.execute(moved)
            await connection.execute(moved_facets(dialect, ids, into))
            await connection.execute(sa.delete(facets).where(facets.c.incident_id.in_(ids)))
            whole = {"failures": both.failures, "first_at": both.first_at, "last_at": both.last_at, "due_at": now}
            await connection.execute(sa.update(incidents).values(whole).where(incidents.c.id == into))
        return True

    async def close_quiet(self, now: datetime) -> list[str]:
        """Close incidents without a new failure for ten minutes; each is due once more, for a last report."""
        close = sa.update(incidents).values(status=IncidentStatus.CLOSED.value, closed_at=now, due_at=now)
        close = close.where(status_is(IncidentStatus.OPEN), incidents.c.last_at < now - quiet)
        async with self._database.begin() as connection:
            await self._database.dialect.take_turn(connection, _turn)
            return sorted((await connection.execute(close.returning(incidents.c.id))).scalars())

    async def resolve(self, incident_id: str, *, by: str, resolution: str, now: datetime) -> bool:
        """Keep what a person says resolved it, in place of what was said before. It is over with that: what fails
        from now on is another incident, like this one. False: there is none.
        """
        values = {
            "resolution": storable(resolution, resolution_chars_max),
            "resolved_by": storable(by, id_chars_max),
            "resolved_at": now,
        }
        said = sa.update(incidents).values(values).where(incidents.c.id == incident_id)
        close = sa.update(incidents).values(status=IncidentStatus.CLOSED.value, closed_at=now, due_at=now)
        close = close.where(incidents.c.id == incident_id, status_is(IncidentStatus.OPEN))
        async with self._database.begin() as connection:
            await self._database.dialect.take_turn(connection, _turn)
            await connection.execute(close)
            return (await connection.execute(said.returning(incidents.c.id))).first() is not None

    async def prune(self, now: datetime) -> int:
        """Forget some of the failures, and of the incidents, that are over and older than `kept`; how many rows.
        Zero: nothing is left to forget.
        """
        left = sa.exists().where(failed_steps.c.incident_id == incidents.c.id)
        parent = incidents.alias("parent")
        # While the one it is part of is open, it says where failures of its family go.
        needed = sa.exists().where(parent.c.id == incidents.c.merged_into, status_is(IncidentStatus.OPEN, parent))
        over = incidents.c.status.in_([IncidentStatus.CLOSED.value, IncidentStatus.MERGED.value])
        old = sa.and_(over, incidents.c.last_at < now - kept)
        theirs = failed_steps.c.incident_id.in_(sa.select(incidents.c.id).where(old))
        async with self._database.begin() as connection:
            forgotten = await delete_old(connection, failed_steps, theirs)
            ended = await delete_old(connection, incidents, old, sa.not_(left), sa.not_(needed))
            await self._sql.forget_facets.run(connection, [(incident_id,) for incident_id in ended])
        return len(forgotten) + len(ended)


# --- records ----------------------------------------------------------------------------------------------------------

_chars_max: Mapping[str, int] = {
    "saga_id": id_chars_max,
    "step": name_chars_max,
    "kind": name_chars_max,
    "definition": name_chars_max,
    "participant": name_chars_max,
    "cause": name_chars_max,
    "error_type": id_chars_max,
    "code": code_chars_max,
    "template": template_chars_max,
    "fingerprint": name_chars_max,
    "family": family_chars_max,
    "worker": id_chars_max,
    "worker_version": name_chars_max,
}


def _storable(failure: FailedStep) -> FailedStep:
    texts: dict[str, Any] = {name: storable(getattr(failure, name), most) for name, most in _chars_max.items()}
    if failure.business_key is not None:
        texts["business_key"] = storable(failure.business_key, id_chars_max)
    return replace(failure, **texts)


def _opened(fresh: Sequence[FailedStep], opened: Mapping[str, str], now: datetime) -> list[OpenedIncident]:
    """Incidents as they are told of: each by its first failure."""
    firsts = {failure.family: failure for failure in reversed(fresh)}
    return [
        OpenedIncident(
            id=incident_id,
            family=family,
            definition=firsts[family].definition,
            error_type=firsts[family].error_type,
            template=firsts[family].template,
            failures=sum(failure.family == family for failure in fresh),
            at=now,
        )
        for family, incident_id in opened.items()
    ]


def _failed_record(failure: FailedStep) -> tuple[Any, ...]:
    return tuple(getattr(failure, name) for name in failed_columns)


def _facet_records(placed: Sequence[FailedStep]) -> list[tuple[Any, ...]]:
    """One row per incident and fingerprint, in the order of their keys."""
    groups: dict[tuple[str, str], list[FailedStep]] = {}
    for failure in placed:
        groups.setdefault((failure.incident_id or "", failure.fingerprint), []).append(failure)
    return [(*key, *_facet_values(group)) for key, group in sorted(groups.items())]


def _facet_values(group: Sequence[FailedStep]) -> tuple[Any, ...]:
    one = group[0]
    step = f"{one.definition}.{one.step}"
    what = (one.definition, step, one.kind, one.participant, one.template, one.error_type, one.code)
    times = [failure.at for failure in group]
    return (*what, len(group), min(times), max(times), one.saga_id)


def _growth(placed: Sequence[FailedStep]) -> list[tuple[Any, ...]]:
    times: dict[str, list[datetime]] = {}
    for failure in placed:
        times.setdefault(failure.incident_id or "", []).append(failure.at)
    return [(incident_id, len(found), min(found), max(found)) for incident_id, found in sorted(times.items())]
