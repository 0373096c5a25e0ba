"""Restate as a contender: a server with a log of its own, and services that it calls."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

import httpx2

from bench.race.driving import begin, listening, ready_seconds_max
from bench.race.installing import environment, restate_binary
from bench.speed import shop
from bench.speed.load import Demand, Tally, load, number_mark, post
from tests.servers.process import GuardedProcess, free_port

module = "bench.race.peers.restate_saga"


class Restate:
    """One server on one partition (more cost more than they bring on two cores), and services in Python."""

    def __init__(self, apps: tuple[str, ...], in_flight: int) -> None:
        self._apps = apps
        self.in_flight = in_flight
        self._server: GuardedProcess | None = None
        self._services: list[GuardedProcess] = []
        self._ingress = 0

    async def start(self) -> None:
        """Raises NotInstalled."""
        binary = await asyncio.to_thread(restate_binary)
        python = await asyncio.to_thread(environment, "restate")
        self._ingress, admin, node = free_port(), free_port(), free_port()
        addresses = {
            "RESTATE_BIND_ADDRESS": f"127.0.0.1:{node}",
            "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{node}",
            "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{self._ingress}",
            "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
            "RESTATE_LISTEN_MODE": "tcp",
            "RESTATE_DISABLE_TELEMETRY": "true",
            "RESTATE_LOG_FILTER": "warn",
            "RESTATE_DEFAULT_NUM_PARTITIONS": "1",
        }
        self._server = begin("restate", [str(binary), "--no-logo", "--base-dir", "data"], addresses)
        ports = []
        for app in self._apps:
            port = free_port()
            argv = [str(python), "-m", "hypercorn", f"{module}:{app}", "--worker-class", "uvloop"]
            service = begin("restate-service", [*argv, "--bind", f"127.0.0.1:{port}", "--log-level", "warning"])
            self._services.append(service)
            await listening(port, service)
            ports.append(port)
        await listening(admin, self._server)
        await listening(self._ingress, self._server)
        for port in ports:
            await _register(admin, port)
        await self._first()

    async def _first(self) -> None:
        """The first saga is carried out once the server has found its services."""
        async with httpx2.AsyncClient(timeout=5.0) as client, asyncio.timeout(ready_seconds_max):
            url = f"http://127.0.0.1:{self._ingress}/orders/place"
            while (await client.post(url, json=shop.order(0))).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.2)

    async def stop(self) -> None:
        for process in (*self._services, *([self._server] if self._server else [])):
            await asyncio.to_thread(process.remove)

    def pids(self) -> dict[str, list[int]]:
        found = {
            "server": [self._server.pid if self._server else None],
            "services": [one.pid for one in self._services],
        }
        return {who: [pid for pid in pids if pid] for who, pids in found.items()}

    def databases(self) -> dict[str, str]:
        return {}

    def load(self, demand: Demand) -> AbstractAsyncContextManager[Tally]:
        ends = '"compensated"' if demand.fails else '"completed"'
        order = shop.order(int(number_mark), fails=demand.fails)
        return load([(self._ingress, post(self._ingress, "/orders/place", order, ends))], demand)


async def _register(admin: int, port: int) -> None:
    """Let the server find out which services are there. It may not be ready for that at once."""
    async with httpx2.AsyncClient(timeout=30.0) as client, asyncio.timeout(ready_seconds_max):
        while True:
            body = {"uri": f"http://127.0.0.1:{port}"}
            answer = await client.post(f"http://127.0.0.1:{admin}/deployments", json=body)
            if answer.status_code < 300:
                return
            if answer.status_code < 500:
                raise RuntimeError(f"Restate does not take the deployment: {answer.text[:500]}")
            await asyncio.sleep(0.2)
