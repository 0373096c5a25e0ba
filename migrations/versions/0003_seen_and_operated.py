"""Seen and operated: which step failed, sagas by how long nothing happened and by their end, what is asked of many."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
moment = sa.BigInteger()
changes_often: dict[str, Any] = {"postgresql_with": {"fillfactor": 70}}
rows_at_once = 1000


def only(*, where: str) -> dict[str, Any]:
    return {"postgresql_where": sa.text(where), "sqlite_where": sa.text(where)}


def upgrade() -> None:
    op.add_column("sagas", sa.Column("failed_step", key))
    _fill_failed_step()
    op.create_index("sagas_failed", "sagas", ["failed_step", "id"], **only(where="failed_step IS NOT NULL"))
    op.create_index("sagas_quiet", "sagas", ["updated_at"], **only(where="finished_at IS NULL"))
    op.create_index("sagas_finished", "sagas", ["finished_at"], **only(where="finished_at IS NOT NULL"))
    op.create_index("failed_steps_by_fingerprint", "failed_steps", ["fingerprint", "saga_id"])
    op.create_index("failed_steps_by_family", "failed_steps", ["family", "saga_id"])
    _bulks()


def downgrade() -> None:
    op.drop_table("bulks")
    op.drop_index("failed_steps_by_family", "failed_steps")
    op.drop_index("failed_steps_by_fingerprint", "failed_steps")
    for index in ("sagas_finished", "sagas_quiet", "sagas_failed"):
        op.drop_index(index, "sagas")
    op.drop_column("sagas", "failed_step")


def _fill_failed_step() -> None:
    """What turned the sagas that are there already stands in their records."""
    connection = op.get_bind()
    sagas = sa.table("sagas", *(sa.column(name, sa.Text()) for name in ("id", "status", "record", "failed_step")))
    turned = sa.select(sagas.c.id, sagas.c.record).where(sagas.c.status.not_in(["running", "completed"]))
    after = ""
    while True:
        rows = connection.execute(turned.where(sagas.c.id > after).order_by(sagas.c.id).limit(rows_at_once)).all()
        for row in rows:
            step = _turned_by(row.record)
            if step is not None:
                connection.execute(sa.update(sagas).where(sagas.c.id == row.id).values(failed_step=step))
        if len(rows) < rows_at_once:
            return
        after = rows[-1].id


def _turned_by(record: str) -> str | None:
    try:
        cause = json.loads(record).get("cause")
        step = cause.get("step") if cause else None
    except (ValueError, AttributeError):
        return None  # a record that can't be read is shown as such elsewhere
    return step if isinstance(step, str) else None


def _bulks() -> None:
    op.create_table(
        "bulks",
        sa.Column("id", key, nullable=False),
        sa.Column("key", key),
        sa.Column("body_hash", key, nullable=False),
        sa.Column("verb", key, nullable=False),
        sa.Column("arguments", sa.Text(), nullable=False),
        sa.Column("stated", sa.Text(), nullable=False),
        sa.Column("chosen", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("rate_per_second", sa.Float(), nullable=False),
        sa.Column("state", key, nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("total_capped", sa.Boolean(), nullable=False),
        sa.Column("cursor", key, nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("unchanged", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.Column("refusals", sa.Text(), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("updated_at", moment, nullable=False),
        sa.Column("finished_at", moment),
        sa.Column("cancelled_by", sa.Text()),
        sa.Column("lease_token", key),
        sa.Column("lease_until", moment),
        sa.CheckConstraint("state IN ('cancelled', 'done', 'running', 'waiting')", name=op.f("bulks_state_known")),
        sa.CheckConstraint(
            "(finished_at IS NULL) = (state IN ('running', 'waiting'))", name=op.f("bulks_finished_is_over")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("bulks_pkey")),
        **changes_often,
    )
    op.create_index("bulks_by_key", "bulks", ["key"], unique=True, **only(where="key IS NOT NULL"))
    op.create_index("bulks_open", "bulks", ["id"], **only(where="finished_at IS NULL"))
