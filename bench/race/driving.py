"""Our side of `driven`: a contender in processes of its own that carry out sagas when a socket tells them to."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path

from bench.speed.load import Demand, Tally, wait_seconds
from tests.servers.process import GuardedProcess, free_port

here = Path(__file__).parents[2]
ready_seconds_max = 60.0
line_bytes_max = 256 * 1024 * 1024


def begin(name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> GuardedProcess:
    """A process that ends with this one, and knows nothing of this one's environment but where programs are."""
    process = GuardedProcess(name, user=None, stop_signal=signal.SIGTERM)
    bare = {"PATH": os.environ["PATH"], "HOME": str(process.directory), "PYTHONPATH": str(here)}
    process.start(argv, {**bare, **(env or {})}, afterwards=[], ready=lambda: True)
    return process


async def listening(port: int, process: GuardedProcess) -> None:
    """Return once somebody listens there. Raises RuntimeError if the process has ended, TimeoutError."""
    give_up_at = time.monotonic() + ready_seconds_max
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        except OSError:
            if not process.running:
                raise RuntimeError(f"{process.name} has ended:\n{process.last_words()}") from None
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"{process.name} does not listen:\n{process.last_words()}") from None
        await asyncio.sleep(0.05)


class Driven:
    """Processes of one kind, each with a socket, which share what is wanted between them."""

    def __init__(self) -> None:
        self.processes: list[GuardedProcess] = []
        self.ports: list[int] = []

    async def add(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Start one more; it is told its port with `--port`."""
        port = free_port()
        process = begin(name, [*argv, "--port", str(port)], env)
        self.processes.append(process)
        self.ports.append(port)
        await listening(port, process)

    @asynccontextmanager
    async def load(self, demand: Demand) -> AsyncIterator[Tally]:
        """As of `Contender`."""
        count, tally = len(self.ports), Tally()
        each = replace(demand, in_flight=-(-demand.in_flight // count), per_second=demand.per_second / count)
        used = self.ports if demand.in_flight != 1 else self.ports[:1]
        streams = [await asyncio.open_connection("127.0.0.1", port, limit=line_bytes_max) for port in used]
        for _, writer in streams:
            writer.write(json.dumps(asdict(each)).encode() + b"\n")
        try:
            yield tally
        finally:
            for reader, writer in streams:
                writer.write(b"enough\n")
                async with asyncio.timeout(wait_seconds):
                    answer = json.loads(await reader.readline() or '{"ends": [], "wrong": ["it has ended"]}')
                tally.wrong += answer["wrong"]
                tally.ended_at += [ended_at for ended_at, _ in answer["ends"]]
                tally.seconds += [seconds for _, seconds in answer["ends"]]
                writer.close()

    async def stop(self) -> None:
        for process in self.processes:
            await asyncio.to_thread(process.remove)
