"""The first tables: definitions, sagas with what belongs to them, dead letters, the fleet."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
moment = sa.BigInteger()
changes_often: dict[str, Any] = {"postgresql_with": {"fillfactor": 70}}


def only(*, where: str) -> dict[str, Any]:
    return {"postgresql_where": sa.text(where), "sqlite_where": sa.text(where)}


def upgrade() -> None:
    _definitions()
    _sagas()
    _beside_sagas()
    _dead_letters()
    _fleet()


def downgrade() -> None:
    for table in (
        "definitions",
        "sagas",
        "steps",
        "history",
        "outbox",
        "idempotency",
        "saga_tags",
        "dead_letters",
        "workers",
        "holds",
    ):
        op.drop_table(table)


def _definitions() -> None:
    op.create_table(
        "definitions",
        sa.Column("name", key, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("hash", key, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("definitions_version_counts")),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("definitions_pkey")),
    )


def _sagas() -> None:
    op.create_table(
        "sagas",
        sa.Column("id", key, nullable=False),
        sa.Column("definition", key, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("status", key, nullable=False),
        sa.Column("direction", key, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("wake_at", moment),
        sa.Column("waiting_on", key),
        sa.Column("waiting_for", key),
        sa.Column("business_key", key),
        sa.Column("trace_id", key, nullable=False),
        sa.Column("paused_at", moment),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("updated_at", moment, nullable=False),
        sa.Column("finished_at", moment),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("input", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (status IN ('closed', 'compensated', 'completed'))",
            name=op.f("sagas_finished_is_final"),
        ),
        sa.CheckConstraint("direction IN ('backward', 'forward')", name=op.f("sagas_direction_known")),
        sa.CheckConstraint(
            "status IN ('blocked', 'closed', 'compensated', 'compensating', 'completed', 'running')",
            name=op.f("sagas_status_known"),
        ),
        sa.CheckConstraint("revision >= 0", name=op.f("sagas_revision_counts")),
        sa.PrimaryKeyConstraint("id", name=op.f("sagas_pkey")),
        **changes_often,
    )
    op.create_index("sagas_by_business_key", "sagas", ["business_key", "id"], **only(where="business_key IS NOT NULL"))
    op.create_index("sagas_by_definition", "sagas", ["definition", "id"])
    op.create_index("sagas_by_status", "sagas", ["status", "id"])
    op.create_index("sagas_due", "sagas", ["wake_at"], **only(where="wake_at IS NOT NULL"))
    op.create_index(
        "sagas_waiting", "sagas", ["waiting_on", "waiting_for", "id"], **only(where="waiting_on IS NOT NULL")
    )
    op.create_table(
        "steps",
        sa.Column("saga_id", key, nullable=False),
        sa.Column("name", key, nullable=False),
        sa.Column("status", key, nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("result", sa.Text()),
        sa.CheckConstraint(
            "status IN ('blocked', 'compensated', 'compensating', 'dispatched', 'failed', 'pending', 'refused', "
            "'skipped', 'succeeded', 'waiting', 'waived')",
            name=op.f("steps_status_known"),
        ),
        sa.PrimaryKeyConstraint("saga_id", "name", name=op.f("steps_pkey")),
        **changes_often,
    )


def _beside_sagas() -> None:
    op.create_table(
        "history",
        sa.Column("saga_id", key, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("event", key, nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("notes", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("saga_id", "seq", name=op.f("history_pkey")),
    )
    op.create_table(
        "outbox",
        sa.Column("saga_id", key, nullable=False),
        sa.Column("key", key, nullable=False),
        sa.Column("definition", key, nullable=False),
        sa.Column("participant", key, nullable=False),
        sa.Column("kind", key, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("available_at", moment, nullable=False),
        sa.Column("lease_token", key),
        sa.Column("maybe_sent", sa.Boolean(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text()),
        sa.Column("parked_reason", sa.Text()),
        sa.CheckConstraint("kind IN ('action', 'compensation', 'inquiry')", name=op.f("outbox_kind_known")),
        sa.PrimaryKeyConstraint("saga_id", "key", name=op.f("outbox_pkey")),
        **changes_often,
    )
    op.create_index("outbox_available", "outbox", ["available_at"], **only(where="parked_reason IS NULL"))
    op.create_index("outbox_parked", "outbox", ["created_at"], **only(where="parked_reason IS NOT NULL"))
    op.create_table(
        "idempotency",
        sa.Column("caller", key, nullable=False),
        sa.Column("key", key, nullable=False),
        sa.Column("body_hash", key, nullable=False),
        sa.Column("saga_id", key, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("caller", "key", name=op.f("idempotency_pkey")),
    )
    op.create_table(
        "saga_tags",
        sa.Column("tag", key, nullable=False),
        sa.Column("saga_id", key, nullable=False),
        sa.PrimaryKeyConstraint("tag", "saga_id", name=op.f("saga_tags_pkey")),
    )


def _dead_letters() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("id", key, nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("source", key, nullable=False),
        sa.Column("participant", key),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("saga_id", key),
        sa.Column("command_key", key),
        sa.Column("redelivered", sa.Integer(), nullable=False),
        sa.Column("status", key, nullable=False),
        sa.Column("resolved_at", moment),
        sa.Column("resolved_by", sa.Text()),
        sa.Column("resolved_why", sa.Text()),
        sa.CheckConstraint("(resolved_at IS NULL) = (status = 'open')", name=op.f("dead_letters_resolved_is_not_open")),
        sa.CheckConstraint("status IN ('discarded', 'open', 'redriven')", name=op.f("dead_letters_status_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("dead_letters_pkey")),
    )
    op.create_index("dead_letters_by_saga", "dead_letters", ["saga_id", "at"], **only(where="saga_id IS NOT NULL"))
    op.create_index("dead_letters_by_status", "dead_letters", ["status", "at", "id"])
    op.create_index("dead_letters_by_time", "dead_letters", ["at", "id"])


def _fleet() -> None:
    op.create_table(
        "workers",
        sa.Column("participant", key, nullable=False),
        sa.Column("worker", key, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("actions", sa.Text(), nullable=False),
        sa.Column("compensations", sa.Text(), nullable=False),
        sa.Column("interval_seconds", sa.Float(), nullable=False),
        sa.Column("in_flight", sa.Integer(), nullable=False),
        sa.Column("stopping", sa.Boolean(), nullable=False),
        sa.Column("first_seen", moment, nullable=False),
        sa.Column("last_seen", moment, nullable=False),
        sa.Column("live_until", moment, nullable=False),
        sa.PrimaryKeyConstraint("participant", "worker", name=op.f("workers_pkey")),
        **changes_often,
    )
    op.create_table(
        "holds",
        sa.Column("id", key, nullable=False),
        sa.Column("scope", key, nullable=False),
        sa.Column("name", key, nullable=False),
        sa.Column("since", moment, nullable=False),
        sa.Column("held_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("until", moment),
        sa.Column("ended_by", sa.Text()),
        sa.CheckConstraint("(name = '') = (scope = 'all')", name=op.f("holds_name_unless_all")),
        sa.CheckConstraint("scope IN ('all', 'definition', 'participant')", name=op.f("holds_scope_known")),
        sa.CheckConstraint("(until IS NULL) = (ended_by IS NULL)", name=op.f("holds_ended_by_someone")),
        sa.PrimaryKeyConstraint("id", name=op.f("holds_pkey")),
    )
    op.create_index("holds_active", "holds", ["scope", "name"], unique=True, **only(where="until IS NULL"))
