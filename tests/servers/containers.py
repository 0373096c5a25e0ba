"""PostgreSQL and RabbitMQ in containers, where a Docker engine answers."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from tests.servers.process import ServerUnavailable

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


class ContainerPostgres:
    """PostgreSQL in a container. Raises ServerUnavailable when it can't be pulled or started."""

    def __init__(self) -> None:
        from testcontainers.community.postgres import PostgresContainer

        container = PostgresContainer(postgres_image, username="postgres", dbname="postgres", driver="asyncpg")
        self._container = _started(container, postgres_image)
        self.origin = f"container {postgres_image}"
        self.url: str = container.get_connection_url()

    def stop(self) -> None:
        self._container.stop()


class ContainerRabbitMQ:
    """RabbitMQ with its management API in a container. Raises ServerUnavailable as above."""

    def __init__(self) -> None:
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.wait_strategies import LogMessageWaitStrategy

        container = DockerContainer(rabbitmq_image).with_exposed_ports(5672, 15672)
        # The user `guest` may only come from the broker's own machine, which a container's neighbour is not.
        container = container.with_env("RABBITMQ_DEFAULT_USER", "amends").with_env("RABBITMQ_DEFAULT_PASS", "amends")
        container = container.waiting_for(LogMessageWaitStrategy("Server startup complete"))
        self._container = _started(container, rabbitmq_image)
        self.origin = f"container {rabbitmq_image}"
        host = container.get_container_host_ip()
        self.url = f"amqp://amends:amends@{host}:{container.get_exposed_port(5672)}/"
        self.management_url = f"http://amends:amends@{host}:{container.get_exposed_port(15672)}"

    def stop(self) -> None:
        self._container.stop()


def _started(container: Any, image: str) -> Any:
    from docker.errors import DockerException  # type: ignore[import-untyped]

    try:
        return container.start()
    except (DockerException, OSError, TimeoutError) as error:
        raise ServerUnavailable(f"a Docker engine answers, but {image} did not start: {error}") from error
