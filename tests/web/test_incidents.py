"""Why sagas failed, over the API: diagnoses, incidents, reports, and what people say of them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from coordinator.config import Settings
from coordinator.store.explained import RemedyState
from coordinator.web import feed
from tests.web.conftest import Site, chain, problem_of
from tests.web.failures import diagnosis_of, failed_saga, incident, remedy, reported

nobody = "00000000-0000-7000-8000-000000000000"


# --- one saga ---------------------------------------------------------------------------------------------------------


async def test_a_failed_saga_is_explained_in_every_form(site: Site) -> None:
    saga_id = await failed_saga(site)
    path = f"/v1/sagas/{saga_id}/diagnosis"

    told = await site.http.get(path)

    report = told.json()
    assert (told.status_code, told.headers["vary"], told.headers["cache-control"]) == (200, "Accept", "no-store")
    assert (report["saga_id"], report["symptom_step"], report["phase"]) == (saga_id, "chain.charge", "forward")
    assert {effect["step"]: effect["certainty"] for effect in report["effects"]} == {
        "reserve": "undone",
        "charge": "not_applied",
    }
    assert report["hypotheses"][0]["supports"]
    for accept, media_type in (
        ("text/markdown", "text/markdown"),
        ("text/markdown, application/json;q=0.5", "text/markdown"),
        ("text/plain", "text/plain"),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("text/html", "application/json"),
    ):
        answer = await site.http.get(path, headers={"Accept": accept})
        assert answer.headers["content-type"].split(";")[0] == media_type, accept
    markdown = (await site.http.get(f"{path}?format=markdown", headers={"Accept": "application/json"})).text
    assert markdown.startswith("# ")
    assert "**undone** reserve" in markdown
    words = markdown.split("```")[0] + markdown.split("```")[2]  # the words of the error stand fenced, or escaped
    assert not re.search(r"(?<!\\)\]\(", words)
    text = (await site.http.get(f"{path}?format=text&width=50")).text
    assert "Did it happen?" in text.splitlines()
    assert max(map(len, text.splitlines())) <= 50


async def test_a_saga_that_went_well_has_nothing_to_explain(site: Site) -> None:
    await site.define(chain)
    await site.puppets(chain)
    saga_id = await site.begin()
    await site.end(saga_id)

    problem_of(await site.http.get(f"/v1/sagas/{saga_id}/diagnosis"), 404, "nothing-to-explain")
    problem_of(await site.http.get(f"/v1/sagas/{nobody}/diagnosis"), 404, "unknown-saga")
    problem_of(await site.http.get("/v1/sagas/x/diagnosis"), 404, "unknown-saga")


@pytest.mark.parametrize("query", ["format=html", "width=39", "width=401", "width=x", "format=text&wide=1"])
async def test_a_form_that_does_not_exist_is_refused(small_site: Site, query: str) -> None:
    problem_of(await small_site.http.get(f"/v1/sagas/{nobody}/diagnosis?{query}"), 400, "bad-parameter")


# --- incidents --------------------------------------------------------------------------------------------------------


async def test_a_failure_becomes_an_incident_that_is_explained_and_told_in_full(site: Site) -> None:
    saga_id = await failed_saga(site)

    (line,) = (await site.http.get("/v1/incidents")).json()["items"]
    refreshed = await site.http.post(f"{line['links']['self']}/refresh")
    shown = (await site.http.get(line["links"]["self"])).json()

    assert (line["status"], line["failures"], line["headline"], line["report_version"]) == ("open", 1, "", 0)
    assert refreshed.json()["version"] == 1
    assert refreshed.json()["incident_id"] == line["id"]
    assert shown["report"]["headline"] == shown["incident"]["headline"] == refreshed.json()["headline"]
    assert shown["versions"] == [1]
    assert [(kind["step"], kind["count"], kind["saga_id"]) for kind in shown["kinds"]] == [("chain.charge", 1, saga_id)]
    (failed,) = (await site.http.get(line["links"]["sagas"])).json()["items"]
    assert (failed["saga_id"], failed["step"], failed["attempts"]) == (saga_id, "charge", 2)
    assert (await site.http.get(failed["link"])).status_code == 200
    markdown = await site.http.get(line["links"]["report"], headers={"Accept": "text/markdown"})
    assert markdown.text.startswith("# ")


async def test_incidents_are_filtered_and_paged_the_newest_first(site: Site) -> None:
    ids = [await incident(site, family=f"family-{number}") for number in range(5)]
    await reported(site, ids[1])
    listed: list[str] = []
    path: str | None = "/v1/incidents?limit=2"
    while path:
        page = await site.http.get(path)
        listed += [item["id"] for item in page.json()["items"]]
        path = page.json()["next"]
        assert page.headers.get("link", "") == (f'<{path}>; rel="next"' if path else "")

    async def found(query: str) -> list[str]:
        return [item["id"] for item in (await site.http.get(f"/v1/incidents?{query}")).json()["items"]]

    assert listed == sorted(ids, reverse=True)
    assert await found("cls=downstream_timeout") == [ids[1]]
    assert await found("status=closed") == []
    assert len(await found("status=open&definition=place-order&participant=payment&step=place-order.charge")) == 5
    assert await found("participant=nobody") == []
    pages = (await site.http.get("/v1/incidents?participant=payment&status=open&limit=3")).json()
    assert "participant=payment" in pages["next"]
    assert "status=open" in pages["next"]


async def test_the_sagas_of_an_incident_are_paged(site: Site) -> None:
    incident_id = await incident(site, sagas=7)
    listed: list[str] = []
    path: str | None = f"/v1/incidents/{incident_id}/sagas?limit=3"
    while path:
        page = (await site.http.get(path)).json()
        listed += [item["saga_id"] for item in page["items"]]
        path = page["next"]

    assert len(listed) == 7
    assert listed == sorted(set(listed), reverse=True)


@pytest.mark.parametrize(
    "path",
    ["?status=x", "?cls=evil", "?limit=0", "?limit=201", "?cursor=x", "/{id}/sagas?limit=0", "/{id}/sagas?cursor=x",
     "/{id}/sagas?cursor=1.2.3", "/{id}/sagas?cursor=x.2.3.4", "/{id}/sagas?cursor=99999999999999999999.2.3.4",
     "/{id}/report?version=0", "/{id}/report?version=99999999999", "/{id}/report?format=x"],
)  # fmt: skip
async def test_parameters_that_make_no_sense_are_refused(small_site: Site, path: str) -> None:
    incident_id = await incident(small_site)

    problem_of(await small_site.http.get(f"/v1/incidents{path.format(id=incident_id)}"), 400, "bad-parameter")


async def test_what_is_not_there_is_told_by_its_kind(small_site: Site) -> None:
    incident_id = await incident(small_site)

    for path in ("", "/report", "/sagas"):
        for unknown in (nobody, "x", "events2"):
            problem_of(await small_site.http.get(f"/v1/incidents/{unknown}{path}"), 404, "unknown-incident")
    problem_of(await small_site.http.post(f"/v1/incidents/{nobody}/refresh"), 404, "unknown-incident")
    early = await small_site.http.get(f"/v1/incidents/{incident_id}/report")
    assert "not analysed yet" in problem_of(early, 404, "unknown-report")["detail"]
    assert early.headers["retry-after"]
    await reported(small_site, incident_id)
    problem_of(await small_site.http.get(f"/v1/incidents/{incident_id}/report?version=2"), 404, "unknown-report")
    assert (await small_site.http.get(f"/v1/incidents/{incident_id}")).json()["report"]["version"] == 1


async def test_every_version_of_a_report_is_kept(site: Site) -> None:
    incident_id = await incident(site)
    await reported(site, incident_id, 1, headline="it may be the provider")
    await reported(site, incident_id, 2, headline="it is the provider")

    async def headline(query: str) -> str:
        return str((await site.http.get(f"/v1/incidents/{incident_id}/report{query}")).json()["headline"])

    assert [await headline(query) for query in ("", "?version=1", "?version=2")] == [
        "it is the provider", "it may be the provider", "it is the provider"
    ]  # fmt: skip
    assert (await site.http.get(f"/v1/incidents/{incident_id}")).json()["versions"] == [2, 1]


async def test_a_report_that_can_not_be_read_is_our_fault(small_site: Site) -> None:
    incident_id = await incident(small_site)
    await reported(small_site, incident_id)
    async with diagnosis_of(small_site).reports._database.begin() as connection:
        await connection.exec_driver_sql("UPDATE reports SET body = '{}'")

    problem_of(await small_site.http.get(f"/v1/incidents/{incident_id}/report"), 500, "unreadable-record")


# --- what people say --------------------------------------------------------------------------------------------------


async def test_a_verdict_and_later_what_resolved_it_are_kept_together(site: Site) -> None:
    incident_id = await incident(site)
    await reported(site, incident_id)
    path = f"/v1/incidents/{incident_id}"
    wrong = {
        "verdict": "wrong",
        "true_class": "bad_deploy",
        "true_culprit": "worker_version payment@1.4.2",
        "by": "ann",
    }

    first = await site.http.post(f"{path}/feedback", json=wrong)
    again = await site.http.post(f"{path}/feedback", json=wrong)
    await site.http.post(f"{path}/feedback", json={"resolution": "rolled back"}, headers={"X-Amends-Actor": "bob"})

    assert first.status_code == again.status_code == 200
    shown = (await site.http.get(path)).json()
    said = {name: shown["feedback"][name] for name in ("verdict", "true_class", "true_culprit", "resolution", "by")}
    assert said == {**wrong, "resolution": "rolled back", "by": "bob"}
    assert shown["report"]["feedback"]["verdict"] == "wrong"
    assert shown["report"]["feedback"]["true_culprit"] == {"kind": "worker_version", "name": "payment@1.4.2"}
    assert (shown["incident"]["resolution"], shown["incident"]["resolved_by"]) == ("rolled back", "bob")
    assert shown["incident"]["status"] == "closed"  # what fails from now on is another one
    assert "bob said that this is wrong: rolled back" in (await site.http.get(f"{path}/report?format=text")).text
    corrected = await site.http.post(f"{path}/feedback", json={"verdict": "correct"})
    assert (corrected.json()["true_class"], corrected.json()["resolution"]) == (None, "rolled back")


async def test_what_was_said_of_one_report_is_not_said_of_the_next(small_site: Site) -> None:
    incident_id = await incident(small_site)
    await reported(small_site, incident_id, 1)
    await small_site.http.post(f"/v1/incidents/{incident_id}/feedback", json={"verdict": "correct"})
    await reported(small_site, incident_id, 2)

    shown = (await small_site.http.get(f"/v1/incidents/{incident_id}")).json()

    assert (shown["report"]["feedback"], shown["feedback"]["report_version"]) == (None, 1)


@pytest.mark.parametrize(
    "body",
    [{}, {"by": "ann"}, {"verdict": "maybe"}, {"verdict": "correct", "true_class": "bad_deploy"},
     {"true_class": "bad_deploy", "resolution": "x"}, {"verdict": "wrong", "true_class": "evil"},
     {"verdict": "wrong", "true_culprit": "evil x"}, {"verdict": "wrong", "true_culprit": "worker"},
     {"verdict": "wrong", "true_culprit": "worker "}, {"resolution": ""}, {"resolution": "x" * 2001},
     {"verdict": "correct", "extra": 1}, []],
)  # fmt: skip
async def test_feedback_that_makes_no_sense_is_refused(small_site: Site, body: Any) -> None:
    incident_id = await incident(small_site)

    problem_of(await small_site.http.post(f"/v1/incidents/{incident_id}/feedback", json=body), 422, "invalid-body")
    assert (await small_site.http.get(f"/v1/incidents/{incident_id}")).json()["feedback"] is None


# --- remedies ---------------------------------------------------------------------------------------------------------


async def test_remedies_are_listed_and_shown_with_their_incident(site: Site) -> None:
    incident_id = await incident(site)
    proposed = await remedy(site, incident_id)
    other = await remedy(site, await incident(site, family="other"), RemedyState.SHADOW)

    listed = (await site.http.get("/v1/remedies")).json()["items"]
    shown = (await site.http.get(f"/v1/incidents/{incident_id}")).json()["remedies"]

    assert [item["id"] for item in listed] == [other, proposed]
    assert [item["id"] for item in (await site.http.get("/v1/remedies?status=shadow")).json()["items"]] == [other]
    assert shown == [listed[1]] == [(await site.http.get(f"/v1/remedies/{proposed}")).json()]
    assert (shown[0]["target"], shown[0]["evidence"]) == ({"participant": "payment", "seconds": 60}, ["E01-k3q"])
    problem_of(await site.http.get("/v1/remedies/x"), 404, "unknown-remedy")
    problem_of(await site.http.get("/v1/remedies?status=x"), 400, "bad-parameter")


# --- as it happens ----------------------------------------------------------------------------------------------------


class Events:
    """Server-sent events as a client hears them."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def next(self) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        async with asyncio.timeout(20):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if name in ("id", "event", "data"):
                    fields[name] = value
                elif not line and "event" in fields:
                    return {**fields, "data": json.loads(fields["data"])}
        raise AssertionError("the stream ended")


