"""PostgreSQL and RabbitMQ in containers, where a Docker engine answers."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.servers.process import ServerUnavailable, free_port, start_seconds
from tests.servers.rabbitmq import speaks_amqp

postgres_image = "postgres:17"
rabbitmq_image = "rabbitmq:4-management"


def docker_answers(timeout_seconds: float = 0.5) -> bool:
    """Whether an engine answers a ping at DOCKER_HOST or one of the usual sockets; asked without Docker's client."""
    host = os.environ.get("DOCKER_HOST", "")
    if host.startswith("tcp://"):
        name, _, port = host.removeprefix("tcp://").rstrip("/").partition(":")
        return _pings((name, int(port or 2375)), socket.AF_INET, timeout_seconds)
    home = Path.home()
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    usual = ["/var/run/docker.sock", f"{runtime}/docker.sock", str(home / ".docker/run/docker.sock")]
    places = [host.removeprefix("unix://")] if host.startswith("unix://") else usual
    return any(_pings(place, socket.AF_UNIX, timeout_seconds) for place in places)


def _pings(address: str | tuple[str, int], family: socket.AddressFamily, timeout_seconds: float) -> bool:
    try:
        with socket.socket(family) as engine:
            engine.settimeout(timeout_seconds)
            engine.connect(address)
            engine.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200" in engine.recv(64)
    except OSError:
        return False


class _Container:
    """One container whose ports stay the same when it is killed and started again."""

    def __init__(self, make: Callable[[], Any], image: str, ready: Callable[[Any], bool]) -> None:
        self._make = make
        self._image = image
        self._ready = ready
        self.container = self._fresh()

    def _fresh(self) -> Any:
        from docker.errors import DockerException  # type: ignore[import-untyped]

        container = self._make()
        try:
            container.start()
        except (DockerException, OSError, TimeoutError) as error:
            raise ServerUnavailable(f"a Docker engine answers, but {self._image} did not start: {error}") from error
        return container

    @property
    def running(self) -> bool:
        wrapped = self.container.get_wrapped_container()
        wrapped.reload()
        return bool(wrapped.status == "running")

    def start(self) -> None:
        if self.running:
            return
        self.container.get_wrapped_container().start()
        give_up_at = time.monotonic() + start_seconds
        while not self._ready(self.container):
            if time.monotonic() > give_up_at:
                raise ServerUnavailable(f"{self._image} did not come back within {start_seconds:.0f} seconds")
            time.sleep(0.1)

    def restart(self, *, wipe: bool = False) -> None:
        if wipe:
            self.container.stop()
            self.container = self._fresh()
        else:
            self.container.get_wrapped_container().stop(timeout=20)
            self.start()

    def kill(self) -> None:
        if self.running:
            self.container.get_wrapped_container().kill()
            self.container.get_wrapped_container().wait()


class ContainerPostgres:
    """PostgreSQL in a container, with the verbs of EphemeralPostgres. Raises ServerUnavailable when it can't start."""

    def __init__(self) -> None:
        port = free_port()

        def make() -> Any:
            from testcontainers.community.postgres import PostgresContainer

            container = PostgresContainer(postgres_image, username="postgres", dbname="postgres", driver="asyncpg")
            return container.with_bind_ports(5432, port)

        self._server = _Container(make, postgres_image, _accepts_connections)
        self.origin = f"container {postgres_image}"
        self.url: str = self._server.container.get_connection_url()

    def start(self) -> None:
        self._server.start()

    def restart(self) -> None:
        self._server.restart()

    def kill(self) -> None:
        self._server.kill()

    def stop(self) -> None:
        self._server.container.stop()


def _accepts_connections(container: Any) -> bool:
    return bool(container.exec(["pg_isready", "-q", "-h", "127.0.0.1", "-U", "postgres"]).exit_code == 0)


class ContainerRabbitMQ:
    """RabbitMQ in a container, with the verbs of EphemeralRabbitMQ. Raises ServerUnavailable when it can't start."""

    def __init__(self) -> None:
        port, management_port = free_port(), free_port()

        def make() -> Any:
            from testcontainers.core.container import DockerContainer
            from testcontainers.core.wait_strategies import LogMessageWaitStrategy

            # The user `guest` may only come from the broker's own machine, which a container's neighbour is not. The
            # name of the host is part of the node's, and so of the place of its data.
            return (
                DockerContainer(rabbitmq_image, hostname="amends")
                .with_bind_ports(5672, port)
                .with_bind_ports(15672, management_port)
                .with_env("RABBITMQ_DEFAULT_USER", "amends")
                .with_env("RABBITMQ_DEFAULT_PASS", "amends")
                .waiting_for(LogMessageWaitStrategy("Server startup complete"))
            )

        def ready(container: Any) -> bool:
            return speaks_amqp(port, container.get_container_host_ip())

        self._server = _Container(make, rabbitmq_image, ready)
        self.origin = f"container {rabbitmq_image}"
        host = self._server.container.get_container_host_ip()
        self.url = f"amqp://amends:amends@{host}:{port}/"
        self.management_url = f"http://amends:amends@{host}:{management_port}"

    def start(self) -> None:
        self._server.start()

    def restart(self, *, wipe: bool = False) -> None:
        self._server.restart(wipe=wipe)

    def kill(self) -> None:
        self._server.kill()

    def stop(self) -> None:
        self._server.container.stop()
