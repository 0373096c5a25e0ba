"""Places in which processes live and die: embedded (SQLite, the broker in process) and distributed."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests.crash.life import Plan, order

root = Path(__file__).parents[2]
answer_seconds = 45.0


class Cradle:
    """Begins lives and tells how they end."""

    def __init__(self, log: Path) -> None:
        self.log = log
        path = os.pathsep.join([str(root), str(root / "participants" / "sdk")])
        with log.open("wb") as errors:
            self._zygote = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.zygote"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=root,
                env={**os.environ, "PYTHONPATH": path},
            )
        self._ended: dict[int, int] = {}
        self._rest = b""

    def begin(self, plan: Plan) -> int:
        """A new life; its process id."""
        assert self._zygote.stdin
        self._zygote.stdin.write(json.dumps(asdict(plan)).encode() + b"\n")
        self._zygote.stdin.flush()
        while True:
            facts = self._heard()
            if "status" not in facts:
                return int(facts["pid"])
            self._ended[facts["pid"]] = facts["status"]

    def end_of(self, pid: int) -> int:
        """How that life ended: its exit status, or minus the signal that ended it."""
        while pid not in self._ended:
            facts = self._heard()
            self._ended[facts["pid"]] = facts["status"]
        return self._ended.pop(pid)

    def end(self, pid: int) -> None:
        """Kill a life that would go on."""
        if pid not in self._ended:
            os.kill(pid, signal.SIGKILL)
        self.end_of(pid)

    def close(self) -> None:
        for pipe in (self._zygote.stdin, self._zygote.stdout):
            assert pipe
            pipe.close()
        self._zygote.wait(timeout=10.0)

    def _heard(self) -> dict[str, Any]:
        assert self._zygote.stdout
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self._zygote.stdout], [], [], answer_seconds)
            read = os.read(self._zygote.stdout.fileno(), 65536) if ready else b""
            if not read:
                raise AssertionError(f"the lives say nothing any more; their last words:\n{self.last_words()}")
            self._rest += read
        line, _, self._rest = self._rest.partition(b"\n")
        facts: dict[str, Any] = json.loads(line)
        return facts

    def last_words(self, characters_max: int = 4000) -> str:
        return self.log.read_text("utf-8", "replace")[-characters_max:]


@pytest.fixture(scope="session")
def cradle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cradle]:
    made = Cradle(tmp_path_factory.mktemp("lives") / "errors.txt")
    yield made
    made.close()


class Place:
    """Databases and a broker, and the lives on them, one after the other or side by side."""

    def __init__(self, cradle: Cradle, plan: Plan, report: Path) -> None:
        self._cradle, self._plan, self._report = cradle, plan, report
        self.embedded = plan.broker_url.startswith("local")
        self._alive: set[int] = set()
        self._orders: list[str] = []

    def begin(self, *, orders: int = 0, report: bool = False, later: int = 0, **facts: Any) -> int:
        """A life that starts this many new orders beside those before it, and reports if it is to see them through,
        with those that somebody else will start later."""
        for _ in range(orders):
            self._orders.append(str(len(self._orders)))
        starts = list(self._orders) if facts.get("coordinates", True) else []
        told = str(self._report) if report else ""
        plan = replace(self._plan, orders=starts, expected=len(self._orders) + later, report=told, **facts)
        pid = self._cradle.begin(plan)
        self._alive.add(pid)
        return pid

    def dies(self, pid: int) -> None:
        """That life reaches its moment. Fails with its last words when it ends otherwise."""
        status = self._cradle.end_of(pid)
        self._alive.discard(pid)
        assert status == -signal.SIGKILL, f"it ended with {status}, not at its moment\n{self._cradle.last_words()}"

    def sees_through(self, pid: int) -> None:
        """That life brings every order to its end, each with exactly its effects."""
        status = self._cradle.end_of(pid)
        self._alive.discard(pid)
        assert status == 0, f"it ended with {status}\n{self._cradle.last_words()}"
        report = json.loads(self._report.read_text())
        assert (report["dead_letters"], report["dead_loops"]) == (0, [])
        assert Counter(saga["key"] for saga in report["sagas"]) == Counter(self._orders)
        effects: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for saga_id, step, kind in report["effects"]:
            effects[saga_id].append((step, kind))
        assert effects.keys() == {saga["id"] for saga in report["sagas"]}
        for saga in report["sagas"]:
            refused = int(saga["key"]) % 2 == 1
            assert saga["status"] == ("compensated" if refused else "completed")
            steps = [step["name"] for step in order["steps"] if not (refused and step["name"] == "ship")]
            kinds = ["action", "compensation"] if refused else ["action"]
            assert Counter(effects[saga["id"]]) == Counter((step, kind) for step in steps for kind in kinds)

    def close(self) -> None:
        for pid in self._alive:
            self._cradle.end(pid)


@pytest.fixture(params=["embedded", pytest.param("distributed", marks=[pytest.mark.postgres, pytest.mark.rabbitmq])])
def place(request: pytest.FixtureRequest, cradle: Cradle, tmp_path: Path) -> Iterator[Place]:
    services_url = f"sqlite+aiosqlite:///{tmp_path / 'services.db'}"
    if request.param == "embedded":
        plan = Plan(f"sqlite+aiosqlite:///{tmp_path / 'amends.db'}", services_url, "local:")
    else:
        database_url = request.getfixturevalue("fresh_postgres_url")
        plan = Plan(database_url, services_url, request.getfixturevalue("fresh_rabbitmq_url"))
    made = Place(cradle, plan, tmp_path / "report.json")
    yield made
    made.close()
