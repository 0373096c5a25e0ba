"""Ten thousand sagas fail of one cause, in real time: how many incidents, calls of the model, how much work."""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from bench.diagnosis.faults import Trouble, Where
from bench.diagnosis.running import fresh
from bench.diagnosis.themes import shop
from bench.diagnosis.topology import Definition, Theme
from bench.diagnosis.topology import Plan as Step
from bench.diagnosis.wording import wordings
from bench.diagnosis.world import Plan, World
from coordinator.store.observed import IncidentFilter
from tests.diagnosis.fake_model import agreeing, serving

at_once = 100
settle_seconds = 8.0  # after the last failure, for what is debounced

short = Theme(
    "short",
    (shop.service("payment"),),
    (Definition("pay", ("amount",), (Step("charge", "payment", "charge", "refund_charge", max_attempts=1),)),),
    shop.hosts,
)


@dataclass(frozen=True, slots=True)
class Outage:
    sagas: int
    failed: int
    incidents: int
    calls: int
    seconds: float
    cpu_seconds: float


def outage(sagas: int, *, diagnosis: bool = True) -> Outage:
    """Let so many sagas fail of one cause."""
    database = fresh()
    try:
        return asyncio.run(_outage(sagas, database, diagnosis))
    finally:
        shutil.rmtree(database.parent, ignore_errors=True)


async def _outage(sagas: int, database: Any, diagnosis: bool) -> Outage:
    fault = Trouble(
        "down",
        Where(dependency="card-provider"),
        lambda said, visit: said.refused("card-provider"),
        start=0,
        seconds=0.0,
    )
    with ExitStack() as stack:
        settings: dict[str, Any] = {"diagnosis": diagnosis}
        model = None
        if diagnosis:
            model = stack.enter_context(serving(agreeing))
            settings |= {
                "diagnosis_model": "fake",
                "diagnosis_base_url": model.url,
                "diagnosis_model_when": "always",
                "diagnosis_api_key": "none",
            }
        plan = Plan(short, 4, wordings["httpx"], [fault], settings=settings, noise=0.0, concurrency=32)
        async with World(plan, database) as world:
            began, work = time.perf_counter(), time.process_time()
            for _ in range(sagas // at_once):
                await asyncio.gather(*(world.begin("pay") for _ in range(at_once)))
            while len(world.failed_at) < sagas and time.perf_counter() - began < 900:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            seconds, work = time.perf_counter() - began, time.process_time() - work
            incidents = 0
            if world.app.diagnosis:
                await asyncio.sleep(settle_seconds)
                await world.app.diagnosis.watch.flush()
                incidents = len((await world.app.diagnosis.reader.page(IncidentFilter(), limit=50)).items)
            calls = len(model.asked) if model else 0
            return Outage(sagas, len(world.failed_at), incidents, calls, seconds, work)
