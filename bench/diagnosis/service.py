"""A worker of a service: the SDK's participant with business code of its own.

The business code is written out as source and compiled under names of its own, so that an error's frames are those of
the service and never those of the bench.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from amends.calls import calling
from amends.errors import Refused
from amends.handler import Effects
from amends.message import Command
from amends.participant import Participant
from amends.worker import Worker
from bench.diagnosis.inbox import MemoryInbox, Staged
from bench.diagnosis.topology import Service, Work, numbers

calls_source = """
async def {function}(call):
    with calling(call.dependency):
        await call.wait()
        if call.error is not None:
            raise call.error
"""

action_source = """
async def {function}(data, command{tx}):
    told = {{**(data or {{}})}}
    check_{function}(told, here.takes(command))
    visit = here.visit("{action}", command, {staged})
    refusal = await visit.begin()
    if refusal is not None:
        raise refusal
    for call in visit.calls():
        await clients[call.dependency](call)
    return await finish_{function}(visit)

def check_{function}(told, needed):
    total = 0
    for name in needed:
        value = told[name]
        if name in numbers:
            total = total + value
        elif name == "items":
            total = total + sum(item["count"] for item in value)
        else:
            value.strip()
    return total

async def finish_{function}(visit):
    await visit.work()
    if visit.error is not None:
        raise visit.error
    return visit.result()
"""

undo_source = """
async def {function}(data, result, command{tx}):
    visit = here.visit("{action}", command, {staged})
    refusal = await visit.begin()
    if refusal is not None:
        raise refusal
    for call in visit.calls():
        await clients[call.dependency](call)
    return await finish_{function}(visit)

async def finish_{function}(visit):
    await visit.work()
    if visit.error is not None:
        raise visit.error
    return None
"""


class Happening(Protocol):
    """What the world does to work that is being done. The injector's only way in."""

    def before(self, visit: Visit) -> BaseException | None: ...
    def pause_seconds(self, visit: Visit) -> float: ...
    def own_seconds(self, visit: Visit) -> float: ...
    def call(self, visit: Visit, dependency: str) -> tuple[float, bool, BaseException | None]: ...
    def after(self, visit: Visit) -> BaseException | None: ...
    def result(self, visit: Visit, given: dict[str, Any]) -> Any: ...
    def occurred(self, visit: Visit) -> None: ...
    def gives(self, definition: str, step: str) -> tuple[str, ...]: ...
    def takes(self, definition: str, step: str) -> tuple[str, ...]: ...


class Visit:
    """One run of a handler, as its worker sees it."""

    def __init__(self, host: WorkerHere, action: str, work: Work, command: Command, staged: Staged | None) -> None:
        self.worker, self.action, self.work_plan, self.command = host, action, work, command
        self.error: BaseException | None = None
        self._staged = staged
        self._world = host.world

    async def begin(self) -> BaseException | None:
        """Whatever keeps the work from beginning."""
        await asyncio.sleep(self._world.pause_seconds(self))
        return self._world.before(self)

    def calls(self) -> list[DependencyCall]:
        return [DependencyCall(self, self.work_plan.dependency)] if self.work_plan.dependency else []

    async def work(self) -> None:
        """The service's own part, and its effect."""
        await asyncio.sleep(self._world.own_seconds(self))
        if not self.work_plan.external:
            if self._staged is None:
                raise AssertionError("work without effects elsewhere runs in a transaction")
            self._staged.append(lambda: self._world.occurred(self))
        elif not self.work_plan.dependency:
            self._world.occurred(self)
        self.error = self._world.after(self)

    def result(self) -> Any:
        given = {name: self.worker.value_of(name, self.command) for name in self._gives()}
        return self._world.result(self, given)

    def _gives(self) -> tuple[str, ...]:
        return self._world.gives(self.command.saga, self.command.step)


class DependencyCall:
    """One call to something the service depends on."""

    def __init__(self, visit: Visit, dependency: str) -> None:
        self.dependency = dependency
        self.error: BaseException | None = None
        self._visit = visit

    async def wait(self) -> None:
        """Until it answers, or the client gives up. The effect takes place over there in the middle of it."""
        visit = self._visit
        seconds, happens, self.error = visit.worker.world.call(visit, self.dependency)
        await asyncio.sleep(seconds * 0.6)
        if happens and visit.work_plan.external:
            visit.worker.world.occurred(visit)
        await asyncio.sleep(seconds * 0.4)


class WorkerHere:
    """One worker: on which host, of which version, with which settings."""

    def __init__(
        self,
        world: Happening,
        service: Service,
        inbox: MemoryInbox,
        *,
        name: str,
        host: str,
        version: str,
        settings: Mapping[str, str],
        concurrency: int,
        leave_out: frozenset[str] = frozenset(),
    ) -> None:
        self.world, self.service, self.name, self.host, self.version = world, service, name, host, version
        self.settings = dict(settings)
        self.participant = Participant(
            service.name, inbox=inbox, version=version, concurrency=concurrency, host=host, settings=settings
        )
        self.participant.worker = Worker(service.name, name, version, host)
        plans = [("action", service.actions), ("compensation", service.compensations)]
        for kind, works in plans:
            for action, work in works.items():
                if action in leave_out:
                    continue
                function = self._compiled(kind, action, work)
                effects: Effects = "external" if work.external else "transactional"
                register = self.participant.action if kind == "action" else self.participant.compensation
                register(action, effects=effects)(function)

    def visit(self, action: str, command: Command, staged: Staged | None) -> Visit:
        work = self.service.actions.get(action) or self.service.compensations[action]
        return Visit(self, action, work, command, staged)

    def takes(self, command: Command) -> tuple[str, ...]:
        """The fields that a step's input has."""
        return self.world.takes(command.saga, command.step)

    def value_of(self, name: str, command: Command) -> Any:
        """A field of a result: the same for every attempt of a command."""
        chance = random.Random(f"{command.id}/{name}")
        if name in numbers:
            return round(chance.uniform(5, 400), 2)
        return f"{name[:3]}_{chance.getrandbits(40):010x}"

    def _compiled(self, kind: str, action: str, work: Work) -> Callable[..., Any]:
        module = self.service.name.replace("-", "_")
        function = action.replace("-", "_")
        names: dict[str, Any] = {
            "__name__": f"{module}.handlers",
            "here": self,
            "numbers": numbers,
            "clients": self._clients(module, work),
            "Refused": Refused,
        }
        source = action_source if kind == "action" else undo_source
        text = source.format(
            function=function,
            action=action,
            tx="" if work.external else ", tx",
            staged="None" if work.external else "tx",
        )
        exec(compile(text, f"/srv/{module}/handlers.py", "exec"), names)
        return names[function]  # type: ignore[no-any-return]

    def _clients(self, module: str, work: Work) -> dict[str, Callable[..., Any]]:
        if not work.dependency:
            return {}
        function = f"ask_{work.dependency.replace('-', '_')}"
        names: dict[str, Any] = {"__name__": f"{module}.clients", "calling": calling}
        exec(compile(calls_source.format(function=function), f"/srv/{module}/clients.py", "exec"), names)
        return {work.dependency: names[function]}
