"""Changes that are announced, and those that the coordinator noticed by itself."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.waiting import eventually
from tests.web.conftest import Site, chain, problem_of
from tests.web.failures import diagnosis_of, incident, remedy, reported


async def test_a_change_is_announced_once_and_listed_with_what_was_noticed(site: Site) -> None:
    body = {"text": "payment 1.4.2 is out", "subject": "participant payment", "by": "pipeline"}
    once = {"Idempotency-Key": "deploy-17"}

    first = await site.http.post("/v1/changes", json=body, headers=once)
    again = await site.http.post("/v1/changes", json=body, headers=once)
    other = await site.http.post("/v1/changes", json={"text": "a flag was set"}, headers={"X-Amends-Actor": "ann"})

    assert [answer.status_code for answer in (first, again, other)] == [201, 201, 201]
    assert first.json()["id"] == again.json()["id"] != other.json()["id"]
    assert first.json() == again.json()
    another = await site.http.post("/v1/changes", json={**body, "text": "something else"}, headers=once)
    problem_of(another, 422, "idempotency-key-reused")
    listed = (await site.http.get("/v1/changes")).json()["items"]
    assert [(item["kind"], item["subject"], item["facts"]) for item in listed] == [
        ("announced", "", {"text": "a flag was set", "by": "ann"}),
        ("announced", "participant payment", {"text": "payment 1.4.2 is out", "by": "pipeline"}),
    ]


async def test_a_change_that_states_its_time_is_the_same_without_a_key(site: Site) -> None:
    at = (site.app.clock.now() - timedelta(minutes=5)).isoformat()
    body = {"text": "a flag was set", "at": at}

    answers = [await site.http.post("/v1/changes", json=body) for _ in range(2)]

    assert answers[0].json() == answers[1].json()
    assert datetime.fromisoformat(answers[0].json()["at"]) == datetime.fromisoformat(at)
    since = (site.app.clock.now() - timedelta(minutes=1)).isoformat()
    assert (await site.http.get("/v1/changes", params={"since": since})).json()["items"] == []
    assert len((await site.http.get("/v1/changes", params={"until": since, "limit": 1})).json()["items"]) == 1


async def test_secrets_in_what_is_announced_are_not_kept(small_site: Site) -> None:
    text = "rotated to password=hunter2-hunter2 for ann@example.com"

    told = (await small_site.http.post("/v1/changes", json={"text": text})).json()

    assert "hunter2" not in told["facts"]["text"]
    assert "ann@example.com" not in told["facts"]["text"]


async def test_a_new_plan_is_noticed_by_itself(small_site: Site) -> None:
    await small_site.define(chain)

    async def noticed() -> bool:
        items = (await small_site.http.get("/v1/changes")).json()["items"]
        return any(
            (item["kind"], item["subject"]) == ("definition_registered", "definition_version chain@1") for item in items
        )

    await eventually(noticed, "the new plan to be noticed")


@pytest.mark.parametrize(
    "body",
    [{}, {"text": ""}, {"text": "x" * 501}, {"text": "x", "subject": "evil x"}, {"text": "x", "subject": "worker"},
     {"text": "x", "subject": "worker a\nb"}, {"text": "x", "at": "2030-01-01T00:00:00"},
     {"text": "x", "at": "2999-01-01T00:00:00Z"}, {"text": "x", "at": "1999-01-01T00:00:00Z"}, {"text": 1},
     {"text": "x", "id": "mine"}],
)  # fmt: skip
async def test_an_announcement_that_makes_no_sense_is_refused(small_site: Site, body: dict[str, Any]) -> None:
    problem_of(await small_site.http.post("/v1/changes", json=body), 422, "invalid-body")


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "since=yesterday", "since=2030-01-01T00:00:00", "until=x"])
async def test_a_list_that_makes_no_sense_is_refused(small_site: Site, query: str) -> None:
    problem_of(await small_site.http.get(f"/v1/changes?{query}"), 400, "bad-parameter")


async def test_what_diagnosis_does_is_counted(site: Site) -> None:
    incident_id = await incident(site)
    await reported(site, incident_id)
    await remedy(site, incident_id)
    await site.http.post(f"/v1/incidents/{incident_id}/refresh")
    diagnosis_of(site).watch.failures_dropped += 3

    await site.metrics()
    text = await site.metrics()  # a total that is scraped twice is counted once

    assert "amends_incidents_open 1.0" in text
    assert 'amends_remedies{kind="open_circuit",state="proposed"} 1.0' in text
    assert 'amends_diagnosis_dropped_total{what="failures"} 3.0' in text
    assert 'amends_diagnosis_reports_total{class="' in text
