"""A shop on each database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from amends.database import open_engine
from tests.sdk.shop import Shop


@pytest.fixture
async def shop(database_url: str) -> AsyncIterator[Shop]:
    engine = open_engine(database_url)
    shop = Shop(engine)
    await shop.create()
    yield shop
    await engine.dispose()
