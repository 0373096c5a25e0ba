"""Incidents as they are looked at: one with its failures, lists of many, those that are over, and how many sagas are
concerned now."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from coordinator.saga.state import SagaStatus, StepStatus
from coordinator.store.bulk import Bulk, columns_of
from coordinator.store.database import Database
from coordinator.store.dialect import epoch, micros
from coordinator.store.explained import Verdict
from coordinator.store.grouping import status_is
from coordinator.store.observed import (
    Facet,
    FailedStep,
    FailurePage,
    IncidentFilter,
    IncidentPage,
    IncidentRow,
    IncidentStatus,
    PastRow,
    Standing,
)
from coordinator.store.schema import sagas, steps
from coordinator.store.schema_diagnosis import facets, failed_steps, feedback, incidents

page_max = 200  # incidents of one page
facets_max = 100  # of one incident
past_facets_max = 10  # of each of many
past_max = 500
failures_max = 500
of_saga_max = 50
standing_max = 10_000


class IncidentReader:
    """It writes nothing, and each answer is of one moment."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._standing = _Standing(database)

    async def get(self, incident_id: str) -> IncidentRow | None:
        async with self._database.reading() as connection:
            found = await connection.execute(sa.select(incidents).where(incidents.c.id == incident_id))
            row = found.first()
        return None if row is None else _incident(row)

    async def page(
        self, chosen: IncidentFilter | None = None, *, limit: int = 50, cursor: str | None = None
    ) -> IncidentPage:
        """Incidents that fit the filter, newest first, at most `page_max`. `cursor` is the former page's."""
        size = max(1, min(limit, page_max))
        query = sa.select(incidents).where(*_conditions(chosen or IncidentFilter()))
        if cursor is not None:
            query = query.where(incidents.c.id < cursor)
        async with self._database.reading() as connection:
            rows = await connection.execute(query.order_by(incidents.c.id.desc()).limit(size + 1))
            found = [_incident(row) for row in rows]
        items = tuple(found[:size])
        return IncidentPage(items, items[-1].id if len(found) > size else None)

    async def count_open(self) -> int:
        """How many incidents are not over."""
        query = sa.select(sa.func.count()).select_from(incidents).where(status_is(IncidentStatus.OPEN))
        async with self._database.reading() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def facets(self, incident_id: str, *, limit: int = facets_max) -> list[Facet]:
        """What its failures were, the most frequent first, at most `facets_max`."""
        query = sa.select(*_facet_columns).where(facets.c.incident_id == incident_id)
        query = query.order_by(facets.c.count.desc(), facets.c.fingerprint).limit(max(1, min(limit, facets_max)))
        async with self._database.reading() as connection:
            return [_facet(row) for row in await connection.execute(query)]

    async def failures(self, incident_id: str, *, limit: int = failures_max) -> list[FailedStep]:
        """Its newest failures, the newest first, at most `failures_max`."""
        query = sa.select(failed_steps).where(failed_steps.c.incident_id == incident_id)
        query = query.order_by(failed_steps.c.at.desc(), failed_steps.c.saga_id.desc())
        async with self._database.reading() as connection:
            rows = await connection.execute(query.limit(max(1, min(limit, failures_max))))
            return [_failure(row) for row in rows]

    async def failures_page(self, incident_id: str, *, limit: int = 100, cursor: str | None = None) -> FailurePage:
        """Its failures, the newest first, at most `failures_max`. Raises ValueError for a bad cursor."""
        size = max(1, min(limit, failures_max))
        query = sa.select(failed_steps).where(failed_steps.c.incident_id == incident_id)
        place = (failed_steps.c.at, failed_steps.c.saga_id, failed_steps.c.step, failed_steps.c.kind)
        if cursor is not None:
            parts = zip(_failure_place(cursor), place, strict=True)
            query = query.where(
                sa.tuple_(*place) < sa.tuple_(*(sa.literal(part, column.type) for part, column in parts))
            )
        async with self._database.reading() as connection:
            rows = await connection.execute(query.order_by(*(column.desc() for column in place)).limit(size + 1))
            found = [_failure(row) for row in rows]
        last = found[size - 1] if len(found) > size else None
        at = f"{micros(last.at)}.{last.saga_id}.{last.step}.{last.kind}" if last else None
        return FailurePage(tuple(found[:size]), at)

    async def failures_of(self, saga_id: str) -> list[FailedStep]:
        """The failures of one saga, the newest first. Each names its incident."""
        query = sa.select(failed_steps).where(failed_steps.c.saga_id == saga_id)
        async with self._database.reading() as connection:
            rows = await connection.execute(query.limit(of_saga_max))
            return sorted((_failure(row) for row in rows), key=lambda failure: failure.at, reverse=True)

    async def standing(self, steps: Collection[str], definitions: Collection[str]) -> Standing:
        """How many sagas are blocked at these steps ("<definition>.<step>") and how many of these definitions are on
        their way, each at most `standing_max`.
        """
        return await self._standing.count(steps, definitions)

    async def past(self, *, limit: int = past_max) -> list[PastRow]:
        """The newest incidents that are over and were explained, with their most frequent facets."""
        over = sa.select(
            incidents,
            feedback.c.verdict.label("verdict"),
            feedback.c.true_class.label("true_class"),
            feedback.c.true_culprit.label("true_culprit"),
        )
        over = over.outerjoin_from(incidents, feedback, feedback.c.incident_id == incidents.c.id)
        over = over.where(status_is(IncidentStatus.CLOSED), incidents.c.cls.is_not(None))
        over = over.order_by(incidents.c.id.desc()).limit(max(1, min(limit, past_max)))
        async with self._database.reading() as connection:
            rows = (await connection.execute(over)).all()
            found: dict[str, list[Facet]] = {row.id: [] for row in rows}
            for facet in await connection.execute(_most_frequent(found)):
                found[facet.incident_id].append(_facet(facet))
        return [_past(row, tuple(found[row.id])) for row in rows]


