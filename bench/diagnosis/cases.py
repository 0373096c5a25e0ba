"""What a case is: a world with something wrong in it, and what the injector knows to be true of that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bench.diagnosis.fault import Fault
from bench.diagnosis.topology import Service, Theme
from bench.diagnosis.wording import Wording
from bench.diagnosis.world import Plan
from coordinator.diagnosis.cause import Entity, EntityKind, FaultClass
from coordinator.diagnosis.evidence import EvidenceKind
from coordinator.diagnosis.remedy import RemedyKind

onset_seconds = 180.0

E = EvidenceKind
R = RemedyKind

# What the verdict has to rest on: of each group at least one kind is cited.
symptoms = frozenset({E.ERROR, E.ATTEMPT, E.SPAN, E.TIMING, E.SAGA_EVENT})
_calls = frozenset({E.SPAN, E.DEPENDENCY_STATE})
grounds: Mapping[FaultClass, tuple[frozenset[EvidenceKind], ...]] = {
    FaultClass.DOWNSTREAM_TIMEOUT: (_calls | {E.TIMING},),
    FaultClass.DOWNSTREAM_UNAVAILABLE: (_calls | {E.ERROR},),
    FaultClass.RATE_LIMITED: (_calls | {E.ERROR},),
    FaultClass.CREDENTIAL_FAILURE: (_calls | {E.ERROR},),
    FaultClass.BUSINESS_REJECTION: (frozenset({E.STEP_CONTRAST, E.ONSET, E.COUNTER_EVIDENCE, E.TIMING, E.ERROR}),),
    FaultClass.DATA_CONFLICT: (frozenset({E.ERROR, E.ATTEMPT, E.SPAN}),),
    FaultClass.POISON_PAYLOAD: (frozenset({E.STEP_CONTRAST, E.COUNTER_EVIDENCE, E.PAYLOAD_SHAPE}),),
    FaultClass.UPSTREAM_BAD_OUTPUT: (frozenset({E.OUTPUT_SHAPE, E.DEFINITION, E.PAYLOAD_SHAPE, E.SAGA_EVENT}),),
    FaultClass.BAD_DEPLOY: (frozenset({E.DEPLOY}), frozenset({E.STEP_CONTRAST, E.COUNTER_EVIDENCE, E.ONSET})),
    FaultClass.WORKER_LOST: (frozenset({E.WORKER_STATE}),),
    FaultClass.WORKER_BACKLOG: (frozenset({E.QUEUE_STATE, E.TIMING}),),
    FaultClass.BROKER_OUTAGE: (frozenset({E.BROKER_EVENT}),),
    FaultClass.LOCK_CONTENTION: (frozenset({E.ERROR, E.ATTEMPT, E.DEPENDENCY_STATE}),),
    FaultClass.RESOURCE_EXHAUSTION: (frozenset({E.ERROR, E.WORKER_STATE}),),
    FaultClass.MISCONFIGURATION: (frozenset({E.CONFIG_CHANGE, E.DEFINITION, E.DEPLOY, E.TIMING}),),
    FaultClass.UNKNOWN: (),
}

# What would help, and what would do harm. Nothing that hides a failure, or does it again blindly, helps anybody.
helps: Mapping[FaultClass, frozenset[RemedyKind]] = {
    FaultClass.DOWNSTREAM_TIMEOUT: frozenset({R.OPEN_CIRCUIT, R.RETRY_LATER, R.RETRY_STEP, R.CHECK_EFFECT, R.THROTTLE}),
    FaultClass.DOWNSTREAM_UNAVAILABLE: frozenset({R.OPEN_CIRCUIT, R.RETRY_LATER, R.RETRY_STEP, R.WAIT}),
    FaultClass.RATE_LIMITED: frozenset({R.THROTTLE, R.RETRY_LATER, R.WAIT}),
    FaultClass.CREDENTIAL_FAILURE: frozenset({R.ROTATE_CREDENTIAL, R.OPEN_CIRCUIT, R.PAUSE_DEFINITION}),
    FaultClass.BUSINESS_REJECTION: frozenset({R.REPORT_ONLY}),
    FaultClass.DATA_CONFLICT: frozenset({R.CHECK_EFFECT, R.MAKE_IDEMPOTENT, R.RETRY_LATER}),
    FaultClass.POISON_PAYLOAD: frozenset({R.PARK_SAGA, R.FIX_INPUT}),
    FaultClass.UPSTREAM_BAD_OUTPUT: frozenset({R.FIX_PRODUCER, R.ROLL_BACK, R.PARK_SAGA}),
    FaultClass.BAD_DEPLOY: frozenset({R.ROLL_BACK, R.DRAIN}),
    FaultClass.WORKER_LOST: frozenset({R.CHECK_EFFECT, R.RETRY_STEP, R.RETRY_LATER, R.DRAIN}),
    FaultClass.WORKER_BACKLOG: frozenset({R.SCALE_WORKERS, R.THROTTLE}),
    FaultClass.BROKER_OUTAGE: frozenset({R.RESTORE_BROKER, R.PAUSE_ALL, R.WAIT, R.RETRY_LATER}),
    FaultClass.LOCK_CONTENTION: frozenset({R.END_TRANSACTION, R.RETRY_STEP, R.RETRY_LATER, R.THROTTLE}),
    FaultClass.RESOURCE_EXHAUSTION: frozenset({R.FREE_RESOURCE, R.DRAIN, R.THROTTLE}),
    FaultClass.MISCONFIGURATION: frozenset({R.RESTORE_SETTING, R.EXTEND_TIMEOUT}),
    FaultClass.UNKNOWN: frozenset({R.COLLECT_EVIDENCE}),
}
harms: Mapping[FaultClass, frozenset[RemedyKind]] = {
    FaultClass.DOWNSTREAM_TIMEOUT: frozenset({R.ROLL_BACK, R.ROTATE_CREDENTIAL}),
    FaultClass.DOWNSTREAM_UNAVAILABLE: frozenset({R.ROLL_BACK, R.ROTATE_CREDENTIAL, R.FIX_INPUT}),
    FaultClass.RATE_LIMITED: frozenset({R.RETRY_STEP, R.SCALE_WORKERS, R.ROLL_BACK}),
    FaultClass.CREDENTIAL_FAILURE: frozenset({R.RETRY_STEP, R.SCALE_WORKERS}),
    FaultClass.BUSINESS_REJECTION: frozenset({R.RETRY_STEP, R.OPEN_CIRCUIT, R.PAUSE_DEFINITION, R.PAUSE_ALL}),
    FaultClass.DATA_CONFLICT: frozenset({R.SCALE_WORKERS, R.PAUSE_ALL, R.ROLL_BACK}),
    FaultClass.POISON_PAYLOAD: frozenset({R.RETRY_STEP, R.ROLL_BACK, R.OPEN_CIRCUIT, R.PAUSE_DEFINITION, R.PAUSE_ALL}),
    FaultClass.UPSTREAM_BAD_OUTPUT: frozenset({R.RETRY_STEP, R.SCALE_WORKERS, R.ROTATE_CREDENTIAL}),
    FaultClass.BAD_DEPLOY: frozenset({R.ROTATE_CREDENTIAL, R.SCALE_WORKERS, R.FIX_INPUT}),
    FaultClass.WORKER_LOST: frozenset({R.ROLL_BACK, R.ROTATE_CREDENTIAL, R.PAUSE_ALL}),
    FaultClass.WORKER_BACKLOG: frozenset({R.RETRY_STEP, R.ROLL_BACK, R.DRAIN}),
    FaultClass.BROKER_OUTAGE: frozenset({R.ROLL_BACK, R.DRAIN, R.SCALE_WORKERS}),
    FaultClass.LOCK_CONTENTION: frozenset({R.SCALE_WORKERS, R.ROLL_BACK, R.ROTATE_CREDENTIAL}),
    FaultClass.RESOURCE_EXHAUSTION: frozenset({R.ROTATE_CREDENTIAL, R.FIX_INPUT}),
    FaultClass.MISCONFIGURATION: frozenset({R.SCALE_WORKERS, R.ROTATE_CREDENTIAL}),
    FaultClass.UNKNOWN: frozenset({R.ROLL_BACK, R.PAUSE_ALL, R.ROTATE_CREDENTIAL, R.DRAIN}),
}


@dataclass(frozen=True, slots=True)
class Label:
    """What is true of one fault. The first class is the best; the others are right as well."""

    classes: tuple[FaultClass, ...]
    culprits: frozenset[Entity] = frozenset()
    faults: frozenset[str] = frozenset()  # whose touch makes a failed saga this fault's
    silent: bool = False  # … as does nobody's touch at all, from the onset on
    not_culprits: frozenset[Entity] = frozenset()
    cites: tuple[frozenset[EvidenceKind], ...] = ()
    onset: float | None = onset_seconds
    witnesses: tuple[Fault, ...] = ()  # whom they name in the end is to blame, too

    @property
    def blamed(self) -> frozenset[Entity]:
        """Whom it is right to blame, once the world has run."""
        found = {(kind, name) for fault in self.witnesses for kind, name in fault.blamed}
        return self.culprits | frozenset(Entity(kind=EntityKind(kind), name=name) for kind, name in found)

    @property
    def abstain(self) -> bool:
        return self.classes[0] is FaultClass.UNKNOWN

    @property
    def actions_any(self) -> frozenset[RemedyKind]:
        return frozenset().union(*(helps[cls] for cls in self.classes))

    @property
    def actions_forbidden(self) -> frozenset[RemedyKind]:
        found = set(harms[self.classes[0]])
        for cls in self.classes[1:]:
            found &= harms[cls]
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class Case:
    """One world and what is true of it. `make` builds the plan anew for every run: faults remember things."""

    name: str
    split: str  # dev | heldout
    kind: str  # a fault's class | abstain | decoy | two | ordinary | injection
    hard: bool
    make: Callable[[], tuple[Plan, tuple[Label, ...]]]


@dataclass(slots=True)
class Cases:
    """A split under construction."""

    split: str
    seed: int
    found: list[Case] = field(default_factory=list)

    def add(
        self,
        kind: str,
        theme: Theme,
        wording: Wording,
        *makers: Callable[[Theme], tuple[list[Fault], Label | None]],
        hard: bool = False,
        **plan: Any,
    ) -> None:
        """A case with all that the makers make. Labels are theirs; makers without one make decoys."""
        number = sum(case.kind == kind for case in self.found) + 1
        seed = self.seed + 17 * len(self.found)

        def make() -> tuple[Plan, tuple[Label, ...]]:
            made = [maker(theme) for maker in makers]
            faults = [fault for some, _ in made for fault in some]
            labels = tuple(label for _, label in made if label is not None)
            return Plan(theme, seed, wording, faults, **plan), labels

        self.found.append(Case(f"{self.split}-{kind}-{number}", self.split, kind, hard, make))


def entity(kind: EntityKind, name: str) -> Entity:
    return Entity(kind=kind, name=name)


def entities(kind: EntityKind, names: Collection[str]) -> frozenset[Entity]:
    return frozenset(entity(kind, name) for name in names)


def steps_of(theme: Theme, service: str, action: str | None = None) -> frozenset[Entity]:
    """The steps that a service, or one action of it, is for."""
    return frozenset(
        entity(EntityKind.STEP, f"{definition.name}.{step.name}")
        for definition in theme.definitions
        for step in definition.steps
        if step.service == service and action in (None, step.action, step.compensation)
    )


def adapted(theme: Theme, service: str, **changed: Any) -> Theme:
    """The theme with a service that differs: its settings, its versions."""

    def one(found: Service) -> Service:
        if found.name != service:
            return found
        settings = {**found.settings, **changed.get("settings", {})}
        return replace(found, **{**changed, "settings": settings})

    return replace(theme, services=tuple(one(found) for found in theme.services))


def steps_with(theme: Theme, service: str | None = None, **changed: Any) -> Theme:
    """The theme with other timeouts or attempts in the steps of a service, or in all before the pivots."""
    definitions = tuple(
        replace(
            definition,
            steps=tuple(
                replace(step, **changed) if service in (None, step.service) and step.kind != "retriable" else step
                for step in definition.steps
            ),
        )
        for definition in theme.definitions
    )
    return replace(theme, definitions=definitions)
