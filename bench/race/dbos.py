"""DBOS Transact as a contender: a library whose workflows keep their state in the PostgreSQL that we use, too."""

from __future__ import annotations

import asyncio

from bench.race.driving import Driven
from bench.race.installing import environment
from bench.speed.product import Servers


class Dbos(Driven):
    """So many processes with so many threads each, the sagas called as functions."""

    def __init__(self, servers: Servers, processes: int, threads: int) -> None:
        super().__init__()
        self._servers, self._processes, self._threads = servers, processes, threads
        self._database = f"dbos{processes}"
        self.in_flight = processes * threads

    async def start(self) -> None:
        """Raises NotInstalled."""
        python = await asyncio.to_thread(environment, "dbos")
        await self._servers.make_empty(self._database)
        url = self._servers.database(self._database).replace("+asyncpg", "+psycopg")
        for number in range(self._processes):
            options = ["--database", url, "--threads", str(self._threads), "--executor", f"e{number}"]
            await self.add("dbos", [str(python), "-m", "bench.race.peers.dbos_saga", *options])

    def pids(self) -> dict[str, list[int]]:
        found = {"application": [process.pid for process in self.processes], "PostgreSQL": [self._servers.postgres.pid]}
        return {who: [pid for pid in pids if pid] for who, pids in found.items()}

    def databases(self) -> dict[str, str]:
        return {self._database: "dbos"}
