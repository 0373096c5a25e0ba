"""PostgreSQL from installed binaries: a private server on a random port, there for as long as its owner is."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.servers.process import GuardedProcess, ServerUnavailable, free_port

_places = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)

# The data of a test need not survive a power cut, so nothing waits for a disk. It must survive the server's death, so
# a commit still waits until its log is handed to the operating system (synchronous_commit stays on).
_fast = ("fsync=off", "full_page_writes=off", "max_connections=200", "shared_buffers=64MB")
# Where speed is measured it has to, as on any server that somebody relies on.
_durable = ("fsync=on", "full_page_writes=on", "max_connections=500", "shared_buffers=256MB", "max_wal_size=4GB")


def installed_postgres() -> Path | None:
    """The directory with the newest installed `initdb` and `postgres`, or None."""
    found = [path for place in _places for path in Path("/").glob(place[1:]) if (path / "initdb").exists()]
    if found:
        return max(found, key=lambda path: [int(number) for number in re.findall(r"\d+", str(path))])
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


def _server_user() -> str | None:
    """PostgreSQL refuses to run as root; as anyone else it runs as who asks (None)."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class EphemeralPostgres:
    """A PostgreSQL of one's own. `url` stays the same over restarts; `kill` is a crash, data stay until `stop`.

    A `durable` one waits for its disk, as one in production does.
    """

    def __init__(self, *, durable: bool = False) -> None:
        binaries = installed_postgres()
        if binaries is None:
            raise ServerUnavailable("PostgreSQL is not installed")
        self.origin = f"started from {binaries}"
        self.port = free_port()
        self.url = f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/postgres"
        self._binaries = binaries
        self._settings = _durable if durable else _fast
        self._process = GuardedProcess("postgres", user=_server_user(), stop_signal=signal.SIGINT)
        self.directory = self._process.directory
        self._data = self.directory / "data"
        self._env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(self._process.directory)}
        self._create()
        self.start()

    def _create(self) -> None:
        as_user: dict[str, Any] = {}
        if self._process.user:
            as_user = {"user": self._process.user, "group": self._process.user, "extra_groups": []}
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"]
        command = [str(self._binaries / "initdb"), "-D", str(self._data), *options]
        created = subprocess.run(
            command, env=self._env, cwd=self._process.directory, capture_output=True, text=True, check=False, **as_user
        )
        if created.returncode != 0:
            self._process.remove()
            raise ServerUnavailable(f"initdb failed: {created.stderr.strip()}")

    def start(self) -> None:
        """Start again after `kill`, with the same data under the same URL. Does nothing while it runs."""
        if self._process.running:
            return
        settings = [*self._settings, f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories="]
        argv = [str(self._binaries / "postgres"), "-D", str(self._data)]
        for setting in settings:
            argv += ["-c", setting]
        self._process.start(argv, self._env, afterwards=[], ready=self._ready)

    @property
    def pid(self) -> int | None:
        """The server's first process, while it runs."""
        return self._process.pid

    def _ready(self) -> bool:
        command = [str(self._binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 0

    def restart(self) -> None:
        """Stop it as an operator would (connections are cut), and start it again."""
        self._process.end(signal.SIGINT)
        self.start()

    def kill(self) -> None:
        """Crash it: it dies without a word. `start` brings it back, recovering from its log."""
        self._process.end(signal.SIGKILL)

    def stop(self) -> None:
        """End it and delete its data."""
        self._process.remove()
