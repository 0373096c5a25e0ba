"""What is asked of many sagas at once: foreseen, carried out behind the scenes, ended early, gone on with by others."""

from __future__ import annotations

from typing import Any

import pytest

from amends.message import Answer, Command, Kind, Reply
from coordinator import bulk as carrying
from coordinator.store import bulks as bounds
from tests.engine.puppet import answer
from tests.waiting import eventually
from tests.web.conftest import Site, chain, problem_of


async def ask(site: Site, *, key: str = "", **body: Any) -> dict[str, Any]:
    headers = {"Idempotency-Key": key, "X-Amends-Actor": "ada"} if key else {"X-Amends-Actor": "ada"}
    response = await site.http.post("/v1/sagas/bulk", json={"reason": "tidying up", **body}, headers=headers)
    assert response.status_code == 202, response.text
    found: dict[str, Any] = response.json()
    assert response.headers["location"] == found["links"]["self"]
    return found


async def over(site: Site, asked: dict[str, Any]) -> dict[str, Any]:
    async def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = (await site.http.get(asked["links"]["self"])).json()
        return found if found["finished_at"] else None

    return await eventually(ended, "all sagas to be asked")


async def waiting_sagas(site: Site, count: int) -> list[str]:
    """Sagas that wait for a reply that never comes."""
    await site.define(chain)
    await site.puppet("inventory", lambda _: None)
    return [await site.begin(tags=["many"]) for _ in range(count)]


async def test_many_sagas_are_asked_behind_the_scenes_and_each_history_says_so(site: Site) -> None:
    ids = await waiting_sagas(site, 3)

    asked = await ask(site, filter={"tag": "many"}, verb="pause")

    done = await over(site, asked)
    assert (done["state"], done["changed"], done["refused"], done["handled"]) == ("done", 3, 0, 3)
    assert (done["total"], done["by"], done["filter"]) == ({"count": 3, "capped": False}, "ada", {"tag": "many"})
    for saga_id in ids:
        pause = (await site.saga(saga_id))["paused"]
        assert (pause["by"], pause["reason"]) == ("ada", f"tidying up (bulk {asked['id']})")
    again = await over(site, await ask(site, filter={"ids": ids[:2]}, verb="pause"))
    assert (again["changed"], again["unchanged"]) == (0, 2)
    listed = (await site.http.get("/v1/bulk?limit=1")).json()
    assert listed["items"] == [again]
    assert (await site.http.get(listed["next"])).json()["items"] == [done]


async def test_a_dry_run_says_what_would_come_of_it_and_does_nothing(site: Site) -> None:
    ids = await waiting_sagas(site, 2)
    body = {"filter": {"status": ["running"]}, "reason": "r", "dry_run": True}

    async def foreseen(verb: str) -> list[tuple[str, str | None]]:
        response = await site.http.post("/v1/sagas/bulk", json={**body, "verb": verb})
        assert response.status_code == 200, response.text
        found = response.json()
        assert (found["verb"], found["total"]) == (verb, {"count": 2, "capped": False})
        assert [one["saga"]["id"] for one in found["sample"]] == ids[::-1]
        return [(one["would"], one["why"]) for one in found["sample"]]

    assert await foreseen("pause") == [("change", None)] * 2
    assert await foreseen("resume") == [("nothing", None)] * 2
    assert await foreseen("close") == [("refuse", "only a blocked saga can be closed; this one is running")] * 2
    assert await foreseen("retry") == [("refuse", carrying.nothing_blocked)] * 2
    assert [(await site.saga(saga_id))["paused"] for saga_id in ids] == [None, None]
    assert (await site.http.get("/v1/bulk")).json()["items"] == []


async def test_why_sagas_refused_is_counted(site: Site) -> None:
    ids = await waiting_sagas(site, 2)

    done = await over(site, await ask(site, filter={"ids": ids}, verb="waive", arguments={"step": "reserve"}))

    (refusal,) = done["refusals"]
    assert (refusal["reason"], refusal["sagas"], done["refused"]) == ("step reserve is dispatched, not blocked", 2, 2)
    assert refusal["saga_id"] in ids


def _refused_refund(command: Command) -> Reply | None:
    if command.kind is Kind.COMPENSATION or command.step == "charge":
        return answer(command, Answer.REFUSED, error={"type": "No", "message": "no"})
    return answer(command)


async def blocked(site: Site, count: int) -> list[str]:
    await site.define(chain)
    await site.puppets(chain, _refused_refund)
    ids = [await site.begin() for _ in range(count)]

    async def all_of_them() -> bool:
        found = (await site.http.get("/v1/sagas?status=blocked")).json()["items"]
        return len(found) == count

    await eventually(all_of_them, "the sagas to block")
    return ids


async def test_every_step_that_is_blocked_is_asked_if_none_is_named(site: Site) -> None:
    ids = await blocked(site, 2)

    done = await over(site, await ask(site, filter={"status": ["blocked"], "failed_step": "charge"}, verb="waive"))

    assert (done["changed"], done["refused"]) == (2, 0)
    assert [(await site.saga(saga_id))["status"] for saga_id in ids] == ["closed", "closed"]


@pytest.mark.parametrize(
    ("verb", "arguments", "ends"),
    [
        ("close", {}, "closed"),
        ("settle", {"step": "reserve", "settlement": "undone"}, "compensated"),
        ("retry", {"step": "reserve"}, "blocked"),
    ],
)
async def test_each_verb_is_the_one_that_a_single_saga_knows(
    site: Site, verb: str, arguments: dict[str, Any], ends: str
) -> None:
    (saga_id,) = await blocked(site, 1)

    done = await over(site, await ask(site, filter={"ids": [saga_id]}, verb=verb, arguments=arguments))

    assert (done["changed"], done["arguments"]) == (1, arguments)

    async def ended() -> bool:
        return bool((await site.saga(saga_id))["status"] == ends)

    await eventually(ended, f"the saga to be {ends}")


