"""A place where coordinators run: embedded (SQLite, the broker in process) or distributed (PostgreSQL, RabbitMQ)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from amends.broker import Broker
from amends.local import LocalBroker
from amends.rabbitmq import RabbitBroker
from coordinator.app import App
from coordinator.building import build
from coordinator.config import Settings
from coordinator.engine import Beginning
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.state import Saga
from tests.engine.puppet import Puppet, Script, answer
from tests.waiting import eventually

chain: dict[str, Any] = {
    "name": "chain",
    "steps": [
        {"name": "reserve", "participant": "inventory", "action": "reserve", "compensation": "release"},
        {"name": "charge", "participant": "payment", "action": "charge", "compensation": "refund"},
        {"name": "ship", "participant": "delivery", "action": "ship", "compensation": "recall"},
    ],
}
diamond: dict[str, Any] = {
    "name": "diamond",
    "steps": [
        {"name": "a", "participant": "p", "action": "a", "compensation": "undo_a", "after": []},
        {"name": "b", "participant": "q", "action": "b", "compensation": "undo_b", "after": ["a"]},
        {"name": "c", "participant": "r", "action": "c", "compensation": "undo_c", "after": ["a"]},
        {"name": "d", "participant": "p", "action": "d", "compensation": "undo_d", "after": ["b", "c"]},
    ],
}


class House:
    """Starts coordinators and puppets on one database and one broker, and ends them with the test."""

    def __init__(self, settings: Settings, broker: Broker, stack: AsyncExitStack) -> None:
        self.settings, self.broker, self.stack = settings, broker, stack
        self.embedded = settings.embedded_broker

    async def coordinator(self, broker: Broker | None = None) -> App:
        shared = self.broker if self.embedded else None
        app = await build(self.settings, broker=broker or shared)
        await app.start()
        self.stack.push_async_callback(self.stop, app)
        return app

    async def stop(self, app: App, *, keep_broker: bool = False) -> None:
        if not app.supervisor.dead():
            await app.stop(close_broker=not (self.embedded or keep_broker))

    async def puppet(self, participant: str, script: Script = answer) -> Puppet:
        puppet = await self.stack.enter_async_context(Puppet(self.broker, participant, script))
        await puppet.beat()
        return puppet

    async def puppets(self, document: dict[str, Any], script: Script = answer) -> dict[str, Puppet]:
        """One for each participant of a definition."""
        names = dict.fromkeys(step["participant"] for step in document["steps"])
        return {name: await self.puppet(name, script) for name in names}


@pytest.fixture(params=["embedded", pytest.param("distributed", marks=[pytest.mark.postgres, pytest.mark.rabbitmq])])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        if request.param == "embedded":
            broker: Broker = LocalBroker()
            settings = Settings(database_url=request.getfixturevalue("sqlite_url"))
        else:
            settings = Settings(
                database_url=request.getfixturevalue("fresh_postgres_url"),
                broker_url=request.getfixturevalue("fresh_rabbitmq_url"),
            )
            broker = await RabbitBroker.connect(settings.broker_url, name="puppets")
        stack.push_async_callback(broker.close)
        yield House(settings, broker, stack)


Start = Callable[[App, SagaDefinition, Any], Awaitable[str]]


async def start(app: App, definition: SagaDefinition, data: Any = None, **facts: Any) -> str:
    """Start a saga; its id."""
    return (await app.engine.start(Beginning(definition, data, **facts))).saga_id


async def saga(app: App, saga_id: str) -> Saga:
    found = (await app.stores.sagas.load([saga_id]))[saga_id]
    assert isinstance(found, Saga)
    return found


async def final(app: App, saga_id: str) -> Saga:
    """The saga, once it is final."""

    async def ended() -> Saga | None:
        found = await saga(app, saga_id)
        return found if found.final else None

    return await eventually(ended, f"saga {saga_id} to be final")


async def all_final(app: App, saga_ids: Sequence[str]) -> list[Saga]:
    """The sagas, once every one of them is final. One look for all: were each waited for by itself, they would keep
    the engine from its own connections, and those that still looked would outlive a test that failed."""

    async def ended() -> list[Saga] | None:
        found = [one for one in (await app.stores.sagas.load(saga_ids)).values() if isinstance(one, Saga)]
        return found if len(found) == len(saga_ids) and all(one.final for one in found) else None

    return await eventually(ended, f"{len(saga_ids)} sagas to be final")
