"""A collector, and coordinators that send their spans to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from amends.broker import Broker
from amends.local import LocalBroker
from coordinator.app import App
from coordinator.building import build
from coordinator.config import Settings
from coordinator.engine import Beginning
from coordinator.saga.decision import Decision
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.state import Saga
from coordinator.telemetry.export import Telemetry, configure
from tests.engine.puppet import Puppet, Script, answer
from tests.telemetry.receiver import Received, Receiver
from tests.waiting import eventually


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


@pytest.fixture
def telemetry(receiver: Receiver) -> Iterator[Telemetry]:
    exporting = configure("coordinator", receiver.url, install=False)
    yield exporting
    exporting.shutdown()


class House:
    """Coordinators on one SQLite file and one broker in process, whose spans are exported."""

    def __init__(self, settings: Settings, broker: Broker, telemetry: Telemetry, stack: AsyncExitStack) -> None:
        self.settings, self.broker, self.telemetry, self.stack = settings, broker, telemetry, stack
        self.ended = asyncio.Event()

    async def coordinator(self) -> App:
        app = await build(self.settings, broker=self.broker, telemetry=self.telemetry, observers=[self._sees_the_end])
        await app.start()
        self.stack.push_async_callback(self.stop, app)
        return app

    async def stop(self, app: App) -> None:
        if not app.supervisor.dead():
            await app.stop(close_broker=False)

    async def puppet(self, participant: str, script: Script = answer) -> Puppet:
        puppet = await self.stack.enter_async_context(Puppet(self.broker, participant, script))
        await puppet.beat()
        return puppet

    async def start(self, app: App, document: dict[str, Any], data: Any = None) -> str:
        definition = await app.definitions.register(document, "test")
        return (await app.engine.start(Beginning(definition, data, business_key="A-1"))).saga_id

    async def end(self, app: App) -> None:
        """Wait until the saga is final and every command of it is confirmed; then let the collector have it all."""
        async with asyncio.timeout(30):
            await self.ended.wait()

        async def all_is_confirmed() -> bool:
            return not await app.stores.outbox.pending()

        await eventually(all_is_confirmed, "the outbox to be empty")
        await asyncio.to_thread(self.telemetry.flush)

    def _sees_the_end(self, definition: SagaDefinition, before: Saga, decision: Decision) -> None:
        if decision.saga.final and not before.final:
            self.ended.set()


@pytest.fixture
async def house(sqlite_url: str, telemetry: Telemetry) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        broker = LocalBroker()
        stack.push_async_callback(broker.close)
        yield House(Settings(database_url=sqlite_url), broker, telemetry, stack)


def check_tree(spans: list[Received]) -> Received:
    """The spans are one tree: one trace, one root, ids that are unique, parents and links that are there. The root."""
    ids = [span.span_id for span in spans]
    assert len(set(ids)) == len(ids)
    assert len({span.trace_id for span in spans}) == 1
    (root,) = (span for span in spans if span.parent_id is None)
    assert {span.parent_id for span in spans if span.parent_id} <= set(ids)
    assert {target for span in spans for _, target in span.links} <= set(ids)
    assert all(span.start <= span.end for span in spans)
    assert not [span.name for span in spans if span.attributes["saga.id"] in span.name]
    return root
