"""Sagas over the API: started, waited for, seen with their attempts and their one answer to what they wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import pytest

from amends.message import Answer, Command, Failure, Kind, Reply, Underlying
from coordinator.web.finishes import Finishes, heard
from tests.engine.puppet import answer
from tests.waiting import eventually
from tests.web.conftest import Site, chain, problem_of, step
from tests.web.failures import failed_saga

impatient: dict[str, Any] = {
    "name": "impatient",
    "steps": [
        {
            "name": "charge",
            "participant": "payment",
            "action": "charge",
            "compensation": "refund",
            "retry": {"max_attempts": 2, "first": "10ms", "jitter": 0},
        }
    ],
}
strict: dict[str, Any] = {
    **chain,
    "name": "strict",
    "input_schema": {"type": "object", "required": ["total"], "properties": {"total": {"type": "integer"}}},
}


async def test_a_saga_is_accepted_and_ends(site: Site) -> None:
    await site.define(chain)
    await site.puppets(chain, lambda command: answer(command, result={"did": command.step}, worker="w-1"))

    response = await site.http.post("/v1/sagas", json={"definition": "chain", "input": {"n": 1}, "tags": ["blue"]})

    assert response.status_code == 202
    accepted = response.json()
    assert response.headers["location"] == accepted["links"]["self"] == f"/v1/sagas/{accepted['id']}"
    assert response.headers["retry-after"] == "1"
    saga = await site.end(accepted["id"])
    assert (saga["status"], saga["waiting_on"], saga["allowed"]) == ("completed", None, [])
    assert saga["progress"] == {"total": 2, "completed": 2, "failed": 0, "percentage": 100}
    assert saga["results"] == {"reserve": {"did": "reserve"}, "charge": {"did": "charge"}}
    assert (saga["input"], saga["tags"], saga["version"]) == ({"n": 1}, ["blue"], 1)
    attempt = step(saga, "charge")["attempts"][0]
    assert (attempt["number"], attempt["kind"], attempt["outcome"], attempt["worker"]) == (
        1,
        "action",
        "succeeded",
        "w-1",
    )
    assert attempt["duration_seconds"] >= 0
    assert step(saga, "charge")["input"]["steps"] == {"reserve": {"did": "reserve"}}


async def test_who_prefers_to_wait_gets_the_end(site: Site) -> None:
    await site.define(chain)
    await site.puppets(chain)

    response = await site.http.post("/v1/sagas", json={"definition": "chain"}, headers={"Prefer": "wait=20"})

    assert (response.status_code, response.json()["status"]) == (200, "completed")
    assert response.headers["preference-applied"] == "wait=20"
    assert response.headers["etag"] == f'"{response.json()["revision"]}"'
    assert "retry-after" not in response.headers


async def test_who_wants_no_more_than_the_result_gets_it_with_the_end(site: Site) -> None:
    await site.define(chain)
    await site.puppets(chain)

    prefer = {"Prefer": "wait=20, return=minimal"}
    response = await site.http.post("/v1/sagas", json={"definition": "chain"}, headers=prefer)

    assert response.status_code == 200
    assert response.headers["preference-applied"] == "wait=20, return=minimal"
    told = response.json()
    assert told == (await site.http.get(f"/v1/sagas/{told['id']}/result")).json()
    assert response.headers["etag"] == f'"{(await site.saga(told["id"]))["revision"]}"'


async def test_the_same_request_once_more_waits_for_the_same_end(site: Site) -> None:
    await site.define(chain)
    await site.puppets(chain)

    headers = {"Prefer": "wait=20", "Idempotency-Key": "once"}
    first, second = [await site.http.post("/v1/sagas", json={"definition": "chain"}, headers=headers) for _ in range(2)]

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["id"] == second.json()["id"]
    assert (first.headers.get("idempotent-replayed"), second.headers["idempotent-replayed"]) == (None, "true")


async def test_an_end_that_another_coordinator_saw_to_is_heard_of() -> None:
    looked_for: list[str] = []

    async def ended(ids: Collection[str]) -> Collection[str]:
        looked_for.extend(ids)
        return ids if len(looked_for) > 1 else ()

    finishes = Finishes(ended)
    with finishes.expecting("a saga of somebody else's") as end:
        began = asyncio.get_running_loop().time()
        assert await heard(end, 20.0) is None
        assert asyncio.get_running_loop().time() - began < 10.0
    assert set(looked_for) == {"a saga of somebody else's"}


async def test_who_waits_in_vain_is_told_where_to_look(site: Site) -> None:
    await site.define(chain)

    response = await site.http.post("/v1/sagas", json={"definition": "chain"}, headers={"Prefer": "wait=1"})

    assert response.status_code == 202
    assert (await site.http.get(response.headers["location"])).json()["status"] == "running"


async def test_an_inline_definition_is_registered_under_its_name(site: Site) -> None:
    first, second = await site.begin(chain), await site.begin(chain)

    assert (await site.saga(first))["version"] == (await site.saga(second))["version"] == 1
    assert (await site.http.get("/v1/definitions/chain")).json()["document"] == chain


async def test_an_input_that_breaks_the_schema_starts_nothing(site: Site) -> None:
    await site.define(strict)

    wrongs: tuple[Any, ...] = ({}, {"total": "7"}, None, [], {"total": 1.5})
    for wrong in wrongs:
        response = await site.http.post("/v1/sagas", json={"definition": "strict", "input": wrong})
        problem = problem_of(response, 422, "invalid-input")
        assert problem["errors"][0]["pointer"] == "/input"
    assert (await site.http.get("/v1/sagas")).json()["items"] == []
    await site.begin("strict", input={"total": 7})


async def test_every_attempt_is_told_with_its_error_and_logs(site: Site) -> None:
    def script(command: Command) -> Reply | None:
        if command.kind is Kind.COMPENSATION or command.attempt > 1:
            return answer(command)
        error = Failure(
            type="Busy",
            message="try later",
            logs=("one", "two"),
            code="http 503",
            causes=(Underlying(type="ConnectTimeout", message="too late", code=""),),
            frames=("payment.card:charge",),
        )
        return answer(command, Answer.FAILED, effect="none", error=error, worker="w-9", duration_seconds=0.25)

    await site.define(impatient)
    await site.puppet("payment", script)

    saga = await site.end(await site.begin("impatient"))

    first, second = step(saga, "charge")["attempts"]
    assert (first["outcome"], first["effect"], second["outcome"]) == ("failed", "none", "succeeded")
    assert first["error"] == {
        "type": "Busy",
        "message": "try later",
        "logs": ["one", "two"],
        "code": "http 503",
        "causes": [{"type": "ConnectTimeout", "message": "too late", "code": ""}],
        "frames": ["payment.card:charge"],
        "retry_after_seconds": None,
    }
    assert first["calls"] == []
    assert (first["worker"], first["handler_seconds"], second["number"]) == ("w-9", 0.25, 2)
    assert first["started_at"] <= first["ended_at"] <= second["started_at"]


async def test_a_saga_that_turned_says_why_and_shows_both_ways(site: Site) -> None:
    def script(command: Command) -> Reply | None:
        if command.handler == "charge":
            return answer(command, Answer.REFUSED, error=Failure(type="Declined", message="no money"))
        return answer(command)

    await site.define(chain)
    await site.puppets(chain, script)

    saga = await site.end(await site.begin())

    assert saga["status"] == "compensated"
    assert saga["cause"] == {"kind": "refused", "step": "charge", "message": "no money", "by": None}
    reserve = step(saga, "reserve")
    assert [(attempt["kind"], attempt["outcome"]) for attempt in reserve["attempts"]] == [
        ("action", "succeeded"),
        ("compensation", "succeeded"),
    ]
    assert (reserve["status"], reserve["undone"]) == ("compensated", "undone")
    result = (await site.http.get(f"/v1/sagas/{saga['id']}/result")).json()
    assert (result["status"], result["cause"]["step"], result["effects_left"]) == ("compensated", "charge", [])


async def test_the_result_of_a_saga_that_has_not_ended_is_a_conflict(site: Site) -> None:
    await site.define(chain)
    saga_id = await site.begin()

    response = await site.http.get(f"/v1/sagas/{saga_id}/result")

    problem = problem_of(response, 409, "saga-not-final")
    assert (problem["saga_status"], problem["allowed"]) == ("running", ["cancel", "pause"])
    assert response.headers["retry-after"] == "1"


async def test_the_history_is_read_page_by_page(site: Site) -> None:
    await site.define(chain)
    await site.puppets(chain)
    saga = await site.end(await site.begin())

    page = (await site.http.get(saga["links"]["history"] + "?limit=2")).json()
    rest = (await site.http.get(page["next"])).json()

    entries = [*page["items"], *rest["items"]]
    assert [entry["seq"] for entry in entries] == list(range(1, saga["revision"] + 1))
    assert [entry["event"] for entry in entries] == ["Started", "Replied", "Replied"]
    assert rest["next"] is None
    assert "send payment.charge" in " ".join(page["items"][1]["notes"])


# --- what it waits for ------------------------------------------------------------------------------------------------


async def test_a_saga_says_that_nobody_consumes(site: Site) -> None:
    await site.define(chain)
    saga_id = await site.begin()
    await site.app.fleet.refresh()

    async def waits() -> bool:
        return str((await site.saga(saga_id))["waiting_on"]["kind"]) == "no_consumer"

    await eventually(waits, "the command to be with the broker, where nobody takes it")
    waiting = (await site.saga(saga_id))["waiting_on"]
    assert (waiting["step"], waiting["participant"], waiting["workers_live"]) == ("reserve", "inventory", 0)


async def test_a_saga_says_whose_reply_it_waits_for(site: Site) -> None:
    await site.define(chain)
    inventory = await site.puppet("inventory", lambda _: None)
    saga_id = await site.begin()

    async def heard() -> bool:
        return bool(inventory.heard)

    await eventually(heard, "the command to arrive")
    waiting = (await site.saga(saga_id))["waiting_on"]
    assert (waiting["kind"], waiting["attempt"], waiting["attempts_max"]) == ("reply", 1, 4)
    assert (waiting["workers_live"], waiting["command"]) == (1, "action")
    assert waiting["since"] < waiting["until"]


async def test_a_saga_says_that_its_command_has_not_left_and_why(site: Site) -> None:
    await site.define(chain)
    await site.app.broker.close()
    saga_id = await site.begin()

    async def says_why() -> bool:
        return "the broker can't be reached" in (await site.saga(saga_id))["waiting_on"]["message"]

    await eventually(says_why, "the relay to have tried")
    assert (await site.saga(saga_id))["waiting_on"]["kind"] == "outbox"


async def test_a_saga_says_that_it_is_paused_by_whichever_pause(site: Site) -> None:
    await site.define(chain)
    saga_id = await site.begin()
    for pause in (
        {"scope": "all"},
        {"scope": "definition", "name": "chain"},
        {"scope": "participant", "name": "inventory"},
    ):
        made = (await site.http.post("/v1/pauses", json={**pause, "reason": "a change"})).json()
        assert (await site.saga(saga_id))["waiting_on"]["kind"] == "paused"
        assert [one["id"] for one in (await site.http.get("/v1/sagas?waiting_on=paused")).json()["items"]] == [saga_id]
        await site.http.request("DELETE", f"/v1/pauses/{made['id']}")
    assert (await site.saga(saga_id))["waiting_on"]["kind"] != "paused"
    await site.http.post(f"/v1/sagas/{saga_id}/pause", json={"reason": "let me look"})
    waiting = (await site.saga(saga_id))["waiting_on"]
    assert (waiting["kind"], waiting["message"]) == ("paused", "let me look")


# --- lists ------------------------------------------------------------------------------------------------------------


async def test_sagas_are_listed_newest_first_and_go_on_at_the_cursor(site: Site) -> None:
    await site.define(chain)
    begun = [await site.begin(business_key=f"order-{n}") for n in range(5)]

    first = await site.http.get("/v1/sagas?limit=2")
    second = await site.http.get(first.json()["next"])
    third = await site.http.get(second.json()["next"])

    listed = [item["id"] for page in (first, second, third) for item in page.json()["items"]]
    assert listed == begun[::-1]
    assert third.json()["next"] is None
    assert first.headers["link"] == f'<{first.json()["next"]}>; rel="next"'


async def test_each_filter_finds_its_own(site: Site) -> None:
    await site.define(chain)
    await site.define({**chain, "name": "other"})
    await site.puppets(chain)
    body = {"definition": "chain", "tags": ["a"], "business_key": "k-1"}
    begun = await site.http.post("/v1/sagas", json=body, headers={"Idempotency-Key": "key-of-mine"})
    done = (await site.end(begun.json()["id"]))["id"]
    await site.http.post("/v1/pauses", json={"scope": "definition", "name": "other", "reason": "r"})
    held = await site.begin("other", tags=["b"])

    async def found(query: str) -> list[str]:
        response = await site.http.get("/v1/sagas?" + query)
        assert response.status_code == 200, response.text
        return [item["id"] for item in response.json()["items"]]

    for query in (
        "definition=chain",
        "status=completed",
        "status=completed,compensated",
        "definition=chain&version=1",
        f"q={done}",
        f"q={done[:30].upper()}&definition=chain",
        "q=k-",
        "q=key-of",
        "tag=a",
        "business_key=k-1",
        "step=charge",
        "step=charge&step_status=succeeded",
    ):
        assert await found(query) == [done], query
    for query in (
        "definition=other",
        "status=running",
        "status=blocked,running,compensating",
        "tag=b",
        "participant=inventory",
        "waiting_on=paused",
        "current_step=reserve",
    ):
        assert await found(query) == [held], query
    for query in (
        "current_step=charge",
        "failed_step=charge",
        "stuck_for_seconds=60",
        "q=zzz",
        "definition=other&version=2",
    ):
        assert await found(query) == [], query
    assert await found("created_from=2001-01-01T00:00:00Z&created_to=2999-01-01T00:00:00Z") == [held, done]
    assert await found("created_from=2999-01-01T00:00:00Z") == []
    assert await found("waiting_on=reply") == []


async def test_those_that_nobody_serves_are_listed_apart(site: Site) -> None:
    await site.define(chain)
    saga_id = await site.begin()
    await site.app.fleet.refresh()
    alone = (await site.http.get("/v1/sagas?waiting_on=no_consumer")).json()["items"]
    assert [(item["id"], item["waiting_on"], item["waiting_for"]) for item in alone] == [
        (saga_id, "no_consumer", "inventory")
    ]

    await site.puppet("inventory", lambda _: None)

    assert (await site.http.get("/v1/sagas?waiting_on=no_consumer")).json()["items"] == []

    async def sent() -> bool:
        return len((await site.http.get("/v1/sagas?waiting_on=reply")).json()["items"]) == 1

    await eventually(sent, "the command to leave")


async def test_those_whose_command_can_not_leave_are_listed_apart(site: Site) -> None:
    await site.define(chain)
    await site.puppet("inventory", lambda _: None)
    relay = site.app.stores.outbox
    await site.http.post("/v1/pauses", json={"scope": "all", "reason": "so that the command stays"})
    stuck = await site.begin()
    now = site.app.clock.now()

    async def claimed() -> Any:
        return await relay.claim("me", now=site.app.clock.now(), lease_until=now, limit=1)

    (row,) = await eventually(claimed, "the command to be given back")
    await relay.park({row.id: "too large for the broker"}, "me")
    (pause,) = (await site.http.get("/v1/pauses")).json()["items"]
    await site.http.request("DELETE", f"/v1/pauses/{pause['id']}")

    (found,) = (await site.http.get("/v1/sagas?waiting_on=outbox")).json()["items"]

    assert (found["id"], found["waiting_on"], found["waiting_for"]) == (stuck, "outbox", "inventory")
    assert [item["waiting_on"] for item in (await site.http.get("/v1/sagas")).json()["items"]] == ["outbox"]
    assert (await site.http.get("/v1/sagas?waiting_on=reply")).json()["items"] == []
    assert (await site.saga(stuck))["waiting_on"]["kind"] == "outbox"


async def test_how_many_there_are_is_told_to_whom_asks(site: Site) -> None:
    await site.define(chain)
    await site.puppet("inventory", lambda _: None)
    for _ in range(3):
        await site.begin()

    async def total(query: str) -> Any:
        return (await site.http.get("/v1/sagas?" + query)).json()["total"]

    assert await total("limit=1") is None
    for query in ("limit=1&count=true", "status=running,blocked&count=true", "waiting_on=reply&count=true"):
        assert await total(query) == {"count": 3, "capped": False}, query
    assert await total("status=completed&count=true") == {"count": 0, "capped": False}
    first = await site.http.get("/v1/sagas?limit=1&count=true&status=running,blocked")
    assert "count" not in first.json()["next"]
    assert "status=running%2Cblocked" in first.json()["next"]


async def test_a_saga_that_turned_is_found_by_the_step_that_failed(site: Site) -> None:
    saga_id = await failed_saga(site)

    (found,) = (await site.http.get("/v1/sagas?failed_step=charge")).json()["items"]

    assert (found["id"], found["failed_step"]) == (saga_id, "charge")
    incident_id = (await site.http.get("/v1/incidents")).json()["items"][0]["id"]
    kinds = (await site.http.get(f"/v1/incidents/{incident_id}")).json()["kinds"]
    for query in (f"incident={incident_id}", f"fingerprint={kinds[0]['fingerprint']}"):
        listed = (await site.http.get("/v1/sagas?" + query)).json()["items"]
        assert [item["id"] for item in listed] == [saga_id]
    assert (await site.http.get("/v1/sagas?family=none")).json()["items"] == []


@pytest.mark.parametrize(
    "query",
    ["colour=red", "limit=0", "limit=201", "limit=x", "status=happy", "waiting_on=godot", "status=running,happy",
     "created_from=yesterday", "created_from=2030-01-01T00:00:00", "created_from=0001-01-01T00:00:00Z",
     "step_status=blocked", "version=1", "version=0",
     "stuck_for_seconds=0", "tag=", "tag=a&tag=b", "tag=%00", "cursor=%0a", "tag=" + "x" * 400],
)  # fmt: skip
async def test_a_filter_that_makes_no_sense_is_refused(small_site: Site, query: str) -> None:
    problem = problem_of(await small_site.http.get("/v1/sagas?" + query), 400, "bad-parameter")

    assert problem["errors"][0]["parameter"] == query.split("=")[0]
