"""Definitions: a new version for every change, the same for none, whoever registers at the same moment."""

from __future__ import annotations

import asyncio

import pytest

from coordinator.store.database import Database
from coordinator.store.definitions import DefinitionStore
from coordinator.store.values import Registered, StoredDefinition
from tests.store.made import later, noon


@pytest.fixture
def definitions(database: Database) -> DefinitionStore:
    return DefinitionStore(database)


async def register(definitions: DefinitionStore, name: str, document: str) -> Registered:
    return await definitions.register(name, document, f"hash of {document}", by="ann", now=noon)


async def test_a_change_is_a_new_version_and_no_change_is_none(definitions: DefinitionStore) -> None:
    assert await register(definitions, "a", "one") == Registered(1, new=True)
    assert await register(definitions, "a", "one") == Registered(1, new=False)
    assert await register(definitions, "a", "two") == Registered(2, new=True)
    assert await register(definitions, "a", "one") == Registered(3, new=True)  # back to what it was is a change
    assert await register(definitions, "b", "one") == Registered(1, new=True)


async def test_a_version_is_found_by_number_and_the_newest_without(definitions: DefinitionStore) -> None:
    await register(definitions, "a", "one")
    await definitions.register("a", "two", "hash of two", by="bob", now=later(1))
    assert await definitions.get("a", 1) == StoredDefinition("a", 1, "one", "hash of one", noon, "ann")
    assert await definitions.get("a") == StoredDefinition("a", 2, "two", "hash of two", later(1), "bob")
    assert await definitions.get("a", 3) is None
    assert await definitions.get("b") is None
    assert [stored.version for stored in await definitions.versions("a")] == [2, 1]


async def test_the_newest_of_each_are_listed_by_name(definitions: DefinitionStore) -> None:
    for name in ("c", "a", "B", "b"):
        for document in ("one", "two"):
            await register(definitions, name, document)
    listed = await definitions.newest()
    assert [(stored.name, stored.version) for stored in listed] == [("B", 2), ("a", 2), ("b", 2), ("c", 2)]
    assert [stored.name for stored in await definitions.newest(after="a", limit=1)] == ["b"]


async def test_whoever_registers_the_same_at_once_gets_the_same_version(definitions: DefinitionStore) -> None:
    answers = await asyncio.gather(*(register(definitions, "a", "one") for _ in range(20)))
    assert {answer.version for answer in answers} == {1}
    assert sum(answer.new for answer in answers) == 1


async def test_whoever_registers_others_at_once_gets_versions_without_gaps(definitions: DefinitionStore) -> None:
    answers = await asyncio.gather(*(register(definitions, "a", f"document {n}") for n in range(20)))
    assert sorted(answer.version for answer in answers) == list(range(1, 21))
    stored = {kept.version: kept.document for kept in await definitions.versions("a")}
    assert [stored[answer.version] for answer in answers] == [f"document {n}" for n in range(20)]
