"""Load and faults on real processes, then the count of what was lost: `python -m tests.chaos --help`.

Progress goes to stderr, the summary to stdout, as JSON. Exits with 0 when nothing was violated, else with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from tests.chaos.run import Ground, Summary, Weather, line, run
from tests.servers import ephemeral_postgres, ephemeral_rabbitmq


def main() -> int:
    options = _options()
    weather = _weather(options)
    with ephemeral_postgres() as postgres, ephemeral_rabbitmq() as rabbitmq:

        def crash_database() -> None:
            postgres.kill()
            postgres.start()

        disasters: dict[str, Callable[[], None]] = {"the broker restarts": rabbitmq.restart}
        if options.wipe_broker:
            disasters["the broker loses everything"] = partial(rabbitmq.restart, wipe=True)
        if options.crash_database:
            disasters["the database crashes"] = crash_database
        ground = Ground(postgres.url, rabbitmq.url, rabbitmq.management_url, disasters)
        summary = asyncio.run(run(ground, weather, tell=line))
    return _report(summary)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Orders, kills, and a count.")
    add = parser.add_argument
    add("--orders", type=int, default=500, help="orders to start (500)")
    add("--seconds", type=float, default=150.0, help="bound from the first order to the last saga's end (150)")
    add("--open", type=int, default=100, metavar="ORDERS", help="orders under way at a time (100)")
    add("--seed", type=int, help="the same seed: the same orders, and the same victims in the same turn (else: any)")
    add("--kill", action=argparse.BooleanOptionalAction, default=True, help="kill processes, restart RabbitMQ once")
    add("--kill-every", type=float, default=3.0, metavar="SECONDS", help="pause between kills (3)")
    add("--wipe-broker", action="store_true", help="RabbitMQ also loses everything it kept, once")
    add("--crash-database", action="store_true", help="PostgreSQL also dies and recovers, once")
    add("--logs", type=Path, metavar="FOLDER", help="keep what the processes said")
    return parser.parse_args()


def _weather(options: argparse.Namespace) -> Weather:
    return Weather(
        orders=options.orders,
        seconds=options.seconds,
        seed=options.seed if options.seed is not None else time.time_ns() % 1_000_000,
        open_max=options.open,
        kill=options.kill,
        kill_every_seconds=options.kill_every,
        logs=options.logs,
    )


def _report(summary: Summary) -> int:
    if sys.stderr.isatty():
        print(file=sys.stderr)
    facts = asdict(summary)
    story = facts.pop("counter_example")
    print(json.dumps(facts, indent=2))
    if story:
        print(f"\nA counter-example:\n{story}", file=sys.stderr)
    return 1 if summary.violations else 0


if __name__ == "__main__":
    sys.exit(main())
