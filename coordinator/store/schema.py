"""The tables of sagas and of the fleet; `schema_diagnosis` has those that explain failures. Every table of sagas has a
key that starts with the saga's id, or carries it."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from coordinator.saga.state import FINAL, Direction, SagaStatus, StepStatus
from coordinator.store.dialect import Key, Moment, partial_index
from coordinator.store.storage import changes_and_stays, changes_often, comes_and_goes, is_added_to
from coordinator.store.values import BulkState, CommandKind, DeadLetterStatus, HoldScope

revision = "0009"  # the migration that leads to these tables

metadata = sa.MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s",
        "pk": "%(table_name)s_pkey",
    }
)


def one_of(column: str, kind: type[StrEnum]) -> sa.CheckConstraint:
    """The database knows the same words as the enum."""
    return sa.CheckConstraint(f"{column} IN ({_words(kind)})", name=f"{column}_known")


def _words(words: type[StrEnum] | frozenset[SagaStatus]) -> str:
    return ", ".join(f"'{word}'" for word in sorted(words))


definitions = sa.Table(
    "definitions",
    metadata,
    sa.Column("name", Key, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("hash", Key, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.CheckConstraint("version >= 1", name="version_counts"),
)

sagas = sa.Table(
    "sagas",
    metadata,
    sa.Column("id", Key, primary_key=True),  # UUIDv7: newer is greater
    sa.Column("definition", Key, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("status", Key, nullable=False),
    sa.Column("direction", Key, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("wake_at", Moment),
    sa.Column("waiting_on", Key),
    sa.Column("waiting_for", Key),
    sa.Column("failed_step", Key),  # what turned it, else what blocks it
    sa.Column("business_key", Key),
    sa.Column("trace_id", Key, nullable=False),
    sa.Column("paused_at", Moment),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("finished_at", Moment),
    sa.Column("record", sa.Text, nullable=False),  # the saga without input and steps
    sa.Column("input", sa.Text, nullable=False),  # written once
    one_of("status", SagaStatus),
    one_of("direction", Direction),
    sa.CheckConstraint(f"(finished_at IS NOT NULL) = (status IN ({_words(FINAL)}))", name="finished_is_final"),
    sa.CheckConstraint("revision >= 0", name="revision_counts"),
    partial_index("sagas_due", "wake_at", where="wake_at IS NOT NULL"),
    sa.Index("sagas_by_status", "status", "id"),
    sa.Index("sagas_by_definition", "definition", "id", "status"),  # those of one status are told apart within it
    partial_index("sagas_by_business_key", "business_key", "id", where="business_key IS NOT NULL"),
    partial_index("sagas_waiting", "waiting_on", "waiting_for", "id", where="waiting_on IS NOT NULL"),
    partial_index("sagas_failed", "failed_step", "id", where="failed_step IS NOT NULL"),
    partial_index("sagas_quiet", "updated_at", where="finished_at IS NULL"),
    partial_index("sagas_finished", "finished_at", where="finished_at IS NOT NULL"),
    **changes_and_stays,
)

steps = sa.Table(
    "steps",
    metadata,
    sa.Column("saga_id", Key, primary_key=True),
    sa.Column("name", Key, primary_key=True),
    sa.Column("status", Key, nullable=False),
    sa.Column("record", sa.Text, nullable=False),  # the step without its result
    sa.Column("result", sa.Text),
    one_of("status", StepStatus),
    **changes_and_stays,
)

history = sa.Table(
    "history",
    metadata,
    sa.Column("saga_id", Key, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("event", Key, nullable=False),
    sa.Column("facts", sa.Text, nullable=False),
    sa.Column("notes", sa.Text, nullable=False),
    **is_added_to,
)

# A row is free when nobody holds a lease on it, and again when the lease has ended: `available_at` says when that is,
# so one index finds what may be claimed without passing over what is on its way.
outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("saga_id", Key, primary_key=True),
    sa.Column("key", Key, primary_key=True),
    sa.Column("definition", Key, nullable=False),
    sa.Column("participant", Key, nullable=False),
    sa.Column("kind", Key, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("available_at", Moment, nullable=False),
    sa.Column("lease_token", Key),
    sa.Column("maybe_sent", sa.Boolean, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("last_error", sa.Text),
    sa.Column("parked_reason", sa.Text),
    one_of("kind", CommandKind),
    partial_index("outbox_available", "available_at", where="parked_reason IS NULL"),
    partial_index("outbox_parked", "created_at", where="parked_reason IS NOT NULL"),
    **comes_and_goes,
)

idempotency = sa.Table(
    "idempotency",
    metadata,
    sa.Column("caller", Key, primary_key=True),
    sa.Column("key", Key, primary_key=True),
    sa.Column("body_hash", Key, nullable=False),
    sa.Column("saga_id", Key, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Index("idempotency_by_saga", "saga_id"),  # a key is forgotten with its saga
    **is_added_to,
)

saga_tags = sa.Table(
    "saga_tags",
    metadata,
    sa.Column("tag", Key, primary_key=True),
    sa.Column("saga_id", Key, primary_key=True),
)

# What somebody asked of many sagas at once, and how far it is: from the newest saga to the oldest, past `cursor`.
bulks = sa.Table(
    "bulks",
    metadata,
    sa.Column("id", Key, primary_key=True),  # UUIDv7: newer is greater
    sa.Column("key", Key),  # the idempotency key it came with
    sa.Column("body_hash", Key, nullable=False),
    sa.Column("verb", Key, nullable=False),
    sa.Column("arguments", sa.Text, nullable=False),
    sa.Column("stated", sa.Text, nullable=False),  # which sagas, as it was asked
    sa.Column("chosen", sa.Text, nullable=False),  # and as the store understands it
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("rate_per_second", sa.Float, nullable=False),
    sa.Column("state", Key, nullable=False),
    sa.Column("total", sa.BigInteger, nullable=False),
    sa.Column("total_capped", sa.Boolean, nullable=False),
    sa.Column("cursor", Key, nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("unchanged", sa.BigInteger, nullable=False),
    sa.Column("refused", sa.BigInteger, nullable=False),
    sa.Column("refusals", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("finished_at", Moment),
    sa.Column("cancelled_by", sa.Text),
    sa.Column("lease_token", Key),
    sa.Column("lease_until", Moment),
    one_of("state", BulkState),
    sa.CheckConstraint("(finished_at IS NULL) = (state IN ('running', 'waiting'))", name="finished_is_over"),
    partial_index("bulks_by_key", "key", where="key IS NOT NULL", unique=True),
    partial_index("bulks_open", "id", where="finished_at IS NULL"),
    **changes_often,
)

dead_letters = sa.Table(
    "dead_letters",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("source", Key, nullable=False),
    sa.Column("participant", Key),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("saga_id", Key),
    sa.Column("command_key", Key),
    sa.Column("redelivered", sa.Integer, nullable=False),
    sa.Column("status", Key, nullable=False),
    sa.Column("resolved_at", Moment),
    sa.Column("resolved_by", sa.Text),
    sa.Column("resolved_why", sa.Text),
    one_of("status", DeadLetterStatus),
    sa.CheckConstraint(f"(resolved_at IS NULL) = (status = '{DeadLetterStatus.OPEN}')", name="resolved_is_not_open"),
    sa.Index("dead_letters_by_time", "at", "id"),
    sa.Index("dead_letters_by_status", "status", "at", "id"),
    partial_index("dead_letters_by_saga", "saga_id", "at", where="saga_id IS NOT NULL"),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("participant", Key, primary_key=True),
    sa.Column("worker", Key, primary_key=True),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("actions", sa.Text, nullable=False),
    sa.Column("compensations", sa.Text, nullable=False),
    sa.Column("interval_seconds", sa.Float, nullable=False),
    sa.Column("in_flight", sa.Integer, nullable=False),
    sa.Column("stopping", sa.Boolean, nullable=False),
    sa.Column("first_seen", Moment, nullable=False),
    sa.Column("last_seen", Moment, nullable=False),
    sa.Column("live_until", Moment, nullable=False),  # three intervals after it was last seen
    sa.Column("host", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("settings", sa.Text, nullable=False, server_default=sa.text("'{}'")),
    sa.Column("holding", sa.Text, nullable=False, server_default=sa.text("'{}'")),
    **changes_often,
)

# A hold with a rate throttles: it holds nothing back entirely. One that has an end is over when that has come, whether
# or not anybody has written so.
holds = sa.Table(
    "holds",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("scope", Key, nullable=False),
    sa.Column("name", Key, nullable=False),
    sa.Column("since", Moment, nullable=False),
    sa.Column("held_by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("until", Moment),
    sa.Column("ended_by", sa.Text),
    sa.Column("ends_at", Moment),
    sa.Column("rate_per_second", sa.Float),
    one_of("scope", HoldScope),
    sa.CheckConstraint(f"(name = '') = (scope = '{HoldScope.ALL}')", name="name_unless_all"),
    sa.CheckConstraint("(until IS NULL) = (ended_by IS NULL)", name="ended_by_someone"),
    partial_index("holds_active", "scope", "name", where="until IS NULL AND rate_per_second IS NULL", unique=True),
    partial_index(
        "holds_throttling", "scope", "name", where="until IS NULL AND rate_per_second IS NOT NULL", unique=True
    ),
)
