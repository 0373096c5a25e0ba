"""The SDK's client, against the real API, and against one that is not there."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest

from amends import client as clients
from amends.client import Client
from amends.definition import Saga
from amends.errors import CoordinatorUnavailable, DefinitionError, ProblemError
from tests.web.conftest import Site, chain


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "pause_first_seconds", 0.001)
    monkeypatch.setattr(clients, "pause_cap_seconds", 0.002)


def scripted(*answers: Callable[[httpx2.Request], httpx2.Response]) -> tuple[Client, list[httpx2.Request]]:
    """A client whose requests get these answers, one after the other, and the requests."""
    seen: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return answers[min(len(seen), len(answers)) - 1](request)

    return Client("http://coordinator", tries=4, transport=httpx2.MockTransport(handle)), seen


def unreachable(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("refused", request=request)


async def test_a_saga_is_defined_started_waited_for_and_found(site: Site) -> None:
    builder = Saga("chain").step("reserve", "inventory.reserve", compensation="release")
    await site.puppets(builder.document())
    async with Client(site.url, actor="ada") as client:
        registered = await client.define(builder)
        assert (registered["name"], registered["version"], registered["created"]) == ("chain", 1, True)
        started = await client.start("chain", {"n": 1}, key="k", business_key="order-1", tags=["blue"])
        saga = await client.wait(started["id"], timeout_seconds=20)

        assert saga["status"] == "completed"
        assert (await client.get(started["id"]))["input"] == {"n": 1}
        assert (await client.result(started["id"]))["results"] == {"reserve": None}
        assert [found["id"] async for found in client.list(business_key="order-1")] == [started["id"]]
        assert [found["name"] async for found in client.definitions()] == ["chain"]
        assert (await client.definition("chain", 1))["created_by"] == "ada"
        assert (await client.start("chain", {"n": 1}, key="k", business_key="order-1", tags=["blue"])) == started


async def test_a_list_is_read_over_its_pages_and_bounded(site: Site) -> None:
    await site.define(chain)
    ids = [await site.begin() for _ in range(3)]
    async with Client(site.url) as client:
        assert [saga["id"] async for saga in client.list(limit=2)] == [ids[2], ids[1]]
        assert [saga["id"] async for saga in client._pages("/v1/sagas", {"limit": 1}) if saga] == ids[::-1]


async def test_a_refusal_carries_the_problem(site: Site) -> None:
    await site.define(chain)
    await site.puppets(chain)
    async with Client(site.url) as client:
        saga = await client.wait((await client.start("chain"))["id"])
        with pytest.raises(ProblemError) as refused:
            await client.cancel(saga["id"], "too late")

    problem = refused.value
    assert (problem.status, problem.type) == (409, "/problems/verb-refused")
    assert (problem.saga_status, problem.allowed) == ("completed", [])
    assert "final" in str(problem)


async def test_a_definition_with_faults_names_them_all(small_site: Site) -> None:
    async with Client(small_site.url) as client:
        for attempt in (client.define({"name": "x", "steps": []}), client.start({"name": "x", "steps": []})):
            with pytest.raises(DefinitionError) as refused:
                await attempt
            assert [fault["rule"] for fault in refused.value.faults] == ["no-steps"]
            assert refused.value.faults[0]["hint"]


async def test_a_wait_ends_when_its_time_is_over(small_site: Site) -> None:
    await small_site.define(chain)
    async with Client(small_site.url) as client:
        started = await client.start("chain")
        with pytest.raises(TimeoutError, match="running after"):
            await client.wait(started["id"], timeout_seconds=0.1)


async def test_a_start_is_repeated_with_the_same_key_until_somebody_answers() -> None:
    client, seen = scripted(
        unreachable,
        lambda _: httpx2.Response(503, headers={"Retry-After": "0"}),
        lambda _: httpx2.Response(202, json={"id": "s"}),
    )
    async with client:
        assert await client.start("chain") == {"id": "s"}

    assert len({request.headers["idempotency-key"] for request in seen}) == 1
    assert len(seen) == 3


async def test_two_starts_without_a_key_have_two() -> None:
    client, seen = scripted(lambda _: httpx2.Response(202, json={"id": "s"}))
    async with client:
        await client.start("chain")
        await client.start("chain")

    assert len({request.headers["idempotency-key"] for request in seen}) == 2


async def test_nobody_is_asked_forever() -> None:
    client, seen = scripted(unreachable)
    async with client:
        with pytest.raises(CoordinatorUnavailable, match="asked 4 times: refused"):
            await client.get("s")

    assert len(seen) == 4


async def test_a_refusal_is_not_repeated_whoever_says_it() -> None:
    client, seen = scripted(lambda _: httpx2.Response(404, text="<html>a proxy's page</html>"))
    async with client:
        with pytest.raises(ProblemError, match="404 without a problem document"):
            await client.get("../s")

    assert len(seen) == 1
    assert seen[0].url.raw_path == b"/v1/sagas/..%2Fs"
