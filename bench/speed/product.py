"""The product as its users run it: coordinators, a process for each participant, PostgreSQL and RabbitMQ of our own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx2

from bench.speed import shop
from bench.speed.load import Demand, Tally, load, order_request
from tests.servers.postgres import EphemeralPostgres
from tests.servers.process import GuardedProcess, free_port
from tests.servers.rabbitmq import EphemeralRabbitMQ

ready_seconds_max = 60.0
coordinator_database = "amends"


@dataclass(frozen=True, slots=True)
class Shape:
    """How much of it there is."""

    coordinators: int = 1
    workers_each: int = 1
    inbox: bool = True  # participants remember what they did, in PostgreSQL; else they don't
    settings: Mapping[str, str] | None = None  # of the coordinators, beside what has to be


@dataclass(frozen=True, slots=True)
class Servers:
    """Both servers: each run has databases that nobody used before."""

    postgres: EphemeralPostgres
    rabbitmq: EphemeralRabbitMQ

    @classmethod
    def started(cls) -> Servers:
        return cls(EphemeralPostgres(durable=True), EphemeralRabbitMQ())

    def stop(self) -> None:
        self.postgres.stop()
        self.rabbitmq.stop()

    def database(self, name: str) -> str:
        return f"{self.postgres.url.rpartition('/')[0]}/{name}"

    async def make_empty(self, *names: str) -> None:
        """Databases of these names with nothing in them, whatever was there before."""
        connection = await asyncpg.connect(self.dsn)
        try:
            for name in names:
                await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
                await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()

    async def broker(self, label: str) -> str:
        """A virtual broker of that name, made if it isn't there; without a name the one that is always there."""
        if not label:
            return self.rabbitmq.url
        parts = urlsplit(self.rabbitmq.management_url)
        async with httpx2.AsyncClient(timeout=30.0, auth=(parts.username or "", parts.password or "")) as client:
            url = f"http://{parts.hostname}:{parts.port}/api/vhosts/{label}"
            (await client.put(url, json={"default_queue_type": "quorum"})).raise_for_status()
        return urlsplit(self.rabbitmq.url)._replace(path=f"/{label}").geturl()

    async def rabbitmq_version(self) -> str:
        parts = urlsplit(self.rabbitmq.management_url)
        async with httpx2.AsyncClient(timeout=30.0, auth=(parts.username or "", parts.password or "")) as client:
            overview = (await client.get(f"http://{parts.hostname}:{parts.port}/api/overview")).json()
            return str(overview["rabbitmq_version"])

    @property
    def dsn(self) -> str:
        """As asyncpg wants it."""
        return self.postgres.url.replace("+asyncpg", "")


class Product:
    """Its processes. `start` and `stop` are called once each. Several that run at a time have labels."""

    def __init__(self, servers: Servers, shape: Shape, source: Path, label: str = "") -> None:
        self._servers, self._shape, self._source, self._label = servers, shape, source, label
        self._broker_url = ""
        self.processes: dict[str, list[GuardedProcess]] = {}
        self.ports: list[int] = []

    async def start(self) -> None:
        self._broker_url = await self._servers.broker(self._label)
        await self._servers.make_empty(*self.databases())
        for _ in range(self._shape.coordinators):
            await self._start_coordinator()
        for participant in dict.fromkeys(shop.steps.values()):
            for _ in range(self._shape.workers_each):
                options = [] if self._shape.inbox else ["--forgetful"]
                options += ["--broker", self._broker_url, "--log-level", "WARNING"]
                options += ["--database", self._servers.database(self._label + participant)]
                argv = [sys.executable, "-m", "bench.speed.worker", participant, *options]
                self._start("participants", argv, {}, ready=lambda: True)
        await self._attended()

    async def stop(self) -> None:
        """End everything, participants first, so that nothing is left in their hands."""
        for kind in reversed(self.processes):
            for process in self.processes[kind]:
                await asyncio.to_thread(process.remove)

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    def databases(self) -> dict[str, str]:
        return {self._label + name: name for name in (coordinator_database, *dict.fromkeys(shop.steps.values()))}

    def load(self, demand: Demand, definition: str = shop.definition) -> AbstractAsyncContextManager[Tally]:
        requests = [(port, order_request(port, fails=demand.fails, definition=definition)) for port in self.ports]
        return load(requests, demand)

    def pids(self) -> dict[str, list[int]]:
        """Everybody's processes by who they are, the servers' included."""
        ours = {kind: [process.pid for process in some] for kind, some in self.processes.items()}
        servers = {"PostgreSQL": [self._servers.postgres.pid], "RabbitMQ": [self._servers.rabbitmq.pid]}
        return {kind: [pid for pid in pids if pid] for kind, pids in (ours | servers).items()}

    async def _start_coordinator(self) -> None:
        port = free_port()
        settings = {
            "AMENDS_DATABASE_URL": self._servers.database(self._label + coordinator_database),
            "AMENDS_BROKER_URL": self._broker_url,
            "AMENDS_PORT": str(port),
            "AMENDS_LOG_LEVEL": "WARNING",
            "AMENDS_RATE_PER_SECOND": "0",  # one address is all clients here
            **(self._shape.settings or {}),
        }
        argv = [sys.executable, "-c", "from coordinator.cli import main; main()", "serve"]
        process = self._start("coordinator", argv, settings, ready=lambda: True)
        async with httpx2.AsyncClient(timeout=5.0) as client:
            await _until(lambda: _is_ready(client, port), process)
            answer = await client.post(f"http://127.0.0.1:{port}/v1/definitions", json=shop.document())
            answer.raise_for_status()
        self.ports.append(port)

    async def _attended(self) -> None:
        """Return once a coordinator has heard of a worker of each participant."""
        async with httpx2.AsyncClient(timeout=5.0) as client:

            async def heard() -> bool:
                found = (await client.get(f"{self.urls[0]}/v1/participants")).json()
                return {one["name"] for one in found["items"] if one["workers"]} >= set(shop.steps.values())

            await _until(heard, *self.processes["participants"])

    def _start(
        self, kind: str, argv: Sequence[str], env: Mapping[str, str], *, ready: Callable[[], bool]
    ) -> GuardedProcess:
        process = GuardedProcess(kind, user=None, stop_signal=signal.SIGTERM)
        self.processes.setdefault(kind, []).append(process)
        path = f"{self._source}:{self._source}/participants/sdk"
        bare = {"PATH": os.environ["PATH"], "HOME": str(process.directory), "PYTHONPATH": path}
        process.start(argv, {**bare, **env}, afterwards=[], ready=ready)
        return process


@asynccontextmanager
async def running(servers: Servers, shape: Shape, source: Path, label: str = "") -> AsyncIterator[Product]:
    """All of it, from the code at `source`, until the block ends."""
    product = Product(servers, shape, source, label)
    try:
        await product.start()
        yield product
    finally:
        await product.stop()


async def _is_ready(client: httpx2.AsyncClient, port: int) -> bool:
    try:
        return (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200
    except httpx2.TransportError:
        return False


async def _until(true: Callable[[], object], *processes: GuardedProcess) -> None:
    """Wait until it is so. Raises RuntimeError with the last words of a process that has ended, TimeoutError."""
    give_up_at = time.monotonic() + ready_seconds_max
    while not await true():  # type: ignore[misc]
        for process in processes:
            if not process.running:
                raise RuntimeError(f"{process.name} has ended:\n{process.last_words()}")
        if time.monotonic() > give_up_at:
            raise TimeoutError("; ".join(process.last_words() for process in processes))
        await asyncio.sleep(0.05)
