"""A definition's sagas of one status are found within the index of the definition, without a look at those of others.

The index is built anew, and until it is there whoever reads or writes sagas waits: a second or two for each million.
The old one goes first, for a lock that grew stronger half-way could be waited for in a circle.
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("sagas_by_definition", "sagas")
    op.create_index("sagas_by_definition", "sagas", ["definition", "id", "status"])


def downgrade() -> None:
    op.drop_index("sagas_by_definition", "sagas")
    op.create_index("sagas_by_definition", "sagas", ["definition", "id"])