# --- how many sagas ---------------------------------------------------------------------------------------------------


class _Standing:
    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = database.dialect
        places = dialect.rows("v", columns_of(steps, ("name",)) | {"definition": sagas.c.definition.type})
        blocked = (
            sa.select(sagas.c.id)
            .join_from(sagas, steps, steps.c.saga_id == sagas.c.id)
            .join(places.selectable, sa.and_(places.c.definition == sagas.c.definition, places.c.name == steps.c.name))
            .where(sagas.c.status == SagaStatus.BLOCKED.value, steps.c.status == StepStatus.BLOCKED.value)
            .distinct()
            .limit(standing_max)
        )
        self._stuck = Bulk(places, sa.select(sa.func.count()).select_from(blocked.subquery()))
        names = dialect.rows("v", columns_of(sagas, ("definition",)))
        under_way = [SagaStatus.RUNNING.value, SagaStatus.COMPENSATING.value, SagaStatus.BLOCKED.value]
        on_their_way = (
            sa.select(sagas.c.id)
            .where(sagas.c.status.in_(under_way), sagas.c.definition.in_(sa.select(names.c.definition)))
            .limit(standing_max)
        )
        self._at_risk = Bulk(names, sa.select(sa.func.count()).select_from(on_their_way.subquery()))

    async def count(self, steps: Collection[str], definitions: Collection[str]) -> Standing:
        places = [(step, definition) for definition, _, step in (place.partition(".") for place in sorted(set(steps)))]
        async with self._database.reading() as connection:
            stuck = await self._stuck.run(connection, places)
            at_risk = await self._at_risk.run(connection, [(name,) for name in sorted(set(definitions))])
        return Standing(stuck[0][0] if stuck else 0, at_risk[0][0] if at_risk else 0)


# --- what is chosen, and how it is read -------------------------------------------------------------------------------

_facet_columns: tuple[sa.Column[Any], ...] = tuple(
    column for column in facets.c if column.name not in ("definition", "participant")
)


def _conditions(chosen: IncidentFilter) -> list[sa.ColumnElement[bool]]:
    equal: list[tuple[sa.Column[Any], str | None]] = [
        (incidents.c.status, chosen.status),
        (incidents.c.cls, chosen.cls),
    ]
    conditions: list[sa.ColumnElement[bool]] = [column == str(value) for column, value in equal if value is not None]
    seen: list[tuple[sa.Column[Any], str | None]] = [
        (facets.c.participant, chosen.participant),
        (facets.c.definition, chosen.definition),
        (facets.c.step, chosen.step),
    ]
    there = [column == value for column, value in seen if value is not None]
    if there:
        conditions.append(sa.exists().where(facets.c.incident_id == incidents.c.id, *there))
    return conditions


def _most_frequent(ids: Collection[str]) -> sa.Select[Any]:
    place = sa.func.row_number().over(
        partition_by=facets.c.incident_id, order_by=(facets.c.count.desc(), facets.c.fingerprint)
    )
    ranked = sa.select(*_facet_columns, place.label("place")).where(facets.c.incident_id.in_(list(ids))).subquery()
    chosen = sa.select(*(ranked.c[column.name] for column in _facet_columns))
    return chosen.where(ranked.c.place <= past_facets_max).order_by(ranked.c.incident_id, ranked.c.place)


def _failure_place(cursor: str) -> tuple[datetime, str, str, str]:
    at, saga_id, step, kind = cursor.split(".")
    return epoch + timedelta(microseconds=int(at)), saga_id, step, kind


def _incident(row: sa.Row[Any]) -> IncidentRow:
    values = {column.name: row._mapping[column.name] for column in incidents.c}
    return IncidentRow(**{**values, "status": IncidentStatus(row.status)})


def _facet(row: sa.Row[Any]) -> Facet:
    return Facet(**row._mapping)


def _failure(row: sa.Row[Any]) -> FailedStep:
    return FailedStep(**row._mapping)


def _past(row: sa.Row[Any], found: tuple[Facet, ...]) -> PastRow:
    verified = None if row.verdict is None else row.verdict == Verdict.CORRECT
    return PastRow(_incident(row), found, verified, row.true_class, row.true_culprit)
