"""What goes wrong, and nothing else: each kind of fault changes the world and knows which work it has touched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from amends.message import Kind
from bench.diagnosis.fault import Fault, Stage
from bench.diagnosis.service import Visit
from bench.diagnosis.topology import Definition
from bench.diagnosis.wording import Wording

falling_apart_seconds = 30.0
touching_seconds = 1.0  # a delay that is shorter than this fails nobody by itself

Saying = Callable[[Wording, Visit], BaseException]


@dataclass(frozen=True, slots=True)
class Where:
    """Which work is meant. What is None matters not."""

    service: str | None = None
    actions: Collection[str] | None = None
    kind: Kind | None = None
    definition: str | None = None
    dependency: str | None = None
    host: str | None = None
    version: str | None = None
    numbers: Collection[int] | None = None  # of workers
    setting: tuple[str, str] | None = None

    def covers(self, visit: Visit) -> bool:
        here = visit.worker
        return (
            self.service in (None, here.service.name)
            and (self.actions is None or visit.action in self.actions)
            and self.kind in (None, visit.command.kind)
            and self.definition in (None, visit.command.saga)
            and self.host in (None, here.host)
            and self.version in (None, here.version)
            and (self.numbers is None or int(here.name.rsplit("-", 2)[1]) in self.numbers)
            and (self.setting is None or here.settings.get(self.setting[0]) == self.setting[1])
        )


class Trouble(Fault):
    """Work fails at some place, with some error, as often as `share` says."""

    def __init__(
        self,
        name: str,
        where: Where,
        saying: Saying,
        *,
        start: float,
        end: float = 1e9,
        share: float = 1.0,
        point: str = "call",
        seconds: float | None = None,  # how long it takes to fail; None: as long as it would have taken
        happens: float = 0.0,  # how often the effect takes place all the same
    ) -> None:
        super().__init__(name, start=start, end=end)
        self.where, self.saying, self.share, self.point = where, saying, share, point
        self.seconds, self.happens = seconds, happens

    def hits(self, stage: Stage, visit: Visit) -> bool:
        hit = self.active(stage) and self.where.covers(visit) and stage.chance.random() < self.share
        if hit and self.where.numbers is not None:
            self.blamed.add(("worker", f"{visit.worker.service.name}/{visit.worker.name}"))
        return hit

    def before(self, stage: Stage, visit: Visit) -> BaseException | None:
        if self.point == "before" and self.hits(stage, visit):
            return self.saying(stage.wording, visit)
        return None

    def pause_seconds(self, stage: Stage, visit: Visit) -> float:
        if self.point in ("before", "after") and self.seconds and self.active(stage) and self.where.covers(visit):
            return self.seconds
        return 0.0

    def call(
        self, stage: Stage, visit: Visit, dependency: str, seconds: float
    ) -> tuple[float, bool, BaseException | None] | None:
        if self.point != "call" or self.where.dependency not in (None, dependency) or not self.hits(stage, visit):
            return None
        happens = stage.chance.random() < self.happens
        return (self.seconds if self.seconds is not None else seconds, happens, self.saying(stage.wording, visit))

    def after(self, stage: Stage, visit: Visit) -> BaseException | None:
        if self.point == "after" and self.hits(stage, visit):
            return self.saying(stage.wording, visit)
        return None


class Slow(Fault):
    """Calls to a dependency, or work itself, take longer."""

    slows = True

    def __init__(
        self, name: str, where: Where, *, start: float, end: float = 1e9, seconds: float, share: float = 1.0
    ) -> None:
        super().__init__(name, start=start, end=end)
        self.where, self.seconds, self.share = where, seconds, share

    def call(
        self, stage: Stage, visit: Visit, dependency: str, seconds: float
    ) -> tuple[float, bool, BaseException | None] | None:
        if self.where.dependency != dependency or not self.active(stage) or not self.where.covers(visit):
            return None
        if stage.chance.random() >= self.share:
            return None
        delay = self.seconds * stage.chance.lognormvariate(0, 0.25)
        if delay > touching_seconds:
            stage.touched[visit.command.saga_id].add(self.name)
        return (seconds + delay, True, None)

    def pause_seconds(self, stage: Stage, visit: Visit) -> float:
        if self.where.dependency or not self.active(stage) or not self.where.covers(visit):
            return 0.0
        if stage.chance.random() >= self.share:
            return 0.0
        stage.touched[visit.command.saga_id].add(self.name)
        return self.seconds * stage.chance.lognormvariate(0, 0.25)


class Limited(Trouble):
    """A dependency takes so many calls in ten seconds, and refuses the others."""

    def __init__(self, *arguments: Any, allowed: int, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.allowed = allowed
        self._window, self._count = -1, 0

    def hits(self, stage: Stage, visit: Visit) -> bool:
        if not self.active(stage) or not self.where.covers(visit):
            return False
        window = int(stage.seconds // 10)
        if window != self._window:
            self._window, self._count = window, 0
        self._count += 1
        return self._count > self.allowed


class Replace(Fault):
    """Workers are replaced one after the other by ones of another version, with other settings, elsewhere."""

    def __init__(
        self, name: str, service: str, numbers: Collection[int], *, start: float, apart: float = 3.0, **changed: Any
    ) -> None:
        super().__init__(name, start=start)
        self.service, self.numbers, self.apart, self.changed = service, numbers, apart, changed

    async def run(self, stage: Stage) -> None:
        await self.begins()
        for running in [one for one in stage.of(self.service) if one.number in self.numbers]:
            await stage.restart(running, **self.changed)
            await asyncio.sleep(self.apart)


class Scale(Fault):
    """A service runs with fewer workers, each of which does less at a time."""

    def __init__(self, name: str, service: str, *, keep: int, concurrency: int, start: float) -> None:
        super().__init__(name, start=start)
        self.service, self.keep, self.concurrency = service, keep, concurrency

    async def run(self, stage: Stage) -> None:
        await self.begins()
        for running in stage.of(self.service):
            if running.number >= self.keep:
                await stage.stop(running)
            else:
                await stage.restart(running, concurrency=self.concurrency)


class Redefine(Fault):
    """A new version of a definition is registered."""

    def __init__(self, name: str, definition: str, step: str, *, start: float, **keys: Any) -> None:
        super().__init__(name, start=start)
        self.definition, self.step, self.keys = definition, step, keys

    async def run(self, stage: Stage) -> None:
        await self.begins()
        await stage.register(stage.changed(self.definition, self.step, **self.keys))

    def begun(self, stage: Stage, saga_id: str, definition: Definition, told: dict[str, Any]) -> None:
        if self.active(stage) and definition.name == self.definition:
            stage.touched[saga_id].add(self.name)


class Poison(Fault):
    """A saga is given something that breaks whoever touches it."""

    def __init__(
        self, name: str, definition: str, fields: Mapping[str, Any], *, start: float, every_seconds: float = 1e9
    ) -> None:
        super().__init__(name, start=start)
        self.definition, self.fields, self.every_seconds = definition, dict(fields), every_seconds

    async def run(self, stage: Stage) -> None:
        await self.begins()
        while True:
            saga_id = await stage.begin(self.definition, self.fields)
            self.blamed.add(("saga", saga_id))
            stage.touched[saga_id].add(self.name)
            await asyncio.sleep(self.every_seconds)


class BadOutput(Fault):
    """A step succeeds and answers something that those after it can't use."""

    def __init__(
        self,
        name: str,
        where: Where,
        change: Callable[[dict[str, Any]], Any],
        *,
        start: float,
        end: float = 1e9,
        share: float = 1.0,
    ) -> None:
        super().__init__(name, start=start, end=end)
        self.where, self.change, self.share = where, change, share

    def result(self, stage: Stage, visit: Visit, given: dict[str, Any]) -> Any:
        if self.active(stage) and self.where.covers(visit) and stage.chance.random() < self.share:
            return self.change(dict(given))
        return given


