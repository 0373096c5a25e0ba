"""`python -m bench.speed`: start everything, keep sagas in flight, print what they cost.

python -m bench.speed                          200 in flight for 10 s, on PostgreSQL and RabbitMQ
python -m bench.speed --in-flight 1            one at a time: how soon
python -m bench.speed --embedded               one process, SQLite
python -m bench.speed --against ../before      in turns with the code at another place, and the ratios
python -m bench.speed --hold 60                say whose process is which, and keep going: for a profiler
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from bench.speed.arithmetic import ratio
from bench.speed.embedded import measure_embedded
from bench.speed.load import Demand
from bench.speed.measuring import Figures, measure
from bench.speed.product import Servers, Shape, running
from bench.speed.showing import line, machine

here = Path(__file__).parents[2]

Row = tuple[str, Figures]


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says."""
    told = _parsed(arguments)
    with asyncio.Runner(loop_factory=uvicorn.Config("", log_config=None).get_loop_factory()) as runner:
        rows = runner.run(_embedded(told) if told.embedded else _product(told))
    if told.json:
        Path(told.json).write_text(machine(rows), "utf-8")
    return 0


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.speed", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--in-flight", type=int, default=200, help="sagas at a time")
    add("--per-second", type=float, default=0.0, help="sagas offered a second, instead of so many at a time")
    add("--seconds", type=float, default=10.0, help="how long each measurement lasts")
    add("--warm-seconds", type=float, default=4.0, help="how long sagas run before anything is counted")
    add("--rounds", type=int, default=1, help="how often it is measured, with everything begun anew")
    add("--coordinators", type=int, default=1)
    add("--workers", type=int, default=1, help="of each participant")
    add("--no-inbox", action="store_true", help="participants remember nothing")
    add("--fails", action="store_true", help="each saga fails at its third step and is compensated")
    add("--embedded", action="store_true", help="one process and SQLite")
    add("--against", type=Path, help="a checkout of another revision: both are measured in turns")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the coordinators, AMENDS_…")
    add("--hold", type=float, default=0.0, metavar="SECONDS", help="warm up for that much longer, and say who is who")
    add("--json", help="write every figure to this file")
    return parser.parse_args(arguments)


async def _embedded(told: argparse.Namespace) -> list[Row]:
    rows: list[Row] = []
    for _ in range(told.rounds):
        one = await measure_embedded(
            in_flight=told.in_flight,
            seconds=told.seconds,
            warm_seconds=told.warm_seconds,
            inbox=not told.no_inbox,
            fails=told.fails,
        )
        rows.append(("embedded", one))
        print(line(*rows[-1]), flush=True)
    return rows


async def _product(told: argparse.Namespace) -> list[Row]:
    settings = dict(pair.split("=", 1) for pair in told.set)
    shape = Shape(told.coordinators, told.workers, not told.no_inbox, settings)
    sources = {"this": here, **({"against": told.against.resolve()} if told.against else {})}
    servers = await asyncio.to_thread(Servers.started)
    rows: list[Row] = []
    try:
        for turn in range(told.rounds):
            for name in sorted(sources, reverse=bool(turn % 2)):
                rows.append((name, await _once(servers, shape, sources[name], told)))
                print(line(*rows[-1]), flush=True)
    finally:
        await asyncio.to_thread(servers.stop)
    if told.against:
        print(_ratios(rows))
    return rows


async def _once(servers: Servers, shape: Shape, source: Path, told: argparse.Namespace) -> Figures:
    async with running(servers, shape, source) as product:
        if told.hold:
            print("  ".join(f"{who} {pids}" for who, pids in product.pids().items()), flush=True)
        return await measure(
            product,
            servers.dsn,
            Demand(0 if told.per_second else told.in_flight, told.per_second, told.fails),
            seconds=told.seconds,
            warm_seconds=told.warm_seconds + told.hold,
        )


def _ratios(rows: Sequence[Row]) -> str:
    """Medians of the ratios of each round: what this is, divided by what the other is."""
    ours = [one for name, one in rows if name == "this"]
    theirs = [one for name, one in rows if name == "against"]

    def shown(figure: str, name: str) -> str:
        pairs = [(getattr(mine, figure), getattr(other, figure)) for mine, other in zip(ours, theirs, strict=True)]
        return f"{name} {ratio(name, 'this', 'against', pairs) or '–'}"

    names = {"sagas_per_second": "sagas/s", "p50_ms": "p50", "cpu_seconds": "CPU", "log_bytes": "log"}
    return "this / against:  " + "   ".join(shown(figure, name) for figure, name in names.items())


if __name__ == "__main__":
    sys.exit(main())
