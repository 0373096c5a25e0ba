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
class Round:
    """Some sagas, all of which complete."""

    sagas_per_second: float
    work_per_saga: float  # milliseconds of processor time, of the coordinator and its participants together


@dataclass(frozen=True, slots=True)
class Throughput:
    """Each round, with diagnosis and without it."""

    with_it: Sequence[Round]
    without: Sequence[Round]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios: 1.0 costs nothing."""
        pairs = zip(self.with_it, self.without, strict=True)
        return statistics.median(one.sagas_per_second / other.sagas_per_second for one, other in pairs)

    @property
    def work_ratio(self) -> float:
        """The same of processor time, which other programs on the machine disturb less."""
        pairs = zip(self.with_it, self.without, strict=True)
        return statistics.median(one.work_per_saga / other.work_per_saga for one, other in pairs)


def throughput(*, rounds: int, sagas: int) -> Throughput:
    """Measure in pairs, so that what else the machine does meets both."""
    measured: dict[bool, list[Round]] = {True: [], False: []}
    for turn in range(rounds):
        order = (True, False) if turn % 2 else (False, True)
        for diagnosis in order:
            measured[diagnosis].append(_measure(diagnosis, sagas))
    return Throughput(measured[True], measured[False])


def _measure(diagnosis: bool, sagas: int) -> Round:
    database = fresh()
    try:
        return asyncio.run(_run(database, diagnosis, sagas))
    finally:
        shutil.rmtree(database.parent, ignore_errors=True)


async def _run(database: Any, diagnosis: bool, sagas: int) -> Round:
    plan = Plan(shop, 3, wordings["httpx"], settings={"diagnosis": diagnosis}, noise=0.0, concurrency=32, quick=True)
    async with World(plan, database) as world:
        await _completed(world, at_once)  # everything has been loaded
        began, work = time.perf_counter(), time.process_time()
        await _completed(world, sagas)
        seconds, work = time.perf_counter() - began, time.process_time() - work
        return Round(sagas / seconds, work / sagas * 1000)


async def _completed(world: World, sagas: int) -> None:
    """So many more sagas, to the last one's end."""
    wanted = sum(saga.final for saga in world.sagas.values()) + sagas
    for _ in range(sagas // at_once):
        await asyncio.gather(*(world.begin(definition) for _ in range(at_once)))
    while sum(saga.final for saga in world.sagas.values()) < wanted:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
