"""What somebody did: versions, settings, definitions, workers more or fewer. A change shortly before the onset may
explain it, the more the shorter before; one that came after it can't, and is said to be innocent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import exp

from coordinator.diagnosis.analyser.failing import Failing
from coordinator.diagnosis.analyser.ledger import Entry, Ledger, Ref
from coordinator.diagnosis.analyser.naming import clock, entity_of, plain, setting_entity, short, version_entity
from coordinator.diagnosis.case import Case
from coordinator.diagnosis.cause import Entity, EntityKind
from coordinator.diagnosis.evidence import EvidenceKind, Scalar, Trust
from coordinator.store.observed import Occurrence, OccurrenceKind, changes

before_max = timedelta(minutes=15)
after_max = timedelta(seconds=30)
fades_seconds = 300.0
facts_max = 8
changes_max = 60


@dataclass(frozen=True, slots=True)
class Change:
    """One change and how it lies to the onset."""

    occurrence: Occurrence
    entity: Entity
    participant: str  # whose; "" of a definition
    definition: str  # whose; "" of a participant
    weight: float  # 1 at the onset, fading before it; 0 of one that can't have caused it
    after: bool  # it came when the trouble was there already
    concerns: bool  # what fails, or what comes before it in its sagas
    ref: Ref

    @property
    def kind(self) -> OccurrenceKind:
        return self.occurrence.kind

    @property
    def suspect(self) -> bool:
        return self.weight > 0 and self.concerns


def changes_of(case: Case, failing: Failing, onset: datetime | None, ledger: Ledger) -> tuple[Change, ...]:
    """Every change that was heard of, the most suspect first."""
    related = _related(failing)
    definitions = {step.definition for step in failing.steps}
    found: list[Change] = []
    known: set[Entity] = set()
    for occurrence in sorted((*case.occurrences, *_unnoticed(case)), key=lambda one: (one.at, one.id)):
        entity = _entity(occurrence)
        if occurrence.kind not in changes or entity is None:
            continue
        if occurrence.kind is OccurrenceKind.VERSION_SEEN and entity in known:
            continue  # another worker of it
        known.add(entity)
        participant, definition = _owner(entity, occurrence)
        concerns = participant in related or definition in definitions or occurrence.kind is OccurrenceKind.ANNOUNCED
        weight, after = _timing(occurrence.at, onset)
        ref = _entry(occurrence, entity, onset, after, ledger) if concerns or weight else Ref(-1)
        found.append(Change(occurrence, entity, participant, definition, weight, after, concerns, ref))
    found.sort(key=lambda one: (not one.suspect, -one.weight, one.occurrence.at, one.occurrence.id))
    once: dict[tuple[OccurrenceKind, Entity], Change] = {}
    for change in found:  # a change of many workers is one: that which lies best
        once.setdefault((change.kind, change.entity), change)
    return tuple(once.values())[:changes_max]


def _unnoticed(case: Case) -> Iterator[Occurrence]:
    """Versions that workers run and that nobody noticed coming, though others were there before them."""
    first: dict[str, dict[str, datetime]] = {}
    for worker in case.workers:
        mine = first.setdefault(worker.participant, {})
        if worker.version:
            mine[worker.version] = min(mine.get(worker.version, worker.first_seen), worker.first_seen)
    for participant, versions in sorted(first.items()):
        oldest = min(versions.values(), default=None)
        for version, at in sorted(versions.items()):
            if oldest is not None and at > max(oldest, case.since):
                subject = f"{EntityKind.WORKER_VERSION} {participant}@{version}"
                name = f"worker:{participant}@{version}"
                yield Occurrence(name, at, OccurrenceKind.VERSION_SEEN, subject, {"version": version})


def _timing(at: datetime, onset: datetime | None) -> tuple[float, bool]:
    if onset is None:
        return 0.0, False
    lead = onset - at
    if lead < -after_max:
        return 0.0, True
    if lead > before_max:
        return 0.0, False
    return exp(-max(0.0, lead.total_seconds()) / fades_seconds), False


def _related(failing: Failing) -> frozenset[str]:
    """The participants of what fails, and of what its sagas do before."""
    found = set(failing.participants)
    places = {(step.definition, step.step) for step in failing.steps}
    for seen in failing.sagas:
        definition = seen.definition
        for step in definition.steps:
            if any((definition.name, after) in places for after in definition.descendants[step.name]):
                found.add(step.participant)
    return frozenset(found)


def _entity(occurrence: Occurrence) -> Entity | None:
    """What was changed, as specifically as the occurrence says."""
    entity = entity_of(occurrence.subject)
    facts = occurrence.facts
    if entity is None:
        return None
    version, setting = facts.get("version"), facts.get("setting")
    match occurrence.kind, entity.kind:
        case OccurrenceKind.VERSION_SEEN, EntityKind.PARTICIPANT if version:
            return version_entity(entity.name, str(version))
        case OccurrenceKind.SETTING_CHANGED, EntityKind.PARTICIPANT | EntityKind.WORKER if setting:
            return setting_entity(entity.name.partition("/")[0], str(setting))
        case OccurrenceKind.DEFINITION_REGISTERED, EntityKind.DEFINITION if version is not None:
            return Entity(kind=EntityKind.DEFINITION_VERSION, name=f"{entity.name}@{plain(str(version))}")
        case _:
            return entity


def _owner(entity: Entity, occurrence: Occurrence) -> tuple[str, str]:
    """The participant, or the definition, that a change is of."""
    match entity.kind:
        case EntityKind.PARTICIPANT | EntityKind.DATABASE:
            return entity.name, ""
        case EntityKind.WORKER:
            return entity.name.partition("/")[0], ""
        case EntityKind.WORKER_VERSION:
            return entity.name.partition("@")[0], ""
        case EntityKind.SETTING:
            owner = entity.name.partition(".")[0]
            return owner, owner
        case EntityKind.DEFINITION:
            return "", entity.name
        case EntityKind.DEFINITION_VERSION:
            return "", entity.name.partition("@")[0]
        case EntityKind.STEP:
            return "", entity.name.partition(".")[0]
        case _:
            return plain(str(occurrence.facts.get("participant") or "")) if occurrence.facts else "", ""


def _entry(occurrence: Occurrence, entity: Entity, onset: datetime | None, after: bool, ledger: Ledger) -> Ref:
    deploy = occurrence.kind in (OccurrenceKind.VERSION_SEEN, OccurrenceKind.DEFINITION_REGISTERED)
    facts: dict[str, Scalar] = {
        plain(str(key)): plain(value) if isinstance(value, str) else value
        for key, value in list(occurrence.facts.items())[:facts_max]
        if occurrence.kind is not OccurrenceKind.ANNOUNCED or key == "by"
    }
    text = f"{clock(occurrence.at)} {_happened(occurrence.kind)}: {short(entity)}"
    if onset is not None:
        facts["seconds_before_onset"] = round((onset - occurrence.at).total_seconds(), 1)
        text += ", after it had begun" if after else ""
    return ledger.enter(
        Entry(
            EvidenceKind.DEPLOY if deploy else EvidenceKind.CONFIG_CHANGE,
            Trust.INFRA if occurrence.kind is not OccurrenceKind.DEFINITION_REGISTERED else Trust.COORDINATOR,
            f"{text}.",
            subjects=(entity,),
            fact=facts,
            ts_from=occurrence.at,
            source_ref=f"occurrence:{occurrence.id}",
            weight=1.5,
        )
    )


def _happened(kind: OccurrenceKind) -> str:
    match kind:
        case OccurrenceKind.VERSION_SEEN:
            return "a new version appeared"
        case OccurrenceKind.DEFINITION_REGISTERED:
            return "a definition was registered"
        case OccurrenceKind.SETTING_CHANGED:
            return "a setting changed"
        case OccurrenceKind.WORKERS_SCALED:
            return "the number of workers changed"
        case OccurrenceKind.PAUSED:
            return "paused"
        case OccurrenceKind.RESUMED:
            return "resumed"
        case _:
            return "somebody announced something"
