"""The tables of who may do what, and of who did what."""

from __future__ import annotations

import sqlalchemy as sa

from coordinator.store.access import KeyKind, Role
from coordinator.store.dialect import Key, Moment, partial_index
from coordinator.store.schema import one_of
from coordinator.store.schema_notifications import metadata as metadata
from coordinator.store.storage import changes_often

# A secret of 256 bits can't be guessed from its hash, so one round of SHA-256 is enough.
api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", Key, primary_key=True),  # UUIDv7: newer is greater
    sa.Column("kind", Key, nullable=False),
    sa.Column("prefix", Key, nullable=False),
    sa.Column("hash", Key, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", Key, nullable=False),
    sa.Column("payloads", sa.Boolean, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("expires_at", Moment),
    sa.Column("parent_id", Key),
    sa.Column("replaced_by", Key),
    sa.Column("last_used_at", Moment),
    sa.Column("revoked_at", Moment),
    sa.Column("revoked_by", sa.Text),
    one_of("kind", KeyKind),
    one_of("role", Role),
    sa.CheckConstraint("(revoked_at IS NULL) = (revoked_by IS NULL)", name="revoked_by_someone"),
    sa.Index("api_keys_prefix", "prefix", unique=True),
    partial_index("api_keys_active", "kind", "id", where="revoked_at IS NULL"),
    partial_index("api_keys_by_parent", "parent_id", "id", where="parent_id IS NOT NULL"),
    **changes_often,
)

# Nothing is ever changed here, and nothing deleted in its first thirty days: triggers of the database see to it.
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", Key, primary_key=True),  # UUIDv7: newer is greater
    sa.Column("at", Moment, nullable=False),
    sa.Column("who", Key, nullable=False),
    sa.Column("role", Key, nullable=False),
    sa.Column("via", Key, nullable=False),
    sa.Column("key_id", Key),
    sa.Column("on_behalf_of", sa.Text),
    sa.Column("action", Key, nullable=False),
    sa.Column("target", Key, nullable=False),
    sa.Column("why", sa.Text),
    sa.Column("before", sa.Text),
    sa.Column("after", sa.Text),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("problem", sa.Text),
    sa.Column("request_id", Key, nullable=False),
    sa.Column("address", Key),
    sa.Index("audit_by_who", "who", "id"),
    sa.Index("audit_by_action", "action", "id"),
    sa.Index("audit_by_target", "target", "id"),
)
