"""Who is told: subscriptions to what happens, and the outbox of notifications."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
moment = sa.BigInteger()
changes_often: dict[str, Any] = {"postgresql_with": {"fillfactor": 70}}


def only(*, where: str) -> dict[str, Any]:
    return {"postgresql_where": sa.text(where), "sqlite_where": sa.text(where)}


def upgrade() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("id", key, nullable=False),
        sa.Column("target", key, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("definitions", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("ended_at", moment),
        sa.Column("ended_by", sa.Text()),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("open_until", moment),
        sa.Column("last_error", sa.Text()),
        sa.CheckConstraint("target IN ('amqp', 'log', 'webhook')", name="target_known"),
        sa.CheckConstraint("(ended_at IS NULL) = (ended_by IS NULL)", name="ended_by_someone"),
        sa.PrimaryKeyConstraint("id", name="subscriptions_pkey"),
        **changes_often,
    )
    op.create_index("subscriptions_active", "subscriptions", ["id"], **only(where="ended_at IS NULL"))
    op.create_table(
        "notifications",
        sa.Column("id", key, nullable=False),
        sa.Column("subscription_id", key, nullable=False),
        sa.Column("event_id", key, nullable=False),
        sa.Column("event", key, nullable=False),
        sa.Column("definition", key, nullable=False),
        sa.Column("saga_id", key),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", key, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("available_at", moment, nullable=False),
        sa.Column("lease_token", key),
        sa.Column("delivered_at", moment),
        sa.Column("last_error", sa.Text()),
        sa.CheckConstraint("state IN ('delivered', 'dropped', 'failed', 'pending')", name="state_known"),
        sa.PrimaryKeyConstraint("id", name="notifications_pkey"),
        **changes_often,
    )
    op.create_index("notifications_once", "notifications", ["event_id", "subscription_id"], unique=True)
    due = only(where="state = 'pending'")
    op.create_index("notifications_due", "notifications", ["subscription_id", "available_at"], **due)
    op.create_index("notifications_by_state", "notifications", ["state", "id"])
    op.create_index("notifications_by_subscription", "notifications", ["subscription_id", "id"])
    theirs = only(where="saga_id IS NOT NULL")
    op.create_index("notifications_by_saga", "notifications", ["saga_id", "id"], **theirs)


def downgrade() -> None:
    op.drop_table("notifications")
    op.drop_table("subscriptions")
