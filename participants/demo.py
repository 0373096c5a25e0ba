"""The demo: a coordinator, the shop's services and the API in one process, and five orders that are told as they go.

    python -m participants.demo      or: make demo, amends demo

1. an order that completes   2. a card that is refused   3. a courier that can't be had, after three steps
4. a reply that is lost on its way   5. a card network that can't be reached

Then the sums are taken, from each service's own database. At a terminal the demo goes on serving until Ctrl-C, and
otherwise it ends: with 0 if every order ended as it should and every sum is right, else with 1. Its databases are kept
in a folder of their own under `.amends/demo`, those of the last ten runs.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from rich.console import Console
from rich.text import Text
from sqlalchemy.ext.asyncio import AsyncEngine

from amends import LocalBroker, Participant
from coordinator.app import App
from coordinator.building import build
from coordinator.config import Settings
from coordinator.embedded import serving
from coordinator.engine import Beginning
from coordinator.saga.state import Saga, SagaStatus
from coordinator.store.values import Created
from coordinator.web.app import create_web
from coordinator.web.sites import sites_of
from participants import card_provider, delivery, http, inventory, llm, notification, order, payment, sums
from participants.card_provider import CardProvider
from participants.hindsight import bring_along, tell_why
from participants.knobs import Knobs
from participants.lossy import LossyBroker
from participants.run import Service, open_database
from participants.story import Telling

everything = (
    order.order,
    inventory.inventory,
    payment.payment,
    delivery.delivery,
    notification.notification,
    http.http,
    llm.llm,
)

home = Path(".amends/demo")
runs_kept = 10
patience_seconds = 30.0  # for one story
lost_reply_seconds = 1.5  # how long the fourth story waits for the reply that is lost


@dataclass(frozen=True)
class Story:
    """An order, and how it should end."""

    title: str
    order: Mapping[str, Any]
    ends: SagaStatus
    definition: str = "place_order"
    cause: str | None = None  # step and kind, of a saga that turns
    resolved: str = ""  # what ended the trouble, of a saga that turns

    def fault(self, saga: Saga) -> str | None:
        cause = f"{saga.cause.step} {saga.cause.kind}" if saga.cause else None
        if (saga.status, cause) == (self.ends, self.cause):
            return None
        return f"“{self.title}” ended {saga.status} ({cause or 'no cause'}), and it should have ended {self.ends}"


def stories() -> tuple[Story, ...]:
    lamp = {"items": [{"sku": "lamp", "quantity": 1}], "address": "12 Dorset Street, London"}
    books = {"items": [{"sku": "book", "quantity": 2}], "address": "1 Arlington Ridge, Washington"}
    completed, compensated = SagaStatus.COMPLETED, SagaStatus.COMPENSATED
    return (
        Story("1  An order that completes", {"customer": "ada", **books}, completed),
        Story(
            "2  A card that is refused",
            {"customer": "blaise", **lamp},
            compensated,
            cause="charge-card refused",
            resolved="nothing had to be done: a card that is declined is an answer",
        ),
        Story(
            "3  A delivery that fails after three steps, which are undone in reverse",
            {"customer": "grace", **books, "simulate": {"assign-courier": "fail"}},
            compensated,
            cause="assign-courier failed",
            resolved="the demo let its couriers work again",
        ),
        Story(
            "4  A reply that is lost: the card was charged, and nobody heard",
            {"customer": "ada", **lamp, "simulate": {"charge-card": "lose_reply"}},
            completed,
            definition="place_order_impatient",
        ),
        Story(
            "5  The card network can't be reached, however often it is tried",
            {"customer": "ada", **books, "simulate": {"charge-card": "provider_down"}},
            compensated,
            definition="place_order_impatient",
            cause="charge-card failed",
            resolved="the demo let its card network answer again",
        ),
    )


def asking(services: Iterable[Service], provider: CardProvider) -> list[Service]:
    """The services, of which payment asks this card network."""
    build = partial(payment.build, provider=provider)
    return [replace(each, build=build) if each.build is payment.build else each for each in services]


def definitions() -> list[dict[str, Any]]:
    """The demo's definition, and the same with less patience for the card."""
    text = Path(__file__).with_name("place_order.json").read_text("utf-8")
    patient, impatient = json.loads(text), json.loads(text)
    impatient["name"] = "place_order_impatient"
    card = next(step for step in impatient["steps"] if step["name"] == "charge-card")
    card.update(timeout=lost_reply_seconds, retry={"max_attempts": 4, "first": "100ms"})
    return [patient, impatient]


