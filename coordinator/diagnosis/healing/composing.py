"""The healer put together: which means carries out which remedy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from coordinator.dead_letters import DeadLetters
from coordinator.diagnosis.healing.healer import Healer
from coordinator.diagnosis.healing.holding import Circuit, DefinitionPause, FullPause, Holds, Throttle
from coordinator.diagnosis.healing.means import Means
from coordinator.diagnosis.healing.measuring import Measuring
from coordinator.diagnosis.healing.policy import Mode
from coordinator.diagnosis.healing.repeating import Hand, Parking, Redrives, Retries
from coordinator.diagnosis.remedy import RemedyKind
from coordinator.engine import Engine
from coordinator.fleet import Fleet
from coordinator.store.dead_letters import DeadLetterStore
from coordinator.store.fleet import FleetStore
from coordinator.store.incident_reader import IncidentReader
from coordinator.store.outcomes import OutcomeStore
from coordinator.store.reader import SagaReader
from coordinator.store.remedies import RemedyStore
from coordinator.store.sagas import SagaStore


def healer_of(
    remedies: RemedyStore,
    incidents: IncidentReader,
    outcomes: OutcomeStore,
    sagas: SagaStore,
    reader: SagaReader,
    holds: FleetStore,
    letters: DeadLetterStore,
    *,
    fleet: Fleet,
    engine: Engine,
    dead_letters: DeadLetters,
    mode: Mode,
    now: Callable[[], datetime],
    connected: Callable[[], bool],
) -> Healer:
    """A healer that does what people can do over the API, by the same ways."""
    measuring, held, hand = Measuring(outcomes), Holds(holds, fleet), Hand(engine, sagas)
    means: Mapping[RemedyKind, Means] = {
        RemedyKind.OPEN_CIRCUIT: Circuit(held, measuring),
        RemedyKind.THROTTLE: Throttle(held, measuring),
        RemedyKind.PAUSE_DEFINITION: DefinitionPause(held),
        RemedyKind.PAUSE_ALL: FullPause(held, connected),
        RemedyKind.PARK_SAGA: Parking(hand, reader),
        RemedyKind.RETRY_STEP: Retries(hand, incidents, measuring),
        RemedyKind.REDRIVE: Redrives(dead_letters, letters, measuring),
    }
    return Healer(remedies, means, measuring, fleet, mode=mode, now=now, connected=connected)
