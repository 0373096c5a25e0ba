"""The floor as a contender: `floor_saga` in the processes, databases and queues that the product has."""

from __future__ import annotations

import sys

from amends.database import open_engine
from amends.inbox import SqlInbox
from bench.race.driving import Driven, begin
from bench.race.floor_saga import forward, lanes_max
from bench.speed.product import Servers
from coordinator.store.migration import migrate
from tests.servers.process import GuardedProcess

label = "floor_"


class Floor(Driven):
    """A coordinator's process and one for each participant."""

    def __init__(self, servers: Servers, in_flight: int) -> None:
        super().__init__()
        self._servers = servers
        self._participants: list[GuardedProcess] = []
        self.in_flight = in_flight // lanes_max * lanes_max

    async def start(self) -> None:
        broker = await self._servers.broker("floor")
        names = ("coordinator", *(name for name, _ in forward))
        await self._servers.make_empty(*self.databases())
        await migrate(self._servers.database(f"{label}coordinator"))
        for name in names[1:]:
            engine = open_engine(self._servers.database(label + name))
            await SqlInbox(engine).create()
            await engine.dispose()
        for name in names:
            database = self._servers.database(label + name).replace("+asyncpg", "")
            argv = [sys.executable, "-m", "bench.race.floor_saga", name, "--broker", broker, "--database", database]
            if name == "coordinator":
                await self.add("floor", argv, {"PYTHONWARNINGS": "ignore"})
            else:
                self._participants.append(begin(f"floor-{name}", argv))

    async def stop(self) -> None:
        for process in self._participants:
            process.remove()
        await super().stop()

    def pids(self) -> dict[str, list[int]]:
        found = {
            "coordinator": [one.pid for one in self.processes],
            "participants": [one.pid for one in self._participants],
            "PostgreSQL": [self._servers.postgres.pid],
            "RabbitMQ": [self._servers.rabbitmq.pid],
        }
        return {who: [pid for pid in pids if pid] for who, pids in found.items()}

    def databases(self) -> dict[str, str]:
        names = {f"{label}{name}": name for name, _ in forward}
        return {f"{label}coordinator": "amends", **names}
