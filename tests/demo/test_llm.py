"""The built-in participant `llm`, against a server that speaks OpenAI's API: what is asked, and what is believed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from amends import Answer as Told
from participants.llm import llm
from tests.demo.commands import Counter, counter
from tests.demo.fake_openai import Answer, FakeServer, completion, serving

topics = {
    "type": "object",
    "required": ["topic", "urgent"],
    "properties": {"topic": {"enum": ["parcel", "money"]}, "urgent": {"type": "boolean"}},
}


@pytest.fixture(autouse=True)
def _no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BASE_URL", "API_KEY", "MODEL"):
        monkeypatch.delenv(f"AMENDS_LLM_{name}", raising=False)


@pytest.fixture
async def mock(sqlite_url: str) -> AsyncIterator[Counter]:
    async with counter(llm, sqlite_url) as desk:
        yield desk


async def _ask(
    server: FakeServer, url: str, monkeypatch: pytest.MonkeyPatch, data: dict[str, Any], *, attempts: int = 1
) -> Any:
    monkeypatch.setenv("AMENDS_LLM_BASE_URL", f"{server.url}/v1")
    monkeypatch.setenv("AMENDS_LLM_API_KEY", "a-key")
    monkeypatch.setenv("AMENDS_LLM_MODEL", "a-model")
    async with counter(llm, url) as desk:
        return [await desk.act("ask", data, attempt=attempt) for attempt in range(1, attempts + 1)][-1]


async def test_a_question_reaches_the_model_and_its_answer_comes_back(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(completion("Hello Ada")) as server:
        data = {"system": "Be kind.", "prompt": "Greet Ada", "tokens_max": 50}
        reply = await _ask(server, sqlite_url, monkeypatch, data)
    assert reply.result == {
        "text": "Hello Ada",
        "json": None,
        "model": "a-model-2026",
        "mock": False,
        "usage": {"input": 11, "output": 7},
    }
    said = server.said[0]
    assert (said.path, said.headers["authorization"]) == ("/v1/chat/completions", "Bearer a-key")
    assert said.body["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Greet Ada"},
    ]
    assert (said.body["model"], said.body["max_tokens"]) == ("a-model", 50)
    assert [(call.dependency, call.error) for call in reply.calls] == [(server.url.removeprefix("http://"), "")]


async def test_an_answer_of_a_schema_is_asked_for_and_checked(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(completion('{"topic": "money", "urgent": true}')) as server:
        reply = await _ask(server, sqlite_url, monkeypatch, {"prompt": "Sort this", "json_schema": topics})
    assert reply.result["json"] == {"topic": "money", "urgent": True}
    assert server.said[0].body["response_format"]["json_schema"]["schema"] == topics


@pytest.mark.parametrize("content", ["certainly! {", '{"topic": "weather", "urgent": true}', '{"topic": "money"}'])
async def test_an_answer_that_is_not_of_the_schema_is_asked_for_again(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    with serving(completion(content), completion('{"topic": "money", "urgent": false}')) as server:
        data = {"prompt": "Sort this", "json_schema": topics}
        reply = await _ask(server, sqlite_url, monkeypatch, data, attempts=2)
    assert reply.result["json"] == {"topic": "money", "urgent": False}
    assert len(server.said) == 2


refusals = {
    "a model that refuses": (completion(None, refusal="I'd rather not"), "ModelRefused"),
    "an answer cut off": (completion("It all began", finish_reason="length"), "AnswerCutOff"),
    "a key nobody knows": (Answer({"error": {"message": "bad key"}}, 401), "Llm401"),
    "a model nobody knows": (Answer({"error": {"message": "no such model"}}, 404), "Llm404"),
}


@pytest.mark.parametrize("case", refusals)
async def test_what_asking_again_would_not_change_is_refused(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    answer, error_type = refusals[case]
    with serving(answer) as server:
        reply = await _ask(server, sqlite_url, monkeypatch, {"prompt": "Tell me"})
    assert (reply.answer, reply.error.type) == (Told.REFUSED, error_type)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_busy_server_is_asked_again(sqlite_url: str, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    with serving(Answer({"error": {"message": "later"}}, status), completion("now")) as server:
        reply = await _ask(server, sqlite_url, monkeypatch, {"prompt": "Tell me"}, attempts=2)
    assert reply.result["text"] == "now"
    assert len(server.said) == 2


async def test_a_busy_server_is_named_with_what_it_said(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Answer({"error": {"message": "later"}}, 429, {"Retry-After": "7"})) as server:
        reply = await _ask(server, sqlite_url, monkeypatch, {"prompt": "Tell me"})
    assert (reply.error.code, reply.error.retry_after_seconds) == ("http 429", 7.0)
    assert [(call.error, call.code) for call in reply.calls] == [("RateLimitError", "http 429")]


async def test_the_inbox_keeps_an_answer_so_that_a_repeated_command_costs_nothing(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(completion("first"), completion("second")) as server:
        reply = await _ask(server, sqlite_url, monkeypatch, {"prompt": "Tell me"}, attempts=3)
    assert reply.result["text"] == "first"
    assert len(server.said) == 1


async def test_without_a_model_an_answer_is_made_up_and_says_so(mock: Counter) -> None:
    first = await mock.act("ask", {"prompt": "Greet Ada"})
    same = await mock.act("ask", {"messages": [{"role": "user", "content": "Greet Ada"}]}, saga_id="another")
    other = await mock.act("ask", {"prompt": "Greet Grace"}, saga_id="a-third")
    assert first.result["mock"] is True
    assert first.result["text"] == same.result["text"] != other.result["text"]


async def test_what_is_made_up_is_of_the_schema(mock: Counter) -> None:
    reply = await mock.act("ask", {"prompt": "Sort this", "json_schema": topics})
    assert reply.result["json"] == {"topic": "parcel", "urgent": False}


@pytest.mark.parametrize("data", [{}, {"prompt": "a", "messages": [{"role": "user", "content": "b"}]}, {"prompt": ""}])
async def test_a_question_is_a_prompt_or_messages(mock: Counter, data: dict[str, Any]) -> None:
    reply = await mock.act("ask", data)
    assert (reply.answer, reply.error and reply.error.type) == (Told.REFUSED, "InvalidData")
