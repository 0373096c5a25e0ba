"""`amends doctor`: what a coordinator with these settings stands on, looked at one by one, each with what to do.

It changes nothing but what a coordinator's start would: RabbitMQ's exchanges and queues are declared. No check waits
for long, and none hides another: what can't be looked at is said.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from sqlalchemy.exc import DBAPIError

from amends.client import Client
from amends.errors import AmendsError, BrokerError
from coordinator.cli.addresses import masked, shown
from coordinator.cli.safety import doubts, refusals, unasked
from coordinator.config import Settings
from coordinator.errors import StoreUnavailable, UnsupportedDatabase
from coordinator.saga.state import SagaStatus
from coordinator.store.access import ApiKey
from coordinator.store.database import Database
from coordinator.store.dead_letters import DeadLetterStore
from coordinator.store.definitions import DefinitionStore
from coordinator.store.fleet import FleetStore
from coordinator.store.keys import KeyStore
from coordinator.store.outbox import OutboxStore
from coordinator.store.reader import SagaReader
from coordinator.store.stored import sqlite_file
from coordinator.store.values import DeadLetterFilter, DeadLetterStatus

check_seconds_max = 12.0
skew_warns, skew_fails = timedelta(seconds=1), timedelta(seconds=60)
free_bytes_warn, free_bytes_fail = 1024**3, 100 * 1024**2
waiting_warns = timedelta(seconds=60)
definitions_max = 200
named_max = 10

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: how it is, and what to do about it."""

    name: str
    state: State
    message: str
    advice: str | None = None

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Found:
    """Everything that was looked at."""

    settings: Mapping[str, Any]
    checks: tuple[Check, ...]


