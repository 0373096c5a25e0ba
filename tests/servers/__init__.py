"""Real PostgreSQL and RabbitMQ for the tests: given by URL, in containers, or started from installed binaries.

`Servers` finds each the first time it is asked for. `ephemeral_postgres` and `ephemeral_rabbitmq` are servers of one's
own, to be killed and restarted; they need no pytest.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from tests.servers.containers import ContainerPostgres, ContainerRabbitMQ, docker_answers
from tests.servers.postgres import EphemeralPostgres, installed_postgres
from tests.servers.process import ServerUnavailable
from tests.servers.rabbitmq import EphemeralRabbitMQ, installed_rabbitmq

__all__ = [
    "EphemeralPostgres",
    "EphemeralRabbitMQ",
    "OwnPostgres",
    "OwnRabbitMQ",
    "ServerUnavailable",
    "Servers",
    "embedded_only",
    "ephemeral_postgres",
    "ephemeral_rabbitmq",
]

Found = TypeVar("Found")

advice = """\
{name} can't be had here: {reasons}.
Do one of these:
  - set {variable} to a server that tests may fill and empty
  - start a Docker engine
  - install the package ({package}), or run as root on Debian or Ubuntu, where `make test` installs it
  - run `make test-embedded`: SQLite and the in-process broker only"""


def embedded_only() -> bool:
    """Whether this run was asked to do without servers (AMENDS_TEST_EMBEDDED=1)."""
    return os.environ.get("AMENDS_TEST_EMBEDDED", "") not in ("", "0")


class Postgres(Protocol):
    """A PostgreSQL the tests may use: a URL for asyncpg with the right to create databases."""

    url: str
    origin: str

    def stop(self) -> None: ...


class RabbitMQ(Protocol):
    """A RabbitMQ the tests may use: AMQP, and the management API with the right to create virtual hosts."""

    url: str
    management_url: str
    origin: str

    def stop(self) -> None: ...


class GivenPostgres:
    """The server AMENDS_TEST_POSTGRES_URL names; `postgresql://` is read as `postgresql+asyncpg://`."""

    def __init__(self, url: str) -> None:
        rest = url.partition("://")[2]
        self.url = f"postgresql+asyncpg://{rest}"
        self.origin = "AMENDS_TEST_POSTGRES_URL"

    def stop(self) -> None:
        """It isn't ours to stop."""


class GivenRabbitMQ:
    """The broker AMENDS_TEST_RABBITMQ_URL names. Its API: AMENDS_TEST_RABBITMQ_MANAGEMENT_URL, or port 15672 there."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        credentials = f"{parts.username or 'guest'}:{parts.password or 'guest'}"
        usual = f"http://{credentials}@{parts.hostname}:15672"
        self.url = url
        self.management_url = os.environ.get("AMENDS_TEST_RABBITMQ_MANAGEMENT_URL", usual)
        self.origin = "AMENDS_TEST_RABBITMQ_URL"

    def stop(self) -> None:
        """It isn't ours to stop."""


class OwnPostgres(Postgres, Protocol):
    """A PostgreSQL of one's own. `url` stays the same whatever is done to it, and data stay until `stop`."""

    def start(self) -> None:
        """Bring it back after `kill`."""

    def restart(self) -> None:
        """Stop it as an operator would, and start it again."""

    def kill(self) -> None:
        """Crash it: it dies without a word."""


class OwnRabbitMQ(RabbitMQ, Protocol):
    """A RabbitMQ of one's own. Its URLs stay the same whatever is done to it, and data stay until `stop` or a wipe."""

    def start(self) -> None:
        """Bring it back after `kill`."""

    def restart(self, *, wipe: bool = False) -> None:
        """Stop it as an operator would, and start it again; with `wipe` everything it kept is gone."""

    def kill(self) -> None:
        """Crash it: it dies without a word."""


