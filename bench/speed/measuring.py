"""One measurement: sagas are kept in flight, and from some moment on everything is counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from bench.speed.costs import Spent, resident_bytes, spent
from bench.speed.load import load
from bench.speed.product import Product, coordinator_database

mebibyte = 1024 * 1024


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
    resident_mebibytes: Mapping[str, float]  # the most that one process of them had
    wrong: int = 0

    @property
    def cpu_seconds(self) -> float:
        """Of a thousand sagas, without the client."""
        return sum(seconds for who, seconds in self.cpu_seconds_per_1000.items() if who != "client")

    @property
    def transactions_of_coordinator(self) -> float:
        return self.transactions.get(coordinator_database, 0.0)


async def measure(
    product: Product, dsn: str, *, in_flight: int, seconds: float, warm_seconds: float, fails: bool = False
) -> Figures:
    """Measure for so long, after so much time in which everything is loaded and planned."""
    connection = await asyncpg.connect(dsn)
    try:
        async with load(product.ports, in_flight, fails=fails) as tally:
            await asyncio.sleep(warm_seconds)
            before, first, began = await spent(product.pids(), connection), len(tally.seconds), time.perf_counter()
            await asyncio.sleep(seconds)
            taken, last = time.perf_counter() - began, len(tally.seconds)
            used = (await spent(product.pids(), connection)).since(before)
    finally:
        await connection.close()
    if tally.wrong:
        raise RuntimeError(f"{len(tally.wrong)} of {last} ended otherwise; the first: {tally.wrong[0]}")
    memory = {kind: max(map(resident_bytes, pids), default=0) / mebibyte for kind, pids in product.pids().items()}
    return figures(in_flight, tally.seconds[first:last], taken, used, memory)


def figures(
    in_flight: int,
    sagas: list[float],
    seconds: float,
    used: Spent,
    memory: Mapping[str, float],
) -> Figures:
    """Totals of a measurement as figures of a saga."""
    count, ordered = max(1, len(sagas)), sorted(sagas) or [0.0]
    return Figures(
        in_flight=in_flight,
        sagas=len(sagas),
        sagas_per_second=len(sagas) / seconds,
        p50_ms=ordered[len(ordered) // 2] * 1000,
        p99_ms=ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1000,
        cpu_seconds_per_1000={who: total / count * 1000 for who, total in used.seconds.items()},
        transactions={name: total / count for name, total in used.transactions.items()},
        log_bytes=used.log_bytes / count,
        whole_pages=used.whole_pages / count,
        resident_mebibytes=memory,
    )
