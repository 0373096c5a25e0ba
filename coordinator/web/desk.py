"""What every controller needs: the coordinator's parts, who waits for an end, and whether the process is stopping."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from amends.broker import Broker
from coordinator.access.access import Access
from coordinator.bulk import Bulks
from coordinator.dead_letters import DeadLetters
from coordinator.definitions import Definitions
from coordinator.diagnosis.diagnosis import Diagnosis
from coordinator.engine import Engine
from coordinator.errors import InvalidDefinition, UnknownSaga
from coordinator.fleet import Fleet
from coordinator.listing import Listing
from coordinator.move import Handled
from coordinator.notifications.courier import Courier
from coordinator.notifications.subscriptions import Subscriptions
from coordinator.pressure import Pressure
from coordinator.relay import Relay
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.event import Event
from coordinator.store.bulks import BulkStore
from coordinator.store.database import Database, DatabaseClock
from coordinator.store.dead_letters import DeadLetterStore
from coordinator.store.definitions import DefinitionStore
from coordinator.store.explained import RemedyState
from coordinator.store.figures import FigureReader
from coordinator.store.fleet import FleetStore
from coordinator.store.notifications import NotificationStore
from coordinator.store.outbox import OutboxStore
from coordinator.store.overview import OverviewReader
from coordinator.store.reader import SagaReader
from coordinator.store.sagas import SagaStore
from coordinator.store.values import SagaDetail, Unreadable
from coordinator.supervisor import Supervisor
from coordinator.web.feed import Feed
from coordinator.web.finishes import Finishes
from coordinator.web.incidents import news
from coordinator.web.metrics import Metrics
from coordinator.web.moving import Moving
from coordinator.web.pace import Pace
from coordinator.web.problems import Refusal
from coordinator.web.scraping import Scraping

handle_seconds_max = 10.0  # how long a request waits for the engine; while the database is away the engine waits for it
sagas_kept = 4_000  # events of sagas
told_max = 200  # incidents whose changes are told of as events

_id = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Stores(Protocol):
    """The stores of a coordinator."""

    @property
    def sagas(self) -> SagaStore: ...
    @property
    def reader(self) -> SagaReader: ...
    @property
    def overview(self) -> OverviewReader: ...
    @property
    def outbox(self) -> OutboxStore: ...
    @property
    def bulks(self) -> BulkStore: ...
    @property
    def definitions(self) -> DefinitionStore: ...
    @property
    def dead_letters(self) -> DeadLetterStore: ...
    @property
    def fleet(self) -> FleetStore: ...
    @property
    def figures(self) -> FigureReader: ...
    @property
    def notifications(self) -> NotificationStore: ...


class Coordinator(Protocol):
    """A composed coordinator, as the web face sees it."""

    @property
    def database(self) -> Database: ...
    @property
    def clock(self) -> DatabaseClock: ...
    @property
    def broker(self) -> Broker: ...
    @property
    def stores(self) -> Stores: ...
    @property
    def definitions(self) -> Definitions: ...
    @property
    def fleet(self) -> Fleet: ...
    @property
    def engine(self) -> Engine: ...
    @property
    def relay(self) -> Relay: ...
    @property
    def dead_letters(self) -> DeadLetters: ...
    @property
    def listing(self) -> Listing: ...
    @property
    def bulks(self) -> Bulks: ...
    @property
    def supervisor(self) -> Supervisor: ...
    @property
    def diagnosis(self) -> Diagnosis | None: ...
    @property
    def subscriptions(self) -> Subscriptions: ...
    @property
    def courier(self) -> Courier: ...
    @property
    def access(self) -> Access: ...
    @property
    def pressure(self) -> Pressure: ...

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


@dataclass(slots=True)
class Desk:
    """One per application, handed to every controller."""

    coordinator: Coordinator
    metrics: Metrics
    finishes: Finishes = field(init=False)
    feed: Feed = field(init=False)  # of incidents
    sagas_feed: Feed = field(init=False)
    pace: Pace = field(init=False)
    scraping: Scraping = field(init=False)
    stopping: bool = False

    def __post_init__(self) -> None:
        coordinator = self.coordinator
        overview, now = coordinator.stores.overview, coordinator.clock.now
        self.finishes = Finishes(coordinator.stores.reader.ended)
        self.feed = Feed(self._newest)
        self.sagas_feed = Feed(Moving(overview, now).look, kept=sagas_kept)
        self.pace = Pace(overview)
        self.scraping = Scraping(coordinator.stores.figures, coordinator.diagnosis, coordinator.clock)

    def stop(self) -> None:
        """The process is about to end: nobody waits any longer, nothing new is begun."""
        self.stopping = True
        self.finishes.stop()
        self.feed.stop()
        self.sagas_feed.stop()

    @property
    def diagnosis(self) -> Diagnosis:
        """What explains failures. Answers 404 where that is switched off."""
        if self.coordinator.diagnosis is None:
            raise Refusal("diagnosis-off", "AMENDS_DIAGNOSIS is false here")
        return self.coordinator.diagnosis

    async def detail(self, saga_id: str) -> SagaDetail:
        """A saga. Raises UnknownSaga; answers 500 for one whose record can't be read."""
        if not _id.fullmatch(saga_id):
            raise UnknownSaga(saga_id[:100])
        detail = await self.coordinator.stores.reader.get(saga_id)
        if detail is None:
            raise UnknownSaga(saga_id)
        if isinstance(detail, Unreadable):
            raise Refusal("unreadable-record", f"saga {saga_id}: {detail.reason}")
        return detail

    async def definition_of(self, detail: SagaDetail) -> SagaDefinition:
        """The version that the saga began with. Answers 500 if it no longer passes: its sagas stand still."""
        try:
            return await self.coordinator.definitions.get(detail.saga.definition, detail.saga.version)
        except InvalidDefinition as error:
            raise Refusal("unreadable-record", str(error)) from error

    async def _newest(self) -> Mapping[str, tuple[str, dict[str, Any]]]:
        """What the feed tells of: the newest incidents with their reports, and the newest remedies."""
        incidents = await self.diagnosis.reader.page(limit=told_max)
        return news(incidents.items, await self.diagnosis.remedies.in_state(*RemedyState))

    async def handle(self, saga_id: str, event: Event, revisions: frozenset[int] | None = None) -> Handled:
        """Let a person's request happen to a saga. Raises UnknownSaga, Quarantined, MovedSince, TimeoutError."""
        async with asyncio.timeout(handle_seconds_max):
            return await self.coordinator.engine.handle(saga_id, event, revisions=revisions)

    async def live_handlers(self) -> Mapping[str, Collection[str]]:
        """Each participant that is alive, and the names that its workers answer."""
        found: dict[str, set[str]] = {}
        for worker in await self.coordinator.stores.fleet.live(self.coordinator.clock.now()):
            beat = worker.beat
            found.setdefault(beat.participant, set()).update(beat.actions, beat.compensations)
        return found
