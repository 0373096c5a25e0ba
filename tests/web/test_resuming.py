"""What was paused goes on at a rate, over the API: a pause becomes throttles that end by themselves."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.waiting import eventually
from tests.web.conftest import Site, chain, problem_of


async def paused(site: Site, **what: Any) -> str:
    response = await site.http.post("/v1/pauses", json={"reason": "a look", **what})
    assert response.status_code == 201, response.text
    return f"/v1/pauses/{response.json()['id']}/resume"


async def test_a_paused_participant_goes_on_at_a_rate_that_ends_by_itself(site: Site) -> None:
    await site.define(chain)
    puppets = await site.puppets(chain)
    resume = await paused(site, scope="participant", name="inventory")
    first, second = await site.begin(), await site.begin()

    answer = await site.http.post(resume, json={"rate_per_second": 0.01, "seconds": 60, "by": "ada"})

    assert answer.status_code == 200, answer.text
    (throttle,) = answer.json()["throttles"]
    assert (answer.json()["ended"]["ended_by"], throttle["name"], throttle["by"]) == ("ada", "inventory", "ada")
    assert throttle["reason"] == "resumed slowly; it was paused: a look"
    since, ends_at = (datetime.fromisoformat(throttle[name]) for name in ("since", "ends_at"))
    assert (ends_at - since, throttle["rate_per_second"]) == (timedelta(seconds=60), 0.01)
    assert (await site.http.get("/v1/pauses")).json()["items"] == [throttle]

    async def one_left() -> bool:
        return len(puppets["inventory"].heard) == 1

    await eventually(one_left, "the first command to be sent, and the other not")
    again = await site.http.post(f"/v1/pauses/{throttle['id']}/resume")
    assert (again.status_code, again.json()["throttles"]) == (200, [])
    assert {(await site.end(saga_id))["status"] for saga_id in (first, second)} == {"completed"}
    problem_of(await site.http.post(resume, json={"rate_per_second": 1}), 404, "unknown-pause")
    problem_of(await site.http.post(resume), 404, "unknown-pause")


async def test_a_paused_definition_slows_the_participants_of_its_steps(small_site: Site) -> None:
    await small_site.define(chain)
    resume = await paused(small_site, scope="definition", name="chain")
    strict = {"scope": "participant", "name": "payment", "reason": "stricter", "rate_per_second": 2}
    stricter = (await small_site.http.post("/v1/pauses", json=strict)).json()

    answer = (await small_site.http.post(resume, json={"rate_per_second": 5})).json()

    assert [(one["name"], one["rate_per_second"]) for one in answer["throttles"]] == [("inventory", 5), ("payment", 2)]
    assert answer["throttles"][1] == stricter


async def test_where_everything_was_paused_whoever_was_heard_of_or_is_waited_for_is_slowed(small_site: Site) -> None:
    await small_site.define(chain)
    await small_site.puppet("courier")
    resume = await paused(small_site, scope="all")
    await small_site.begin()

    answer = (await small_site.http.post(resume, json={"rate_per_second": 5})).json()

    assert [one["name"] for one in answer["throttles"]] == ["courier", "inventory"]


@pytest.mark.parametrize(
    "body", [{"seconds": 5}, {"rate_per_second": 0}, {"rate_per_second": 1, "seconds": 0}, {"rate_per_second": "1"}]
)
async def test_a_rate_that_makes_no_sense_is_refused(small_site: Site, body: dict[str, Any]) -> None:
    resume = await paused(small_site, scope="participant", name="inventory")
    problem_of(await small_site.http.post(resume, json=body), 422, "invalid-body")
