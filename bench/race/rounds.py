"""Contenders take turns. All are running from the first round to the last; who isn't measured has nothing to do.

The machine's speed may drift by half within minutes, so each round measures everybody, in an order that turns around.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from bench.race.installing import NotInstalled
from bench.race.results import Kind, Part, Row
from bench.speed.load import Demand
from bench.speed.measuring import Contender, Figures, measure

Tell = Callable[[str], None]


class Runner(Contender, Protocol):
    """A contender that can be started, and the number of sagas in flight that suits it."""

    in_flight: int

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody who takes part. A guest that can't, is left out."""

    name: str
    runner: Runner
    kinds: tuple[Kind, ...] = ("busy", "alone", "half")
    guest: bool = False


@dataclass(frozen=True, slots=True)
class Pace:
    """How often, and how long each turn lasts, in seconds."""

    rounds: int = 5
    busy_seconds: float = 3.0
    alone_seconds: float = 1.0
    half_seconds: float = 2.0
    settle_seconds: float = 0.7  # before each
    warm_seconds: float = 3.0  # once for each contender, before the first round

    def seconds(self, kind: Kind) -> float:
        return {"busy": self.busy_seconds, "alone": self.alone_seconds, "half": self.half_seconds}[kind]


@asynccontextmanager
async def started(entries: Sequence[Entry], part: Part, tell: Tell) -> AsyncIterator[list[Entry]]:
    """Those that could be started, until the block ends."""
    there: list[Entry] = []
    begun: list[Entry] = []
    try:
        for entry in entries:
            begun.append(entry)
            try:
                await entry.runner.start()
            except (NotInstalled, RuntimeError, TimeoutError, OSError) as error:
                if not entry.guest:
                    raise
                _leave_out(entry, error, part, tell)
                continue
            there.append(entry)
        yield there
    finally:
        for entry in reversed(begun):
            await entry.runner.stop()


def _leave_out(entry: Entry, error: Exception, part: Part, tell: Tell) -> None:
    part.notes.append(f"{entry.name} was left out: {error or type(error).__name__}")
    tell(part.notes[-1])


async def race(
    entries: Sequence[Entry],
    part: Part,
    pace: Pace,
    dsn: str,
    tell: Tell,
    *,
    kinds: Sequence[Kind],
    fails: bool = False,
) -> None:
    """Round after round, add what each contender came to."""
    entries = list(entries)
    for entry in entries:
        async with entry.runner.load(Demand(entry.runner.in_flight, fails=fails)):
            await asyncio.sleep(pace.warm_seconds)
    for turn in range(pace.rounds):
        for entry in list(reversed(entries) if turn % 2 else entries):
            try:
                await _turn(turn, entry, part, pace, dsn, tell, kinds=kinds, fails=fails)
            except (RuntimeError, TimeoutError, OSError) as error:
                if not entry.guest:
                    raise
                _leave_out(entry, error, part, tell)
                entries.remove(entry)


async def _turn(
    turn: int, entry: Entry, part: Part, pace: Pace, dsn: str, tell: Tell, *, kinds: Sequence[Kind], fails: bool
) -> None:
    rate = 0.0
    for kind in kinds:
        if kind not in entry.kinds or (kind == "half" and not rate):
            continue
        demand = {
            "busy": Demand(entry.runner.in_flight, fails=fails),
            "alone": Demand(1, fails=fails),
            "half": Demand(per_second=rate / 2, fails=fails),
        }[kind]
        found = await measure(entry.runner, dsn, demand, seconds=pace.seconds(kind), warm_seconds=pace.settle_seconds)
        if kind == "busy":
            rate = found.sagas_per_second
        part.rows.append(Row(turn + 1, entry.name, kind, found))
        tell(_told(part, turn, entry, kind, found))


def _told(part: Part, turn: int, entry: Entry, kind: Kind, found: Figures) -> str:
    return (
        f"{part.name:12} {turn + 1}  {entry.name:32} {kind:5} {found.sagas_per_second:8.0f}/s   "
        f"p50 {found.p50_ms:8.1f} ms  p99 {found.p99_ms:8.1f} ms   CPU {found.cpu_seconds:6.2f}"
    )


def scaled(pace: Pace, share: float) -> Pace:
    """Each turn, and what comes before it, that share of its length: shorter below 1, longer above."""
    return replace(
        pace,
        busy_seconds=pace.busy_seconds * share,
        alone_seconds=pace.alone_seconds * share,
        half_seconds=pace.half_seconds * share,
        settle_seconds=pace.settle_seconds * share,
        warm_seconds=pace.warm_seconds * share,
    )