async def examine(settings: Settings, url: str | None) -> Found:
    """Look at everything. What a library logs of a server that is away is left out: the check says it."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        checks = [_configuration(settings), _safety(settings)]
        checks += [check async for check in _database(settings)]
        checks += [await _broker(settings), await _coordinator(url or _own_url(settings)), await _telemetry(settings)]
    finally:
        logging.disable(before)
    return Found(shown(settings), tuple(checks))


def _configuration(settings: Settings) -> Check:
    if settings.log_level.upper() not in logging.getLevelNamesMapping():
        return Check("configuration", "fail", f"no log level {settings.log_level}", "set AMENDS_LOG_LEVEL to INFO")
    if not settings.embedded_broker and sqlite_of(settings) is not None:
        return Check(
            "configuration",
            "warn",
            "several processes over RabbitMQ, and SQLite, which one machine alone can share",
            "set AMENDS_DATABASE_URL to a PostgreSQL",
        )
    return Check("configuration", "ok", "every setting can be read")


def _safety(settings: Settings) -> Check:
    """What a start would refuse, as far as the settings tell."""
    refused, doubtful = list(refusals(settings)), list(doubts(settings))
    said = "; ".join((*refused, *doubtful))
    if refused:
        return Check("safety", "fail", said, "a coordinator does not start with this, unless it is told --insecure")
    if doubtful:
        return Check("safety", "warn", said, "it starts all the same")
    return Check("safety", "ok", "nothing that the settings say would be refused at the start")


def _access(settings: Settings, keys: Sequence[ApiKey], now: datetime) -> Check:
    """Whether people are asked who they are, where they have to be. `keys`: all there ever were."""
    valid = sum(key.valid(now) for key in keys)
    provider = settings.oidc_issuer if settings.oidc_audience else None
    refused = unasked(settings)
    if not keys and not provider:
        if refused:
            advice = "a coordinator does not start with this, unless it is told --insecure"
            return Check("access", "fail", refused, advice)
        return Check("access", "ok", "nobody is asked who they are, and only this machine reaches it")
    if not valid and not provider:
        advice = "make one: `amends keys create NAME --role admin --direct`"
        return Check("access", "warn", "everybody is asked for a key, and none is valid any more", advice)
    asked = [f"{valid} valid keys" if valid != 1 else "1 valid key", *([f"tokens of {provider}"] if provider else [])]
    return Check("access", "ok", f"everybody is asked who they are: {', '.join(asked)}")


def sqlite_of(settings: Settings) -> Path | None:
    try:
        return sqlite_file(settings.database_url)
    except UnsupportedDatabase:
        return None  # the check of the database says what is wrong with it


# --- the database, and what it says -----------------------------------------------------------------------------------


async def _database(settings: Settings) -> AsyncIterator[Check]:
    where = masked(settings.database_url)
    path = sqlite_of(settings)
    if path is not None:
        yield _disk(path)
        if not path.exists():
            state: State = "warn" if settings.migrate else "fail"
            yield Check("database", state, f"{path} is not there yet", "run `amends db upgrade`, or `amends dev`")
            yield _access(settings, (), datetime.now(UTC))
            return
    try:
        async with Database.open(settings.database_url, application_name="amends doctor") as database:
            async with asyncio.timeout(check_seconds_max):
                now = await database.now()
                current = await database.check_schema()
            yield Check("database", "ok", f"{where} answers")
            yield _clock(now, datetime.now(UTC), same_machine=path is not None)
            if not current:
                yield Check(
                    "schema",
                    "warn" if settings.migrate else "fail",
                    "its tables are not this release's",
                    "run `amends db upgrade` (a coordinator with AMENDS_MIGRATE does so at its start)",
                )
                return
            yield Check("schema", "ok", "its tables are this release's")
            async with asyncio.timeout(check_seconds_max):
                yield _access(settings, await KeyStore(database).list(), now)
                for check in await _contents(database, now):
                    yield check
    except (UnsupportedDatabase, DBAPIError) as error:
        said: object = error.orig if isinstance(error, DBAPIError) else error
        yield Check("database", "fail", f"{where}: {said}", "correct AMENDS_DATABASE_URL")
    except (StoreUnavailable, TimeoutError) as error:
        reason = str(error) or f"no answer within {check_seconds_max:g} s"
        yield Check(
            "database", "fail", f"{where} can't be reached: {reason}", "start it, or correct AMENDS_DATABASE_URL"
        )


def _disk(path: Path) -> Check:
    """The room that the file has to grow."""
    folder = next(parent for parent in path.parents if parent.exists())
    free = shutil.disk_usage(folder).free
    size = path.stat().st_size if path.exists() else 0
    said = f"{_size(free)} free at {folder}, the file has {_size(size)}"
    advice = "make room: a full disk stops every saga, and loses none"
    if not os.access(path if path.exists() else folder, os.W_OK):
        return Check("disk", "fail", f"{path} can't be written", "let the coordinator's user write it")
    if free < free_bytes_fail:
        return Check("disk", "fail", said, advice)
    return Check("disk", "warn", said, advice) if free < free_bytes_warn else Check("disk", "ok", said)


def _clock(database: datetime, here: datetime, *, same_machine: bool) -> Check:
    if same_machine:
        return Check("clock", "ok", "the database's clock is this machine's")
    apart = abs(database - here)
    said = f"this machine's clock and the database's are {apart.total_seconds():.1f} s apart"
    advice = "let both follow a time server; sagas go by the database's clock, logs and traces by this machine's"
    if apart > skew_warns:
        return Check("clock", "fail" if apart > skew_fails else "warn", said, advice)
    return Check("clock", "ok", said)


async def _contents(database: Database, now: datetime) -> list[Check]:
    """What the tables say: what waits, what is stuck, and who is missing."""
    outbox, fleet = OutboxStore(database), FleetStore(database)
    backlog = await outbox.pending()
    live = {worker.beat.participant for worker in await fleet.live(now)}
    held = await fleet.holds(now)
    counts = await SagaReader(database).counts()
    open_letters = await DeadLetterStore(database).page(DeadLetterFilter(DeadLetterStatus.OPEN), limit=100)
    wanted = {item.participant for item in backlog if item.waiting}
    for stored in await DefinitionStore(database).newest(limit=definitions_max):
        wanted |= {step["participant"] for step in json.loads(stored.document)["steps"]}

    oldest = [item for item in backlog if item.oldest is not None and now - item.oldest > waiting_warns]
    parked, letters, blocked = sum(item.parked for item in backlog), len(open_letters.items), counts[SagaStatus.BLOCKED]
    more = " or more" if open_letters.cursor else ""
    names = ", ".join(f"{hold.scope} {hold.name}".strip() for hold in held[:named_max])
    missing = sorted(wanted - live)
    return [
        _unless(
            oldest or parked,
            "outbox",
            f"{sum(item.waiting for item in backlog)} commands wait, none for long",
            _waits(oldest, parked, now),
            "see `amends outbox`: is the broker there, is something paused, does a coordinator run?",
        ),
        _unless(letters, "dead letters", "none is open", f"{letters}{more} are open", "see `amends dead-letters`"),
        _unless(blocked, "blocked sagas", "none", f"{blocked} need a person", "see `amends list --status blocked`"),
        _unless(held, "pauses", "nothing is paused", f"held back: {names}", "see `amends pauses`; `amends resume`"),
        _unless(
            missing,
            "participants",
            "every participant of a definition has a live worker",
            f"without a live worker: {', '.join(missing[:named_max])}",
            "start their services; until then their commands wait",
        ),
    ]


def _waits(oldest: list[Any], parked: int, now: datetime) -> str:
    waits = [f"{item.participant} for {(now - item.oldest).total_seconds():.0f} s" for item in oldest[:named_max]]
    return "; ".join([*([f"waiting: {', '.join(waits)}"] if waits else []), *([f"{parked} parked"] if parked else [])])


def _unless(trouble: object, name: str, fine: str, troubled: str, advice: str) -> Check:
    return Check(name, "warn", troubled, advice) if trouble else Check(name, "ok", fine)


# --- what is outside --------------------------------------------------------------------------------------------------


async def _broker(settings: Settings) -> Check:
    if settings.embedded_broker:
        return Check("broker", "ok", "in the coordinator's process")
    from amends.rabbitmq import RabbitBroker

    where = masked(settings.broker_url)
    advice = "start it, or correct AMENDS_BROKER_URL; until then commands wait in the outbox"
    try:
        async with asyncio.timeout(check_seconds_max):
            broker = await RabbitBroker.connect(settings.broker_url, name="amends doctor")
    except BrokerError as error:
        return Check(
            "broker", "fail", f"{where}: {error}", "correct AMENDS_BROKER_URL, or delete what is declared otherwise"
        )
    except (TimeoutError, OSError, ValueError) as error:
        return Check("broker", "fail", f"{where}: {error or 'no answer in time'}", advice)
    connected = broker.connected
    await broker.close()
    if not connected:
        return Check("broker", "fail", f"{where} does not answer, or takes no messages", advice)
    return Check("broker", "ok", f"{where} answers, and has its exchanges and queues")


def _own_url(settings: Settings) -> str:
    if settings.public_url:
        return settings.public_url
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


async def _coordinator(url: str) -> Check:
    try:
        async with Client(url, tries=1, timeout_seconds=5.0) as client:
            ready = await client.request("GET", "/readyz")
    except AmendsError as error:
        return Check("coordinator", "warn", f"{url}: {error}", "start one: `amends serve`, or `amends dev`")
    said = f"{url} is {ready['status']}, its broker {ready['broker']}"
    if ready["broker"] != "connected":
        return Check("coordinator", "warn", said, "see the check of the broker, and the coordinator's log")
    return Check("coordinator", "ok", said)


async def _telemetry(settings: Settings) -> Check:
    if not settings.otlp_endpoint:
        return Check("telemetry", "ok", "spans go nowhere (OTEL_EXPORTER_OTLP_ENDPOINT names no collector)")
    parts = urlsplit(settings.otlp_endpoint)
    where = masked(settings.otlp_endpoint)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        async with asyncio.timeout(check_seconds_max):
            _, writer = await asyncio.open_connection(parts.hostname, port)
        writer.close()
    except (OSError, ValueError, TimeoutError) as error:
        said = f"{where} can't be reached: {error or 'no answer in time'}"
        return Check("telemetry", "warn", said, "start the collector; until then spans are dropped, and nothing else")
    return Check("telemetry", "ok", f"{where} answers")


def _size(count: int) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count} {unit}"
        count //= 1024
    return f"{count} TiB"
