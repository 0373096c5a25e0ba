"""A coordinator and its participants in one process, for a first saga, a notebook, a small service that needs no more.

    async with embedded(inventory, payment) as coordinator:
        await coordinator.register(place_order.document())
        saga = await coordinator.run("place_order", {"sku": "lamp", "total": 30})

The broker is in this process, so participants of other processes can't join; they and the coordinator meet on RabbitMQ.
What is kept is kept in the database: sagas that a crash interrupted go on when the next process opens it.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from amends.broker import Broker
from amends.local import LocalBroker
from amends.participant import Participant
from coordinator.app import App
from coordinator.building import build
from coordinator.config import Settings
from coordinator.engine import Beginning
from coordinator.errors import Quarantined, UnknownSaga
from coordinator.saga.decision import Decision
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.state import Saga
from coordinator.store.encoding import encode
from coordinator.store.ids import new_id
from coordinator.store.values import Unreadable
from coordinator.supervisor import LoopEnded


class Embedded:
    """A coordinator that runs in this process. Use `embedded`."""

    def __init__(self) -> None:
        self.app: App | None = None
        self._ends: dict[str, asyncio.Future[Saga]] = {}

    @property
    def _app(self) -> App:
        if self.app is None:
            raise RuntimeError("open it first: async with embedded(…) as coordinator")
        return self.app

    async def register(self, document: Mapping[str, Any]) -> int:
        """Register a definition; returns its version. Raises coordinator.errors.InvalidDefinition with every fault."""
        return (await self._app.definitions.register(dict(document), by="embedded")).version

    async def start(self, name: str, input: Any = None) -> str:  # noqa: A002  # the saga's own word
        """Start a saga of the newest version of a definition; returns its id once that is durable.

        Raises UnknownDefinition, StoreUnavailable.
        """
        return await self._start(name, input, new_id(self._app.clock.now()))

    async def _start(self, name: str, value: Any, saga_id: str) -> str:
        definition = await self._app.definitions.get(name)
        kept = json.loads(encode(value))  # as it will be read again, and nobody's to change
        beginning = Beginning(definition, kept, caller="embedded", id=saga_id)
        return (await self._app.engine.start(beginning)).saga_id

    async def end_of(self, saga_id: str) -> Saga:
        """The saga once it is final. A blocked one waits for a person: bound the wait with asyncio.timeout.

        Raises UnknownSaga, Quarantined.
        """
        end = self._ends.setdefault(saga_id, asyncio.get_running_loop().create_future())
        try:
            found = (await self._app.stores.sagas.load([saga_id])).get(saga_id)
            if found is None:
                raise UnknownSaga(saga_id)
            if isinstance(found, Unreadable):
                raise Quarantined(saga_id, found.reason)
            return found if found.final else await asyncio.shield(end)
        finally:
            if end.done():
                self._ends.pop(saga_id, None)

    async def run(self, name: str, input: Any = None) -> Saga:  # noqa: A002
        """Start a saga and wait for its end. As `start` and `end_of`."""
        saga_id = new_id(self._app.clock.now())
        # Listened for before it begins, so that nobody has to look whether it has ended already.
        end: asyncio.Future[Saga] = asyncio.get_running_loop().create_future()
        self._ends[saga_id] = end
        try:
            await self._start(name, input, saga_id)
            return await end
        finally:
            self._ends.pop(saga_id)

    def observe(self, definition: SagaDefinition, before: Saga, decision: Decision) -> None:
        """Called by the engine after each commit."""
        end = self._ends.get(decision.saga.id)
        if end is not None and decision.saga.final and not end.done():
            end.set_result(decision.saga)


@asynccontextmanager
async def embedded(
    *participants: Participant, database_url: str = "sqlite:///.amends/amends.db"
) -> AsyncIterator[Embedded]:
    """Run a coordinator and these participants until the block ends.

    Raises InboxError for an inbox that can't work, and what `coordinator.building.build` raises. Should a part of it
    end while it runs, the block is cancelled and the reason raised in an ExceptionGroup.
    """
    for participant in participants:
        await participant.inbox.check()
    coordinator, broker = Embedded(), LocalBroker()
    settings = Settings.model_validate({"database_url": database_url, "broker_url": "local:"})
    app = coordinator.app = await build(settings, observers=[coordinator.observe], broker=broker)
    await app.start()
    try:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(_watch(app.supervisor.failure))
            async with serving(participants, broker):
                yield coordinator
            watching.cancel()
    finally:
        await app.stop()


@asynccontextmanager
async def serving(participants: Sequence[Participant], broker: Broker) -> AsyncIterator[None]:
    """Let participants answer on this broker until the block ends, then let each finish what it has in hand."""
    async with asyncio.TaskGroup() as group:
        for participant in participants:
            await broker.declare(participant.name)
            group.create_task(participant.serve(broker))
        try:
            yield
        finally:
            for participant in participants:
                participant.stop()


async def load_participants(place: str, *, folder: Path | None = None) -> list[Participant]:
    """The participants at `module:name`: one, several, or a function (async or not) that returns them.

    The module is looked for in `folder` first, by default the current one. Raises ValueError if there are none.
    """
    module_name, colon, name = place.partition(":")
    if not (module_name and colon and name):
        raise ValueError(f"{place!r}: write it as module:name")
    here = str((folder or Path.cwd()).resolve())
    if here not in sys.path:
        sys.path.insert(0, here)
    found: Any = getattr(importlib.import_module(module_name), name, None)
    if callable(found):
        found = found()
    if inspect.isawaitable(found):
        found = await found
    several = [found] if isinstance(found, Participant) else found
    if not isinstance(several, Iterable) or isinstance(several, str):
        raise ValueError(f"{place!r} is neither a participant nor several, but {type(found).__name__}")
    participants = list(several)
    strangers = [type(one).__name__ for one in participants if not isinstance(one, Participant)]
    if strangers or not participants:
        raise ValueError(f"{place!r} holds {', '.join(strangers) or 'nothing'}, where participants are wanted")
    return participants


async def _watch(failure: asyncio.Future[LoopEnded]) -> None:
    raise await failure
