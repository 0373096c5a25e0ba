"""The side of a contender that is asked over a socket: a line of JSON says how much is wanted, the next one that it is
enough, and the answer is when each saga ended and how long it took.

Runs in the peers' environments too, so it needs nothing but the standard library.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

Saga = Callable[[int, bool], None]  # carries out one, by its number, failing or not; raises if it ends otherwise


def answer(port: int, load: Callable[[dict[str, Any]], Callable[[], dict[str, Any]]]) -> None:
    """Listen on the port, for ever: `load` begins what is asked for, and what it returns ends it."""
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            connection, _ = server.accept()
            with connection, connection.makefile("rw", encoding="utf-8") as lines:
                asked = lines.readline()
                if not asked:
                    continue  # somebody only looked whether we listen
                end = load(json.loads(asked))
                lines.readline()
                lines.write(json.dumps(end()) + "\n")


class Threads:
    """Sagas in threads, so many at a time or so many a second."""

    def __init__(self, saga: Saga, threads_max: int) -> None:
        self._saga, self._threads_max = saga, threads_max
        self._lock = threading.Lock()
        self._number = time.time_ns() // 1_000_000 % 10**9 * 1000  # none that an earlier load used

    def load(self, demand: dict[str, Any]) -> Callable[[], dict[str, Any]]:
        stopping = threading.Event()
        ends: list[tuple[float, float]] = []
        wrong: list[str] = []
        per_second = float(demand["per_second"])
        began, offered = time.monotonic(), [0]

        def turn() -> float | None:
            """When the next saga begins. None: no more."""
            if not per_second:
                return None if stopping.is_set() else time.monotonic()
            with self._lock:
                offered[0] += 1
                due = began + offered[0] / per_second
            if stopping.wait(max(0.0, due - time.monotonic())):
                return None
            return due

        def work() -> None:
            while (due := turn()) is not None:
                with self._lock:
                    self._number += 1
                    number = self._number
                try:
                    self._saga(number, bool(demand["fails"]))
                except Exception as error:
                    wrong.append(repr(error)[:500])
                    return
                now = time.monotonic()
                ends.append((now, now - due))

        count = min(demand["in_flight"] or self._threads_max, self._threads_max)
        threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()

        def end() -> dict[str, Any]:
            stopping.set()
            for thread in threads:
                thread.join(30.0)
            return {"ends": list(ends), "wrong": list(wrong)}

        return end
