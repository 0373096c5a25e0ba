"""A coordinator that really runs, with a healer that is attended to by hand and a clock that can be put forward."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from amends.local import LocalBroker
from amends.message import Answer, Command, Effect, Reply
from coordinator.app import App
from coordinator.building import build
from coordinator.config import Settings
from coordinator.diagnosis.cause import Entity, EntityKind, FaultClass, Phase
from coordinator.diagnosis.evidence import Evidence, EvidenceKind, Trust
from coordinator.diagnosis.healing.composing import healer_of
from coordinator.diagnosis.healing.healer import Healer
from coordinator.diagnosis.healing.policy import Mode
from coordinator.diagnosis.remedy import PlannedRemedy, RemedyKind, Target, Tier
from coordinator.diagnosis.report import Hypothesis, Report
from coordinator.diagnosis.watch import Watch
from coordinator.engine import Beginning
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.state import Saga
from coordinator.store.database import DatabaseClock
from coordinator.store.explained import RemedyRow
from coordinator.store.observed import IncidentRow, IncidentStatus
from coordinator.store.values import FleetHold
from tests.engine.puppet import Puppet, answer
from tests.waiting import eventually

once = {"max_attempts": 1}
order: dict[str, Any] = {
    "name": "order",
    "steps": [
        {"name": "charge", "participant": "payment", "action": "charge", "compensation": "refund", "timeout": 100,
         "retry": once, "compensation_retry": once},
        {"name": "ship", "participant": "delivery", "action": "ship", "compensation": "recall", "retry": once},
    ],
}  # fmt: skip


class PutForward(DatabaseClock):
    """The database's clock, ahead by as much as a test says."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


class Ward:
    """What fails is said by `failing`: names of actions and compensations."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.failing: set[str] = set()
        self.silent: set[str] = set()
        self.connected = True
        self.puppets: dict[str, Puppet] = {}
        self.definition: SagaDefinition
        self.watch = Watch(
            *(app.stores.outcomes, app.stores.incidents),
            now=app.clock.now,
            source="here",
            redact=str,
            silence=lambda participant, command, sent_at: None,
        )
        app.engine.observe(self.watch.observe)
        self.healer = self.another_healer()

    def another_healer(self, mode: Mode = Mode.AUTO) -> Healer:
        """One that knows nothing but what is in the database."""
        app, stores = self.app, self.app.stores
        return healer_of(
            *(stores.remedies, stores.incident_reader, stores.outcomes, stores.sagas, stores.reader),
            *(stores.fleet, stores.dead_letters),
            fleet=app.fleet,
            engine=app.engine,
            dead_letters=app.dead_letters,
            mode=mode,
            now=app.clock.now,
            connected=lambda: self.connected,
        )

    def script(self, command: Command) -> Reply | None:
        if command.handler in self.silent:
            return None
        if command.handler in self.failing:
            failure = {"type": "GatewayTimeout", "message": "no answer from the bank", "code": "http 504"}
            said = Answer.REFUSED if command.handler == "ship" else Answer.FAILED
            effect = None if said is Answer.REFUSED else Effect.NONE
            return answer(command, said, effect=effect, error=failure)
        return answer(command)

    def pass_time(self, seconds: float) -> None:
        assert isinstance(self.app.clock, PutForward)
        self.app.clock.ahead += timedelta(seconds=seconds)

    async def alive(self) -> None:
        """Let the participants give a sign of life, and wait until it is heard."""
        for puppet in self.puppets.values():
            await puppet.beat()

        async def attended() -> bool:
            await self.app.fleet.refresh()
            return self.app.fleet.attended(self.app.clock.now()) >= self.puppets.keys()

        await eventually(attended, "the participants to be heard of")

    async def orders(self, count: int) -> list[str]:
        """Let as many sagas run until they rest, and count how their attempts ended."""
        starts = (self.app.engine.start(Beginning(self.definition, n)) for n in range(count))
        ids = [created.saga_id for created in await asyncio.gather(*starts)]
        for saga_id in ids:
            await self.rested(saga_id)
        await self.watch.flush()
        return ids

    async def saga(self, saga_id: str) -> Saga:
        found = (await self.app.stores.sagas.load([saga_id]))[saga_id]
        assert isinstance(found, Saga)
        return found

    async def rested(self, saga_id: str) -> Saga:
        async def at_rest() -> Saga | None:
            found = await self.saga(saga_id)
            return found if found.final or found.status == "blocked" else None

        return await eventually(at_rest, f"saga {saga_id} to rest")

    async def holds(self) -> list[FleetHold]:
        """Those that last, the pauses before the throttles."""
        lasting = await self.app.stores.fleet.holds(self.app.clock.now())
        return sorted(lasting, key=lambda hold: hold.rate_per_second or 0.0)

    async def rows(self, incident_id: str = "i") -> list[RemedyRow]:
        return await self.app.stores.remedies.of_incident(incident_id)

    async def consider(self, *remedies: PlannedRemedy, incident_id: str = "i", **facts: Any) -> RemedyRow:
        """Show the healer a report that asks for these; the newest row that came of it."""
        told = self.report(*remedies, **facts)
        await self.healer.consider(self.incident(incident_id), told)
        return (await self.rows(incident_id))[0]

    def incident(self, incident_id: str = "i") -> IncidentRow:
        at = self.app.clock.now()
        return IncidentRow(incident_id, "payment:timeout", IncidentStatus.OPEN, at, at, at, 40)

    def report(self, *remedies: PlannedRemedy, **facts: Any) -> Report:
        seen = Evidence(id="E01-abc", kind=EvidenceKind.STEP_CONTRAST, trust=Trust.COORDINATOR, text="40 of 41 failed")
        verdict = Hypothesis(
            rank=1,
            cls=facts.pop("cls", FaultClass.DOWNSTREAM_TIMEOUT),
            culprit=Entity(kind=EntityKind.DEPENDENCY, name="bank"),
            confidence=facts.pop("confidence", 0.95),
            supports=("E01-abc",),
        )
        return Report(
            **{
                "incident_id": "i",
                "created_at": self.app.clock.now(),
                "analyser_version": "1",
                "headline": "the bank does not answer",
                "phase": Phase.FORWARD,
                "symptom_step": "order.charge",
                "symptom": "no answer",
                "hypotheses": (verdict,),
                "evidence": (seen,),
                "remedies": remedies,
                **facts,
            }
        )


def planned(kind: RemedyKind, tier: Tier = Tier.A, **target: Any) -> PlannedRemedy:
    return PlannedRemedy(kind=kind, target=Target(**target), tier=tier, text="do it")


@asynccontextmanager
async def opened(database_url: str) -> AsyncIterator[Ward]:
    """A ward with its participants at work. Its diagnosis has no loops: a test says when it does what."""
    settings = Settings(database_url=database_url, diagnosis=False)
    async with AsyncExitStack() as stack:
        broker = LocalBroker()
        app = await build(settings, broker=broker, clock=PutForward)
        ward = Ward(app)
        await app.start()
        stack.push_async_callback(app.stop)
        for name in ("payment", "delivery"):
            ward.puppets[name] = await stack.enter_async_context(Puppet(broker, name, ward.script))
            await ward.puppets[name].beat()
        ward.definition = await app.definitions.register(order, "test")
        yield ward
