"""A saga looked at more closely: along the axis of time, what went in and came out, and what may be asked of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from amends.message import Answer, Command, Kind, Reply
from coordinator.web import past as reading_back
from tests.engine.puppet import answer
from tests.waiting import eventually
from tests.web.conftest import Site, chain, problem_of, step
from tests.web.failures import failed_saga

huge = 9_007_199_254_740_993  # the first integer that a JavaScript number can't hold


async def test_attempts_are_told_along_the_axis_of_time(site: Site) -> None:
    saga_id = await failed_saga(site)

    told = (await site.http.get(f"/v1/sagas/{saga_id}/timeline")).json()

    attempts = [(one["step"], one["kind"], one["number"], one["outcome"]) for one in told["attempts"]]
    assert attempts == [
        ("reserve", "action", 1, "succeeded"),
        ("charge", "action", 1, "failed"),
        ("charge", "action", 2, "failed"),
        ("reserve", "compensation", 1, "succeeded"),
    ]
    for one in told["attempts"]:
        assert one["queued_at"] <= one["taken_at"] <= one["ended_at"]
        assert one["queue_seconds"] >= 0
        assert one["participant"] in ("inventory", "payment")
    assert told["attempts"][1]["error"]["type"] == "ConnectTimeout"
    assert [(mark["kind"], mark["by"]) for mark in told["marks"]] == [
        ("started", None), ("turned", None), ("finished", None)
    ]  # fmt: skip
    assert "charge failed" in told["marks"][1]["text"]
    assert (told["complete"], told["status"], told["finished_at"] is not None) == (True, "compensated", True)


async def test_what_people_asked_for_is_marked(site: Site) -> None:
    def refuse_refund(command: Command) -> Reply:
        if command.kind is Kind.COMPENSATION and command.step == "reserve":
            return answer(command, Answer.REFUSED, error={"type": "No", "message": "gone"})
        return answer(command, Answer.REFUSED, error={"type": "No", "message": "no"}) if command.step == "charge" else (
            answer(command)
        )  # fmt: skip

    await site.define(chain)
    await site.puppets(chain, refuse_refund)
    saga_id = await site.begin()

    async def blocked() -> bool:
        return bool((await site.saga(saga_id))["status"] == "blocked")

    await eventually(blocked, "the compensation to be refused")
    await site.http.post(f"/v1/sagas/{saga_id}/pause", json={"by": "ada", "reason": "let me look"})
    await site.http.post(f"/v1/sagas/{saga_id}/resume", json={"by": "ada", "reason": "seen"})
    saga = await site.saga(saga_id)
    closing = next(verb for verb in saga["verbs"] if verb["verb"] == "close")
    waiving = next(verb for verb in step(saga, "reserve")["verbs"] if verb["verb"] == "waive")
    assert closing == {"verb": "close", "href": f"/v1/sagas/{saga_id}/close", "needs": ["reason"]}
    assert {verb["verb"]: verb["needs"] for verb in step(saga, "reserve")["verbs"]} == {
        "retry": [], "settle": ["reason", "settlement"], "waive": ["reason"]
    }  # fmt: skip
    assert [verb["verb"] for verb in saga["verbs"]] == saga["allowed"]
    asked = await site.http.post(waiving["href"], json={"by": "grace", "reason": "it is ours to keep"})
    assert asked.status_code == 200

    told = (await site.http.get(saga["links"]["timeline"])).json()

    assert [(mark["kind"], mark["by"]) for mark in told["marks"]] == [
        ("started", None), ("turned", None), ("blocked", None), ("paused", "ada"), ("resumed", "ada"),
        ("asked", "grace"), ("finished", "grace"),
    ]  # fmt: skip
    assert told["marks"][2]["text"] == "reserve needs a person"  # what is stuck, not what turned it
    assert told["marks"][-2]["text"] == "waive reserve: it is ours to keep"


async def test_a_past_that_is_too_long_is_left_out_and_said_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    saga_id = await failed_saga(site)
    monkeypatch.setattr(reading_back, "history_read_max", 2)

    told = (await site.http.get(f"/v1/sagas/{saga_id}/timeline")).json()

    assert (told["complete"], told["attempts"], told["marks"]) == (False, [], [])
    problem_of(await site.http.get(f"/v1/sagas/{saga_id}/steps/charge/input"), 404, "no-payload")


async def test_payloads_are_text_in_which_no_number_is_rounded(site: Site) -> None:
    await site.define(chain)
    await site.puppets(chain, lambda command: answer(command, result={"id": huge, "price": 0.1, "word": "Zürich"}))
    saga_id = (await site.end(await site.begin(input={"total": huge})))["id"]

    async def text(path: str) -> str:
        response = await site.http.get(f"/v1/sagas/{saga_id}{path}")
        assert response.status_code == 200, response.text
        payload = response.json()
        assert (payload["bytes"], payload["truncated"]) == (len(payload["text"].encode()), False)
        return str(payload["text"])

    assert await text("/input") == f'{{"total":{huge}}}'
    assert await text("/steps/reserve/result") == f'{{"id":{huge},"price":0.1,"word":"Zürich"}}'
    assert str(huge) in await text("/steps/charge/input")
    assert json.loads(await text("/input?pretty=true")) == {"total": huge}
    assert "\n" in await text("/input?pretty=true")


async def test_a_payload_is_cut_where_the_reader_wants_no_more(site: Site) -> None:
    await site.define(chain)
    saga_id = await site.begin(input="ü" * 100)

    payload = (await site.http.get(f"/v1/sagas/{saga_id}/input?max_bytes=8")).json()

    assert payload == {"bytes": 202, "truncated": True, "text": '"üüü', "payloads_hidden": False}
    for bad in ("0", "1048577", "x"):
        problem_of(await site.http.get(f"/v1/sagas/{saga_id}/input?max_bytes={bad}"), 400, "bad-parameter")


async def test_what_is_not_there_is_said(site: Site) -> None:
    await site.define(chain)
    saga_id = await site.begin()
    nobody = "00000000-0000-7000-8000-000000000000"
    cases: tuple[tuple[str, str], ...] = (
        (f"/v1/sagas/{saga_id}/steps/charge/input", "no-payload"),
        (f"/v1/sagas/{saga_id}/steps/charge/result", "no-payload"),
        (f"/v1/sagas/{saga_id}/steps/none/input", "unknown-step"),
        (f"/v1/sagas/{saga_id}/steps/none/result", "unknown-step"),
        (f"/v1/sagas/{nobody}/timeline", "unknown-saga"),
        (f"/v1/sagas/{nobody}/input", "unknown-saga"),
    )
    for path, slug in cases:
        problem_of(await site.http.get(path), 404, slug)
    told: dict[str, Any] = (await site.http.get(f"/v1/sagas/{saga_id}/timeline")).json()
    assert [(one["outcome"], one["taken_at"]) for one in told["attempts"]] == [(None, None)]
