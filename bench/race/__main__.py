"""`python -m bench.race`: the product beside its limits and its peers.

python -m bench.race                             every part, and docs/performance.md with its plot and figures
python -m bench.race --quick                     the success path beside the floor and one peer
python -m bench.race --part success --part inbox
python -m bench.race compare HEAD~5 HEAD         two revisions in turns
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import asyncpg
import uvicorn

from bench.race.comparing import compare
from bench.race.installing import peers, restate_server
from bench.race.lab import Lab
from bench.race.parts import parts, quick
from bench.race.plot import plot
from bench.race.results import as_data
from bench.race.rounds import Pace, scaled
from bench.race.writing import Circumstances, page
from bench.speed.product import Servers
from tests.servers.process import ServerUnavailable

here = Path(__file__).parents[2]
documents = here / "docs"
part_seconds_max = 1_200.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says."""
    told = parsed(arguments)
    try:
        with asyncio.Runner(loop_factory=uvicorn.Config("", log_config=None).get_loop_factory()) as runner:
            return 0 if runner.run(_run(told)) else 1
    except ServerUnavailable as error:
        print(error, file=sys.stderr)
        return 1


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    text, _, examples = (__doc__ or "").partition("\n\n")
    how = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m bench.race", description=text, epilog=examples, formatter_class=how)
    add = parser.add_argument
    add("revisions", nargs="*", metavar="compare REV REV", help="measure two revisions in turns, and nothing else")
    add("--part", action="append", choices=sorted(parts), help="this part; may be given again")
    add("--quick", action="store_true", help="under two minutes: success path, the floor, one peer, three rounds")
    add("--rounds", type=int, help="how often everybody has a turn (5; 3 if quick)")
    add("--share", type=float, default=1.0, help="of the usual length of each turn")
    add("--in-flight", type=int, default=200, help="sagas at a time, of those that can have so many")
    add("--grown", type=int, default=1_000_000, metavar="SAGAS", help="how many have finished before")
    add("--backlog", type=int, default=100_000, metavar="ROWS", help="how many commands wait to be published")
    add("--overload-seconds", type=float, default=10.0)
    add("--json", type=Path, help="write every figure to this file")
    add("--write", action="store_true", help="write docs/performance.md, .svg and .json")
    told = parser.parse_args(arguments)
    if told.revisions and (len(told.revisions) != 3 or told.revisions[0] != "compare"):
        parser.error("compare takes two revisions")
    return told


async def _run(told: argparse.Namespace) -> bool:
    """Whether every part could be answered."""
    began = time.monotonic()
    pace = scaled(Pace(rounds=told.rounds or (3 if told.quick else 5)), told.share)
    where = Circumstances.now(_revision(), {}, pace.rounds, told.in_flight)
    servers = await asyncio.to_thread(Servers.started)
    lab = Lab(servers, pace, _tell, told.in_flight, told.grown, told.backlog, told.overload_seconds)
    try:
        where = replace(where, versions=await _versions(servers))
        if told.revisions:
            await compare(lab, *told.revisions[1:])
        elif told.quick:
            await quick(lab)
        else:
            for name in parts if told.part is None else dict.fromkeys(told.part):
                await ask(lab, name)
    finally:
        await lab.close()
        await asyncio.to_thread(servers.stop)
        report(lab, where, told)
        _tell(f"\nafter {(time.monotonic() - began) / 60:.1f} minutes")
    return not any(part.failed for part in lab.parts)


async def ask(lab: Lab, name: str) -> None:
    """One part, in bounded time. Should it fail, that is what has been found, and the others are still asked."""
    try:
        async with asyncio.timeout(part_seconds_max):
            await parts[name](lab)
    except Exception as error:
        lab.parts[-1].failed = f"{type(error).__name__}: {error}"[:2000]
        _tell(f"{name} has failed: {lab.parts[-1].failed}")
    except BaseException:
        lab.parts[-1].failed = "the run was cut short"
        raise


def report(lab: Lab, where: Circumstances, told: argparse.Namespace) -> None:
    """Whatever has been found, even if the run has failed."""
    found: dict[str, Any] = {"circumstances": asdict(where), "parts": as_data(lab.parts)}
    picture = plot([part for part in lab.parts if part.name in ("success", "failure")])
    _tell("\n" + page(lab.parts, where, None))
    if told.json:
        told.json.write_text(json.dumps(found, indent=1, default=str), "utf-8")
    if told.write:
        (documents / "performance.md").write_text(
            page(lab.parts, where, "performance.svg" if picture else None), "utf-8"
        )
        (documents / "performance.json").write_text(json.dumps(found, indent=1, default=str) + "\n", "utf-8")
        if picture:
            (documents / "performance.svg").write_text(picture, "utf-8")


def _tell(text: str) -> None:
    print(text, flush=True)


def _revision() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


async def _versions(servers: Servers) -> dict[str, str]:
    connection = await asyncpg.connect(servers.dsn)
    try:
        postgres = str(await connection.fetchval("SHOW server_version")).split()[0]
    finally:
        await connection.close()
    pinned = {}
    for name, package in (("DBOS", "dbos"), ("Restate's SDK", "restate-sdk")):
        file = peers / f"{'dbos' if package == 'dbos' else 'restate'}.txt"
        lines = dict(line.split("==") for line in file.read_text("utf-8").split())
        pinned[name] = lines[package]
    rabbitmq = await servers.rabbitmq_version()
    return {"PostgreSQL": postgres, "RabbitMQ": rabbitmq, **pinned, "Restate": restate_server.rpartition("@")[2]}


if __name__ == "__main__":
    sys.exit(main())