class Lose(Fault):
    """Workers die with work in their hands, or hang: nothing is heard of them any more."""

    def __init__(
        self,
        name: str,
        service: str | None,
        *,
        start: float,
        numbers: Collection[int] = (0,),
        host: str | None = None,
        noticed_seconds: float = 25.0,
        times: int = 1,
        apart: float = 40.0,
        hangs: bool = False,
    ) -> None:
        super().__init__(name, start=start)
        self.service, self.numbers, self.host = service, numbers, host
        self.noticed_seconds, self.times, self.apart, self.hangs = noticed_seconds, times, apart, hangs

    async def run(self, stage: Stage) -> None:
        await self.begins()
        for turn in range(self.times):
            await asyncio.gather(*(self._lose(stage, running, turn) for running in self._chosen(stage)))
            await asyncio.sleep(self.apart)

    def _chosen(self, stage: Stage) -> list[Any]:
        services = [self.service] if self.service else [service.name for service in stage.theme.services]
        return [
            running
            for service in services
            for running in stage.of(service)
            if (running.here.host == self.host if self.host else running.number in self.numbers)
        ]

    async def _lose(self, stage: Stage, running: Any, turn: int) -> None:
        self.blamed.add(("worker", f"{running.here.service.name}/{running.here.name}"))
        if self.hangs:
            running.line.hang()
            await asyncio.sleep(self.noticed_seconds)
        noticed = 0.0 if self.hangs else self.noticed_seconds
        await stage.kill(running, noticed_seconds=noticed)
        if turn + 1 < self.times:
            stage.start(
                running.here.service, running.number, running.generation + 1 + turn, version=running.here.version
            )


class Outage(Fault):
    """No message travels. The broker falls apart: first those parts of it are gone to which the workers are connected,
    and what the coordinator still publishes is kept by one that nobody reads from; then that one closes, too. Were it
    gone at once nobody would fail: a coordinator without a broker waits."""

    def __init__(
        self, name: str, *, start: float, seconds: float, polite: bool, times: int = 1, apart: float = 30.0
    ) -> None:
        super().__init__(name, start=start)
        self.seconds, self.polite, self.times, self.apart = seconds, polite, times, apart

    async def run(self, stage: Stage) -> None:
        await self.begins()
        for _ in range(self.times):
            lines = [running.line for service in stage.theme.services for running in stage.of(service.name)]
            for line in lines:
                line.cut(polite=self.polite)
            apart = min(falling_apart_seconds, 0.6 * self.seconds)
            await asyncio.sleep(apart)
            stage.line.cut(polite=self.polite)
            lines.append(stage.line)
            await asyncio.sleep(self.seconds - apart)
            for line in lines:
                line.mend()
            await asyncio.sleep(self.apart)
