"""Fixtures every room may use: a fresh database, a fresh virtual host, and the servers they are on."""

from __future__ import annotations

import asyncio
import base64
import urllib.request
import uuid
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import asyncpg
import pytest

from tests.servers import Servers, ServerUnavailable, embedded_only
from tests.servers.chromium import installed_chromium
from tests.servers.desk import Desk, Visitor

Answer = TypeVar("Answer")

servers_key: pytest.StashKey[Servers | Visitor] = pytest.StashKey()
desk_key: pytest.StashKey[Desk] = pytest.StashKey()
left_out_key: pytest.StashKey[int] = pytest.StashKey()


# --- one set of servers for the whole run, whatever the number of processes -------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    config.stash[left_out_key] = 0
    if worker is not None:
        config.stash[servers_key] = Visitor(worker["servers_desk"])
    else:
        config.stash[servers_key] = Servers()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """A worker is about to start: tell it where the desk is (opened for the first)."""
    servers = node.config.stash[servers_key]
    if desk_key not in node.config.stash:
        node.config.stash[desk_key] = Desk(servers)
    node.workerinput["servers_desk"] = node.config.stash[desk_key].address


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker ended: every worker collects everything, so each left out the same tests."""
    left_out = getattr(node, "workeroutput", {}).get("left_out", 0)
    node.config.stash[left_out_key] = max(node.config.stash[left_out_key], left_out)


def pytest_sessionfinish(session: pytest.Session) -> None:
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = session.config.stash[left_out_key]


def pytest_unconfigure(config: pytest.Config) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if embedded_only() and reporter is not None and not hasattr(config, "workerinput"):
        count = config.stash[left_out_key]
        reporter.write_line(
            f"left out: {count} tests that need PostgreSQL, RabbitMQ or Chromium; `make test` runs them", yellow=True
        )
    if desk_key in config.stash:
        config.stash[desk_key].close()
    servers = config.stash.get(servers_key, None)
    if isinstance(servers, Servers):
        servers.stop()


# --- what needs a server is marked by what it asks for, and left out of an embedded run -------------------------------

_needs = {
    "postgres": {"postgres_url", "fresh_postgres_url"},
    "rabbitmq": {"rabbitmq_url", "fresh_rabbitmq_url"},
    "chromium": {"browser"},
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for mark, fixtures in _needs.items():
            if fixtures & set(getattr(item, "fixturenames", ())):
                item.add_marker(mark)
    if embedded_only():
        absent = [mark for mark in _needs if mark != "chromium" or installed_chromium() is None]
        left_out = [item for item in items if any(item.get_closest_marker(mark) for mark in absent)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
        config.stash[left_out_key] = len(left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    servers = config.stash[servers_key]
    for line in servers.origins() if isinstance(servers, Servers) else []:
        terminalreporter.write_line(line)
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties if report.when == "call" else []:
            if name == "searched":
                terminalreporter.write_line(f"searched {value}")


# --- fixtures ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Servers | Visitor:
    return request.config.stash[servers_key]


def _or_fail(url: Callable[[], str]) -> str:
    try:
        return url()
    except ServerUnavailable as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def postgres_url(servers: Servers | Visitor) -> str:
    """`postgresql+asyncpg://…/postgres` of the run's server. A test that writes wants `fresh_postgres_url`."""
    return _or_fail(lambda: servers.postgres_url)


@pytest.fixture(scope="session")
def rabbitmq_url(servers: Servers | Visitor) -> str:
    """`amqp://…/` of the run's broker. A test that declares queues wants `fresh_rabbitmq_url`."""
    return _or_fail(lambda: servers.rabbitmq_url)


def _in_a_thread(work: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
    """Run a coroutine to its end on a loop of its own, so that a test's loop isn't touched."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(work())).result()


async def _administer(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", "", 1))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def fresh_postgres_url(postgres_url: str) -> Iterator[str]:
    """A new, empty database for this test alone, dropped afterwards even if someone is still connected."""
    name = f"amends_{uuid.uuid4().hex}"
    _in_a_thread(lambda: _administer(postgres_url, f'CREATE DATABASE "{name}"'))
    yield urlsplit(postgres_url)._replace(path=f"/{name}").geturl()
    _in_a_thread(lambda: _administer(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A SQLite file that doesn't exist yet."""
    return f"sqlite+aiosqlite:///{tmp_path / 'amends.db'}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database; the test runs once on each kind."""
    url: str = request.getfixturevalue({"sqlite": "sqlite_url", "postgres": "fresh_postgres_url"}[request.param])
    return url


def _manage(management_url: str, method: str, path: str) -> None:
    """One call of RabbitMQ's management API. Raises HTTPError for anything but success."""
    parts = urlsplit(management_url)
    request = urllib.request.Request(f"http://{parts.hostname}:{parts.port}{path}", method=method)
    credentials = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
    request.add_header("Authorization", f"Basic {credentials}")
    with urllib.request.urlopen(request, timeout=30.0):
        return


@pytest.fixture
def fresh_rabbitmq_url(rabbitmq_url: str, servers: Servers | Visitor) -> Iterator[str]:
    """The URL of a new, empty virtual host for this test alone, deleted afterwards with all its queues."""
    vhost = f"amends-{uuid.uuid4().hex}"
    management_url = servers.rabbitmq_management_url
    _manage(management_url, "PUT", f"/api/vhosts/{quote(vhost)}")
    yield urlsplit(rabbitmq_url)._replace(path=f"/{vhost}").geturl()
    _manage(management_url, "DELETE", f"/api/vhosts/{quote(vhost)}")
