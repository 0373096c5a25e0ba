"""A migrated database, and the stores over it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from coordinator.store.database import Database
from coordinator.store.migration import migrate
from coordinator.store.outbox import OutboxStore
from coordinator.store.reader import SagaReader
from coordinator.store.sagas import SagaStore


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await migrate(database_url)
    async with Database.open(database_url) as opened:
        yield opened


@pytest.fixture
def store(database: Database) -> SagaStore:
    return SagaStore(database)


@pytest.fixture
def reader(database: Database) -> SagaReader:
    return SagaReader(database)


@pytest.fixture
def relay_side(database: Database) -> OutboxStore:
    return OutboxStore(database)
