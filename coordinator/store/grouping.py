"""The statements that put failures into incidents: few of them, however many failures there are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from coordinator.store.bulk import Bulk, columns_of, insert_rows
from coordinator.store.dialect import Dialect, Moment
from coordinator.store.observed import IncidentStatus
from coordinator.store.schema_diagnosis import facets, failed_steps, incidents

growth = 10  # times as many failures as were analysed: analyse again

failed_columns = (
    "saga_id",
    "step",
    "kind",
    "at",
    "definition",
    "version",
    "participant",
    "cause",
    "error_type",
    "code",
    "template",
    "fingerprint",
    "family",
    "worker",
    "worker_version",
    "attempts",
    "business_key",
    "incident_id",
)
facet_columns = (
    "incident_id",
    "fingerprint",
    "definition",
    "step",
    "kind",
    "participant",
    "template",
    "error_type",
    "code",
    "count",
    "first_at",
    "last_at",
    "saga_id",
)
new_columns = (
    "id",
    "family",
    "status",
    "opened_at",
    "first_at",
    "last_at",
    "failures",
    "headline",
    "report_version",
    "reported_failures",
    "due_at",
)


def status_is(status: IncidentStatus, table: sa.FromClause = incidents) -> sa.ColumnElement[bool]:
    """As the partial indexes have it: a parameter would not tell that they fit."""
    return table.c.status == sa.literal_column(f"'{status}'")


def outgrown(failures: Any, reported: Any) -> sa.ColumnElement[bool]:
    """Whether there are so many failures that what was said of fewer may no longer hold."""
    return sa.and_(reported > 0, failures >= reported * growth)


class Grouping:
    def __init__(self, dialect: Dialect) -> None:
        key = ("saga_id", "step", "kind")
        known = dialect.rows("v", columns_of(failed_steps, key))
        same = sa.and_(*(failed_steps.c[name] == known.c[name] for name in key))
        self.known = Bulk(
            known,
            sa.select(*(failed_steps.c[name] for name in key)).join_from(known.selectable, failed_steps, same),
        )
        self.current = self._current(dialect)
        self.insert_incidents = insert_rows(dialect, incidents, new_columns)
        self.insert_failed = insert_rows(dialect, failed_steps, failed_columns)
        self.add_facets = self._add_facets(dialect)
        self.grow = self._grow(dialect)
        self.close = self._close(dialect)
        self.merge = self._merge(dialect)
        ended = dialect.rows("v", columns_of(facets, ("incident_id",)))
        forget = sa.delete(facets).where(facets.c.incident_id.in_(sa.select(ended.c.incident_id)))
        self.forget_facets = Bulk(ended, forget)

    def _current(self, dialect: Dialect) -> Bulk:
        """Which open incident failures of a family go to: the family's own, or the one that its own became part of."""
        families = dialect.rows("v", columns_of(incidents, ("family",)))
        merged = incidents.alias("merged")
        own = sa.select(
            families.c.family, incidents.c.id, incidents.c.last_at, sa.literal_column("1").label("own")
        ).join_from(
            families.selectable,
            incidents,
            sa.and_(incidents.c.family == families.c.family, status_is(IncidentStatus.OPEN)),
        )
        anothers = (
            sa.select(families.c.family, incidents.c.id, incidents.c.last_at, sa.literal_column("0").label("own"))
            .join_from(
                families.selectable,
                merged,
                sa.and_(merged.c.family == families.c.family, status_is(IncidentStatus.MERGED, merged)),
            )
            .join(incidents, incidents.c.id == merged.c.merged_into)
            .where(status_is(IncidentStatus.OPEN))
        )
        return Bulk(families, sa.union_all(own, anothers))

    def _add_facets(self, dialect: Dialect) -> Bulk:
        rows = dialect.rows("v", columns_of(facets, facet_columns))
        return Bulk(rows, added(dialect.insert(facets).from_select(list(facet_columns), rows.only())))

    def _grow(self, dialect: Dialect) -> Bulk:
        rows = dialect.rows("v", columns_of(incidents, ("id", "failures", "first_at", "last_at")))
        failures = incidents.c.failures + rows.c.failures
        again = sa.and_(incidents.c.due_at.is_(None), outgrown(failures, incidents.c.reported_failures))
        grow = sa.update(incidents).values(
            failures=failures,
            first_at=earlier(incidents.c.first_at, rows.c.first_at),
            last_at=later(incidents.c.last_at, rows.c.last_at),
            due_at=sa.case((again, sa.bindparam("now", type_=Moment)), else_=incidents.c.due_at),
        )
        return Bulk(rows, grow.where(incidents.c.id == rows.c.id))

    def _close(self, dialect: Dialect) -> Bulk:
        rows = dialect.rows("v", columns_of(incidents, ("id",)))
        now = sa.bindparam("now", type_=Moment)
        close = sa.update(incidents).values(status=IncidentStatus.CLOSED.value, closed_at=now, due_at=now)
        return Bulk(rows, close.where(incidents.c.id == rows.c.id, status_is(IncidentStatus.OPEN)))

    def _merge(self, dialect: Dialect) -> Bulk:
        """Incidents become part of another, and so does what had become part of them before."""
        rows = dialect.rows("v", columns_of(incidents, ("id",)))
        now, into = sa.bindparam("now", type_=Moment), sa.bindparam("into", type_=sa.Text)
        merge = sa.update(incidents).values(
            status=IncidentStatus.MERGED.value, merged_into=into, closed_at=now, due_at=None
        )
        return Bulk(rows, merge.where(sa.or_(incidents.c.id == rows.c.id, incidents.c.merged_into == rows.c.id)))


def added(insert: Any) -> Any:
    """The insert, with a facet that is there already counted up."""
    return insert.on_conflict_do_update(
        index_elements=["incident_id", "fingerprint"],
        set_={
            "count": facets.c.count + insert.excluded["count"],
            "first_at": earlier(facets.c.first_at, insert.excluded.first_at),
            "last_at": later(facets.c.last_at, insert.excluded.last_at),
        },
    )


def earlier(one: Any, other: Any) -> sa.Case[Any]:
    return sa.case((other < one, other), else_=one)


def later(one: Any, other: Any) -> sa.Case[Any]:
    return sa.case((other > one, other), else_=one)


def moved_facets(dialect: Dialect, ids: Iterable[str], into: str) -> Any:
    """The facets of incidents, added up to those of another."""
    columns = [facets.c[name] for name in facet_columns if name not in ("incident_id", "count", "first_at", "last_at")]
    summed: dict[str, Any] = {column.name: sa.func.max(column) for column in columns}
    summed |= {
        "incident_id": sa.literal(into, sa.Text),
        "fingerprint": facets.c.fingerprint,
        "count": sa.func.sum(facets.c.count, type_=sa.BigInteger),
        "first_at": sa.func.min(facets.c.first_at),
        "last_at": sa.func.max(facets.c.last_at),
    }
    chosen = sa.select(*(summed[name] for name in facet_columns)).where(facets.c.incident_id.in_(list(ids)))
    return added(dialect.insert(facets).from_select(list(facet_columns), chosen.group_by(facets.c.fingerprint)))
