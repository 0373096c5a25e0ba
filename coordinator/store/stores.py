"""The stores of a coordinator together, for the composition to hand on."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.store.audit import AuditStore
from coordinator.store.bulks import BulkStore
from coordinator.store.database import Database
from coordinator.store.dead_letters import DeadLetterStore
from coordinator.store.definitions import DefinitionStore
from coordinator.store.figures import FigureReader
from coordinator.store.fleet import FleetStore
from coordinator.store.incident_reader import IncidentReader
from coordinator.store.incidents import IncidentStore
from coordinator.store.keys import KeyStore
from coordinator.store.notifications import NotificationStore
from coordinator.store.occurrences import OccurrenceStore
from coordinator.store.outbox import OutboxStore
from coordinator.store.outcomes import OutcomeStore
from coordinator.store.overview import OverviewReader
from coordinator.store.reader import SagaReader
from coordinator.store.remedies import RemedyStore
from coordinator.store.reports import ReportStore
from coordinator.store.sagas import SagaStore
from coordinator.store.samples import SampleReader
from coordinator.store.settled import SettledSagas


@dataclass(slots=True)
class Stores:
    """One store per concern, over one database."""

    sagas: SagaStore
    reader: SagaReader
    overview: OverviewReader
    outbox: OutboxStore
    bulks: BulkStore
    definitions: DefinitionStore
    dead_letters: DeadLetterStore
    fleet: FleetStore
    samples: SampleReader
    outcomes: OutcomeStore
    occurrences: OccurrenceStore
    incidents: IncidentStore
    incident_reader: IncidentReader
    reports: ReportStore
    remedies: RemedyStore
    figures: FigureReader
    notifications: NotificationStore
    keys: KeyStore
    audit: AuditStore
    settled: SettledSagas

    @classmethod
    def over(cls, database: Database) -> Stores:
        return cls(
            SagaStore(database),
            SagaReader(database),
            OverviewReader(database),
            OutboxStore(database),
            BulkStore(database),
            DefinitionStore(database),
            DeadLetterStore(database),
            FleetStore(database),
            SampleReader(database),
            OutcomeStore(database),
            OccurrenceStore(database),
            IncidentStore(database),
            IncidentReader(database),
            ReportStore(database),
            RemedyStore(database),
            FigureReader(database),
            NotificationStore(database),
            KeyStore(database),
            AuditStore(database),
            SettledSagas(database),
        )
