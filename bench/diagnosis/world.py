"""The world as it runs: a real coordinator over SQLite, real participants of the SDK, a clock that jumps, and a ledger
of what really happened, which nobody but the judge may read."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from amends.errors import Refused
from amends.local import LocalBroker
from amends.message import Answer, Effect, Kind, Reply
from amends.serving import ServingLimits
from bench.diagnosis.fault import Fault
from bench.diagnosis.inbox import MemoryInbox
from bench.diagnosis.loop import LoopClock, began
from bench.diagnosis.network import Line
from bench.diagnosis.service import Visit, WorkerHere
from bench.diagnosis.topology import Definition, Service, Theme, value_of
from bench.diagnosis.wording import Wording
from coordinator.app import App
from coordinator.building import build
from coordinator.config import Settings
from coordinator.engine import Beginning
from coordinator.saga.decision import Decision
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.state import Saga

heartbeat_seconds = 5.0
base_seconds = 0.08  # what a call to a dependency takes, mostly
drain_seconds = 45.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How a world is run."""

    theme: Theme
    seed: int
    wording: Wording
    faults: Sequence[Fault] = ()
    sagas_per_second: float = 0.6
    onset: float = 180.0
    seconds: float = 340.0
    declines: Mapping[str, float] = field(default_factory=dict)  # "service.action" -> rate, instead of the usual one
    noise: float = 0.004  # how often something fails once for no reason
    concurrency: int = 8
    mute: bool = False  # heartbeats are lost, as if the workers were of an older kind
    quick: bool = False  # nothing takes any time: for measuring the coordinator itself
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the coordinator


@dataclass(slots=True)
class Happened:
    """What became of one step of one saga, in the world."""

    ran: int = 0
    applied: bool = False
    undone: bool = False
    answered: set[tuple[str, int]] = field(default_factory=set)  # (kind, attempt) whose reply has got through
    begun: set[tuple[str, int]] = field(default_factory=set)
    doubtful: set[str] = field(default_factory=set)  # kinds of which a reply has got through that proves nothing
    succeeded: bool = False  # the coordinator was told so
    undone_told: bool = False


@dataclass(slots=True)
class Running:
    """One worker while it runs."""

    here: WorkerHere
    line: Line
    task: asyncio.Task[None]
    number: int
    generation: int


