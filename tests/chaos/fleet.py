"""The processes of a run: two coordinators and some workers of each service, real ones, that can be killed at any time.

Each is watched by `tests.servers.guard`, so that none outlives the run, however it ends.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.chaos.evidence import books, connected
from tests.servers.process import GuardedProcess, free_port

root = Path(__file__).parents[2]
coordinators = 2
lease_seconds = 5.0  # how long the commands of a coordinator that was killed wait for another
worker_concurrency = 8
ready_seconds_max = 60.0
definition = root / "participants" / "place_order.json"


@dataclass(slots=True)
class Member:
    """One process of the fleet, whichever life of it runs."""

    name: str
    kind: str  # coordinator, worker
    argv: Sequence[str]
    env: Mapping[str, str]
    url: str = ""  # of a coordinator
    kills: int = 0
    deaths: list[str] = field(default_factory=list)  # ends that nobody asked for
    process: GuardedProcess = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.process = GuardedProcess(self.name, user=None, stop_signal=signal.SIGTERM)

    def start(self) -> None:
        self.process.start(self.argv, self.env, afterwards=[], ready=lambda: True)

    def kill(self) -> None:
        """kill -9, and start it again at once."""
        with self._lock:
            self._revive()
            self.process.end(signal.SIGKILL)
            self.kills += 1
            self.start()

    def look(self) -> None:
        """If it has ended by itself, keep why, and begin a new life."""
        with self._lock:
            self._revive()

    def _revive(self) -> None:
        if not self.process.running:
            self.deaths.append(self.process.last_words())
            self.process.end(signal.SIGKILL)
            self.start()


class Fleet:
    """All members, over the databases and the broker they were given."""

    def __init__(
        self, postgres_url: str, rabbitmq_url: str, *, prefix: str, workers_each: int, logs: Path | None = None
    ) -> None:
        self._server = postgres_url
        self._prefix = prefix
        self._logs = logs
        self.coordinator_url = self._database("coordinator")
        self.services = {service: self._database(service) for service in books}
        self.members: list[Member] = []
        for number in range(coordinators):
            port = free_port()
            env = {
                "AMENDS_DATABASE_URL": self.coordinator_url,
                "AMENDS_BROKER_URL": rabbitmq_url,
                "AMENDS_PORT": str(port),
                "AMENDS_LEASE_SECONDS": str(lease_seconds),
            }
            argv = [sys.executable, "-c", "from coordinator.cli import main; main()", "serve"]
            name, url = f"coordinator-{number}", f"http://127.0.0.1:{port}"
            self.members.append(Member(name, "coordinator", argv, _environment(env), url))
        for service, url in self.services.items():
            options = ["--broker", rabbitmq_url, "--database", url, "--concurrency", str(worker_concurrency)]
            argv = [sys.executable, "-m", f"participants.{service}", *options, "--log-level", "WARNING"]
            for number in range(workers_each):
                self.members.append(Member(f"{service}-{number}", "worker", argv, _environment({})))

    def _database(self, name: str) -> str:
        return f"{self._server.rpartition('/')[0]}/{self._prefix}_{name}"

    @property
    def urls(self) -> list[str]:
        return [member.url for member in self.members if member.kind == "coordinator"]

    async def start(self) -> None:
        """Create the databases, start everything, return once the coordinators are ready and the books are open."""
        async with connected(self._server) as server:
            for url in (self.coordinator_url, *self.services.values()):
                await server.execute(f'CREATE DATABASE "{url.rpartition("/")[2]}"')
        for member in self.members:
            await asyncio.to_thread(member.start)
        async with httpx2.AsyncClient(timeout=5.0) as client, asyncio.timeout(ready_seconds_max):
            for url in self.urls:
                await _ready(client, url)
        async with asyncio.timeout(ready_seconds_max):
            for service, url in self.services.items():
                await _stocked(url, books[service])

    async def register(self, document: Any) -> None:
        """Register the definition with the first coordinator. Raises HTTPStatusError."""
        async with httpx2.AsyncClient(timeout=10.0) as client:
            answer = await client.post(f"{self.urls[0]}/v1/definitions", json=document)
            answer.raise_for_status()

    async def loops_alive(self) -> list[str]:
        """The coordinators of which a loop has ended, or which don't answer, with what they say."""
        ill = []
        async with httpx2.AsyncClient(timeout=10.0) as client:
            for url in self.urls:
                await _ready(client, url)
                answer = await client.get(f"{url}/livez")
                if answer.status_code != 200:
                    ill.append(f"{url}: {answer.text[:500]}")
        return ill

    async def stop(self) -> None:
        """End everything, and drop the databases."""
        await asyncio.gather(*(asyncio.to_thread(self._end, member) for member in self.members))
        async with connected(self._server) as server:
            for url in (self.coordinator_url, *self.services.values()):
                await server.execute(f'DROP DATABASE IF EXISTS "{url.rpartition("/")[2]}" WITH (FORCE)')

    def _end(self, member: Member) -> None:
        member.process.end(signal.SIGKILL)
        if self._logs and member.process.log.exists():
            self._logs.mkdir(parents=True, exist_ok=True)
            shutil.copy(member.process.log, self._logs / f"{member.name}.txt")
        member.process.remove()


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """What a process of the fleet sees: no settings but ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AMENDS_", "OTEL_"))}
    return {**kept, "PYTHONPATH": os.pathsep.join([str(root), str(root / "participants" / "sdk")]), **more}


async def _ready(client: httpx2.AsyncClient, url: str) -> None:
    while True:
        try:
            if (await client.get(f"{url}/readyz")).status_code == 200:
                return
        except httpx2.TransportError:
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.05)


_there = "SELECT to_regclass($1) IS NOT NULL"


async def _stocked(url: str, tables: Sequence[str]) -> None:
    """Wait for a service's tables, with what they hold at first: both are there after one commit."""
    async with connected(url) as connection:
        while not all([await connection.fetchval(_there, table) for table in tables]):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
