"""One measurement: sagas are kept in flight, and from some moment on everything is counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Protocol

import asyncpg

from bench.speed.arithmetic import percentile
from bench.speed.costs import Spent, resident_bytes, spent
from bench.speed.load import Demand, Tally

mebibyte = 1024 * 1024


class Contender(Protocol):
    """Whatever carries out sagas and can be measured."""

    def pids(self) -> Mapping[str, Sequence[int]]:
        """Its processes, by who they are."""

    def databases(self) -> Mapping[str, str]:
        """The databases whose transactions are its own, and what they are called in the figures."""

    def load(self, demand: Demand) -> AbstractAsyncContextManager[Tally]:
        """Sagas for as long as the block lasts. The tally is complete when it has ended."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of one measurement. Costs are of one saga, or of a thousand where that is said."""

    in_flight: int
    sagas: int
    sagas_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_seconds_per_1000: Mapping[str, float]  # by who, the client included
    transactions: Mapping[str, float]  # by database
    log_bytes: float
    whole_pages: float  # in the log; they grow fewer the more sagas there are between two checkpoints
    resident_mebibytes: Mapping[str, float]  # the most that each of them had, their processes added up
    wrong: int = 0

    @property
    def cpu_seconds(self) -> float:
        """Of a thousand sagas, without the client."""
        return sum(seconds for who, seconds in self.cpu_seconds_per_1000.items() if who != "client")

    @property
    def transactions_in_all(self) -> float:
        return sum(self.transactions.values())

    @property
    def mebibytes(self) -> float:
        """The most that its processes had, added up."""
        return sum(self.resident_mebibytes.values())


async def measure(contender: Contender, dsn: str, demand: Demand, *, seconds: float, warm_seconds: float) -> Figures:
    """Measure for so long, after so much time in which everything is loaded and planned."""
    connection = await asyncpg.connect(dsn)
    try:
        async with contender.load(demand) as tally:
            await asyncio.sleep(warm_seconds)
            before, began = await spent(contender.pids(), connection), time.monotonic()
            await asyncio.sleep(seconds)
            until = time.monotonic()
            used = (await spent(contender.pids(), connection)).since(before)
    finally:
        await connection.close()
    if tally.wrong:
        count = len(tally.wrong) + len(tally.seconds)
        raise RuntimeError(f"{len(tally.wrong)} of {count} ended otherwise; the first: {tally.wrong[0]}")
    memory = {who: resident_bytes(pids) / mebibyte for who, pids in contender.pids().items()}
    names = contender.databases()
    transactions = {names[name]: count for name, count in used.transactions.items() if name in names}
    ended = tally.between(began, until)
    return figures(demand.in_flight, ended, until - began, replace(used, transactions=transactions), memory)


def figures(
    in_flight: int,
    sagas: Sequence[float],
    seconds: float,
    used: Spent,
    memory: Mapping[str, float],
) -> Figures:
    """Totals of a measurement as figures of a saga."""
    count = max(1, len(sagas))
    return Figures(
        in_flight=in_flight,
        sagas=len(sagas),
        sagas_per_second=len(sagas) / seconds,
        p50_ms=percentile(sagas, 0.5) * 1000,
        p99_ms=percentile(sagas, 0.99) * 1000,
        cpu_seconds_per_1000={who: total / count * 1000 for who, total in used.seconds.items()},
        transactions={name: total / count for name, total in used.transactions.items()},
        log_bytes=used.log_bytes / count,
        whole_pages=used.whole_pages / count,
        resident_mebibytes=memory,
    )
