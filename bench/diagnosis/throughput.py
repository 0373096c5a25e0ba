"""What watching costs: the same sagas with and without diagnosis, in turns, in real time."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.diagnosis.running import fresh
from bench.diagnosis.themes import shop
from bench.diagnosis.wording import wordings
from bench.diagnosis.world import Plan, World

at_once = 50
definition = "subscribe"


@dataclass(frozen=True, slots=True)
class Throughput:
    """Sagas per second of each round, with diagnosis and without it."""

    with_it: Sequence[float]
    without: Sequence[float]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios: 1.0 costs nothing."""
        return statistics.median(one / other for one, other in zip(self.with_it, self.without, strict=True))


def throughput(*, rounds: int, sagas: int) -> Throughput:
    """Measure in pairs, so that what else the machine does meets both."""
    measured: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(rounds):
        order = (True, False) if turn % 2 else (False, True)
        for diagnosis in order:
            measured[diagnosis].append(_measure(diagnosis, sagas))
    return Throughput(measured[True], measured[False])


def _measure(diagnosis: bool, sagas: int) -> float:
    database = fresh()
    try:
        return asyncio.run(_run(database, diagnosis, sagas))
    finally:
        shutil.rmtree(database.parent, ignore_errors=True)


async def _run(database: Any, diagnosis: bool, sagas: int) -> float:
    plan = Plan(shop, 3, wordings["httpx"], settings={"diagnosis": diagnosis}, noise=0.0, concurrency=32, quick=True)
    async with World(plan, database) as world:
        await asyncio.gather(*(world.begin(definition) for _ in range(at_once)))
        began = time.perf_counter()
        for _ in range(sagas // at_once):
            await asyncio.gather(*(world.begin(definition) for _ in range(at_once)))
        while sum(saga.final for saga in world.sagas.values()) < sagas:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return sagas / (time.perf_counter() - began)
