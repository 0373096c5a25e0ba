"""Definitions over the API: versions, faults with rule, step and hint, and nothing kept that is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.conftest import Site, chain, problem_of


def with_steps(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"name": "faulty", "steps": list(steps)}


def a_step(name: str, **facts: Any) -> dict[str, Any]:
    return {"name": name, "participant": "p", "action": "do", "compensation": "undo", **facts}


faulty: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "a cycle": (with_steps(a_step("a", after=["b"]), a_step("b", after=["a"])), "cycle", "a"),
    "a self-dependency": (with_steps(a_step("a", after=["a"])), "self-dependency", "a"),
    "an unknown step": (with_steps(a_step("a", after=["z"])), "unknown-step", "a"),
    "a duplicate": (with_steps(a_step("a"), a_step("a")), "duplicate-step", "a"),
    "no steps": (with_steps(), "no-steps", None),
    "5,000 steps": (with_steps(*(a_step(f"s{n}") for n in range(5000))), "too-many-steps", None),
    "an unknown key": (with_steps(a_step("a", retries=3)), "unknown-key", "a"),
    "two parallel pivots": (
        with_steps(
            {"name": "a", "participant": "p", "action": "do", "kind": "pivot", "after": []},
            {"name": "b", "participant": "p", "action": "do", "kind": "pivot", "after": []},
        ),
        "several-pivots",
        "b",
    ),
    "no way back": (with_steps({"name": "a", "participant": "p", "action": "do"}), "no-way-back", "a"),
    "a type not built yet": (with_steps({"name": "a", "type": "approval"}), "not-built-yet", "a"),
}


async def test_a_definition_is_registered_once_per_content(site: Site) -> None:
    first = await site.http.post("/v1/definitions", json=chain)
    again = await site.http.post("/v1/definitions", json=chain)
    other = await site.http.post("/v1/definitions", json={**chain, "description": "another"})

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 201)
    assert [answer.json()["version"] for answer in (first, again, other)] == [1, 1, 2]
    assert other.headers["location"] == "/v1/definitions/chain/2"
    newest = (await site.http.get("/v1/definitions/chain")).json()
    assert (newest["version"], newest["versions"], newest["document"]["description"]) == (2, [2, 1], "another")
    assert (await site.http.get("/v1/definitions/chain/1")).json()["document"] == chain


async def test_who_registered_is_kept(site: Site) -> None:
    await site.http.post("/v1/definitions", json=chain, headers={"X-Amends-Actor": "ada"})

    assert (await site.http.get("/v1/definitions/chain")).json()["created_by"] == "ada"


async def test_the_list_goes_on_where_a_page_ended(site: Site) -> None:
    for name in ("a", "b", "c"):
        await site.define({**chain, "name": name})

    page = (await site.http.get("/v1/definitions?limit=2")).json()
    rest = (await site.http.get(page["next"])).json()

    assert [item["name"] for item in (*page["items"], *rest["items"])] == ["a", "b", "c"]
    assert rest["next"] is None
    assert page["items"][0]["steps"] == 2


@pytest.mark.parametrize(("document", "rule", "step"), faulty.values(), ids=faulty.keys())
async def test_a_fault_is_named_with_its_rule_step_and_hint_and_nothing_is_kept(
    site: Site, document: dict[str, Any], rule: str, step: str | None
) -> None:
    for path in ("/v1/definitions", "/v1/definitions/validate"):
        problem = problem_of(await site.http.post(path, json=document), 422, "invalid-definition")
        fault = next(error for error in problem["errors"] if error["rule"] == rule)
        assert fault["detail"]
        assert fault["hint"]
        assert step is None or step in [error.get("step") for error in problem["errors"] if error["rule"] == rule]
    problem = problem_of(
        await site.http.post("/v1/sagas", json={"definition": document, "input": {}}), 422, "invalid-definition"
    )
    assert rule in [error["rule"] for error in problem["errors"]]
    assert (await site.http.get("/v1/definitions")).json()["items"] == []
    assert (await site.http.get("/v1/sagas")).json()["items"] == []


async def test_validating_keeps_nothing(site: Site) -> None:
    response = await site.http.post("/v1/definitions/validate", json=chain)

    assert response.status_code == 200
    assert response.json()["valid"] is True
    problem_of(await site.http.get("/v1/definitions/chain"), 404, "unknown-definition")


async def test_a_participant_that_nobody_runs_is_a_warning(site: Site) -> None:
    warnings = (await site.http.post("/v1/definitions", json=chain)).json()["warnings"]

    assert {(warning["rule"], warning["step"]) for warning in warnings} == {
        ("not-live", "reserve"),
        ("not-live", "charge"),
    }


async def test_an_unknown_definition_or_version_is_not_found(site: Site) -> None:
    await site.define(chain)

    for path in ("/nobody", "/chain/2", "/chain/0", f"/chain/{2**70}", "/chain/-1"):
        problem_of(await site.http.get("/v1/definitions" + path), 404, "unknown-definition")
