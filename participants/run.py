"""Run one service: `python -m participants.payment --broker amqp://… --database postgresql://…`.

SIGTERM and Ctrl-C end it gracefully: nothing more is taken, what is in hand is answered. A second one ends it at once.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from sqlalchemy import MetaData, Table
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from amends import BrokerError, Command, InboxError, Participant
from amends.database import insert_once, open_engine
from amends.inbox import SqlInbox
from amends.rabbitmq import RabbitBroker
from coordinator.telemetry.export import configure
from participants.knobs import Knobs

log = logging.getLogger("participants")

alive_every_seconds = 5.0
prepare_turns_max = 4
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Service:
    """A service before it runs: its name, its tables with what they hold at first, and how to make its participant."""

    name: str
    build: Callable[[AsyncEngine, Knobs], Participant]
    tables: MetaData = field(default_factory=MetaData)
    stock: Sequence[tuple[Table, Rows]] = ()

    async def prepare(self, engine: AsyncEngine) -> None:
        """Create the tables and the inbox unless they are there, and fill them once."""
        for turn in range(1, prepare_turns_max + 1):
            try:
                await self._prepare_once(engine)
                return
            except (IntegrityError, ProgrammingError):
                # Another worker of this service creates the same table at this moment; the next look finds it there.
                if turn == prepare_turns_max:
                    raise
                await asyncio.sleep(0.2 * turn)

    async def _prepare_once(self, engine: AsyncEngine) -> None:
        await SqlInbox(engine).create()
        async with engine.begin() as connection:
            await connection.run_sync(self.tables.create_all)
            for table, rows in self.stock:
                for row in rows:
                    await connection.execute(insert_once(connection, table, dict(row)))


def reference(command: Command) -> str:
    """What an action and its compensation have in common: which step of which saga, whatever the attempt."""
    return f"{command.saga_id}/{command.step}/{command.iteration}"


def open_database(url: str, *, connections: int = 16) -> AsyncEngine:
    """An engine as `amends.database.open_engine` opens it; the folder of an SQLite file is made."""
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite" and parts.database:
        Path(parts.database).parent.mkdir(parents=True, exist_ok=True)
    return open_engine(url, connections=connections)


def main(service: Service, arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it. Returns the exit status: 0, or 1 when the broker or the database can't be used."""
    options = _options(service.name, arguments)
    logging.basicConfig(level=options.log_level, format="%(asctime)s %(levelname)-7s %(name)s  %(message)s")
    try:
        with asyncio.Runner(loop_factory=uvicorn.Config("", log_config=None).get_loop_factory()) as runner:
            runner.run(_serve(service, options))
    except (BrokerError, InboxError) as error:
        print(f"{service.name}: {error}", file=sys.stderr)
        return 1
    except (SQLAlchemyError, OSError) as error:  # at the start; later on a database that is away is waited for
        print(f"{service.name}: the database can't be used: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(service: Service, options: argparse.Namespace) -> None:
    telemetry = configure(f"amends-{service.name}", None)  # spans go where OTEL_EXPORTER_OTLP_ENDPOINT says
    engine = open_database(options.database, connections=options.concurrency)
    try:
        await service.prepare(engine)
        participant = service.build(engine, _knobs(options))
        participant.concurrency = options.concurrency
        broker = await RabbitBroker.connect(options.broker, name=f"{service.name} {participant.worker.id}")
        showing = asyncio.create_task(_show_alive(options.alive_file))
        try:
            _stop_on_signals(participant)
            log.info("%s serves", service.name, extra={"action": "service.serves"})
            await participant.serve(broker)
        finally:
            showing.cancel()
            await broker.close()
    finally:
        await engine.dispose()
        await asyncio.to_thread(telemetry.shutdown)


def _stop_on_signals(participant: Participant) -> None:
    loop = asyncio.get_running_loop()
    serving = asyncio.current_task()

    def stop(number: int) -> None:
        log.info("Stopping", extra={"action": "service.stopping"})
        participant.stop()
        if serving is not None:
            loop.add_signal_handler(number, serving.cancel)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)


async def _show_alive(file: Path | None) -> None:
    """Keep a file young while this loop turns: who asks after a process that listens on no port looks there."""
    while file is not None:
        await asyncio.to_thread(file.touch)
        await asyncio.sleep(alive_every_seconds)


def _options(name: str, arguments: Sequence[str] | None) -> argparse.Namespace:
    def env(key: str, default: str) -> str:
        return os.environ.get(f"AMENDS_{key}", default)

    parser = argparse.ArgumentParser(
        prog=f"python -m participants.{name}", description=f"The participant {name}, on RabbitMQ."
    )
    add = parser.add_argument
    add("--broker", default=env("BROKER_URL", "amqp://guest:guest@localhost/"), help="amqp://… (AMENDS_BROKER_URL)")
    database = f"{name.upper()}_DATABASE_URL"
    add(
        "--database",
        default=env(database, f"sqlite:///.amends/{name}.db"),
        help=f"postgresql://… or sqlite:///file, its own (AMENDS_{database})",
    )
    add("--concurrency", type=int, default=16, help="commands worked on at once")
    alive = env("ALIVE_FILE", "")
    add(
        "--alive-file",
        type=Path,
        default=Path(alive) if alive else None,
        help="a file whose age tells whether this still turns (AMENDS_ALIVE_FILE)",
    )
    add("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    trouble = parser.add_argument_group("trouble", "for tests: shares of commands, 0 to 1 (or AMENDS_FAIL_RATE, …)")
    for knob in ("fail", "refuse", "slow", "die"):
        rate = float(env(f"{knob.upper()}_RATE", "0"))
        trouble.add_argument(f"--{knob}-rate", type=float, default=rate, metavar="SHARE")
    trouble.add_argument(
        "--seed", type=int, default=int(env("KNOBS_SEED", "0")), help="the same seed, the same trouble"
    )
    trouble.add_argument("--slow-seconds", type=float, default=float(env("SLOW_SECONDS", "2")))
    trouble.add_argument(
        "--allow-dying", type=Path, metavar="FOLDER", help="let commands kill this process; who died is kept there"
    )
    return parser.parse_args(arguments)


def _knobs(options: argparse.Namespace) -> Knobs:
    return Knobs(
        fail_rate=options.fail_rate,
        refuse_rate=options.refuse_rate,
        slow_rate=options.slow_rate,
        die_rate=options.die_rate,
        seed=options.seed,
        slow_seconds=options.slow_seconds,
        dying=options.allow_dying,
    )
