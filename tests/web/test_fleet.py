"""Pauses, participants, dead letters and the outbox, over the API."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from amends.broker import Address
from amends.message import Answer, Kind, encode_item, frame
from coordinator.store.values import OutboxRow
from tests.engine.puppet import answer
from tests.waiting import eventually
from tests.web.conftest import Site, chain, problem_of


async def letters(site: Site, count: int = 1) -> list[dict[str, Any]]:
    async def kept() -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = (await site.http.get("/v1/dead-letters?status=open")).json()["items"]
        return found if len(found) >= count else None

    return await eventually(kept, "the dead letters to be kept")


async def test_a_pause_holds_until_it_is_ended(site: Site) -> None:
    body = {"scope": "participant", "name": "inventory", "reason": "a new release", "by": "ada"}

    made = await site.http.post("/v1/pauses", json=body)
    again = await site.http.post("/v1/pauses", json={**body, "reason": "another"})

    assert made.status_code == again.status_code == 201
    assert again.json()["id"] == made.json()["id"]
    pause = made.json()
    assert (pause["scope"], pause["name"], pause["by"], pause["until"]) == ("participant", "inventory", "ada", None)
    assert (await site.http.get("/v1/pauses")).json()["items"] == [pause]
    ended = await site.http.request("DELETE", made.headers["location"], headers={"X-Amends-Actor": "grace"})
    assert (ended.status_code, ended.json()["ended_by"]) == (200, "grace")
    assert ended.json()["until"]
    problem_of(await site.http.request("DELETE", made.headers["location"]), 404, "unknown-pause")
    assert (await site.http.get("/v1/pauses")).json()["items"] == []


async def test_what_is_paused_accepts_starts_and_sends_nothing(site: Site) -> None:
    await site.define(chain)
    puppets = await site.puppets(chain)
    pause = (await site.http.post("/v1/pauses", json={"scope": "all", "reason": "r"})).json()

    saga_id = await site.begin()

    assert (await site.saga(saga_id))["waiting_on"]["kind"] == "paused"
    outbox = (await site.http.get("/v1/outbox")).json()
    assert [(item["participant"], item["waiting"], item["paused"]) for item in outbox["backlog"]] == [
        ("inventory", 1, True)
    ]
    assert puppets["inventory"].heard == []
    await site.http.request("DELETE", f"/v1/pauses/{pause['id']}")
    assert (await site.end(saga_id))["status"] == "completed"


async def test_a_pause_with_an_end_ends_by_itself(site: Site) -> None:
    await site.define(chain)
    await site.puppets(chain)
    body = {"scope": "participant", "name": "inventory", "reason": "a short look", "seconds": 2.0}

    pause = (await site.http.post("/v1/pauses", json=body)).json()
    saga_id = await site.begin()

    since, ends_at = (datetime.fromisoformat(pause[name]) for name in ("since", "ends_at"))
    assert (ends_at - since, pause["until"]) == (timedelta(seconds=2), None)
    assert (await site.saga(saga_id))["waiting_on"]["kind"] == "paused"
    assert (await site.end(saga_id))["status"] == "completed"
    assert (await site.http.get("/v1/pauses")).json()["items"] == []
    problem_of(await site.http.request("DELETE", f"/v1/pauses/{pause['id']}"), 404, "unknown-pause")


async def test_a_pause_is_never_weakened_by_asking_for_another(site: Site) -> None:
    body = {"scope": "participant", "name": "inventory", "reason": "r"}

    for_good = (await site.http.post("/v1/pauses", json=body)).json()
    shorter = (await site.http.post("/v1/pauses", json={**body, "seconds": 5})).json()
    throttle = (await site.http.post("/v1/pauses", json={**body, "rate_per_second": 2})).json()
    faster = (await site.http.post("/v1/pauses", json={**body, "rate_per_second": 3})).json()

    assert shorter == for_good
    assert (throttle["rate_per_second"], throttle["ends_at"]) == (2, None)
    assert faster == throttle
    assert (await site.http.get("/v1/pauses")).json()["items"] == [for_good, throttle]


async def test_a_throttled_command_says_what_it_waits_for(site: Site) -> None:
    await site.define(chain)
    await site.puppets(chain)
    body = {"scope": "participant", "name": "inventory", "reason": "slowly", "rate_per_second": 0.01}
    throttle = (await site.http.post("/v1/pauses", json=body)).json()

    first, second = await site.begin(), await site.begin()

    assert (await site.end(first))["status"] == "completed"

    async def explained() -> bool:
        message = (await site.saga(second))["waiting_on"]["message"]
        return "throttled to 0.01 per second" in message

    await eventually(explained, "the reason to be told")
    assert (await site.http.get("/v1/participants/inventory")).json()["paused"] is False
    await site.http.request("DELETE", f"/v1/pauses/{throttle['id']}")
    ended = await site.end(second)
    assert (ended["status"], [len(step["attempts"]) for step in ended["steps"]]) == ("completed", [1, 1])


@pytest.mark.parametrize(
    "body",
    [{"scope": "all"}, {"scope": "all", "name": "x", "reason": "r"}, {"scope": "participant", "reason": "r"},
     {"scope": "universe", "reason": "r"}, {"scope": "participant", "name": "a b", "reason": "r"},
     {"scope": "participant", "name": "a\n", "reason": "r"}, {"scope": "all", "reason": "r", "until": 1},
     {"scope": "all", "reason": "r", "seconds": 0}, {"scope": "all", "reason": "r", "seconds": "60"},
     {"scope": "all", "reason": "r", "seconds": 1e10}, {"scope": "all", "reason": "r", "rate_per_second": 1},
     {"scope": "definition", "name": "order", "reason": "r", "rate_per_second": 1},
     {"scope": "participant", "name": "p", "reason": "r", "rate_per_second": 0},
     {"scope": "participant", "name": "p", "reason": "r", "rate_per_second": 1e9}],
)  # fmt: skip
async def test_a_pause_that_makes_no_sense_is_refused(small_site: Site, body: dict[str, Any]) -> None:
    problem_of(await small_site.http.post("/v1/pauses", json=body), 422, "invalid-body")


async def test_participants_are_told_with_their_live_workers(site: Site) -> None:
    await site.puppet("inventory")

    (listed,) = (await site.http.get("/v1/participants")).json()["items"]
    one = (await site.http.get("/v1/participants/inventory")).json()

    assert (listed["name"], listed["live"], one["paused"]) == ("inventory", True, False)
    assert [(worker["id"], worker["live"]) for worker in one["workers"]] == [("inventory-1", True)]
    problem_of(await site.http.get("/v1/participants/nobody"), 404, "unknown-participant")


async def test_a_reply_nobody_can_read_is_discarded_with_a_reason(site: Site) -> None:
    await site.app.broker.publish(Address("replies", "payment"), b"what is this")
    (letter,) = await letters(site)

    path = f"/v1/dead-letters/{letter['id']}"
    assert (await site.http.get(path)).json() == letter
    assert "not JSON" in letter["reason"]
    problem_of(await site.http.post(path + "/redrive"), 409, "redrive-refused")
    problem_of(await site.http.post(path + "/discard"), 400, "unreadable-body")
    problem_of(await site.http.post(path + "/discard", json={}), 422, "invalid-body")
    done = (await site.http.post(path + "/discard", json={"reason": "noise", "by": "ada"})).json()
    assert (done["status"], done["resolved_by"], done["resolved_why"]) == ("discarded", "ada", "noise")
    problem_of(await site.http.post(path + "/discard", json={"reason": "noise"}), 409, "redrive-refused")
    problem_of(await site.http.get("/v1/dead-letters/nothing"), 404, "unknown-dead-letter")


async def test_a_reply_to_nobody_is_refused_a_redrive(site: Site) -> None:
    await site.define(chain)
    inventory = await site.puppet("inventory", lambda _: None)
    await site.begin()

    async def heard() -> bool:
        return bool(inventory.heard)

    await eventually(heard, "the command")
    stranger = inventory.heard[0].model_copy(update={"saga_id": "01a1fab5-0000-7000-8000-000000000000"})
    await site.app.broker.publish(Address("replies", "inventory"), frame("replies", [encode_item(answer(stranger))]))
    (letter,) = await letters(site)

    assert "unknown saga" in letter["reason"]
    problem = problem_of(await site.http.post(f"/v1/dead-letters/{letter['id']}/redrive"), 409, "redrive-refused")
    assert "no saga" in problem["detail"]


async def test_dead_letters_are_filtered_and_paged(site: Site) -> None:
    for n in range(3):
        await site.app.broker.publish(Address("replies", "payment"), f"what is this? {n}".encode())
    await letters(site, 3)

    page = (await site.http.get("/v1/dead-letters?limit=2&participant=payment")).json()
    rest = (await site.http.get(page["next"])).json()

    assert len({letter["id"] for letter in (*page["items"], *rest["items"])}) == 3
    assert rest["next"] is None
    assert (await site.http.get("/v1/dead-letters?participant=other")).json()["items"] == []
    for cursor in ("x", f"{10**30}.x", "."):
        problem_of(await site.http.get("/v1/dead-letters", params={"cursor": cursor}), 400, "bad-parameter")


async def test_a_parked_command_is_redriven_while_it_is_awaited(site: Site) -> None:
    await site.define(chain)
    pause = (await site.http.post("/v1/pauses", json={"scope": "all", "reason": "r"})).json()
    saga_id = await site.begin()
    now = site.app.clock.now()
    (row,) = await site.app.stores.outbox.claim("me", now=now, lease_until=now, limit=1)
    await site.app.stores.outbox.park({row.id: "too large for the broker"}, "me")

    waiting = (await site.http.get("/v1/outbox")).json()
    (parked,) = waiting["parked"]
    assert (parked["saga_id"], parked["reason"]) == (saga_id, "too large for the broker")
    await site.http.request("DELETE", f"/v1/pauses/{pause['id']}")
    assert "parked: too large" in (await site.saga(saga_id))["waiting_on"]["message"]
    await site.puppets(chain)
    response = await site.http.post(f"/v1/outbox/{parked['id']}/redrive")

    assert response.status_code == 202
    assert (await site.end(saga_id))["status"] == "completed"
    problem_of(await site.http.post(f"/v1/outbox/{parked['id']}/redrive"), 404, "unknown-command")


async def test_a_parked_action_of_a_saga_that_has_turned_is_gone(site: Site) -> None:
    await site.define(chain)
    await site.http.post("/v1/pauses", json={"scope": "all", "reason": "r"})
    saga_id = await site.begin()
    parked = await park_one(site)

    assert (await site.http.post(f"/v1/sagas/{saga_id}/cancel", json={"reason": "r"})).status_code == 202

    problem_of(await site.http.post(f"/v1/outbox/{parked['id']}/redrive"), 404, "unknown-command")


async def test_a_parked_command_that_nobody_awaits_any_more_is_not_sent(site: Site) -> None:
    await site.define(chain)
    inventory = await site.puppet("inventory")
    saga_id = await site.begin()

    async def charging() -> bool:
        return str((await site.saga(saga_id))["steps"][1]["status"]) == "dispatched"

    await eventually(charging, "the second step")
    await site.http.post("/v1/pauses", json={"scope": "participant", "name": "inventory", "reason": "r"})
    await site.puppet("payment", lambda command: answer(command, Answer.REFUSED))

    async def turned() -> bool:
        return str((await site.saga(saga_id))["status"]) == "compensating"

    await eventually(turned, "the refusal")
    parked = await park_one(site)
    undone = inventory.heard[0].model_copy(update={"kind": Kind.COMPENSATION, "handler": "release"})
    await inventory.say(answer(undone))
    await site.end(saga_id)

    problem = problem_of(await site.http.post(f"/v1/outbox/{parked['id']}/redrive"), 409, "redrive-refused")

    assert "no longer awaits" in problem["detail"]


async def park_one(site: Site) -> dict[str, Any]:
    """Park the one command that waits, as a relay would that can't publish it."""
    outbox = site.app.stores.outbox

    async def claimed() -> OutboxRow | None:
        now = site.app.clock.now()
        return next(iter(await outbox.claim("me", now=now, lease_until=now, limit=1)), None)

    row = await eventually(claimed, "a command that waits")
    await outbox.park({row.id: "r"}, "me")
    (parked,) = (await site.http.get("/v1/outbox")).json()["parked"]
    return dict(parked)
