"""How soon a report is there when the tables hold a hundred thousand failures."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from bench.diagnosis.faults import Trouble, Where
from bench.diagnosis.grading import middle
from bench.diagnosis.running import fresh
from bench.diagnosis.themes import shop
from bench.diagnosis.wording import wordings
from bench.diagnosis.world import Plan, World
from coordinator.store.observed import IncidentFilter

at_once = 1000
sagas = 150  # that really ran; the other failures are their like
minutes = 40


@dataclass(frozen=True, slots=True)
class Asked:
    """One question's answer, in milliseconds: how long it took, and how much of that was work of this process."""

    wall: float
    work: float


@dataclass(frozen=True, slots=True)
class Speed:
    """How soon reports were there."""

    failures: int
    incident: Sequence[Asked]
    saga: Sequence[Asked]

    def lines(self) -> list[str]:
        """A table: what is asked about, and how long that takes."""
        rows = [(name, [one.wall for one in asked], [one.work for one in asked]) for name, asked in self._both()]
        return [
            "| of its failures | p50 | p95 | p95 of processor time |",
            "|---|---|---|---|",
            *(
                f"| {name} | {middle(walls):.0f} ms | {part(walls, 0.95):.0f} ms | {part(works, 0.95):.0f} ms |"
                for name, walls, works in rows
            ),
        ]

    def _both(self) -> Sequence[tuple[str, Sequence[Asked]]]:
        return (f"an incident with {self.failures}", self.incident), ("a saga of it", self.saga)


def part(values: Sequence[float], share: float) -> float:
    """The value that so large a share is not above."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def speed(failures: int, *, reports: int = 20) -> Speed:
    """Fill the tables, and ask."""
    database = fresh()
    try:
        return asyncio.run(_speed(database, failures, reports))
    finally:
        shutil.rmtree(database.parent, ignore_errors=True)


async def _speed(database: Path, failures: int, reports: int) -> Speed:
    fault = Trouble(
        "down",
        Where(dependency="warehouse-api"),
        lambda said, visit: said.status("warehouse-api", 503),
        start=0,
        seconds=0.0,
    )
    plan = Plan(shop, 4, wordings["httpx"], [fault], noise=0.0, concurrency=32, quick=True)
    async with World(plan, database) as world:
        await asyncio.gather(*(world.begin() for _ in range(sagas)))
        await asyncio.sleep(8.0)  # they fail, and their incident is there
        await _filled(world, failures)
        diagnosis = world.app.diagnosis
        assert diagnosis is not None
        newest = await diagnosis.reader.page(IncidentFilter(), limit=50)
        largest = max(newest.items, key=lambda one: one.failures)
        failed = list(world.failed_at)[:reports]
        incident, saga = [], []
        for number in range(reports):
            incident.append(await _timed(diagnosis.reporter.refresh(largest.id)))
            saga.append(await _timed(diagnosis.reporter.explain(failed[number % len(failed)])))
        counted = await diagnosis.reader.get(largest.id)
        return Speed(counted.failures if counted else 0, incident, saga)


async def _timed(asked: Awaitable[object]) -> Asked:
    began, work = time.perf_counter(), time.process_time()
    await asked
    return Asked((time.perf_counter() - began) * 1000, (time.process_time() - work) * 1000)


async def _filled(world: World, failures: int) -> None:
    """As many failures of that incident, and as many counts, as a bad hour leaves behind."""
    diagnosis = world.app.diagnosis
    assert diagnosis is not None
    await diagnosis.watch.flush()
    newest = await diagnosis.reader.page(IncidentFilter(), limit=50)
    largest = max(newest.items, key=lambda one: one.failures)
    like = (await diagnosis.reader.failures(largest.id, limit=50)) or []
    now = world.app.clock.now()
    for start in range(0, failures, at_once):
        rows = [
            replace(
                like[number % len(like)],
                saga_id=f"like-{start + number}",
                at=now - timedelta(seconds=(start + number) / failures * 500),
                incident_id=None,
            )
            for number in range(min(at_once, failures - start))
        ]
        await diagnosis.incidents.record(rows, now=now)
    counted = await diagnosis.outcomes.tallies(now - timedelta(minutes=10), now + timedelta(minutes=1))
    called = await diagnosis.outcomes.calls(now - timedelta(minutes=10), now + timedelta(minutes=1))
    for back in range(1, minutes):
        shift = timedelta(minutes=back)
        await diagnosis.outcomes.put(
            [replace(tally, minute=tally.minute - shift) for tally in counted.items],
            [replace(call, minute=call.minute - shift) for call in called.items],
            source=f"bench {back}",
        )
