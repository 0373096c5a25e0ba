"""The audit may be forgotten when it is old: the database keeps entries from being deleted in their first thirty days,
and from being changed for ever."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

kept_micros = 30 * 86_400 * 1_000_000
refusal = "the audit is not changed"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER audit_stays ON audit")
        _never("UPDATE OR TRUNCATE")
        op.execute(
            "CREATE TRIGGER audit_stays_a_while BEFORE DELETE ON audit FOR EACH ROW "
            f"WHEN (OLD.at > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - {kept_micros}) "
            "EXECUTE FUNCTION audit_stays()"
        )
        return
    op.execute("DROP TRIGGER audit_stays_delete")
    op.execute(
        "CREATE TRIGGER audit_stays_delete BEFORE DELETE ON audit "
        f"WHEN OLD.at > CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER) - {kept_micros} "
        f"BEGIN SELECT RAISE(ABORT, '{refusal}'); END"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER audit_stays_a_while ON audit")
        op.execute("DROP TRIGGER audit_stays ON audit")
        _never("UPDATE OR DELETE OR TRUNCATE")
        return
    op.execute("DROP TRIGGER audit_stays_delete")
    op.execute(f"CREATE TRIGGER audit_stays_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, '{refusal}'); END")


def _never(what: str) -> None:
    op.execute(f"CREATE TRIGGER audit_stays BEFORE {what} ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_stays()")
