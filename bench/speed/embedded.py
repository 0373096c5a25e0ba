"""The same sagas with everything in one process, over SQLite: what `amends dev` and `embedded` do."""

from __future__ import annotations

import asyncio
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from amends.database import open_engine
from amends.inbox import SqlInbox
from bench.speed import shop
from bench.speed.costs import spent
from bench.speed.measuring import Figures, figures, mebibyte
from coordinator.embedded import Embedded, embedded
from coordinator.saga.state import SagaStatus

patience_seconds = 60.0


async def measure_embedded(
    *, in_flight: int, seconds: float, warm_seconds: float, inbox: bool = True, fails: bool = False
) -> Figures:
    """As `measuring.measure`, in this process: what the client costs can't be told apart."""
    with tempfile.TemporaryDirectory(prefix="amends-speed-") as folder:
        names = dict.fromkeys(shop.steps.values())
        engines = {name: open_engine(f"sqlite:///{folder}/{name}.db") for name in names} if inbox else {}
        for engine in engines.values():
            await SqlInbox(engine).create()
        participants = [shop.participant(name, engines.get(name)) for name in names]
        try:
            async with embedded(*participants, database_url=f"sqlite:///{Path(folder)}/amends.db") as coordinator:
                await coordinator.register(shop.document())
                return await _measure(coordinator, in_flight, seconds, warm_seconds, fails=fails)
        finally:
            for engine in engines.values():
                await engine.dispose()


async def _measure(
    coordinator: Embedded, in_flight: int, seconds: float, warm_seconds: float, *, fails: bool
) -> Figures:
    ended: list[float] = []
    stopping = asyncio.Event()
    wanted = SagaStatus.COMPENSATED if fails else SagaStatus.COMPLETED

    async def one_after_the_other(number: int) -> None:
        while not stopping.is_set():
            number += in_flight
            began = time.perf_counter()
            saga = await coordinator.run(shop.definition, shop.order(number, fails=fails))
            if saga.status is not wanted:
                raise RuntimeError(f"saga {saga.id} ended {saga.status}: {saga.cause}")
            ended.append(time.perf_counter() - began)

    async with asyncio.timeout(seconds + warm_seconds + patience_seconds), asyncio.TaskGroup() as group:
        for number in range(in_flight):
            group.create_task(one_after_the_other(number))
        await asyncio.sleep(warm_seconds)
        before, first, began = await spent({}, None), len(ended), time.perf_counter()
        await asyncio.sleep(seconds)
        taken, last = time.perf_counter() - began, len(ended)
        used = (await spent({}, None)).since(before)
        stopping.set()
    memory = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / mebibyte}
    own = replace(used, seconds={"process": used.seconds["client"]})
    return figures(in_flight, ended[first:last], taken, own, memory)
