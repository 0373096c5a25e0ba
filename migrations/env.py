"""How alembic reaches the database: always over a connection that is handed to it, inside its transaction."""

from __future__ import annotations

from alembic import context

from coordinator.store.schema_access import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("Run `amends migrate`: it hands over the connection and lets nobody else migrate meanwhile.")

context.configure(connection=connection, target_metadata=metadata, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
