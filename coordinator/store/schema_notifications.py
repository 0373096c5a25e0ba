"""The tables of notifications: who wants to be told, and the outbox of what they are told."""

from __future__ import annotations

import sqlalchemy as sa

from coordinator.store.dialect import Key, Moment, partial_index
from coordinator.store.notified import NoticeState, Target
from coordinator.store.schema import one_of
from coordinator.store.schema_diagnosis import metadata as metadata
from coordinator.store.storage import changes_often

# The secret signs what is sent, so it can't be kept as a hash; it goes when the subscription ends.
subscriptions = sa.Table(
    "subscriptions",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("target", Key, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("events", sa.Text, nullable=False),
    sa.Column("definitions", sa.Text, nullable=False),
    sa.Column("secret", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("ended_at", Moment),
    sa.Column("ended_by", sa.Text),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("open_until", Moment),
    sa.Column("last_error", sa.Text),
    one_of("target", Target),
    sa.CheckConstraint("(ended_at IS NULL) = (ended_by IS NULL)", name="ended_by_someone"),
    partial_index("subscriptions_active", "id", where="ended_at IS NULL"),
    **changes_often,
)

notifications = sa.Table(
    "notifications",
    metadata,
    sa.Column("id", Key, primary_key=True),  # UUIDv7: newer is greater
    sa.Column("subscription_id", Key, nullable=False),
    sa.Column("event_id", Key, nullable=False),
    sa.Column("event", Key, nullable=False),
    sa.Column("definition", Key, nullable=False),
    sa.Column("saga_id", Key),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("state", Key, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("available_at", Moment, nullable=False),
    sa.Column("lease_token", Key),
    sa.Column("delivered_at", Moment),
    sa.Column("last_error", sa.Text),
    one_of("state", NoticeState),
    sa.Index("notifications_once", "event_id", "subscription_id", unique=True),
    partial_index("notifications_due", "subscription_id", "available_at", where="state = 'pending'"),
    sa.Index("notifications_by_state", "state", "id"),
    sa.Index("notifications_by_subscription", "subscription_id", "id"),
    partial_index("notifications_by_saga", "saga_id", "id", where="saga_id IS NOT NULL"),
    **changes_often,
)
