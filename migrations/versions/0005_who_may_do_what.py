"""Who may do what, and who did what: API keys, and the audit, which the database itself keeps from being changed."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
moment = sa.BigInteger()
changes_often: dict[str, Any] = {"postgresql_with": {"fillfactor": 70}}


def only(*, where: str) -> dict[str, Any]:
    return {"postgresql_where": sa.text(where), "sqlite_where": sa.text(where)}


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", key, nullable=False),
        sa.Column("kind", key, nullable=False),
        sa.Column("prefix", key, nullable=False),
        sa.Column("hash", key, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", key, nullable=False),
        sa.Column("payloads", sa.Boolean(), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", moment),
        sa.Column("parent_id", key),
        sa.Column("replaced_by", key),
        sa.Column("last_used_at", moment),
        sa.Column("revoked_at", moment),
        sa.Column("revoked_by", sa.Text()),
        sa.CheckConstraint("kind IN ('key', 'session')", name="kind_known"),
        sa.CheckConstraint("role IN ('admin', 'operator', 'viewer')", name="role_known"),
        sa.CheckConstraint("(revoked_at IS NULL) = (revoked_by IS NULL)", name="revoked_by_someone"),
        sa.PrimaryKeyConstraint("id", name="api_keys_pkey"),
        **changes_often,
    )
    op.create_index("api_keys_prefix", "api_keys", ["prefix"], unique=True)
    op.create_index("api_keys_active", "api_keys", ["kind", "id"], **only(where="revoked_at IS NULL"))
    op.create_index("api_keys_by_parent", "api_keys", ["parent_id", "id"], **only(where="parent_id IS NOT NULL"))
    op.create_table(
        "audit",
        sa.Column("id", key, nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("who", key, nullable=False),
        sa.Column("role", key, nullable=False),
        sa.Column("via", key, nullable=False),
        sa.Column("key_id", key),
        sa.Column("on_behalf_of", sa.Text()),
        sa.Column("action", key, nullable=False),
        sa.Column("target", key, nullable=False),
        sa.Column("why", sa.Text()),
        sa.Column("before", sa.Text()),
        sa.Column("after", sa.Text()),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("problem", sa.Text()),
        sa.Column("request_id", key, nullable=False),
        sa.Column("address", key),
        sa.PrimaryKeyConstraint("id", name="audit_pkey"),
    )
    for column in ("who", "action", "target"):
        op.create_index(f"audit_by_{column}", "audit", [column, "id"])
    _keep_as_it_is()


def _keep_as_it_is() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION audit_stays() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the audit is not changed'; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_stays()"
        )
        return
    for verb in ("update", "delete"):
        op.execute(
            f"CREATE TRIGGER audit_stays_{verb} BEFORE {verb.upper()} ON audit "
            "BEGIN SELECT RAISE(ABORT, 'the audit is not changed'); END"
        )


def downgrade() -> None:
    op.drop_table("audit")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_stays()")
    op.drop_table("api_keys")
