"""A saga of ready-made steps, without a line of code: `http` books, `llm` writes, and what was booked is cancelled."""

from __future__ import annotations

import asyncio
import io
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from amends import LocalBroker
from coordinator.building import build
from coordinator.config import Settings
from coordinator.engine import Beginning
from coordinator.saga.state import Saga, SagaStatus
from coordinator.store.values import Created
from participants.http import http
from participants.llm import llm
from participants.story import Telling
from tests.demo.commands import counter
from tests.demo.fake_openai import Answer, serving


def _definition(url: str) -> dict[str, Any]:
    retry = {"max_attempts": 2, "first": "10ms"}
    return {
        "name": "trip",
        "steps": [
            {
                "name": "book",
                "participant": "http",
                "action": "call",
                "compensation": "undo",
                "input": {
                    "request": {"method": "POST", "url": f"{url}/bookings", "body": {"to": "${input.to}"}},
                    "undo": {"method": "DELETE", "url": f"{url}/bookings/$${{result.body.id}}"},
                },
            },
            {
                "name": "write",
                "participant": "llm",
                "action": "ask",
                "kind": "readonly",
                "input": {"prompt": "Tell them that booking ${steps.book.body.id} to ${input.to} is made."},
            },
            {
                "name": "mail",
                "participant": "http",
                "action": "call",
                "irreversible": "a letter can't be taken back",
                "input": {"method": "POST", "url": f"{url}/letters", "body": {"text": "${steps.write.text}"}},
                "retry": retry,
            },
        ],
    }


async def _travel(folder: Path, url: str) -> Saga:
    """Run the saga to its end, with a coordinator and both participants in this process."""
    telling = Telling(Console(file=io.StringIO()), {})
    broker = LocalBroker()
    settings = Settings.model_validate({"database_url": f"sqlite:///{folder / 'amends.db'}", "broker_url": "local:"})
    app = await build(settings, observers=[telling.observe], broker=broker)
    await app.start()
    try:
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            desks = [
                await stack.enter_async_context(counter(service, f"sqlite:///{folder / service.name}.db"))
                for service in (http, llm)
            ]
            for desk in desks:
                group.create_task(desk.participant.serve(broker))
                await broker.declare(desk.participant.name)
            definition = await app.definitions.register(_definition(url), by="test")
            creation = await app.engine.start(Beginning(definition, {"to": "Lisbon"}))
            assert isinstance(creation, Created)
            async with asyncio.timeout(20):
                saga = await telling.end_of(creation.saga_id)
            for desk in desks:
                desk.participant.stop()
            return saga
    finally:
        await app.stop()


@pytest.fixture(autouse=True)
def _allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMENDS_HTTP_ALLOWED_HOSTS", "127.0.0.1")
    for name in ("BASE_URL", "API_KEY", "MODEL"):
        monkeypatch.delenv(f"AMENDS_LLM_{name}", raising=False)


async def test_ready_made_steps_make_a_saga(tmp_path: Path) -> None:
    with serving(Answer({"id": 41}, 201), Answer(None, 204)) as server:
        saga = await _travel(tmp_path, server.url)
    assert saga.status is SagaStatus.COMPLETED
    assert [(said.method, said.path) for said in server.said] == [("POST", "/bookings"), ("POST", "/letters")]
    assert server.said[1].body["text"].startswith("mock answer ")


async def test_what_was_booked_is_cancelled_by_the_id_that_the_booking_gave(tmp_path: Path) -> None:
    with serving(Answer({"id": 41}, 201), Answer("no such address", 422), Answer(None, 204)) as server:
        saga = await _travel(tmp_path, server.url)
    assert saga.status is SagaStatus.COMPENSATED
    said = [(said.method, said.path) for said in server.said]
    assert said == [("POST", "/bookings"), ("POST", "/letters"), ("DELETE", "/bookings/41")]
    assert server.said[2].headers["amends-undoes"] == server.said[0].headers["idempotency-key"]
