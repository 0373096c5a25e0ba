"""What people may ask of a saga, over the API: who and why, twice the same, and refused with what may be asked."""

from __future__ import annotations

from typing import Any

import pytest

from amends.message import Answer, Command, Failure, Kind, Reply
from tests.engine.puppet import answer
from tests.waiting import eventually
from tests.web.conftest import Site, chain, problem_of, step

stubborn: dict[str, Any] = {
    "name": "stubborn",
    "steps": [
        {
            "name": "reserve",
            "participant": "inventory",
            "action": "reserve",
            "compensation": "release",
            "compensation_retry": {"max_attempts": 1},
        },
        {"name": "charge", "participant": "payment", "action": "charge", "compensation": "refund"},
    ],
}
past_the_pivot: dict[str, Any] = {
    "name": "past",
    "steps": [
        {"name": "book", "participant": "booking", "action": "book", "kind": "pivot"},
        {
            "name": "notify",
            "participant": "mail",
            "action": "notify",
            "kind": "retriable",
            "irreversible": "a mail is a mail",
            "retry": {"max_attempts": 1},
        },
    ],
}


class Moods:
    """A script whose handlers fail for as long as they are named in `broken`."""

    def __init__(self, *broken: str) -> None:
        self.broken = set(broken)

    def __call__(self, command: Command) -> Reply | None:
        if command.inquire:
            return answer(command, Answer.NOT_EXECUTED)
        if command.handler in self.broken:
            return answer(command, Answer.FAILED, effect="none", error=Failure(type="Broken", message="no"))
        if command.handler == "charge":
            return answer(command, Answer.REFUSED, error=Failure(type="Declined"))
        return answer(command)


async def status(site: Site, saga_id: str, wanted: str) -> dict[str, Any]:
    async def stands() -> dict[str, Any] | None:
        saga = await site.saga(saga_id)
        return saga if saga["status"] == wanted else None

    return await eventually(stands, f"the saga to be {wanted}")


async def blocked(site: Site, document: dict[str, Any], moods: Moods) -> dict[str, Any]:
    await site.define(document)
    await site.puppets(document, moods)
    return await status(site, await site.begin(document["name"]), "blocked")


async def test_a_cancel_undoes_and_keeps_who_and_why(site: Site) -> None:
    await site.define(chain)
    await site.puppet("inventory", lambda command: answer(command) if command.kind is Kind.ACTION else None)
    saga_id = await site.begin()

    async def charging() -> bool:
        return str(step(await site.saga(saga_id), "charge")["status"]) == "dispatched"

    await eventually(charging, "the second step")
    response = await site.http.post(f"/v1/sagas/{saga_id}/cancel", json={"by": "ada", "reason": "wrong size"})

    assert response.status_code == 202
    assert response.json()["cause"] == {"kind": "cancelled", "step": None, "message": "wrong size", "by": "ada"}
    again = await site.http.post(f"/v1/sagas/{saga_id}/cancel")
    assert again.status_code == 202
    assert again.json()["cause"]["by"] == "ada"


async def test_the_actor_may_stand_in_the_header(site: Site) -> None:
    await site.define(chain)
    saga_id = await site.begin()

    response = await site.http.post(f"/v1/sagas/{saga_id}/pause", headers={"X-Amends-Actor": "grace"})

    assert response.status_code == 200
    assert response.json()["paused"]["by"] == "grace"
    assert response.json()["allowed"] == ["cancel", "resume"]
    resumed = (await site.http.post(f"/v1/sagas/{saga_id}/resume")).json()
    assert (resumed["paused"], resumed["allowed"]) == (None, ["cancel", "pause"])


async def test_a_final_saga_refuses_everything_with_its_status(site: Site) -> None:
    await site.define(chain)
    await site.puppets(chain)
    saga_id = (await site.end(await site.begin()))["id"]

    for verb in ("cancel", "pause", "resume", "close", "steps/charge/skip", "steps/charge/retry"):
        response = await site.http.post(f"/v1/sagas/{saga_id}/{verb}", json={"reason": "r"})
        problem = problem_of(response, 409, "verb-refused")
        assert (problem["saga_status"], problem["allowed"]) == ("completed", [])


async def test_a_blocked_compensation_is_retried(site: Site) -> None:
    moods = Moods("release")
    saga = await blocked(site, stubborn, moods)
    assert saga["waiting_on"]["kind"] == "blocked"
    assert "close" in saga["allowed"]
    assert step(saga, "reserve")["allowed"] == ["retry", "settle", "waive"]

    moods.broken.clear()
    response = await site.http.post(f"/v1/sagas/{saga['id']}/steps/reserve/retry")

    assert response.status_code == 202
    ended = await site.end(saga["id"])
    assert ended["status"] == "compensated"
    assert [attempt["number"] for attempt in step(ended, "reserve")["attempts"]] == [1, 1, 2]


async def test_a_step_is_settled_after_the_participant_has_fenced_it(site: Site) -> None:
    saga = await blocked(site, stubborn, Moods("release"))

    path = f"/v1/sagas/{saga['id']}/steps/reserve/settle"
    response = await site.http.post(path, json={"settlement": "undone", "by": "ada", "reason": "released by phone"})

    assert response.status_code in (200, 202)
    ended = await site.end(saga["id"])
    assert ended["status"] == "compensated"
    assert step(ended, "reserve")["settled_by"] == "ada: released by phone"
    inquiry = step(ended, "reserve")["attempts"][-1]
    assert (inquiry["kind"], inquiry["outcome"]) == ("inquiry", "not_executed")


