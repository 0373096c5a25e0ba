"""A process that has loaded everything and is copied for each life: a start takes milliseconds instead of a second.

    python -m tests.crash.zygote     reads a plan per line, answers {"pid": …}, and {"pid": …, "status": …} at its end

When its input ends, so do all lives it has begun. It has no threads and no loop of its own, so that a copy is sound.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import select
import signal
import sys
from typing import NoReturn

from tests.crash.life import Plan, live

log = logging.getLogger(__name__)

life_seconds_max = 40


def begin(line: bytes) -> int:
    """Fork a life; its process id."""
    pid = os.fork()
    if pid == 0:
        be(Plan(**json.loads(line)))
    return pid


def be(plan: Plan) -> NoReturn:
    """Live as planned, and leave: 0 when all is done, 1 for an error (told on stderr)."""
    signal.set_wakeup_fd(-1)
    signal.alarm(life_seconds_max)
    status = 1
    try:
        logging.basicConfig(level=logging.WARNING, format=f"{os.getpid()} %(levelname)s %(name)s %(message)s")
        asyncio.run(live(plan))
        status = 0
    except BaseException:
        log.exception("This life failed")
    finally:
        sys.stderr.flush()
        os._exit(status)


def say(**facts: int) -> None:
    print(json.dumps(facts), flush=True)


def main() -> None:
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    alive: set[int] = set()
    rest = b""
    while True:
        ready, _, _ = select.select([0, awake], [], [])
        if awake in ready:
            os.read(awake, 1024)
            for pid in sorted(alive):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    alive.discard(pid)
                    say(pid=pid, status=os.waitstatus_to_exitcode(status))
        if 0 in ready:
            read = os.read(0, 65536)
            if not read:
                break
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                pid = begin(line)
                alive.add(pid)
                say(pid=pid)
    for pid in alive:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
