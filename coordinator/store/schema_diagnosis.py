"""The tables that explain failures: what was observed, what it was grouped into, what was said and done about it."""

from __future__ import annotations

import sqlalchemy as sa

from coordinator.store.dialect import Key, Moment, partial_index
from coordinator.store.explained import RemedyState, Verdict
from coordinator.store.observed import IncidentStatus, OccurrenceKind, Tallied
from coordinator.store.schema import metadata as metadata
from coordinator.store.schema import one_of
from coordinator.store.storage import changes_often

# --- observed ---------------------------------------------------------------------------------------------------------

# The key is a hash of what the row counts, and of who counted it: a key of those columns would be most of the table.
tallies = sa.Table(
    "tallies",
    metadata,
    sa.Column("key", Key, primary_key=True),
    sa.Column("minute", Moment, nullable=False),
    sa.Column("definition", Key, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("step", Key, nullable=False),
    sa.Column("kind", Key, nullable=False),
    sa.Column("participant", Key, nullable=False),
    sa.Column("worker", sa.Text, nullable=False),
    sa.Column("worker_version", sa.Text, nullable=False),
    sa.Column("outcome", Key, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("seconds_sum", sa.Float, nullable=False),
    sa.Column("seconds_buckets", sa.Text, nullable=False),
    sa.Column("wait_seconds_sum", sa.Float, nullable=False),
    sa.Column("wait_buckets", sa.Text, nullable=False),
    one_of("outcome", Tallied),
    sa.Index("tallies_by_minute", "minute", "key"),
    **changes_often,
)

calls = sa.Table(
    "calls",
    metadata,
    sa.Column("key", Key, primary_key=True),
    sa.Column("minute", Moment, nullable=False),
    sa.Column("participant", Key, nullable=False),
    sa.Column("dependency", sa.Text, nullable=False),
    sa.Column("worker", sa.Text, nullable=False),
    sa.Column("worker_version", sa.Text, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("seconds_sum", sa.Float, nullable=False),
    sa.Column("seconds_buckets", sa.Text, nullable=False),
    sa.Index("calls_by_minute", "minute", "key"),
    **changes_often,
)

occurrences = sa.Table(
    "occurrences",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("kind", Key, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("facts", sa.Text, nullable=False),
    one_of("kind", OccurrenceKind),
    sa.Index("occurrences_by_time", "at", "id"),
)

# --- grouped ----------------------------------------------------------------------------------------------------------

incidents = sa.Table(
    "incidents",
    metadata,
    sa.Column("id", Key, primary_key=True),  # UUIDv7: newer is greater
    sa.Column("family", Key, nullable=False),
    sa.Column("status", Key, nullable=False),
    sa.Column("opened_at", Moment, nullable=False),
    sa.Column("first_at", Moment, nullable=False),
    sa.Column("last_at", Moment, nullable=False),
    sa.Column("failures", sa.BigInteger, nullable=False),
    sa.Column("merged_into", Key),
    sa.Column("closed_at", Moment),
    sa.Column("cls", Key),
    sa.Column("culprit", sa.Text),
    sa.Column("confidence", sa.Float),
    sa.Column("headline", sa.Text, nullable=False),
    sa.Column("report_version", sa.Integer, nullable=False),
    sa.Column("reported_failures", sa.BigInteger, nullable=False),
    sa.Column("due_at", Moment),
    sa.Column("resolution", sa.Text),
    sa.Column("resolved_by", sa.Text),
    sa.Column("resolved_at", Moment),
    one_of("status", IncidentStatus),
    sa.CheckConstraint(f"(merged_into IS NOT NULL) = (status = '{IncidentStatus.MERGED}')", name="merged_into_another"),
    sa.CheckConstraint(f"(closed_at IS NULL) = (status = '{IncidentStatus.OPEN}')", name="closed_is_not_open"),
    partial_index("incidents_open", "family", where=f"status = '{IncidentStatus.OPEN}'", unique=True),
    partial_index("incidents_merged_into", "merged_into", where="merged_into IS NOT NULL"),
    partial_index("incidents_due", "due_at", where="due_at IS NOT NULL"),
    partial_index("incidents_by_class", "cls", "id", where="cls IS NOT NULL"),
    sa.Index("incidents_by_quiet", "status", "last_at"),
    **changes_often,
)

facets = sa.Table(
    "facets",
    metadata,
    sa.Column("incident_id", Key, primary_key=True),
    sa.Column("fingerprint", Key, primary_key=True),
    sa.Column("definition", Key, nullable=False),
    sa.Column("step", Key, nullable=False),  # "<definition>.<step>"
    sa.Column("kind", Key, nullable=False),
    sa.Column("participant", Key, nullable=False),
    sa.Column("template", sa.Text, nullable=False),
    sa.Column("error_type", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("first_at", Moment, nullable=False),
    sa.Column("last_at", Moment, nullable=False),
    sa.Column("saga_id", Key, nullable=False),
    **changes_often,
)

failed_steps = sa.Table(
    "failed_steps",
    metadata,
    sa.Column("saga_id", Key, primary_key=True),
    sa.Column("step", Key, primary_key=True),
    sa.Column("kind", Key, primary_key=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("definition", Key, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("participant", Key, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("error_type", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("template", sa.Text, nullable=False),
    sa.Column("fingerprint", Key, nullable=False),
    sa.Column("family", Key, nullable=False),
    sa.Column("worker", sa.Text, nullable=False),
    sa.Column("worker_version", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("business_key", sa.Text),
    sa.Column("incident_id", Key, nullable=False),
    sa.Index("failed_steps_by_incident", "incident_id", "at", "saga_id"),
    sa.Index("failed_steps_by_fingerprint", "fingerprint", "saga_id"),
    sa.Index("failed_steps_by_family", "family", "saga_id"),
)

# --- explained --------------------------------------------------------------------------------------------------------

reports = sa.Table(
    "reports",
    metadata,
    sa.Column("incident_id", Key, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("source", Key, nullable=False),
    sa.Column("cls", Key, nullable=False),
    sa.Column("culprit", sa.Text),
    sa.Column("confidence", sa.Float, nullable=False),
    sa.Column("headline", sa.Text, nullable=False),
    sa.Column("digest", Key, nullable=False),
    sa.Column("failures", sa.BigInteger, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Index("reports_by_time", "at"),
    sa.Index("reports_by_digest", "digest", "at"),
)

feedback = sa.Table(
    "feedback",
    metadata,
    sa.Column("incident_id", Key, primary_key=True),
    sa.Column("report_version", sa.Integer, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("verdict", Key),
    sa.Column("true_class", Key),
    sa.Column("true_culprit", sa.Text),
    sa.Column("resolution", sa.Text),
    one_of("verdict", Verdict),
)

model_calls = sa.Table(
    "model_calls",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("incident_id", Key),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("rung", Key, nullable=False),
    sa.Column("outcome", Key, nullable=False),
    sa.Column("tokens_in", sa.BigInteger, nullable=False),
    sa.Column("tokens_out", sa.BigInteger, nullable=False),
    sa.Column("milliseconds", sa.Float, nullable=False),
    sa.Index("model_calls_by_time", "at"),
)

# Who holds the claim asks the model; everyone else waits for what it says.
model_claims = sa.Table(
    "model_claims",
    metadata,
    sa.Column("incident_id", Key, primary_key=True),
    sa.Column("digest", Key, primary_key=True),
    sa.Column("until", Moment, nullable=False),
    sa.Index("model_claims_by_end", "until"),
)

remedies = sa.Table(
    "remedies",
    metadata,
    sa.Column("id", Key, primary_key=True),  # UUIDv7: newer is greater
    sa.Column("incident_id", Key, nullable=False),
    sa.Column("report_version", sa.Integer, nullable=False),
    sa.Column("kind", Key, nullable=False),
    sa.Column("scope", Key, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("tier", Key, nullable=False),
    sa.Column("state", Key, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("proposed_at", Moment, nullable=False),
    sa.Column("automatic", sa.Boolean, nullable=False),
    sa.Column("by", sa.Text),
    sa.Column("decided_at", Moment),
    sa.Column("begun_at", Moment),
    sa.Column("ends_at", Moment),
    sa.Column("ended_at", Moment),
    sa.Column("measured_before", sa.Float),
    sa.Column("measured_after", sa.Float),
    sa.Column("outcome", sa.Text),
    one_of("state", RemedyState),
    partial_index("remedies_begun", "scope", where=f"state = '{RemedyState.BEGUN}'", unique=True),
    partial_index(
        "remedies_waiting",
        "incident_id",
        "kind",
        "scope",
        where="state IN ('approved', 'begun', 'proposed', 'shadow')",
        unique=True,
    ),
    partial_index("remedies_automatic", "begun_at", where="automatic AND begun_at IS NOT NULL"),
    sa.Index("remedies_by_incident", "incident_id", "id"),
    sa.Index("remedies_by_state", "state", "id"),
    **changes_often,
)

# The newest says how much may be done without a person; none: as much as the settings say.
healing_switches = sa.Table(
    "healing_switches",
    metadata,
    sa.Column("id", Key, primary_key=True),  # UUIDv7: newer is greater
    sa.Column("at", Moment, nullable=False),
    sa.Column("mode", Key, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)
