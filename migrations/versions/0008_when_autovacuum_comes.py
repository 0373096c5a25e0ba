"""PostgreSQL's autovacuum comes to each of the tables that are written all the time as suits what happens to its rows.

Whoever reads and writes meanwhile waits for none of this: it takes a lock that is only in the way of a VACUUM. Pages
that are there stay as they are.
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

dead_fiftieth = {"autovacuum_vacuum_scale_factor": "0.02"}
added_fiftieth = {"autovacuum_vacuum_insert_scale_factor": "0.02"}
at_once = {
    "autovacuum_vacuum_scale_factor": "0",
    "autovacuum_vacuum_threshold": "1000",
    "autovacuum_vacuum_cost_delay": "0",
}
tables = {
    "sagas": dead_fiftieth,
    "steps": dead_fiftieth,
    "history": dead_fiftieth | added_fiftieth,
    "idempotency": dead_fiftieth | added_fiftieth,
    "outbox": at_once,
}


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, parameters in tables.items():
        stated = ", ".join(f"{name} = {value}" for name, value in parameters.items())
        op.execute(f"ALTER TABLE {table} SET ({stated})")
    op.execute("ALTER TABLE outbox RESET (fillfactor)")  # none of its updates can do without an index


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute("ALTER TABLE outbox SET (fillfactor = 70)")
    for table, parameters in tables.items():
        op.execute(f"ALTER TABLE {table} RESET ({', '.join(parameters)})")
