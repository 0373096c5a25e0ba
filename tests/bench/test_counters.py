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


def bounds_of(database: str) -> dict[str, Bounds]:
    """What is allowed, and expected at least. PostgreSQL moves a batch in one statement; SQLite takes one for each
    table, and has a BEGIN that is a statement. What RabbitMQ has confirmed may be forgotten by itself, in a transaction
    more."""
    sqlite = database == "sqlite"
    same: Bounds = {"history_rows": (4, 4), "step_rows": (3, 3), "items": (6, 6), "kept_blocks": (-1_000, 1_000)}
    alone: Bounds = {
        "statements": (9, 21) if sqlite else (4, 8.5),
        "transactions": (3, 7),
        "inbox_statements": (6, 16 if sqlite else 13),
        "inbox_transactions": (3, 3.2),
        "messages": (6, 6.2),
        "body_bytes": (1_500, 2_500),
    }
    together: Bounds = {
        "statements": (0.1, 1.5),
        "transactions": (0.05, 0.8),
        "inbox_statements": (0.05, 0.6),
        "inbox_transactions": (0.02, 0.3),
        "messages": (0.18, 0.6),
        "body_bytes": (1_500, 2_300),
    }
    failing: Bounds = {
        "statements": (14, 34) if sqlite else (7, 20),
        "transactions": (4, 12),
        "inbox_statements": (10, 31 if sqlite else 26),
        "inbox_transactions": (5, 5.2),
        "messages": (10, 10.2),
        "items": (10, 10),
        "body_bytes": (3_000, 4_400),
        "history_rows": (6, 6),
    }
    return {"alone": same | alone, "together": same | together, "failing": same | failing}


wire_bytes_max = {"alone": 9_000, "together": 5_500, "failing": 15_000}  # both ways, frames and confirms included


def misses(counts: Counts, bounds: Bounds) -> dict[str, Any]:
    """What lies outside its bounds, with them."""
    found = asdict(counts)
    return {name: (found[name], span) for name, span in bounds.items() if not span[0] <= found[name] <= span[1]}


async def test_a_saga_takes_no_more_than_it_did(
    running: Counted, wire: tuple[Broker, str, Proxy | None], database_url: str
) -> None:
    _, _, proxy = wire
    bounds = bounds_of(database_url.partition("+")[0])
    wrong: dict[str, Any] = {}
    for name, count, at_once in (("alone", 20, 1), ("together", 200, 50), ("failing", 20, 1)):
        before = proxy.passed_bytes if proxy else 0
        counts = await running.count(count, at_once=at_once, fails=name == "failing")
        print(name, counts)
        wrong |= {f"{name}: {what}": found for what, found in misses(counts, bounds[name]).items()}
        if proxy is None:
            continue
        sagas = count + at_once + 4  # those that are not counted travel, too
        each = (proxy.passed_bytes - before) / sagas
        print(name, "bytes on the wire", each)
        if not 0 < each <= wire_bytes_max[name]:
            wrong[f"{name}: bytes on the wire"] = each
    assert wrong == {}
