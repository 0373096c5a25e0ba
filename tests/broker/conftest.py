"""A broker to test: each behaviour runs in process and on RabbitMQ."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from amends.broker import Broker
from amends.local import LocalBroker
from amends.rabbitmq import RabbitBroker


@pytest.fixture(params=["local", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    """An empty broker, closed afterwards."""
    opened: Broker
    if request.param == "local":
        opened = LocalBroker()
    else:
        opened = await RabbitBroker.connect(request.getfixturevalue("fresh_rabbitmq_url"), name="test")
    yield opened
    await opened.close()


@pytest.fixture
async def rabbit(fresh_rabbitmq_url: str) -> AsyncIterator[RabbitBroker]:
    """An empty RabbitMQ."""
    opened = await RabbitBroker.connect(fresh_rabbitmq_url, name="test")
    yield opened
    await opened.close()
