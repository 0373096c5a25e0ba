"""What a fault can do to the world, and what it can see of it."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Protocol

from bench.diagnosis.network import Line
from bench.diagnosis.service import Visit, WorkerHere
from bench.diagnosis.topology import Definition, Service, Theme
from bench.diagnosis.wording import Wording


class Worker(Protocol):
    """One running worker."""

    @property
    def here(self) -> WorkerHere: ...
    @property
    def line(self) -> Line: ...
    @property
    def number(self) -> int: ...


class Stage(Protocol):
    """The world, as its faults know it."""

    chance: random.Random
    theme: Theme
    line: Line
    touched: defaultdict[str, set[str]]
    documents: dict[str, dict[str, Any]]

    @property
    def seconds(self) -> float: ...
    @property
    def wording(self) -> Wording: ...
    def of(self, service: str) -> Sequence[Worker]: ...
    def start(self, service: Service, number: int, generation: int = 0, **changed: Any) -> Worker: ...
    async def stop(self, running: Any) -> None: ...
    async def restart(self, running: Any, **changed: Any) -> Worker: ...
    async def kill(self, running: Any, *, noticed_seconds: float) -> None: ...
    async def begin(self, name: str | None = None, given: Any = None) -> str: ...
    async def register(self, document: dict[str, Any]) -> None: ...
    def changed(self, definition: str, step: str, **keys: Any) -> dict[str, Any]: ...


class Fault:
    """Nothing goes wrong, from `start` to `end`. The kinds of faults say otherwise in one place each."""

    slows = False  # its delays may run into a client's timeout

    def __init__(self, name: str, *, start: float, end: float = 1e9) -> None:
        self.name, self.at, self.until = name, start, end
        self.blamed: set[tuple[str, str]] = set()  # kinds and names of whom only the run itself can name

    def active(self, stage: Stage) -> bool:
        return self.at <= stage.seconds < self.until

    async def begins(self) -> None:
        """Wait for its time."""
        await asyncio.sleep(max(0.0, self.at - asyncio.get_running_loop().time()))

    async def run(self, stage: Stage) -> None:
        """What it does by itself."""

    def given(self, stage: Stage, definition: Definition, told: dict[str, Any]) -> dict[str, Any]:
        """What a saga is started with."""
        return told

    def begun(self, stage: Stage, saga_id: str, definition: Definition, told: dict[str, Any]) -> None:
        """A saga has begun."""

    def before(self, stage: Stage, visit: Visit) -> BaseException | None:
        """What stops a handler before it does anything."""
        return None

    def pause_seconds(self, stage: Stage, visit: Visit) -> float:
        """How long a handler is kept from beginning."""
        return 0.0

    def call(
        self, stage: Stage, visit: Visit, dependency: str, seconds: float
    ) -> tuple[float, bool, BaseException | None] | None:
        """How long a call takes, whether it has an effect, what it ends in. None: as it would have."""
        return None

    def after(self, stage: Stage, visit: Visit) -> BaseException | None:
        """What a handler ends in though its calls went well."""
        return None

    def result(self, stage: Stage, visit: Visit, given: dict[str, Any]) -> Any:
        """What a handler answers."""
        return given