async def test_what_is_new_is_heard_as_it_happens_and_what_was_missed_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "look_seconds", 0.05)
    async with site.http.stream("GET", "/v1/incidents/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        events = Events(stream.aiter_lines())
        heard = asyncio.ensure_future(events.next())
        while site._desk.feed._seen is None:  # noqa: ASYNC110 — until it stands where nothing has happened yet
            await asyncio.sleep(0.01)
        incident_id = await incident(site)
        first = await heard
        await reported(site, incident_id)
        then = [await events.next() for _ in range(2)]
        await remedy(site, incident_id)
        last = await events.next()

    assert (first["event"], first["data"]["id"], first["data"]["status"]) == ("incident", incident_id, "open")
    assert [event["event"] for event in then] == ["incident", "report"]
    assert (then[1]["data"]["incident_id"], then[1]["data"]["version"]) == (incident_id, 1)
    assert (last["event"], last["data"]["state"]) == ("remedy", "proposed")
    async with site.http.stream("GET", "/v1/incidents/events", headers={"Last-Event-ID": first["id"]}) as stream:
        events = Events(stream.aiter_lines())
        assert [await events.next() for _ in range(3)] == [*then, last]


async def test_who_listens_is_let_go_when_the_process_ends(small_site: Site) -> None:
    async with small_site.http.stream("GET", "/v1/incidents/events") as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == "retry: 2000"
        small_site._desk.stop()
        async with asyncio.timeout(10):
            assert [line async for line in lines if line] == []
    problem_of(await small_site.http.get("/v1/incidents/events"), 503, "stopping")


async def test_when_too_many_listen_the_next_is_told_so(small_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "listeners_max", 0)

    problem_of(await small_site.http.get("/v1/incidents/events"), 503, "too-many-listeners")


# --- switched off -----------------------------------------------------------------------------------------------------


async def test_a_coordinator_that_explains_nothing_says_so_everywhere(sqlite_url: str) -> None:
    site = Site(sqlite_url)
    site.settings = Settings(database_url=sqlite_url, diagnosis=False)
    await site.start()
    try:
        await site.define(chain)
        saga_id = await site.begin()
        for path in (
            f"/v1/sagas/{saga_id}/diagnosis", "/v1/incidents", f"/v1/incidents/{nobody}", "/v1/incidents/events",
            f"/v1/incidents/{nobody}/report", f"/v1/incidents/{nobody}/sagas", "/v1/remedies", "/v1/changes",
        ):  # fmt: skip
            problem_of(await site.http.get(path), 404, "diagnosis-off")
        for path in (f"/v1/incidents/{nobody}/refresh", "/v1/remedies/x/approve", "/v1/remedies/x/reject"):
            problem_of(await site.http.post(path), 404, "diagnosis-off")
        problem_of(await site.http.post("/v1/changes", json={"text": "x"}), 404, "diagnosis-off")
        assert (await site.http.get("/metrics")).status_code == 200
    finally:
        await site.stop()
