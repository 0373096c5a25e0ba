"""The definitions a coordinator works with: read from the store once, kept parsed."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from coordinator.errors import Fault, InvalidDefinition, UnknownDefinition
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.registration import definition_hash, read_definition
from coordinator.schema import check_schema
from coordinator.store.definitions import DefinitionStore

kept_max = 1000  # parsed definitions; a version never changes, so the oldest is simply read again


class Definitions:
    """Definitions by name and version. What is stored was checked, and is checked again when it is read."""

    def __init__(self, store: DefinitionStore, now: Callable[[], datetime]) -> None:
        self._store, self._now = store, now
        self._parsed: OrderedDict[tuple[str, int], SagaDefinition] = OrderedDict()
        self._known: dict[str, int] = {}  # the newest version by name; others may have registered newer ones
        self._asked: dict[str, asyncio.Future[int | None]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def register(self, document: Any, by: str) -> SagaDefinition:
        """Check and keep a document; a new version unless it equals the newest. Raises InvalidDefinition."""
        definition = self.check(document)
        kept = {key: value for key, value in document.items() if key != "version"}
        text = json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
        registered = await self._store.register(definition.name, text, definition_hash(kept), by=by, now=self._now())
        self._learn(definition.name, registered.version)
        return await self.get(definition.name, registered.version)

    def check(self, document: Any) -> SagaDefinition:
        """Read a document without keeping it. Raises InvalidDefinition with every fault."""
        return read_definition(document, schema_fault=check_schema)

    async def known(self, name: str) -> SagaDefinition:
        """The newest version that is known here, or there is where none is known: for who is told when there is a newer
        one. Raises UnknownDefinition."""
        return await self.get(name, self._known.get(name))

    async def get(self, name: str, version: int | None = None) -> SagaDefinition:
        """A definition, the newest there is now unless a version is named. Raises UnknownDefinition."""
        if version is None:
            version = await self._newest(name)
        if version is not None and (name, version) in self._parsed:
            self._parsed.move_to_end((name, version))
            return self._parsed[name, version]
        stored = None if version is None else await self._store.get(name, version)
        if stored is None:
            raise UnknownDefinition(name, version)
        try:
            definition = read_definition(json.loads(stored.document), version=stored.version, schema_fault=check_schema)
        except InvalidDefinition as error:
            # It was accepted under older rules. Its sagas can't be moved by this release, and must not be guessed at.
            fault = Fault(
                "stored", f"{name} version {stored.version} no longer passes: {error}", "upgrade or restore it"
            )
            raise InvalidDefinition([fault, *error.faults]) from error
        self._parsed[name, stored.version] = definition
        while len(self._parsed) > kept_max:
            (forgotten, _), _ = self._parsed.popitem(last=False)
            self._known.pop(forgotten, None)
        return definition

    def _learn(self, name: str, version: int) -> None:
        self._known[name] = max(version, self._known.get(name, version))

    async def _newest(self, name: str) -> int | None:
        """The newest version, as the database has it now. Who asks while a look is under way shares the next one."""
        answer = self._asked.get(name)
        if answer is None:
            answer = self._asked[name] = asyncio.get_running_loop().create_future()
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="definitions")
        return await asyncio.shield(answer)

    async def _look(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, {}
            try:
                newest = await self._store.newest_versions(asked)
            except Exception as error:
                for answer in asked.values():
                    answer.set_exception(error)
            else:
                for name, version in newest.items():
                    self._learn(name, version)
                for name, answer in asked.items():
                    answer.set_result(newest.get(name))
        self._looking = None

    async def load(self, wanted: Iterable[tuple[str, int]]) -> dict[tuple[str, int], SagaDefinition]:
        return {key: await self.get(*key) for key in set(wanted)}
