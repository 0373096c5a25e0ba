"""RabbitMQ from installed binaries: a private node with a private port mapper, there for as long as its owner is."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

from tests.servers.process import GuardedProcess, ServerUnavailable, free_port

# Debian's /usr/sbin/rabbitmq-server is a wrapper that changes user and writes to /var, so the real script comes first.
_places = (
    "/usr/lib/rabbitmq/bin",
    "/usr/lib/rabbitmq/lib/*/sbin",
    "/opt/homebrew/sbin",
    "/usr/local/sbin",
    "/opt/rabbitmq/sbin",
)
_amqp_greeting = b"AMQP\x00\x00\x09\x01"

# One scheduler that sleeps when it has nothing to do: the tests need the processor more than the broker does.
_erlang = "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"


def installed_rabbitmq() -> Path | None:
    """The `rabbitmq-server` script to call, or None."""
    for place in _places:
        for directory in sorted(Path("/").glob(place[1:]), reverse=True):
            if (directory / "rabbitmq-server").exists():
                return directory / "rabbitmq-server"
    found = shutil.which("rabbitmq-server")
    return Path(found) if found else None


def _installed_epmd() -> Path | None:
    found = shutil.which("epmd")
    if found:
        return Path(found)
    bundled = sorted(Path("/").glob("usr/lib/erlang/erts-*/bin/epmd"))
    return bundled[-1] if bundled else None


def speaks_amqp(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a broker answers our greeting there with its own first frame."""
    try:
        with socket.create_connection((host, port), timeout=2.0) as connection:
            connection.sendall(_amqp_greeting)
            return connection.recv(1) == b"\x01"
    except OSError:
        return False


def speaks_http(url: str) -> bool:
    """Whether something answers HTTP there, even if only to say that it doesn't know us."""
    try:
        with urllib.request.urlopen(url, timeout=2.0) as response:
            return bool(response.status)
    except urllib.error.HTTPError as refusal:
        refusal.close()
        return True
    except OSError:
        return False


class EphemeralRabbitMQ:
    """A RabbitMQ node of one's own, management API included. `url` stays the same over restarts."""

    def __init__(self) -> None:
        script = installed_rabbitmq()
        epmd = _installed_epmd()
        if script is None or epmd is None:
            raise ServerUnavailable("RabbitMQ is not installed")
        self.origin = f"started from {script.parent}"
        self.port, self._management_port, self._dist_port, self._epmd_port = (free_port() for _ in range(4))
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        self.management_url = f"http://guest:guest@127.0.0.1:{self._management_port}"
        self._script = script
        self._epmd = epmd
        self._process = GuardedProcess("rabbitmq", user=None, stop_signal=signal.SIGTERM)
        self._write_configuration()
        self.start()

    def _write_configuration(self) -> None:
        directory = self._process.directory
        lines = [
            f"listeners.tcp.1 = 127.0.0.1:{self.port}",
            "management.tcp.ip = 127.0.0.1",
            f"management.tcp.port = {self._management_port}",
            "log.console = true",
            "log.file = false",
            "vm_memory_high_watermark.absolute = 512MB",
            "disk_free_limit.absolute = 50MB",
        ]
        (directory / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
        (directory / "enabled_plugins").write_text("[rabbitmq_management].\n")

    def _environment(self) -> dict[str, str]:
        directory = self._process.directory
        return {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "HOME": str(directory),
            "RABBITMQ_NODENAME": f"amends{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_PID_FILE": str(directory / "pid"),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_RELAXED_COMMAND_CHECK": "1",  # or it would refuse to go while it believes its node alive
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _erlang,
        }

    def start(self) -> None:
        """Start again after `kill`, with the same data under the same URL. Does nothing while it runs."""
        if self._process.running:
            return
        # The port mapper puts itself into the background, so it is told to go once its only node is gone.
        farewell = [str(self._epmd), "-port", str(self._epmd_port), "-kill"]
        self._process.start([str(self._script)], self._environment(), afterwards=farewell, ready=self._ready)

    @property
    def pid(self) -> int | None:
        """The node's first process, while it runs."""
        return self._process.pid

    def _ready(self) -> bool:
        return speaks_amqp(self.port) and speaks_http(f"http://127.0.0.1:{self._management_port}/api/overview")

    def restart(self, *, wipe: bool = False) -> None:
        """Stop it as an operator would and start it again; with `wipe` everything it kept is gone."""
        self._process.end(signal.SIGTERM)
        if wipe:
            shutil.rmtree(self._process.directory / "mnesia", ignore_errors=True)
        self.start()

    def kill(self) -> None:
        """Crash it: it dies without a word. `start` brings it back with what it had on disk."""
        self._process.end(signal.SIGKILL)

    def stop(self) -> None:
        """End it and delete its data. Nobody will read them, so it isn't asked to close them in order."""
        self._process.end(signal.SIGKILL)
        self._process.remove()
