"""Why it failed: what was observed of sagas and fleet, incidents, reports, remedies; pauses with an end or a rate."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
moment = sa.BigInteger()
changes_often: dict[str, Any] = {"postgresql_with": {"fillfactor": 70}}


def only(*, where: str) -> dict[str, Any]:
    return {"postgresql_where": sa.text(where), "sqlite_where": sa.text(where)}


def upgrade() -> None:
    _fleet()
    _observed()
    _incidents()
    _failed_steps()
    _reports()
    _model()
    _remedies()


def downgrade() -> None:
    for table in (
        "tallies",
        "calls",
        "occurrences",
        "incidents",
        "facets",
        "failed_steps",
        "reports",
        "feedback",
        "model_calls",
        "model_claims",
        "remedies",
        "healing_switches",
    ):
        op.drop_table(table)
    op.drop_index("holds_throttling", "holds")
    op.drop_index("holds_active", "holds")
    op.execute("DELETE FROM holds WHERE rate_per_second IS NOT NULL")  # what was a throttle must not become a pause
    for column in ("ends_at", "rate_per_second"):
        op.drop_column("holds", column)
    op.create_index("holds_active", "holds", ["scope", "name"], unique=True, **only(where="until IS NULL"))
    for column in ("host", "settings", "holding"):
        op.drop_column("workers", column)


def _fleet() -> None:
    op.add_column("workers", sa.Column("host", sa.Text(), nullable=False, server_default=sa.text("''")))
    op.add_column("workers", sa.Column("settings", sa.Text(), nullable=False, server_default=sa.text("'{}'")))
    op.add_column("workers", sa.Column("holding", sa.Text(), nullable=False, server_default=sa.text("'{}'")))
    op.add_column("holds", sa.Column("ends_at", moment))
    op.add_column("holds", sa.Column("rate_per_second", sa.Float()))
    op.drop_index("holds_active", "holds")
    full, throttling = "until IS NULL AND rate_per_second IS NULL", "until IS NULL AND rate_per_second IS NOT NULL"
    op.create_index("holds_active", "holds", ["scope", "name"], unique=True, **only(where=full))
    op.create_index("holds_throttling", "holds", ["scope", "name"], unique=True, **only(where=throttling))


def _observed() -> None:
    op.create_table(
        "tallies",
        sa.Column("key", key, nullable=False),
        sa.Column("minute", moment, nullable=False),
        sa.Column("definition", key, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("step", key, nullable=False),
        sa.Column("kind", key, nullable=False),
        sa.Column("participant", key, nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("worker_version", sa.Text(), nullable=False),
        sa.Column("outcome", key, nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("seconds_sum", sa.Float(), nullable=False),
        sa.Column("seconds_buckets", sa.Text(), nullable=False),
        sa.Column("wait_seconds_sum", sa.Float(), nullable=False),
        sa.Column("wait_buckets", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('failed', 'late', 'refused', 'succeeded', 'unknown')", name=op.f("tallies_outcome_known")
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("tallies_pkey")),
        **changes_often,
    )
    op.create_index("tallies_by_minute", "tallies", ["minute", "key"])
    op.create_table(
        "calls",
        sa.Column("key", key, nullable=False),
        sa.Column("minute", moment, nullable=False),
        sa.Column("participant", key, nullable=False),
        sa.Column("dependency", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("worker_version", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("seconds_sum", sa.Float(), nullable=False),
        sa.Column("seconds_buckets", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("calls_pkey")),
        **changes_often,
    )
    op.create_index("calls_by_minute", "calls", ["minute", "key"])
    op.create_table(
        "occurrences",
        sa.Column("id", key, nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("kind", key, nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('announced', 'backlog', 'broker_back', 'broker_lost', 'database_back', 'database_lost', "
            "'definition_registered', 'paused', 'publish_failed', 'resumed', 'setting_changed', 'version_seen', "
            "'worker_back', 'worker_lost', 'workers_scaled')",
            name=op.f("occurrences_kind_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("occurrences_pkey")),
    )
    op.create_index("occurrences_by_time", "occurrences", ["at", "id"])


def _incidents() -> None:
    op.create_table(
        "incidents",
        sa.Column("id", key, nullable=False),
        sa.Column("family", key, nullable=False),
        sa.Column("status", key, nullable=False),
        sa.Column("opened_at", moment, nullable=False),
        sa.Column("first_at", moment, nullable=False),
        sa.Column("last_at", moment, nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("merged_into", key),
        sa.Column("closed_at", moment),
        sa.Column("cls", key),
        sa.Column("culprit", sa.Text()),
        sa.Column("confidence", sa.Float()),
        sa.Column("headline", sa.Text(), nullable=False),
        sa.Column("report_version", sa.Integer(), nullable=False),
        sa.Column("reported_failures", sa.BigInteger(), nullable=False),
        sa.Column("due_at", moment),
        sa.Column("resolution", sa.Text()),
        sa.Column("resolved_by", sa.Text()),
        sa.Column("resolved_at", moment),
        sa.CheckConstraint("status IN ('closed', 'merged', 'open')", name=op.f("incidents_status_known")),
        sa.CheckConstraint(
            "(merged_into IS NOT NULL) = (status = 'merged')", name=op.f("incidents_merged_into_another")
        ),
        sa.CheckConstraint("(closed_at IS NULL) = (status = 'open')", name=op.f("incidents_closed_is_not_open")),
        sa.PrimaryKeyConstraint("id", name=op.f("incidents_pkey")),
        **changes_often,
    )
    op.create_index("incidents_open", "incidents", ["family"], unique=True, **only(where="status = 'open'"))
    op.create_index("incidents_merged_into", "incidents", ["merged_into"], **only(where="merged_into IS NOT NULL"))
    op.create_index("incidents_due", "incidents", ["due_at"], **only(where="due_at IS NOT NULL"))
    op.create_index("incidents_by_class", "incidents", ["cls", "id"], **only(where="cls IS NOT NULL"))
    op.create_index("incidents_by_quiet", "incidents", ["status", "last_at"])
    op.create_table(
        "facets",
        sa.Column("incident_id", key, nullable=False),
        sa.Column("fingerprint", key, nullable=False),
        sa.Column("definition", key, nullable=False),
        sa.Column("step", key, nullable=False),
        sa.Column("kind", key, nullable=False),
        sa.Column("participant", key, nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("error_type", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first_at", moment, nullable=False),
        sa.Column("last_at", moment, nullable=False),
        sa.Column("saga_id", key, nullable=False),
        sa.PrimaryKeyConstraint("incident_id", "fingerprint", name=op.f("facets_pkey")),
        **changes_often,
    )


def _failed_steps() -> None:
    op.create_table(
        "failed_steps",
        sa.Column("saga_id", key, nullable=False),
        sa.Column("step", key, nullable=False),
        sa.Column("kind", key, nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("definition", key, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("participant", key, nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("error_type", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("fingerprint", key, nullable=False),
        sa.Column("family", key, nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("worker_version", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("business_key", sa.Text()),
        sa.Column("incident_id", key, nullable=False),
        sa.PrimaryKeyConstraint("saga_id", "step", "kind", name=op.f("failed_steps_pkey")),
    )
    op.create_index("failed_steps_by_incident", "failed_steps", ["incident_id", "at", "saga_id"])


def _reports() -> None:
    op.create_table(
        "reports",
        sa.Column("incident_id", key, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("source", key, nullable=False),
        sa.Column("cls", key, nullable=False),
        sa.Column("culprit", sa.Text()),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("headline", sa.Text(), nullable=False),
        sa.Column("digest", key, nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("incident_id", "version", name=op.f("reports_pkey")),
    )
    op.create_index("reports_by_time", "reports", ["at"])
    op.create_index("reports_by_digest", "reports", ["digest", "at"])
    op.create_table(
        "feedback",
        sa.Column("incident_id", key, nullable=False),
        sa.Column("report_version", sa.Integer(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("verdict", key),
        sa.Column("true_class", key),
        sa.Column("true_culprit", sa.Text()),
        sa.Column("resolution", sa.Text()),
        sa.CheckConstraint("verdict IN ('correct', 'wrong')", name=op.f("feedback_verdict_known")),
        sa.PrimaryKeyConstraint("incident_id", name=op.f("feedback_pkey")),
    )


def _model() -> None:
    op.create_table(
        "model_calls",
        sa.Column("id", key, nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("incident_id", key),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("rung", key, nullable=False),
        sa.Column("outcome", key, nullable=False),
        sa.Column("tokens_in", sa.BigInteger(), nullable=False),
        sa.Column("tokens_out", sa.BigInteger(), nullable=False),
        sa.Column("milliseconds", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("model_calls_pkey")),
    )
    op.create_index("model_calls_by_time", "model_calls", ["at"])
    op.create_table(
        "model_claims",
        sa.Column("incident_id", key, nullable=False),
        sa.Column("digest", key, nullable=False),
        sa.Column("until", moment, nullable=False),
        sa.PrimaryKeyConstraint("incident_id", "digest", name=op.f("model_claims_pkey")),
    )
    op.create_index("model_claims_by_end", "model_claims", ["until"])


def _remedies() -> None:
    op.create_table(
        "remedies",
        sa.Column("id", key, nullable=False),
        sa.Column("incident_id", key, nullable=False),
        sa.Column("report_version", sa.Integer(), nullable=False),
        sa.Column("kind", key, nullable=False),
        sa.Column("scope", key, nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("tier", key, nullable=False),
        sa.Column("state", key, nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("proposed_at", moment, nullable=False),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.Column("by", sa.Text()),
        sa.Column("decided_at", moment),
        sa.Column("begun_at", moment),
        sa.Column("ends_at", moment),
        sa.Column("ended_at", moment),
        sa.Column("measured_before", sa.Float()),
        sa.Column("measured_after", sa.Float()),
        sa.Column("outcome", sa.Text()),
        sa.CheckConstraint(
            "state IN ('approved', 'begun', 'ended', 'failed', 'helped', 'proposed', 'rejected', 'shadow', 'undone')",
            name=op.f("remedies_state_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("remedies_pkey")),
        **changes_often,
    )
    op.create_index("remedies_begun", "remedies", ["scope"], unique=True, **only(where="state = 'begun'"))
    waiting = "state IN ('approved', 'begun', 'proposed', 'shadow')"
    op.create_index(
        "remedies_waiting", "remedies", ["incident_id", "kind", "scope"], unique=True, **only(where=waiting)
    )
    automatic = "automatic AND begun_at IS NOT NULL"
    op.create_index("remedies_automatic", "remedies", ["begun_at"], **only(where=automatic))
    op.create_index("remedies_by_incident", "remedies", ["incident_id", "id"])
    op.create_index("remedies_by_state", "remedies", ["state", "id"])
    op.create_table(
        "healing_switches",
        sa.Column("id", key, nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("mode", key, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("healing_switches_pkey")),
    )
