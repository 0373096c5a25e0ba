"""What is due is claimed: whose time has come is taken by one coordinator, and put off while that one works on it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.dml import ReturningUpdate

from coordinator.store.dialect import Moment


def claim_due(table: sa.Table, due_at: sa.Column[Any]) -> ReturningUpdate[Any]:
    """A statement that takes `now`, `until` and `limit`, and gives the ids of the rows it has put off until then."""
    due = (
        sa.select(table.c.id)
        .where(due_at <= sa.bindparam("now", type_=Moment))
        .order_by(due_at)
        .limit(sa.bindparam("limit", type_=sa.Integer))
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    claim = sa.update(table).values({due_at: sa.bindparam("until", type_=Moment)}).where(table.c.id == due.c.id)
    return claim.returning(table.c.id)
