"""The case: everything the analyser gets to see, gathered in one go. Reading it needs no database, no clock, no chance;
so a case can be kept, and analysed again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from coordinator.saga.attempts import Attempt
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.state import Saga
from coordinator.store.observed import CallTally, Facet, FailedStep, IncidentRow, Occurrence, Tally

failed_max = 20
peers_max = 30
failures_max = 500
window_seconds_before = 30 * 60.0  # how far before the first failure is looked


@dataclass(frozen=True, slots=True)
class SagaSeen:
    """One saga, and every attempt of it in the order in which they were sent. Errors and payloads are as they came:
    whoever quotes them redacts them."""

    saga: Saga
    definition: SagaDefinition
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A worker, alive or gone. `holding`: the commands it said it had in hand ("<saga>/<step>/…/<attempt>"), and for
    how many seconds, when it was last heard."""

    participant: str
    worker: str
    version: str
    host: str
    settings: Mapping[str, str]
    first_seen: datetime
    last_seen: datetime
    live: bool
    stopping: bool
    in_flight: int
    holding: Mapping[str, float]
    handlers: frozenset[str]  # actions and compensations it answers


@dataclass(frozen=True, slots=True)
class PastIncident:
    """An incident that is over, as a candidate for "similar". Templates are those of its facets."""

    incident_id: str
    at: datetime
    family: str
    fingerprints: frozenset[str]
    steps: frozenset[str]
    templates: tuple[str, ...]
    cls: str
    culprit: str
    headline: str
    resolution: str | None
    verified: bool


@dataclass(frozen=True, slots=True)
class Case:
    """A failure to be explained: an incident with a sample of its sagas, or one saga (`focus`), which may be in no
    incident. Lists are bounded; what was cut is named in `missing`, as is what could not be had."""

    at: datetime  # when it was gathered
    nonce: str  # drawn for this case: part of every evidence id, so that no text can cite one beforehand
    since: datetime  # where the window of tallies and occurrences begins
    failed: tuple[SagaSeen, ...]  # the focus first, then the newest and the oldest, over all facets
    peers: tuple[SagaSeen, ...] = ()  # sagas of the same definitions that completed in the same window
    focus: SagaSeen | None = None
    incident: IncidentRow | None = None
    facets: tuple[Facet, ...] = ()
    failures: tuple[FailedStep, ...] = ()  # the newest of the incident
    tallies: tuple[Tally, ...] = ()  # the whole fleet
    calls: tuple[CallTally, ...] = ()
    occurrences: tuple[Occurrence, ...] = ()
    workers: tuple[WorkerSeen, ...] = ()
    stuck: int = 0  # sagas blocked now at the incident's steps
    at_risk: int = 0  # not final, of the incident's definitions
    past: tuple[PastIncident, ...] = ()
    missing: tuple[str, ...] = field(default=())
