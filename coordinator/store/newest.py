"""Sagas that are to be of the newest version of their definition, whichever coordinator was told of that version.

Who starts them goes by the newest that it knows. Whether there is a newer one is seen by the statement that keeps the
saga, or by one of the same transaction: asking beforehand would be a round trip for every start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from coordinator.store.bulk import Bulk, columns_of
from coordinator.store.dialect import Dialect, Rows
from coordinator.store.schema import definitions, idempotency, sagas


def insert_unless_newer(dialect: Dialect, columns: Sequence[str]) -> Bulk:
    """Insert sagas, except those of whose definition there is a version above `unless_above`, a column after the
    others. Where that is None, no version is too new."""
    rows = dialect.rows("v", {**columns_of(sagas, columns), "unless_above": definitions.c.version.type})
    newer = _newer(rows, rows.c.unless_above)
    timely = sa.select(*(rows.c[name] for name in columns)).where(~newer)
    return Bulk(rows, sa.insert(sagas).from_select(list(columns), timely).returning(sagas.c.id))


def find_late(dialect: Dialect) -> Bulk:
    """Those of these that are not kept yet, and of whose definition there is a newer version; with the saga and the
    request that their key belongs to by now, if it does."""
    rows = dialect.rows(
        "v", {**columns_of(sagas, ("id", "definition", "version")), **columns_of(idempotency, ("caller", "key"))}
    )
    newer = _newer(rows, rows.c.version)
    kept = sa.exists().where(sagas.c.id == rows.c.id)
    same = sa.and_(idempotency.c.caller == rows.c.caller, idempotency.c.key == rows.c.key)
    found: Any = sa.select(rows.c.id, idempotency.c.saga_id, idempotency.c.body_hash)
    return Bulk(rows, found.select_from(rows.selectable.outerjoin(idempotency, same)).where(newer, ~kept))


def _newer(rows: Rows, version: sa.ColumnElement[int]) -> sa.Exists:
    """Whether a row's definition has a version above that one."""
    return sa.exists().where(definitions.c.name == rows.c.definition, definitions.c.version > version)
