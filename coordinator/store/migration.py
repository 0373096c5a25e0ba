"""Brings a database to the tables this version of the coordinator was written for."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from coordinator.store.database import errors_by_name
from coordinator.store.dialect import Dialect, dialect_of


def migrations_directory() -> Path:
    """Beside the package where it was installed, at the root of the repository where it is worked on."""
    package = Path(__file__).resolve().parents[1]
    places = (package / "migrations", package.parent / "migrations")
    for place in places:
        if (place / "env.py").exists():
            return place
    raise FileNotFoundError(f"no migrations in {places[0]} nor in {places[1]}")


def config_for(connection: sa.Connection) -> Config:
    """Alembic's configuration for commands on this connection, inside its transaction."""
    config = Config()
    config.set_main_option("script_location", str(migrations_directory()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


async def migrate(url: str, *, revision: str = "head") -> None:
    """Upgrade to `revision` in one transaction; whoever comes at the same time waits, and finds it done.

    Raises UnsupportedDatabase and StoreUnavailable.
    """
    dialect = dialect_of(url)
    engine = dialect.migrator()
    try:
        with errors_by_name(dialect):
            async with engine.begin() as connection:
                await connection.run_sync(lambda sync: _upgrade(dialect, sync, revision))
    finally:
        await engine.dispose()


def _upgrade(dialect: Dialect, connection: sa.Connection, revision: str) -> None:
    dialect.lock_schema(connection)
    command.upgrade(config_for(connection), revision)
