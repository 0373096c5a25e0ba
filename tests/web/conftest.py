"""A coordinator with its API on a port of its own, and puppets that play its participants."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import httpx2
import pytest
import uvicorn

from amends.local import LocalBroker
from coordinator.app import App
from coordinator.building import build
from coordinator.config import Settings
from coordinator.web.app import create_web
from coordinator.web.door import Door
from tests.engine.puppet import Puppet, Script, answer
from tests.waiting import eventually

chain: dict[str, Any] = {
    "name": "chain",
    "steps": [
        {"name": "reserve", "participant": "inventory", "action": "reserve", "compensation": "release"},
        {"name": "charge", "participant": "payment", "action": "charge", "compensation": "refund"},
    ],
}


class QuietServer(uvicorn.Server):
    """A server that leaves the test's signals alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Site:
    """A coordinator that listens. `app` and `http` change when it is restarted."""

    app: App
    http: httpx2.AsyncClient
    url: str
    door: Door

    def __init__(self, database_url: str, *, base_path: str = "") -> None:
        self.settings = Settings(database_url=database_url, base_path=base_path)
        self._puppets = AsyncExitStack()

    async def start(self) -> None:
        self.app = await build(self.settings, broker=LocalBroker())
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        web = create_web(self.app, base_path=self.settings.base_path)
        config = uvicorn.Config(web, log_config=None, access_log=False, ws="none", lifespan="on")
        self._server = QuietServer(config)
        self._desk, self.door = web.state.desk, web.state.door
        self._serving = asyncio.ensure_future(self._server.serve(sockets=[listener]))
        self.http = httpx2.AsyncClient(base_url=self.url, timeout=30.0)
        async with asyncio.timeout(20):
            while not self._server.started:  # noqa: ASYNC110 — the server gives no event
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        await self._puppets.aclose()
        self._puppets = AsyncExitStack()
        await self.http.aclose()
        self._desk.stop()
        self._server.should_exit = True
        await self._serving

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def puppet(self, participant: str, script: Script = answer, *, beats: bool = True) -> Puppet:
        """Somebody who answers this participant's commands; with a live worker, as far as anybody knows."""
        puppet = await self._puppets.enter_async_context(Puppet(self.app.broker, participant, script))
        if beats:
            await puppet.beat()

            async def attended() -> bool:
                await self.app.fleet.refresh()
                return participant in self.app.fleet.attended(self.app.clock.now())

            await eventually(attended, f"the heartbeat of {participant} to be heard")
        return puppet

    async def puppets(self, document: dict[str, Any], script: Script = answer) -> dict[str, Puppet]:
        names = dict.fromkeys(step["participant"] for step in document["steps"])
        return {name: await self.puppet(name, script) for name in names}

    async def define(self, document: dict[str, Any]) -> None:
        response = await self.http.post("/v1/definitions", json=document)
        assert response.status_code in (200, 201), response.text

    async def metrics(self) -> str:
        """What a scrape finds, with the database's own figures: a look that took too long is left out of one."""
        self._desk.scraping.fresh_seconds = 0.0

        async def scraped() -> str | None:
            answer = await self.http.get("/metrics")
            assert answer.status_code == 200
            return answer.text if "amends_database_up 1.0" in answer.text else None

        return await eventually(scraped, "a scrape with a look at the database")

    async def begin(self, definition: Any = "chain", **body: Any) -> str:
        """Start a saga; its id."""
        response = await self.http.post("/v1/sagas", json={"definition": definition, **body})
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    async def end(self, saga_id: str) -> dict[str, Any]:
        """The saga once it has ended."""
        response = await self.http.get(f"/v1/sagas/{saga_id}", headers={"Prefer": "wait=20"})
        saga: dict[str, Any] = response.json()
        assert saga["finished_at"], saga
        return saga

    async def saga(self, saga_id: str) -> dict[str, Any]:
        response = await self.http.get(f"/v1/sagas/{saga_id}")
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found


@pytest.fixture
async def site(database_url: str) -> AsyncIterator[Site]:
    """A site on SQLite, and again on PostgreSQL."""
    site = Site(database_url)
    await site.start()
    yield site
    await site.stop()


@pytest.fixture
async def small_site(sqlite_url: str) -> AsyncIterator[Site]:
    """A site on SQLite alone, for what no database has a part in."""
    site = Site(sqlite_url)
    await site.start()
    yield site
    await site.stop()


def problem_of(response: httpx2.Response, status: int, slug: str) -> dict[str, Any]:
    """The problem document of an answer, which must be this one."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert (problem["type"], problem["status"]) == (f"/problems/{slug}", status)
    assert problem["title"]
    assert problem["detail"]
    return problem


def step(saga: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(step for step in saga["steps"] if step["name"] == name)
    return found
