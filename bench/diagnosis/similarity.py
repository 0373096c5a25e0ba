"""Whether the past is found again: causes come, go, and come back, in the same words and in others."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.diagnosis.cases import onset_seconds
from bench.diagnosis.fault import Fault
from bench.diagnosis.grading import Share
from bench.diagnosis.loop import run
from bench.diagnosis.makers import Maker
from bench.diagnosis.running import fresh, incidents_of
from bench.diagnosis.topology import Theme
from bench.diagnosis.wording import Wording
from bench.diagnosis.world import Plan, World

busy_seconds = 60.0
quiet_seconds = 700.0  # longer than an incident stays open without anything new


@dataclass(frozen=True, slots=True)
class Found:
    """How often the first time is among the three that a report names: of causes that came back in the same words, and
    in other words."""

    seen: Share
    unseen: Share


def similar(theme: Theme, first: Wording, other: Wording, causes: Sequence[Maker], *, seed: int) -> Found:
    """Let each cause come once, and then again in the same words and in other words."""
    database = fresh()
    try:
        return run(_similar(theme, first, other, causes, seed, database))
    finally:
        shutil.rmtree(database.parent, ignore_errors=True)


async def _similar(
    theme: Theme, first: Wording, other: Wording, causes: Sequence[Maker], seed: int, database: Path
) -> Found:

    plan = Plan(theme, seed, first, sagas_per_second=0.7)
    async with World(plan, database) as world:
        before = [await _once(world, first, cause) for cause in causes]
        seen = [await _once(world, first, cause) for cause in causes]
        unseen = [await _once(world, other, cause) for cause in causes]
        return Found(
            await _hits(world, before, seen, ()),
            await _hits(world, before, unseen, seen),
        )


async def _once(world: World, wording: Wording, cause: Maker) -> str | None:
    """Let a cause act for a while, then nothing for longer; the incident that most of its sagas are in."""
    faults, label = cause(world.theme)
    assert label is not None
    start = world.seconds
    for fault in faults:
        fault.at = start + (fault.at - onset_seconds)
        fault.until = start + busy_seconds
    known = set(world.failed_at)
    world.plan = replace(world.plan, wording=wording, faults=list[Fault](faults), seconds=start + busy_seconds)
    await world.live()
    world.plan = replace(world.plan, faults=[])
    affected = [
        saga_id
        for saga_id in world.failed_at
        if saga_id not in known and world.touched.get(saga_id, set()) & label.faults
    ]
    assert world.app.diagnosis is not None
    await world.app.diagnosis.watch.flush()
    grouped = await incidents_of(world, affected)
    incident = max(set(grouped.values()), key=list(grouped.values()).count) if grouped else None
    if incident is not None:
        await world.app.diagnosis.reporter.refresh(incident)
    await asyncio.sleep(quiet_seconds)
    return incident


async def _hits(
    world: World, before: Sequence[str | None], after: Sequence[str | None], also: Sequence[str | None]
) -> Share:
    assert world.app.diagnosis is not None
    hits = []
    for number, incident in enumerate(after):
        first = before[number]
        if incident is None or first is None or incident == first:
            continue
        report = await world.app.diagnosis.reporter.refresh(incident)
        wanted = {first, *(one for index, one in enumerate(also) if index == number)}
        hits.append(any(one.incident_id in wanted for one in report.similar))
    return Share.of(hits)