def main(services: Sequence[Service] = everything, documents: Sequence[Mapping[str, Any]] | None = None) -> int:
    """Run the demo in the current folder; returns the exit status.

    `services` are the participants it runs, `documents` the definitions, by default its own.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without ✓ gets a ?
    console = Console(highlight=False)
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    try:
        return asyncio.run(_run(console, services, documents or definitions()))
    except KeyboardInterrupt:
        return 130


async def _run(console: Console, services: Sequence[Service], documents: Sequence[Mapping[str, Any]]) -> int:
    someone_there = sys.stdin.isatty() and sys.stdout.isatty()
    began = asyncio.get_running_loop().time()
    earlier, folder = _new_folder()
    telling = Telling(console, {story.title: story.title for story in stories()})
    async with AsyncExitStack() as stack:
        broker = LossyBroker(LocalBroker(), telling.lost)
        database_url = f"sqlite:///{folder / 'amends.db'}"
        settings = Settings.model_validate({"database_url": database_url, "broker_url": "local:"})
        app = await build(settings, observers=[telling.observe], broker=broker)
        if earlier:
            bring_along(earlier / "amends.db", folder / "amends.db")
        url = await stack.enter_async_context(_listening(app, settings))
        provider = await stack.enter_async_context(card_provider.answering())
        engines = await stack.enter_async_context(_serving(asking(services, provider), broker, folder))
        _greet(console, url, folder)
        for document in documents:
            await app.definitions.register(document, by="demo")
        before = await sums.take(engines)
        faults, sagas = await _tell(app, telling, console)
        after = await sums.take(engines)
        faults += sums.faults(before, after, confirmed=2, cancelled=3)
        _close(console, before, after, faults, seconds=asyncio.get_running_loop().time() - began)
        _hint(console, f"curl {url}/v1/sagas/{sagas[-1].id}" if sagas else f"curl {url}/v1/sagas")
        if sagas:
            _hint(console, f"amends explain --url {url} {sagas[-1].id}")
        if someone_there:
            own = {"definition": "place_order", "input": stories()[0].order}
            _hint(console, f"curl -H 'Content-Type: application/json' {url}/v1/sagas -d '{json.dumps(own)}'")
            console.print("\nGoing on until Ctrl-C; orders of your own are told here, too.")
            await _until_interrupted()
    return 1 if faults else 0


async def _tell(app: App, telling: Telling, console: Console) -> tuple[list[str], list[Saga]]:
    """One story after the other; returns what went otherwise than it should, and the sagas as they ended."""
    faults: list[str] = []
    ended: list[Saga] = []
    for story in stories():
        definition = await app.definitions.get(story.definition)
        beginning = Beginning(definition, dict(story.order), caller="demo", business_key=story.title, tags=("demo",))
        creation = await app.engine.start(beginning)
        assert isinstance(creation, Created)
        try:
            async with asyncio.timeout(patience_seconds):
                saga = await telling.end_of(creation.saga_id)
        except TimeoutError:
            faults.append(f"“{story.title}” did not end within {patience_seconds:g} s")
            continue
        ended.append(saga)
        if saga.status is not SagaStatus.COMPLETED:
            await tell_why(app, console, saga.id, story.resolved)
        fault = story.fault(saga)
        if fault:
            faults.append(fault)
    return faults, ended


# --- the parts --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _serving(
    services: Iterable[Service], broker: LossyBroker, folder: Path
) -> AsyncIterator[Mapping[str, AsyncEngine]]:
    """Run the services, each on a database of its own, until the block ends. Gives their engines by name."""
    engines: dict[str, AsyncEngine] = {}
    participants: list[Participant] = []
    try:
        for service in services:
            engine = engines[service.name] = open_database(f"sqlite:///{folder / service.name}.db", connections=4)
            await service.prepare(engine)
            participants.append(service.build(engine, Knobs()))
        async with serving(participants, broker):  # a service that can't go on ends the demo
            yield engines
    finally:
        for engine in engines.values():
            await engine.dispose()


@asynccontextmanager
async def _listening(app: App, settings: Settings) -> AsyncIterator[str]:
    """Run the coordinator with its API and dashboard until the block ends. Gives their address."""
    web = create_web(app, sites=sites_of(settings.host, settings.allowed_hosts, settings.public_url))
    with _bound(settings.host, settings.port) as listener:
        server = _Server(
            uvicorn.Config(web, lifespan="on", log_level="error", access_log=False, timeout_graceful_shutdown=2)
        )
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await server.ready.wait()
            if not server.started:
                raise RuntimeError("the API could not be started")
            host, port = listener.getsockname()[:2]
            yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
        finally:
            web.state.desk.stop()
            server.should_exit = True
            await task


class _Server(uvicorn.Server):
    """A server that says when it is ready, and leaves the signals alone: Ctrl-C ends the demo, and that the server."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bound(host: str, port: int) -> socket.socket:
    """A socket at the usual port, or at any that is free if that one is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in (port, 0):
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            return listener
        except OSError:
            listener.close()
            if candidate == 0:
                raise
    raise AssertionError("the last candidate returns or raises")


def _new_folder() -> tuple[Path | None, Path]:
    """The folder of the last run, if there was one, and one for this run. Those of runs long past are removed."""
    home.mkdir(parents=True, exist_ok=True)
    runs = sorted(path for path in home.iterdir() if path.is_dir())
    for old in runs[: -(runs_kept - 1)]:
        shutil.rmtree(old, ignore_errors=True)
    folder = home / f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{os.getpid()}"
    folder.mkdir()
    return runs[-1] if runs else None, folder


async def _until_interrupted() -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()


# --- words around the stories -----------------------------------------------------------------------------------------


def _greet(console: Console, url: str, folder: Path) -> None:
    console.print(Text.assemble(("Amends", "bold"), "  sagas that make amends: a demo in one process"))
    for name, value in (
        ("dashboard", f"{url}/"),
        ("API", f"{url}/v1"),
        ("kept in", f"{folder}/ (SQLite, one file per service)"),
        ("broker", "in this process"),
    ):
        console.print(Text.assemble((f"  {name:<10}", "dim"), value), soft_wrap=True)


def _close(console: Console, before: sums.Sums, after: sums.Sums, faults: Sequence[str], *, seconds: float) -> None:
    console.print()
    console.print(Text("The sums, from each service's own database", "bold"))
    sums.show(console, before, after)
    console.print()
    for fault in faults:
        console.print(Text(f"✗ {fault}", "bold red"), soft_wrap=True)
    if not faults:
        line = f"✓ Five orders ended as they should, and every sum is right ({seconds:.1f} s)."
        console.print(Text(line, "bold green"), soft_wrap=True)


def _hint(console: Console, command: str) -> None:
    console.print(Text(f"  {command}", "dim"), soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
