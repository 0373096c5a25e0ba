"""A coordinator as a process: it listens, says where, and ends in bounded time, when asked to or when a loop died."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence
from types import FrameType

import sqlalchemy as sa
import uvicorn

from amends.errors import BrokerError
from amends.local import LocalBroker
from coordinator.app import App
from coordinator.building import build
from coordinator.cli.addresses import masked
from coordinator.cli.safety import unasked, unsafe
from coordinator.config import Settings
from coordinator.embedded import load_participants, serving
from coordinator.errors import StoreUnavailable, UnsupportedDatabase
from coordinator.store.stored import sqlite_file
from coordinator.telemetry import release
from coordinator.telemetry.logs import configure_logging
from coordinator.web.app import create_web
from coordinator.web.desk import Desk
from coordinator.web.gate import Gate
from coordinator.web.sites import sites_of

log = logging.getLogger(__name__)

graceful_seconds = 10
backlog = 2048
objects_between_collections = 20_000
refused_code, usage_code, failed_code = 1, 2, 70


class Server(uvicorn.Server):
    """A server that lets go of those who wait as soon as it is asked to end, and ends at once when asked again."""

    def __init__(self, config: uvicorn.Config, desk: Desk) -> None:
        super().__init__(config)
        self._desk = desk
        self._loop = asyncio.get_running_loop()
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.up.set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            os._exit(128 + sig)
        self.end()

    def end(self) -> None:
        """Take nothing new, and finish what is at hand."""
        self.should_exit = True
        self._loop.call_soon_threadsafe(self._desk.stop)


def run(
    settings: Settings, *, insecure: bool, banner: bool, participants: Sequence[str] = (), kept: bool = True
) -> int:
    """Run until a signal; the exit code. 0: asked to end. 70: a loop ended by itself.

    `kept` is what the banner says of the database: whether it outlives this process.
    """
    try:
        configure_logging(settings.log_format, settings.log_level)
    except ValueError as error:
        print(f"amends: {error}", file=sys.stderr)
        return usage_code
    for chatty in ("uvicorn.error", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    refused = None if insecure else unsafe(settings)
    if refused:
        log.critical("%s", refused, extra={"action": "server.refused"})
        return usage_code
    try:
        listener = socket.create_server((settings.host, settings.port), backlog=backlog, family=_family(settings.host))
    except OSError as error:
        log.critical("Can't listen on %s port %s: %s", settings.host, settings.port, error.strerror or error)
        return refused_code
    with listener, asyncio.Runner(loop_factory=uvicorn.Config("", log_config=None).get_loop_factory()) as runner:

        def announce() -> None:
            _announce(settings, url_of(settings, listener), banner=banner, kept=kept)

        return runner.run(_serve(settings, listener, announce, participants, insecure=insecure))


async def _serve(
    settings: Settings,
    listener: socket.socket,
    announce: Callable[[], None],
    participants: Sequence[str],
    *,
    insecure: bool,
) -> int:
    try:
        loaded = [one for place in participants for one in await load_participants(place)]
        app = await build(settings, broker=LocalBroker() if loaded else None)
        refused = unasked(settings) if not insecure and await app.access.open() else None
    except (UnsupportedDatabase, BrokerError, OSError, ImportError, ValueError) as error:
        log.critical("%s", error, extra={"action": "server.misconfigured"})
        return usage_code
    except sa.exc.DBAPIError as error:
        log.critical("The database can't be opened: %s", error.orig, extra={"action": "server.misconfigured"})
        return usage_code
    except StoreUnavailable as error:
        log.critical("The database can't be reached: %s", error, extra={"action": "server.store_unavailable"})
        return refused_code

    if refused:
        log.critical("%s", refused, extra={"action": "server.refused"})
        await app.broker.close()
        await app.database.close()
        return usage_code
    if insecure:
        log.warning("--insecure: nothing of this is checked", extra={"action": "server.insecure"})
    web = _web_of(app, settings)
    config = uvicorn.Config(
        web,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=graceful_seconds,
        timeout_keep_alive=30,
    )
    server = Server(config, web.state.desk)
    _keep_garbage_few()
    await app.start()
    watching = asyncio.ensure_future(_watch(app, server, announce))
    try:
        async with serving(loaded, app.broker):
            await server.serve(sockets=[listener])
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        await app.stop()
    if watching.cancelled():
        return 0 if server.started else refused_code
    return watching.result()


def _keep_garbage_few() -> None:
    """What is there now stays for as long as the process does: whoever collects garbage need not look at it, each time.
    And sagas make many objects and few circles, so that it is enough to look now and then."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(objects_between_collections)


def _web_of(app: App, settings: Settings) -> Gate:
    return create_web(
        app,
        begins_and_ends_it=False,
        base_path=settings.base_path,
        jaeger_url=settings.jaeger_url,
        rate_per_second=settings.rate_per_second,
        metrics_open=settings.metrics_open,
        secure=(settings.public_url or "").startswith("https:"),
        sites=sites_of(settings.host, settings.allowed_hosts, settings.public_url),
    )


async def _watch(app: App, server: Server, announce: Callable[[], None]) -> int:
    """Say where it listens, then wait for a loop to end by itself, which nothing here survives."""
    await server.up.wait()
    announce()
    failure = await app.supervisor.failure
    log.critical("%s", failure, extra={"action": "server.loop_ended"})
    server.end()
    return failed_code


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def url_of(settings: Settings, listener: socket.socket) -> str:
    if settings.public_url:
        return settings.public_url.rstrip("/")
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listener.getsockname()[1]}{settings.base_path}"


def _announce(settings: Settings, url: str, *, banner: bool, kept: bool) -> None:
    if not banner:
        log.info("Amends %s listens at %s", release(), url, extra={"action": "server.listening", "url": url})
        return
    broker = "in this process" if settings.embedded_broker else masked(settings.broker_url)
    mode = "embedded, one process" if settings.embedded_broker else "one of any number, over RabbitMQ"
    path = sqlite_file(settings.database_url)
    database = masked(settings.database_url) if path is None else f"{path}  (SQLite)"
    lines = (
        f"Amends {release()}",
        f"  mode       {mode}",
        f"  database   {database}",
        f"             {'what is in it stays there' if kept else 'forgotten when this ends (--ephemeral)'}",
        f"  broker     {broker}",
        f"  dashboard  {url}/",
        f"  API        {url}/v1  described at {url}/openapi.json",
        f"  metrics    {url}/metrics",
        f"  probes     {url}/livez  {url}/readyz",
        "  Ctrl-C ends it",
    )
    print("\n".join(lines), flush=True)