class World:
    """One run. `faults` act through the methods that change workers, lines and definitions."""

    def __init__(self, plan: Plan, database: Path) -> None:
        self.plan, self.theme = plan, plan.theme
        self.chance = random.Random(plan.seed)
        self._load = random.Random(plan.seed + 1)
        self._file = database
        self.broker = LocalBroker(queue_messages_max=100_000)
        self.line = Line(self.broker)
        self.workers: dict[str, list[Running]] = {}
        self._inboxes: dict[str, MemoryInbox] = {}
        self.ledger: dict[tuple[str, str], Happened] = defaultdict(Happened)
        self.touched: defaultdict[str, set[str]] = defaultdict(set)  # saga -> what acted on it
        self.sagas: dict[str, Saga] = {}  # as last decided
        self.failed_at: dict[str, float] = {}
        self.inputs: dict[str, Any] = {}
        self.order: dict[str, int] = {}  # of beginning: the same in every run of a plan
        self.documents: dict[str, dict[str, Any]] = {}
        self.tasks: list[asyncio.Task[Any]] = []
        self.app: App
        self.counts: Counter[str] = Counter()

    # --- running ------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> World:
        loop = asyncio.get_running_loop()
        self._inboxes = {service.name: MemoryInbox(lambda: seconds_of(loop)) for service in self.theme.services}
        settings = Settings.model_validate(
            {
                "database_url": f"sqlite:///{self._file}",
                "broker_url": "local:",
                "migrate": False,
                **self.plan.settings,
            }
        )
        self.app = await build(settings, observers=[self._observe], broker=self.line, clock=LoopClock)
        await self.app.start()
        for service in self.theme.services:
            await self.broker.declare(service.name)
            for number in range(3):
                self.start(service, number)
        await asyncio.sleep(1.0)
        for definition in self.theme.definitions:
            await self.register(definition.document())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()
        ended = await asyncio.gather(*self.tasks, return_exceptions=True)
        broken = [error for error in ended if isinstance(error, Exception)]
        self.line.mend()
        for workers in self.workers.values():
            for worker in workers:
                worker.task.cancel()
        await asyncio.gather(
            *(worker.task for workers in self.workers.values() for worker in workers), return_exceptions=True
        )
        await self.app.stop(close_broker=False)
        await self.broker.close()
        if broken:
            raise broken[0]  # a fault that did not take place as it should have

    async def live(self) -> None:
        """Let sagas begin until the time is over, and give those that are under way a while to end."""
        self.tasks += [asyncio.ensure_future(fault.run(self)) for fault in self.plan.faults]
        while asyncio.get_running_loop().time() < self.plan.seconds:
            await asyncio.sleep(self._load.expovariate(self.plan.sagas_per_second))
            await self.begin()
        await asyncio.sleep(drain_seconds)

    async def begin(self, name: str | None = None, given: Mapping[str, Any] | None = None) -> str:
        """Start one saga."""
        definition = self.theme.definition(name) if name else self._load.choice(self.theme.definitions)
        told = {field: value_of(field, self._load) for field in definition.inputs}
        told |= given or {}
        for fault in self.plan.faults:
            told = fault.given(self, definition, told)
        stored = await self.app.definitions.get(definition.name)
        creation = await self.app.engine.start(Beginning(stored, told, caller="bench"))
        self.inputs[creation.saga_id] = told
        self.order[creation.saga_id] = len(self.order)
        for fault in self.plan.faults:
            fault.begun(self, creation.saga_id, definition, told)
        return creation.saga_id

    async def register(self, document: dict[str, Any]) -> None:
        self.documents[document["name"]] = document
        await self.app.definitions.register(document, by="bench")

    @property
    def wording(self) -> Wording:
        return self.plan.wording

    @property
    def seconds(self) -> float:
        return asyncio.get_running_loop().time()

    # --- workers ------------------------------------------------------------------------------------------------------

    def start(self, service: Service, number: int, generation: int = 0, **changed: Any) -> Running:
        """Start a worker of a service, on the host of its number unless another is named."""
        settings = {**service.settings, **changed.pop("settings", {})}
        host = changed.pop("host", self.theme.hosts[number % 3])
        version = changed.pop("version", service.version)
        concurrency = changed.pop("concurrency", self.plan.concurrency)
        here = WorkerHere(
            self,
            service,
            self._inboxes[service.name],
            name=f"{service.name}-{number}-{random.Random(f'{self.plan.seed}{number}{generation}').getrandbits(20):05x}",
            host=host,
            version=version,
            settings=settings,
            concurrency=concurrency,
            **changed,
        )
        line = Line(self.broker, passed=self._passed)
        line.mute_heartbeats = self.plan.mute
        limits = ServingLimits(heartbeat_seconds=heartbeat_seconds, grace_seconds=5.0)
        task = asyncio.ensure_future(here.participant.serve(line, limits=limits))
        running = Running(here, line, task, number, generation)
        self.workers.setdefault(service.name, []).append(running)
        return running

    async def stop(self, running: Running) -> None:
        """Let a worker end as it should: it says goodbye."""
        self.workers[running.here.service.name].remove(running)
        running.here.participant.stop()
        await running.task

    async def restart(self, running: Running, **changed: Any) -> Running:
        """Replace a worker by one that differs in version, settings or host."""
        await self.stop(running)
        kept = {"version": running.here.version, "settings": running.here.settings, "host": running.here.host}
        return self.start(running.here.service, running.number, running.generation + 1, **{**kept, **changed})

    async def kill(self, running: Running, *, noticed_seconds: float) -> None:
        """A worker's process is gone. Its broker notices after a while."""
        self.workers[running.here.service.name].remove(running)
        running.line.cut()
        running.task.cancel()
        await asyncio.gather(running.task, return_exceptions=True)
        await asyncio.sleep(noticed_seconds)
        await running.line.release()

    def of(self, service: str) -> list[Running]:
        return list(self.workers[service])

    # --- what happens to work (Happening) -----------------------------------------------------------------------------

    def before(self, visit: Visit) -> BaseException | None:
        happened = self.ledger[visit.command.saga_id, visit.command.step]
        happened.ran += 1
        happened.begun.add((visit.command.kind.value, visit.command.attempt))
        for fault in self.plan.faults:
            error = fault.before(self, visit)
            if error is not None:
                self.touched[visit.command.saga_id].add(fault.name)
                return error
        place = f"{visit.worker.service.name}.{visit.action}"
        rate = self.plan.declines.get(place, visit.work_plan.declines)
        which = self.order.get(visit.command.saga_id, -1)
        draw = random.Random(f"{self.plan.seed}/{which}/{visit.command.step}").random()
        if visit.command.kind is Kind.ACTION and draw < rate:
            self.touched[visit.command.saga_id].add(f"decline:{place}")
            return Refused(visit.work_plan.reason or "declined", error_type="Declined", code="declined")
        if self.chance.random() < self.plan.noise:
            self.touched[visit.command.saga_id].add("noise")
            return self.plan.wording.reset(visit.work_plan.dependency or f"{visit.worker.service.name}-db")
        return None

    def pause_seconds(self, visit: Visit) -> float:
        return sum((fault.pause_seconds(self, visit) for fault in self.plan.faults), 0.0)

    def own_seconds(self, visit: Visit) -> float:
        return 0.0 if self.plan.quick else visit.work_plan.seconds

    def call(self, visit: Visit, dependency: str) -> tuple[float, bool, BaseException | None]:
        seconds = 0.0 if self.plan.quick else base_seconds * self.chance.lognormvariate(0, 0.5)
        happens, error = True, None
        for fault in self.plan.faults:
            said = fault.call(self, visit, dependency, seconds)
            if said is not None:
                seconds, happens, error = said
                if error is not None:
                    self.touched[visit.command.saga_id].add(fault.name)
        limit = float(visit.worker.settings.get("client_timeout_seconds", "4"))
        if seconds > limit:
            happens = self.chance.random() < 0.5  # it may still be done over there, after nobody waits
            if error is None:
                for fault in self.plan.faults:
                    if fault.slows:
                        self.touched[visit.command.saga_id].add(fault.name)
            return limit, happens, self.plan.wording.late(dependency, limit)
        return seconds, happens, error

    def after(self, visit: Visit) -> BaseException | None:
        for fault in self.plan.faults:
            error = fault.after(self, visit)
            if error is not None:
                self.touched[visit.command.saga_id].add(fault.name)
                return error
        return None

    def result(self, visit: Visit, given: dict[str, Any]) -> Any:
        for fault in self.plan.faults:
            changed = fault.result(self, visit, given)
            if changed is not given:
                self.touched[visit.command.saga_id].add(fault.name)
                given = changed
        return given

    def gives(self, definition: str, step: str) -> tuple[str, ...]:
        return self.theme.definition(definition).step(step).gives

    def takes(self, definition: str, step: str) -> tuple[str, ...]:
        return tuple(self.theme.definition(definition).step(step).takes)

    def occurred(self, visit: Visit) -> None:
        happened = self.ledger[visit.command.saga_id, visit.command.step]
        if visit.command.kind is Kind.ACTION:
            happened.applied, happened.undone = True, False
        else:
            happened.undone = True

    # --- what is seen -------------------------------------------------------------------------------------------------

    def _passed(self, replies: Sequence[Reply]) -> None:
        for reply in replies:
            if reply.inquire or reply.answer is Answer.IN_PROGRESS:
                continue
            happened = self.ledger[reply.saga_id, reply.step]
            happened.answered.add((reply.kind.value, reply.attempt))
            if reply.answer is Answer.FAILED and reply.effect is Effect.UNKNOWN:
                happened.doubtful.add(reply.kind.value)
            if reply.answer is Answer.SUCCEEDED:
                if reply.kind is Kind.ACTION:
                    happened.succeeded = True
                else:
                    happened.undone_told = True

    def _observe(self, definition: SagaDefinition, before: Saga, decision: Decision) -> None:
        saga = decision.saga
        self.sagas[saga.id] = saga
        if saga.status not in ("running", "completed") and saga.id not in self.failed_at:
            self.failed_at[saga.id] = self.seconds

    def definition_of(self, saga_id: str) -> Definition:
        return self.theme.definition(self.sagas[saga_id].definition)

    def changed(self, definition: str, step: str, **keys: Any) -> dict[str, Any]:
        """The document of a definition with some keys of one step changed."""
        document = self.documents[definition]
        steps = [{**one, **keys} if one["name"] == step else one for one in document["steps"]]
        return {**document, "steps": steps}

    def swapped(self, service: str, **changed: Any) -> Service:
        return replace(self.theme.service(service), **changed)


def seconds_of(loop: asyncio.AbstractEventLoop) -> float:
    """The same time as the coordinator's clock says, in Unix seconds."""

    return began.timestamp() + loop.time()
