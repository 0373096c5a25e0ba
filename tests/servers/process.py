"""A server process of our own: started on a port nobody uses, stopped cleanly, killed on request, never left behind."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

start_seconds = 60.0
stop_seconds = 20.0


class ServerUnavailable(Exception):
    """A server the tests need can't be had here. The message says why, and what to do about it."""


def free_port() -> int:
    """A TCP port nobody listens on, below the range from which outgoing connections take theirs."""
    for _ in range(200):
        port = random.randrange(20000, 30000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise ServerUnavailable("no free TCP port between 20000 and 30000")


class GuardedProcess:
    """One directory and, at most times, one server running in it."""

    def __init__(self, name: str, *, user: str | None, stop_signal: signal.Signals) -> None:
        self.name = name
        self.user = user
        self.stop_signal = stop_signal
        self.directory = Path(tempfile.mkdtemp(prefix=f"amends-{name}-"))
        if user:
            shutil.chown(self.directory, user, user)
        self.log = self.directory / "output.txt"
        self._guard: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None

    def start(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        afterwards: Sequence[str],
        ready: Callable[[], bool],
    ) -> None:
        """Start the server and return once `ready` says so. Raises ServerUnavailable with the end of its log."""
        spec = {
            "argv": list(argv),
            "env": dict(env),
            "user": self.user,
            "log": str(self.log),
            "stop_signal": int(signal.SIGQUIT if self.stop_signal is signal.SIGINT else signal.SIGKILL),
            "afterwards": list(afterwards),
            "directory": str(self.directory),
        }
        script = Path(__file__).with_name("guard.py")
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script), json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._guard.stdout is not None
        self._pid = int(self._guard.stdout.readline() or 0) or None
        give_up_at = time.monotonic() + start_seconds
        while not ready():
            if self._guard.poll() is not None or time.monotonic() > give_up_at:
                tail = self.last_words()
                self.end(signal.SIGKILL)
                raise ServerUnavailable(f"{self.name} did not start; the end of its log:\n{tail}")
            time.sleep(0.02)

    @property
    def pid(self) -> int | None:
        """The server's own, while it runs."""
        return self._pid if self.running else None

    @property
    def running(self) -> bool:
        return self._guard is not None and self._guard.poll() is None

    def end(self, how: signal.Signals) -> None:
        """Send the signal to the server and wait until it is gone. Its directory stays, for a start to come."""
        if self._guard is None:
            return
        if self._pid is not None:
            self._signal(how)
        try:
            self._guard.wait(timeout=stop_seconds)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._guard.wait()
        for pipe in (self._guard.stdin, self._guard.stdout):
            if pipe is not None:
                pipe.close()
        self._guard = self._pid = None

    def _signal(self, how: signal.Signals) -> None:
        if self._pid is None or not self.running:
            return
        try:
            os.killpg(self._pid, how)
        except ProcessLookupError:
            return  # it ended between the look and the signal; the guard follows at once

    def remove(self) -> None:
        """End the server if it runs, and leave nothing of it behind."""
        self.end(self.stop_signal)
        shutil.rmtree(self.directory, ignore_errors=True)

    def last_words(self, bytes_max: int = 2000) -> str:
        if not self.log.exists():
            return "(it said nothing)"
        return self.log.read_bytes()[-bytes_max:].decode("utf-8", "replace")
