"""What a saga takes that no machine changes, with bounds a little above what is so now.

A bound that is exceeded says that the hot path has grown; one that is undercut by far says that it can be lowered, or
that something is no longer seen by who counts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from amends.broker import Broker
from amends.database import open_engine
from amends.local import LocalBroker
from amends.rabbitmq import RabbitBroker
from bench.speed.counting import Counted, Counts, counted
from tests.broker.proxy import Proxy, proxied

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

Bounds = dict[str, tuple[float, float]]  # the least and the most of one saga


@pytest.fixture(params=["local", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Broker, str, Proxy | None]]:
    """A broker, its URL, and what lies between it and us."""
    if request.param == "local":
        yield LocalBroker(), "local:", None
        return
    async with proxied(request.getfixturevalue("fresh_rabbitmq_url")) as proxy:
        broker = await RabbitBroker.connect(proxy.url, name="counting")
        yield broker, proxy.url, proxy
        await broker.close()


@pytest.fixture
async def running(database_url: str, tmp_path: Path, wire: tuple[Broker, str, Proxy | None]) -> AsyncIterator[Counted]:
    broker, broker_url, _ = wire
    async with AsyncExitStack() as stack:
        inboxes = []
        for number in range(3):
            shared = database_url.startswith("postgres")
            engine = open_engine(database_url if shared else f"sqlite:///{tmp_path / f'inbox{number}.db'}")
            stack.push_async_callback(engine.dispose)
            inboxes.append(engine)
        yield await stack.enter_async_context(counted(database_url, broker, broker_url, inboxes))


def misses(counts: Counts, bounds: Bounds) -> dict[str, Any]:
    """What lies outside its bounds, with them."""
    found = asdict(counts)
    return {name: (found[name], span) for name, span in bounds.items() if not span[0] <= found[name] <= span[1]}


async def test_one_saga_at_a_time(running: Counted) -> None:
    counts = await running.count(20, at_once=1)
    print(counts)


async def test_fifty_sagas_at_a_time(running: Counted) -> None:
    counts = await running.count(200, at_once=50)
    print(counts)


async def test_a_saga_that_fails(running: Counted) -> None:
    counts = await running.count(20, at_once=1, fails=True)
    print(counts)