@contextmanager
def ephemeral_postgres() -> Iterator[OwnPostgres]:
    """A PostgreSQL of one's own for the length of a `with`: installed, or a container. Raises ServerUnavailable."""
    server: OwnPostgres = EphemeralPostgres() if installed_postgres() else ContainerPostgres()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def ephemeral_rabbitmq() -> Iterator[OwnRabbitMQ]:
    """A RabbitMQ of one's own for the length of a `with`: installed, or a container. Raises ServerUnavailable."""
    server: OwnRabbitMQ = EphemeralRabbitMQ() if installed_rabbitmq() else ContainerRabbitMQ()
    try:
        yield server
    finally:
        server.stop()


def find_postgres() -> Postgres:
    """The first of: the URL in the environment, a container, installed binaries. Raises ServerUnavailable."""
    given = os.environ.get("AMENDS_TEST_POSTGRES_URL")
    if given:
        return GivenPostgres(given)
    reasons: list[str] = []
    if docker_answers():
        try:
            return ContainerPostgres()
        except ServerUnavailable as error:
            reasons.append(str(error))
    else:
        reasons.append("no Docker engine answers")
    if installed_postgres():
        return EphemeralPostgres()
    reasons.append("no binaries are installed")
    raise ServerUnavailable(
        advice.format(
            name="PostgreSQL", reasons=", ".join(reasons), variable="AMENDS_TEST_POSTGRES_URL", package="postgresql"
        )
    )


def find_rabbitmq() -> RabbitMQ:
    """The first of: the URL in the environment, a container, installed binaries. Raises ServerUnavailable."""
    given = os.environ.get("AMENDS_TEST_RABBITMQ_URL")
    if given:
        return GivenRabbitMQ(given)
    reasons: list[str] = []
    if docker_answers():
        try:
            return ContainerRabbitMQ()
        except ServerUnavailable as error:
            reasons.append(str(error))
    else:
        reasons.append("no Docker engine answers")
    if installed_rabbitmq():
        return EphemeralRabbitMQ()
    reasons.append("no binaries are installed")
    raise ServerUnavailable(
        advice.format(
            name="RabbitMQ", reasons=", ".join(reasons), variable="AMENDS_TEST_RABBITMQ_URL", package="rabbitmq-server"
        )
    )


class Servers:
    """The servers of one test run: found when first asked for, stopped together. Safe to ask from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._postgres: Postgres | None = None
        self._rabbitmq: RabbitMQ | None = None
        self._failures: dict[str, ServerUnavailable] = {}

    @property
    def postgres_url(self) -> str:
        """`postgresql+asyncpg://…/postgres`, a database nobody fills; tests create their own beside it."""
        with self._lock:
            if self._postgres is None:
                self._postgres = self._once("postgres", find_postgres)
                self._stack.callback(self._postgres.stop)
            return self._postgres.url

    @property
    def rabbitmq_url(self) -> str:
        """`amqp://…/`, the default virtual host; tests create their own beside it."""
        return self._broker().url

    @property
    def rabbitmq_management_url(self) -> str:
        """`http://user:password@host:port` of the management API."""
        return self._broker().management_url

    def _broker(self) -> RabbitMQ:
        with self._lock:
            if self._rabbitmq is None:
                self._rabbitmq = self._once("rabbitmq", find_rabbitmq)
                self._stack.callback(self._rabbitmq.stop)
            return self._rabbitmq

    def _once(self, name: str, find: Callable[[], Found]) -> Found:
        """A server that can't be had isn't sought again for every test that wants it."""
        if name in self._failures:
            raise self._failures[name]
        try:
            return find()
        except ServerUnavailable as error:
            self._failures[name] = error
            raise

    def origins(self) -> list[str]:
        """Where each server that was asked for came from, for people to read."""
        found = (("PostgreSQL", self._postgres), ("RabbitMQ", self._rabbitmq))
        return [f"{name}: {server.origin}" for name, server in found if server is not None]

    def stop(self) -> None:
        """Stop what was started. What was given by URL goes on."""
        with self._lock:
            self._stack.close()
            self._postgres = self._rabbitmq = None