async def test_a_waived_step_ends_the_saga_closed_with_its_effect_named(site: Site) -> None:
    saga = await blocked(site, stubborn, Moods("release"))

    response = await site.http.post(f"/v1/sagas/{saga['id']}/steps/reserve/waive", json={"reason": "too late"})

    assert response.status_code == 200
    ended = response.json()
    assert ended["status"] == "closed"
    assert [(left["step"], left["because"]) for left in ended["effects_left"]] == [("reserve", "waived")]


async def test_a_blocked_saga_can_be_closed(site: Site) -> None:
    saga = await blocked(site, stubborn, Moods("release"))

    closed = (await site.http.post(f"/v1/sagas/{saga['id']}/close", json={"reason": "given up"})).json()

    assert closed["status"] == "closed"
    assert closed["effects_left"][0]["because"] == "unsettled"


async def test_another_input_is_tried_in_a_new_iteration(site: Site) -> None:
    moods = Moods("notify")
    saga = await blocked(site, past_the_pivot, moods)
    moods.broken.clear()
    path = f"/v1/sagas/{saga['id']}/steps/notify/retry"
    problem_of(await site.http.post(path, json={"input": {"to": "b"}}), 422, "invalid-body")

    response = await site.http.post(path, json={"input": {"to": "b"}, "reason": "the address was wrong"})

    assert response.status_code == 202
    ended = await site.end(saga["id"])
    assert ended["status"] == "completed"
    notify = step(ended, "notify")
    assert notify["input"] == {"to": "b"}
    assert [(attempt["kind"], attempt["iteration"]) for attempt in notify["attempts"]] == [
        ("action", 0),
        ("inquiry", 0),
        ("action", 1),
    ]


async def test_a_step_that_has_not_happened_is_skipped(site: Site) -> None:
    saga = await blocked(site, past_the_pivot, Moods("notify"))

    path = f"/v1/sagas/{saga['id']}/steps/notify/skip"
    response = await site.http.post(path, json={"reason": "nobody reads it"})

    assert response.status_code in (200, 202)
    ended = await site.end(saga["id"])
    assert (ended["status"], step(ended, "notify")["status"]) == ("completed", "skipped")


async def test_a_refusal_says_what_may_be_asked_of_the_step(site: Site) -> None:
    saga = await blocked(site, past_the_pivot, Moods("notify"))
    path = f"/v1/sagas/{saga['id']}/steps/notify/settle"

    response = await site.http.post(path, json={"settlement": "undone", "reason": "r"})

    problem = problem_of(response, 409, "verb-refused")
    assert problem["saga_status"] == "blocked"
    assert problem["allowed"] == ["retry", "settle", "waive", "skip"]


@pytest.mark.parametrize("verb", ["close", "steps/charge/settle", "steps/charge/waive", "steps/charge/skip"])
async def test_what_overrides_needs_a_reason(small_site: Site, verb: str) -> None:
    await small_site.define(chain)
    saga_id = await small_site.begin()

    for body in ({}, {"by": "ada"}, {"reason": ""}, {"reason": None}, {"settlement": "done"}):
        response = await small_site.http.post(f"/v1/sagas/{saga_id}/{verb}", json=body)
        problem = problem_of(response, 422, "invalid-body")
        assert problem["errors"][0]["pointer"].startswith("/")


async def test_an_unknown_saga_step_or_verb_is_not_found(small_site: Site) -> None:
    await small_site.define(chain)
    saga_id = await small_site.begin()
    nobody = "01a1fab5-0000-7000-8000-000000000000"

    for unknown in (nobody, "x", "%F0%9F%92%A9"):
        problem_of(await small_site.http.get(f"/v1/sagas/{unknown}"), 404, "unknown-saga")
        problem_of(await small_site.http.get(f"/v1/sagas/{unknown}/history"), 404, "unknown-saga")
        problem_of(await small_site.http.get(f"/v1/sagas/{unknown}/result"), 404, "unknown-saga")
        problem_of(await small_site.http.post(f"/v1/sagas/{unknown}/cancel"), 404, "unknown-saga")
    response = await small_site.http.post(f"/v1/sagas/{saga_id}/steps/nothing/waive", json={"reason": "r"})
    problem_of(response, 404, "unknown-step")
    problem_of(await small_site.http.post(f"/v1/sagas/{saga_id}/explode"), 404, "not-found")


async def test_a_compensation_is_told_why(site: Site) -> None:
    await site.define({**chain, "name": "hasty", "grace": "50ms"})
    inventory = await site.puppet("inventory")
    await site.puppet("payment", lambda command: answer(command) if command.kind is Kind.COMPENSATION else None)
    saga_id = await site.begin("hasty")

    async def charging() -> bool:
        return str(step(await site.saga(saga_id), "charge")["status"]) == "dispatched"

    await eventually(charging, "the second step")
    await site.http.post(f"/v1/sagas/{saga_id}/cancel", json={"reason": "wrong size"})
    saga = await site.end(saga_id)

    assert saga["status"] == "compensated"
    assert [(one["kind"], one["outcome"]) for one in step(saga, "charge")["attempts"]] == [
        ("action", "unknown"),
        ("compensation", "succeeded"),
    ]
    reasons = [command.reason for command in inventory.heard if command.kind is Kind.COMPENSATION]
    assert reasons == ["cancelled: wrong size"]
