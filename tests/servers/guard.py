"""Runs one server and sees to it that it never outlives the process that wanted it, however that one ends.

Started as a script by `tests.servers.process`, in a session of its own. Its standard input is a pipe whose other end
only the owner holds: when the pipe ends, the owner is gone, and so is the server, with its directory. Prints the
server's process id once it is started. Imports nothing of this project, so that it starts in a moment.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from typing import Any

patience_seconds = 10.0


def end(server: subprocess.Popen[bytes], stop_signal: int) -> None:
    """Ask the server's whole group to stop, and insist after a while."""
    try:
        os.killpg(server.pid, stop_signal)
        server.wait(timeout=patience_seconds)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it ended by itself meanwhile


def guard(spec: dict[str, Any]) -> int:
    """Run the server `spec` describes (as `GuardedProcess.start` writes it) until it or its owner ends."""
    with open(spec["log"], "ab") as log:
        as_user = {"user": spec["user"], "group": spec["user"], "extra_groups": []} if spec["user"] else {}
        server = subprocess.Popen(
            spec["argv"],
            env=spec["env"],
            cwd=spec["directory"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **as_user,
        )
    print(server.pid, flush=True)
    orphaned = threading.Event()

    def wait_for_the_owner_to_go() -> None:
        while os.read(0, 1024):
            pass
        orphaned.set()
        end(server, spec["stop_signal"])

    threading.Thread(target=wait_for_the_owner_to_go, daemon=True).start()
    server.wait()
    if spec["afterwards"]:
        subprocess.run(spec["afterwards"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    if orphaned.is_set():
        shutil.rmtree(spec["directory"], ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(guard(json.loads(sys.argv[1])))
