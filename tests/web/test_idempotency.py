"""The same key and the same request: the same saga, however many at once, and after any restart."""

from __future__ import annotations

import asyncio

import pytest

from tests.web.conftest import Site, chain, problem_of


async def test_fifty_at_once_with_one_key_start_one_saga(site: Site) -> None:
    await site.define(chain)
    asked = {"definition": "chain", "input": {"n": 1}}

    answers = await asyncio.gather(
        *(site.http.post("/v1/sagas", json=asked, headers={"Idempotency-Key": '"order-17"'}) for _ in range(50))
    )

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 49
    assert len((await site.http.get("/v1/sagas")).json()["items"]) == 1


async def test_after_a_restart_the_key_is_still_known(site: Site) -> None:
    await site.define(chain)
    headers = {"Idempotency-Key": "k-1"}
    first = await site.http.post("/v1/sagas", json={"definition": "chain"}, headers=headers)
    await site.restart()
    await site.define({**chain, "description": "a newer version"})

    again = await site.http.post("/v1/sagas", json={"definition": "chain"}, headers=headers)

    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers


async def test_another_request_with_the_key_is_refused(site: Site) -> None:
    await site.define(chain)
    headers = {"Idempotency-Key": "k-1"}
    first = await site.http.post("/v1/sagas", json={"definition": "chain", "input": 1}, headers=headers)

    for other in ({"input": 2}, {"input": 1, "tags": ["x"]}, {"input": 1, "version": 1}, {"input": True}):
        response = await site.http.post("/v1/sagas", json={"definition": "chain", **other}, headers=headers)
        problem = problem_of(response, 422, "idempotency-key-reused")
        assert first.json()["id"] in problem["detail"]
    assert len((await site.http.get("/v1/sagas")).json()["items"]) == 1


async def test_how_the_same_is_written_does_not_matter(site: Site) -> None:
    await site.define(chain)
    bodies = (
        '{"definition":"chain","input":{"a":1,"b":2}}',
        '{ "input": {"b":2, "a":1}, "definition": "ch\\u0061in" }',
    )
    ids = set()
    for key in ("k-1", '"k-1"'):
        for body in bodies:
            headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
            ids.add((await site.http.post("/v1/sagas", content=body, headers=headers)).json()["id"])

    assert len(ids) == 1


async def test_what_was_accepted_once_is_answered_the_same_when_it_would_no_longer_be(site: Site) -> None:
    await site.define(chain)
    headers = {"Idempotency-Key": "k-1"}
    first = await site.http.post("/v1/sagas", json={"definition": "chain"}, headers=headers)
    await site.define({**chain, "input_schema": {"type": "object"}})

    again = await site.http.post("/v1/sagas", json={"definition": "chain"}, headers=headers)

    assert (again.status_code, again.json()) == (202, first.json())


async def test_an_inline_definition_that_comes_again_is_not_registered_again(site: Site) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first = await site.http.post("/v1/sagas", json={"definition": chain}, headers=headers)
    await site.define({**chain, "description": "a newer version"})

    again = await site.http.post("/v1/sagas", json={"definition": chain}, headers=headers)

    assert again.json() == first.json()
    assert (await site.http.get("/v1/definitions/chain")).json()["version"] == 2


async def test_a_refused_start_leaves_the_key_free(site: Site) -> None:
    headers = {"Idempotency-Key": "k-1"}
    problem_of(
        await site.http.post("/v1/sagas", json={"definition": "chain"}, headers=headers), 404, "unknown-definition"
    )
    await site.define(chain)

    assert (await site.http.post("/v1/sagas", json={"definition": "chain"}, headers=headers)).status_code == 202


@pytest.mark.parametrize("key", ["", '""', "a b", '"open', 'in"side', "x" * 129, '"' + "x" * 129 + '"', "clé"])
async def test_a_key_that_is_none_is_refused(small_site: Site, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode("latin-1")}

    response = await small_site.http.post("/v1/sagas", json={"definition": "chain"}, headers=headers)

    problem = problem_of(response, 400, "bad-parameter")
    assert problem["errors"][0]["parameter"] == "Idempotency-Key"


async def test_a_key_given_twice_is_refused(small_site: Site) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]

    problem_of(
        await small_site.http.post("/v1/sagas", json={"definition": "chain"}, headers=headers), 400, "bad-parameter"
    )
