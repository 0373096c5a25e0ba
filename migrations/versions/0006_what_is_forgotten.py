"""Idempotency keys are found by their saga, with which they are forgotten."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("idempotency_by_saga", "idempotency", ["saga_id"])


def downgrade() -> None:
    op.drop_index("idempotency_by_saga", table_name="idempotency")
