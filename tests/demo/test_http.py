"""The built-in participant `http`, against a real server: what is called, with which key, what each answer proves."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from amends import Answer as Told
from amends import Effect, Refused, Undone
from participants.http import check_host, http, response_bytes_max
from tests.demo.commands import Counter, counter
from tests.demo.fake_openai import Answer, serving


@pytest.fixture
async def desk(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Counter]:
    monkeypatch.setenv("AMENDS_HTTP_ALLOWED_HOSTS", "127.0.0.1")
    async with counter(http, sqlite_url) as desk:
        yield desk


async def test_a_call_sends_its_command_as_idempotency_key_and_gives_status_and_body(desk: Counter) -> None:
    with serving(Answer({"id": 7}, 201)) as server:
        request = {
            "method": "POST",
            "url": f"{server.url}/seats",
            "body": {"seat": "4A"},
            "headers": {"X-From": "demo"},
        }
        reply = await desk.act("call", request)
    assert reply.result == {"status": 201, "body": {"id": 7}}
    said = server.said[0]
    assert (said.method, said.path, said.body, said.headers["x-from"]) == ("POST", "/seats", {"seat": "4A"}, "demo")
    assert said.headers["idempotency-key"] == f"{desk.saga_id}/the-step/0/action/0"


async def test_a_repeated_command_is_answered_from_the_inbox_without_a_second_call(desk: Counter) -> None:
    with serving(Answer({"id": 7})) as server:
        first = await desk.act("call", {"url": server.url})
        again = await desk.act("call", {"url": server.url}, attempt=2)
    assert first.result == again.result
    assert len(server.said) == 1


async def test_an_undo_is_filled_in_from_what_the_call_gave(desk: Counter) -> None:
    with serving(Answer({"id": 7, "room": {"floor": 3}}), Answer(None, 204)) as server:
        data = {
            "request": {"method": "POST", "url": f"{server.url}/seats"},
            "undo": {
                "method": "DELETE",
                "url": f"{server.url}/seats/${{result.body.id}}",
                "body": {"floor": "${result.body.room.floor}"},
            },
        }
        called = await desk.act("call", data)
        undone = await desk.undo("undo", data, result=called.result)
    assert (undone.answer, undone.undone) == (Told.SUCCEEDED, Undone.UNDONE)
    said = server.said[1]
    assert (said.method, said.path, said.body) == ("DELETE", "/seats/7", {"floor": 3})
    assert said.headers["idempotency-key"] == f"{desk.saga_id}/the-step/0/compensation/0"
    assert said.headers["amends-undoes"] == server.said[0].headers["idempotency-key"]


async def test_an_undo_that_needs_what_is_not_there_is_refused_so_that_a_person_looks(desk: Counter) -> None:
    with serving(Answer({"id": 7})) as server:
        data = {"request": {"url": server.url}, "undo": {"url": f"{server.url}/${{result.body.nothing}}"}}
        called = await desk.act("call", data)
        undone = await desk.undo("undo", data, result=called.result)
    assert (undone.answer, undone.error and undone.error.type) == (Told.REFUSED, "NoResult")


@pytest.mark.parametrize(("status", "error_type"), [(400, "Http400"), (404, "Http404"), (409, "Http409")])
async def test_a_no_of_the_service_is_a_refusal(desk: Counter, status: int, error_type: str) -> None:
    with serving(Answer("no such seat", status)) as server:
        reply = await desk.act("call", {"url": server.url})
    assert (reply.answer, reply.error and reply.error.type) == (Told.REFUSED, error_type)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
async def test_a_failing_service_may_have_done_it_and_is_asked_again_under_the_same_key(
    desk: Counter, status: int
) -> None:
    with serving(Answer("later", status), Answer("done")) as server:
        failed = await desk.act("call", {"url": server.url})
        again = await desk.act("call", {"url": server.url}, attempt=2)
    assert (failed.answer, failed.effect) == (Told.FAILED, Effect.UNKNOWN)
    assert again.answer is Told.SUCCEEDED
    assert len({said.headers["idempotency-key"] for said in server.said}) == 1


async def test_a_reply_says_who_was_called_and_how_it_ended(desk: Counter) -> None:
    answers = (Answer("later", 503, {"Retry-After": "7"}), Answer("no such seat", 404), Answer("done"))
    with serving(*answers) as server:
        host = server.url.removeprefix("http://")
        busy = await desk.act("call", {"url": f"{server.url}/seats/7"}, saga_id="busy")
        refused = await desk.act("call", {"url": server.url}, saga_id="refused")
        done = await desk.act("call", {"url": server.url}, saga_id="done")
    assert busy.error is not None
    assert (busy.error.code, busy.error.retry_after_seconds) == ("http 503", 7.0)
    assert refused.error is not None
    assert refused.error.code == "http 404"
    calls = [(call.dependency, call.error, call.code) for reply in (busy, refused, done) for call in reply.calls]
    assert calls == [(host, "CallFailed", "http 503"), (host, "Http404", "http 404"), (host, "", "")]


async def test_a_redirect_is_not_followed_and_proves_nothing(desk: Counter) -> None:
    with serving(Answer(None, 303, {"Location": "http://169.254.169.254/secrets"})) as server:
        reply = await desk.act("call", {"method": "POST", "url": server.url})
    assert (reply.answer, reply.effect, reply.error and reply.error.type) == (Told.FAILED, Effect.UNKNOWN, "Http303")
    assert len(server.said) == 1


async def test_expected_statuses_decide_what_done_means(desk: Counter) -> None:
    with serving(Answer("gone already", 404)) as server:
        assert (await desk.act("call", {"url": server.url, "expect": [200, 404]})).answer is Told.SUCCEEDED
    with serving(Answer("accepted", 202)) as server:
        reply = await desk.act("call", {"url": server.url, "expect": [201]}, saga_id="another")
        assert (reply.answer, reply.effect) == (Told.FAILED, Effect.UNKNOWN)


async def test_a_long_answer_is_cut_and_says_so(desk: Counter) -> None:
    with serving(Answer("x" * (response_bytes_max + 1))) as server:
        reply = await desk.act("call", {"url": server.url})
    assert reply.result == {"status": 200, "body": None, "truncated": True}


async def test_a_service_that_is_not_there_is_a_failure_that_proves_nothing(desk: Counter) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/?token=secret"
        reply = await desk.act("call", {"url": url})
    assert (reply.answer, reply.effect, reply.error and reply.error.type) == (Told.FAILED, Effect.UNKNOWN, "CallFailed")
    assert "secret" not in str(reply.error)
    assert reply.error is not None
    assert reply.error.code == "errno ECONNREFUSED"
    assert [call.code for call in reply.calls] == ["errno ECONNREFUSED"]


async def test_nobody_may_be_called_unless_allowed(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AMENDS_HTTP_ALLOWED_HOSTS", raising=False)
    with serving(Answer("hello")) as server:
        async with counter(http, sqlite_url) as desk:
            reply = await desk.act("call", {"url": server.url})
    assert (reply.answer, reply.error and reply.error.type) == (Told.REFUSED, "HostNotAllowed")
    assert reply.error is not None
    assert "AMENDS_HTTP_ALLOWED_HOSTS" in reply.error.message
    assert server.said == []


@pytest.mark.parametrize("url", ["https://api.example.com/x", "http://a.internal.example.com:8080", "http://[::1]:99/"])
def test_hosts_are_allowed_by_name_by_port_and_by_pattern(url: str) -> None:
    check_host(url, ("api.example.com", "*.internal.example.com", "::1:99"))


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.com/api.example.com",
        "http://api.example.com@evil.com/",
        "http://api.example.com.evil.com/",
        "http://localhost:9/",
        "file:///etc/passwd",
        "no url",
        "http://host:port/",
    ],
)
def test_what_only_looks_allowed_is_not(url: str) -> None:
    with pytest.raises(Refused):
        check_host(url, ("api.example.com", "localhost:8080"))


@pytest.mark.parametrize("data", [{}, {"url": "http://a", "method": "TRACE"}, {"url": "http://a", "wait": 1}, None])
async def test_a_step_that_asks_for_something_else_is_refused(desk: Counter, data: Any) -> None:
    reply = await desk.act("call", data)
    assert (reply.answer, reply.error and reply.error.type) == (Told.REFUSED, "InvalidData")
