"""Two coordinators on one database: what was registered at one of them is what the other starts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx2
import pytest

from coordinator import definitions
from coordinator.store.definitions import DefinitionStore
from coordinator.store.sagas import SagaStore
from coordinator.store.values import Creation, NewSaga, Outdated
from tests.web.conftest import Site, chain, problem_of


@pytest.fixture
async def sites(site: Site, database_url: str) -> AsyncIterator[tuple[Site, Site]]:
    other = Site(database_url)
    await other.start()
    yield site, other
    await other.stop()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names whose newest version the database was asked for."""
    names: list[str] = []
    look = DefinitionStore.newest_versions

    async def noted(self: DefinitionStore, wanted: Iterable[str]) -> dict[str, int]:
        names.extend(wanted)
        return await look(self, wanted)

    monkeypatch.setattr(DefinitionStore, "newest_versions", noted)
    return names


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sagas that were not kept, because there was a newer version."""
    ids: list[str] = []
    create = SagaStore.create

    async def noted(self: SagaStore, batch: list[NewSaga], **lease: Any) -> list[Creation]:
        answers = await create(self, batch, **lease)
        ids.extend(answer.saga_id for answer in answers if isinstance(answer, Outdated))
        return answers

    monkeypatch.setattr(SagaStore, "create", noted)
    return ids


def altered(**changes: Any) -> dict[str, Any]:
    return {**chain, **changes}


async def started(site: Site, *, key: str | None = None, prefer: str | None = None, **body: Any) -> httpx2.Response:
    headers = {name: value for name, value in (("Idempotency-Key", key), ("Prefer", prefer)) if value}
    return await site.http.post("/v1/sagas", json={"definition": "chain", **body}, headers=headers)


async def test_what_another_coordinator_registered_is_what_is_started(
    sites: tuple[Site, Site], asked: list[str], refused: list[str]
) -> None:
    here, there = sites
    await here.define(chain)
    versions = []
    for seconds in (1100, 1200, 1300):
        versions.append((await started(here)).json()["version"])
        await there.define(altered(deadline=seconds))
        response = await started(here)
        versions.append(response.json()["version"])
        assert (await here.saga(response.json()["id"]))["version"] == versions[-1]

    assert versions == [1, 2, 2, 3, 3, 4]
    assert asked == ["chain"] * 3  # once for each registration that it was not told of
    assert len(refused) == 3


async def test_many_that_are_started_at_once_are_all_of_the_newest(sites: tuple[Site, Site]) -> None:
    here, there = sites
    await here.define(chain)
    await here.begin()
    await there.define(altered(deadline=1100))

    responses = await asyncio.gather(*(started(here, key=f"order-{n % 20}") for n in range(40)))

    assert {response.json()["version"] for response in responses} == {2}
    assert len({response.json()["id"] for response in responses}) == 20


async def test_who_begins_knowing_nothing_asks_once_and_goes_by_that(
    sites: tuple[Site, Site], asked: list[str], refused: list[str]
) -> None:
    here, there = sites
    await there.define(chain)
    for _ in range(3):
        assert (await started(here)).json()["version"] == 1
    assert (asked, refused) == (["chain"], [])
    for _ in range(2):
        problem_of(await started(here, definition="nobody's"), 404, "unknown-definition")


async def test_a_repeated_key_is_answered_with_the_saga_it_started_of_whatever_version(
    sites: tuple[Site, Site], refused: list[str]
) -> None:
    here, there = sites
    await here.define(chain)
    first = await started(here, key="order-7")
    await there.define(altered(deadline=1100))

    again = await started(here, key="order-7")

    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    problem_of(await started(here, key="order-7", input=1), 422, "idempotency-key-reused")
    assert refused == []
    other = await started(here, key="order-8")
    assert other.json()["version"] == 2
    assert (await started(there, key="order-8")).json() == other.json()


async def test_a_version_that_is_named_is_what_is_started(sites: tuple[Site, Site], refused: list[str]) -> None:
    here, there = sites
    await here.define(chain)
    await there.define(altered(deadline=1100))
    assert [(await started(here, version=version)).json()["version"] for version in (1, 2)] == [1, 2]
    assert (await started(here, definition=chain)).json()["version"] == 3
    assert refused == []


async def test_the_newest_version_says_which_input_is_refused(sites: tuple[Site, Site]) -> None:
    here, there = sites
    text, number = ({"input_schema": {"type": kind}} for kind in ("string", "integer"))
    await here.define(altered(**text))
    problem_of(await started(here, input=7), 422, "invalid-input")

    await there.define(altered(**number))

    assert (await started(here, input=7)).json()["version"] == 2  # though by what it knew it would be refused
    await there.define(altered(**text))
    problem_of(await started(here, input=7), 422, "invalid-input")  # though by what it knew it would be taken


async def test_who_waits_for_the_end_hears_of_it_though_it_began_twice(
    sites: tuple[Site, Site], refused: list[str]
) -> None:
    here, there = sites
    await here.puppets(chain)
    await here.define(chain)
    await here.begin()
    await there.define(altered(deadline=1100))

    response = await started(here, prefer="wait=20")

    assert response.status_code == 200, response.text
    assert (response.json()["version"], response.json()["status"]) == (2, "completed")
    assert refused == [response.json()["id"]]


async def test_what_was_forgotten_of_many_definitions_is_asked_for_again(
    small_site: Site, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(definitions, "kept_max", 2)
    names = ["one", "two", "three"]
    for name in names:
        await small_site.define(altered(name=name))
    assert [(await started(small_site, definition=name)).json()["version"] for name in names] == [1, 1, 1]
    assert asked == names
    assert len(small_site.app.definitions._known) == 2
