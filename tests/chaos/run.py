"""A run: servers, a fleet, orders, kills; then quiet, and the verdict of the checker."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg

from tests.chaos.checker import Story, Violation, check, explain
from tests.chaos.evidence import Evidence, connected, quiet_queues, read, take_notes, take_stock
from tests.chaos.fleet import Fleet, Member, definition
from tests.chaos.load import Load, Order, orders, start_all

outbox_seconds = 60.0  # what a dead coordinator had sent is sent again once its lease is over, and only then forgotten
queues_quiet_seconds = 20.0  # the management API tells the depths of some seconds ago
look_seconds = 0.25


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a run takes place. `disasters` befall the servers, each once, spread over the run; by name."""

    postgres_url: str
    rabbitmq_url: str
    management_url: str
    disasters: Mapping[str, Callable[[], None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Weather:
    """What is thrown at it. `kills_max` None: as many as there is time for."""

    orders: int
    seconds: float = 150.0  # from the first order to the last saga's end
    seed: int = 1
    open_max: int = 100  # orders under way at a time: this is not a test of how long queues may get
    workers_each: int = 2
    kill: bool = True
    kill_every_seconds: float = 3.0
    kills_max: int | None = None
    logs: Path | None = None


@dataclass(slots=True)
class Summary:
    """What came of it."""

    orders: int
    seed: int
    sagas: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    compensated_without_cause: int = 0  # timeouts while somebody was dead: allowed, but not many
    kills: dict[str, int] = field(default_factory=dict)
    disasters: list[str] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)
    seconds_to_start: float = 0.0
    seconds_to_settle: float = 0.0
    sagas_per_second: float = 0.0
    violations: list[dict[str, Any]] = field(default_factory=list)
    counter_example: str = ""


async def run(ground: Ground, weather: Weather, *, tell: Callable[[str], None]) -> Summary:
    """One run. Raises nothing for what the product does wrong: that is in the summary."""
    prefix = f"chaos_{time.time_ns():x}"
    fleet = Fleet(
        ground.postgres_url,
        ground.rabbitmq_url,
        prefix=prefix,
        workers_each=weather.workers_each,
        logs=weather.logs,
    )
    summary = Summary(weather.orders, weather.seed)
    try:
        tell("starting the fleet")
        await fleet.start()
        await fleet.register(json.loads(definition.read_text("utf-8")))
        await take_notes(fleet.services)
        sums = await take_stock(fleet.services)
        wanted = list(orders(weather.orders, weather.seed))
        load = Load()
        await _storm(fleet, ground, weather, wanted, load, summary, tell)
        tell("waiting for the outbox")
        await _sent(fleet)
        tell("waiting for the queues")
        vhost = unquote(urlsplit(ground.rabbitmq_url).path.removeprefix("/")) or "/"
        queues = await quiet_queues(ground.management_url, vhost, seconds=queues_quiet_seconds)
        evidence = await read(fleet.coordinator_url, fleet.services, queues)
        story = Story(dict(load.started), frozenset(one.key for one in wanted if one.refused), sums)
        violations = check(evidence, story)
        violations += [Violation("the API never errs", None, fault) for fault in load.faults]
        violations += [Violation("every loop lives", None, told) for told in await fleet.loops_alive()]
        for member in fleet.members:
            violations += [Violation("nobody dies by itself", None, f"{member.name}: {why}") for why in member.deaths]
        _sum_up(summary, evidence, story, violations, fleet, load)
    finally:
        await fleet.stop()
    return summary


async def _storm(
    fleet: Fleet,
    ground: Ground,
    weather: Weather,
    wanted: list[Order],
    load: Load,
    summary: Summary,
    tell: Callable[[str], None],
) -> None:
    """Start the orders while things are killed, and wait until all sagas have ended or the time is over."""
    began = time.monotonic()
    killing = asyncio.ensure_future(_kill(fleet, ground, weather, load, summary))
    starting = asyncio.ensure_future(start_all(load, wanted, fleet.urls, weather.open_max))
    starting.add_done_callback(lambda _: killing.cancel() if weather.kills_max is None else None)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(weather.seconds):
                while True:
                    try:
                        statuses = await _statuses(fleet)
                    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                        tell(f"nobody can look: {error}")
                        await asyncio.sleep(look_seconds)
                        continue
                    ended = statuses["completed"] + statuses["compensated"]
                    load.see(ended)
                    kills = sum(member.kills for member in fleet.members)
                    tell(f"{load.acknowledged} of {len(wanted)} started, {ended} ended, {kills} kills")
                    for member in fleet.members:
                        await asyncio.to_thread(member.look)
                    if starting.done() and not summary.seconds_to_start:
                        starting.result()
                        summary.seconds_to_start = time.monotonic() - began
                    if starting.done() and killing.done() and ended == statuses.total() == len(wanted):
                        break
                    await asyncio.sleep(look_seconds)
    finally:
        for task in (starting, killing):
            task.cancel()
        await asyncio.wait([starting, killing])
    if not killing.cancelled():
        killing.result()
    summary.seconds_to_settle = time.monotonic() - began


async def _sent(fleet: Fleet) -> None:
    """Until nothing is left to send. Should something be for ever, the checker says so."""
    with suppress(TimeoutError):
        async with connected(fleet.coordinator_url) as connection, asyncio.timeout(outbox_seconds):
            while await connection.fetchval("SELECT EXISTS (SELECT FROM outbox)"):  # noqa: ASYNC110  # another process
                await asyncio.sleep(look_seconds)


async def _kill(fleet: Fleet, ground: Ground, weather: Weather, load: Load, summary: Summary) -> None:
    """Every few seconds somebody dies and begins anew, or a server does, whenever another share of the orders is in."""
    if not weather.kill:
        return
    chance = Random(weather.seed)
    killed, coming = 0, list(ground.disasters.items())
    while weather.kills_max is None or killed < weather.kills_max:
        await asyncio.sleep(weather.kill_every_seconds)
        share = (len(summary.disasters) + 1) / (len(ground.disasters) + 1)
        if coming and load.acknowledged > weather.orders * share:
            name, happen = coming.pop(0)
            summary.disasters.append(name)
            await asyncio.to_thread(happen)
            continue
        kind = ("coordinator", "worker")[killed % 2]
        victim: Member = chance.choice([member for member in fleet.members if member.kind == kind])
        await asyncio.to_thread(victim.kill)
        killed += 1


async def _statuses(fleet: Fleet) -> Counter[str]:
    async with connected(fleet.coordinator_url) as connection:
        rows = await connection.fetch("SELECT status, count(*) AS n FROM sagas GROUP BY status")
        return Counter({row["status"]: row["n"] for row in rows})


def _sum_up(
    summary: Summary, evidence: Evidence, story: Story, violations: list[Violation], fleet: Fleet, load: Load
) -> None:
    statuses = Counter(saga["status"] for saga in evidence.sagas.values())
    refused = {story.started.get(key) for key in story.refused}
    summary.sagas = len(evidence.sagas)
    summary.statuses = dict(statuses)
    summary.compensated_without_cause = sum(
        saga["status"] == "compensated" and saga_id not in refused for saga_id, saga in evidence.sagas.items()
    )
    for member in fleet.members:
        summary.kills[member.kind] = summary.kills.get(member.kind, 0) + member.kills
    summary.answers = dict(load.answers)
    summary.sagas_per_second = round(len(evidence.sagas) / max(summary.seconds_to_settle, 0.001), 1)
    summary.violations = [asdict(violation) for violation in violations]
    guilty = next((violation.saga_id for violation in violations if violation.saga_id), None)
    summary.counter_example = explain(evidence, guilty) if guilty else ""


def line(text: str) -> None:
    """Progress on one line for people; a line each where nobody watches."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    else:
        print(text, file=sys.stderr, flush=True)