async def test_sagas_are_skipped_resumed_and_cancelled_together_too(site: Site) -> None:
    (saga_id,) = await waiting_sagas(site, 1)
    only: dict[str, Any] = {"filter": {"ids": [saga_id]}}

    skipped = await over(site, await ask(site, **only, verb="skip", arguments={"step": "charge"}))
    assert (skipped["changed"], (await site.saga(saga_id))["steps"][1]["status"]) == (1, "skipped")
    await over(site, await ask(site, **only, verb="pause"))
    resumed = await over(site, await ask(site, **only, verb="resume"))
    assert (resumed["changed"], (await site.saga(saga_id))["paused"]) == (1, None)
    cancelled = await over(site, await ask(site, **only, verb="cancel"))
    assert (cancelled["changed"], (await site.saga(saga_id))["cause"]["by"]) == (1, "ada")


async def test_the_same_request_is_asked_once(site: Site) -> None:
    await waiting_sagas(site, 1)
    body: dict[str, Any] = {"filter": {"tag": "many"}, "verb": "pause", "reason": "r"}

    first = await ask(site, key="k-1", **body)
    await over(site, first)
    again = await site.http.post("/v1/sagas/bulk", json=body, headers={"Idempotency-Key": "k-1"})
    other = await site.http.post("/v1/sagas/bulk", json={**body, "verb": "cancel"}, headers={"Idempotency-Key": "k-1"})

    assert (again.status_code, again.json()["id"], again.headers["idempotent-replayed"]) == (202, first["id"], "true")
    problem_of(other, 422, "idempotency-key-reused")


async def test_what_is_under_way_goes_on_after_a_restart_and_can_be_ended(site: Site) -> None:
    ids = await waiting_sagas(site, 4)
    slow = await ask(site, filter={"ids": ids}, verb="pause", rate_per_second=1.0)

    async def begun() -> bool:
        return bool((await site.http.get(slow["links"]["self"])).json()["handled"])

    await eventually(begun, "the first saga to be asked")
    await site.restart()
    left = await ask(site, filter={"ids": ids}, verb="resume", rate_per_second=1.0)
    ended = await site.http.post(left["links"]["cancel"], json={"by": "grace"})

    assert (ended.status_code, ended.json()["state"], ended.json()["cancelled_by"]) == (200, "cancelled", "grace")
    problem_of(await site.http.post(left["links"]["cancel"]), 409, "bulk-refused")
    done = await over(site, slow)
    assert (done["handled"], done["changed"] + done["unchanged"]) == (4, 4)


async def test_a_batch_whose_holder_died_is_begun_anew_and_counted_once(site: Site) -> None:
    (saga_id,) = await blocked(site, 1)
    asked = await ask(site, filter={"ids": [saga_id]}, verb="waive", rate_per_second=1.0)
    store, now = site.app.stores.bulks, site.app.clock.now()
    done = await over(site, asked)
    assert done["changed"] == 1
    # As if the holder had died after asking, before it wrote down what came of it.
    row = await store.get(asked["id"])
    assert row is not None
    taken = bounds.Taken(row, interrupted=True)
    assert await site.app.bulks._ask(saga_id, taken) == carrying.Outcome(changed=True)
    assert (await site.app.bulks._ask(saga_id, bounds.Taken(row, interrupted=False))).refused
    assert await store.take("me", now=now, until=now) is None


@pytest.mark.parametrize(
    "body",
    [
        {"filter": {}, "verb": "pause"}, {"verb": "pause"}, {"filter": {"tag": "a"}},
        {"filter": {"tag": "a"}, "verb": "dance"}, {"filter": {"tag": "a"}, "verb": "skip"},
        {"filter": {"tag": "a"}, "verb": "pause", "arguments": {"step": "charge"}},
        {"filter": {"tag": "a"}, "verb": "settle", "arguments": {"step": "charge"}},
        {"filter": {"tag": "a"}, "verb": "retry", "arguments": {"settlement": "done"}},
        {"filter": {"tag": "a"}, "verb": "retry", "arguments": {"result": 1}},
        {"filter": {"colour": "red"}, "verb": "pause"}, {"filter": {"status": "running"}, "verb": "pause"},
        {"filter": {"tag": "a"}, "verb": "pause", "rate_per_second": 0},
        {"filter": {"tag": "a"}, "verb": "pause", "reason": ""},
        {"filter": {"ids": []}, "verb": "pause"}, {"filter": {"created_from": "2030-01-01"}, "verb": "pause"},
        {"filter": {"created_from": "0001-01-01T00:00:00Z"}, "verb": "pause"},
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_refused(small_site: Site, body: dict[str, Any]) -> None:
    response = await small_site.http.post("/v1/sagas/bulk", json={"reason": "r", **body})

    problem_of(response, 422, "invalid-body")


async def test_only_so_much_is_under_way_at_once(small_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "open_max", 0)

    response = await small_site.http.post(
        "/v1/sagas/bulk", json={"filter": {"tag": "a"}, "verb": "pause", "reason": "r"}
    )

    problem_of(response, 409, "bulk-refused")
    for path in ("/v1/bulk/none", "/v1/bulk/00000000-0000-7000-8000-000000000000"):
        problem_of(await small_site.http.get(path), 404, "unknown-bulk")
    for query in ("limit=0", "cursor=x"):
        problem_of(await small_site.http.get(f"/v1/bulk?{query}"), 400, "bad-parameter")
