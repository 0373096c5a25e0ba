"""Whom a class of causes usually names, where nothing more specific is known."""

from __future__ import annotations

from coordinator.diagnosis.analyser.contrast import Contrast, Dimension, count_min
from coordinator.diagnosis.analyser.facts import Facts
from coordinator.diagnosis.analyser.naming import (
    broker_entity,
    database_entity,
    participant_entity,
    saga_entity,
    step_entity,
)
from coordinator.diagnosis.cause import Entity, FaultClass
from coordinator.diagnosis.signals import Resource

of_the_host = (Resource.DISK, Resource.PORTS)
well_rate_max = 0.1


def usual_suspect(cls: FaultClass, facts: Facts) -> Entity:
    """The entity that a class is about, as far as the failing step tells."""
    symptom = facts.failing.symptom
    match cls:
        case FaultClass.BROKER_OUTAGE:
            return broker_entity
        case FaultClass.LOCK_CONTENTION:
            return database_entity(symptom.participant)
        case FaultClass.DATA_CONFLICT | FaultClass.BUSINESS_REJECTION | FaultClass.UPSTREAM_BAD_OUTPUT:
            return step_entity(symptom.definition, symptom.step)
        case FaultClass.POISON_PAYLOAD if facts.failing.sagas:
            return saga_entity(facts.failing.sagas[0].saga.id)
        case FaultClass.RESOURCE_EXHAUSTION:
            return _exhausted(facts)
        case (
            FaultClass.DOWNSTREAM_TIMEOUT
            | FaultClass.DOWNSTREAM_UNAVAILABLE
            | FaultClass.RATE_LIMITED
            | FaultClass.CREDENTIAL_FAILURE
        ):
            return dependency(facts) or participant_entity(symptom.participant)
        case _:
            return participant_entity(symptom.participant)


def dependency(facts: Facts) -> Entity | None:
    """What was called in vain, or answers slowly."""
    for one in facts.dependencies:
        if one.named or one.failing or one.slow:
            return one.entity
    return None


def place_at_fault(facts: Facts) -> Contrast | None:
    """The host or the worker that stands out. A worker alone, where the rest of its host is well; unless what ran out
    is the host's, though only this worker needed it."""
    host, worker = facts.contrasts.of(Dimension.HOST), facts.contrasts.of(Dimension.WORKER)
    if host is None or worker is None:
        return host or worker
    lacking = max(facts.voices.resources, key=lambda one: facts.voices.resources[one], default=None)
    rest = host.inside - worker.inside
    alone = rest.total >= count_min and rest.rate <= well_rate_max
    return worker if alone and lacking not in of_the_host else host


def _exhausted(facts: Facts) -> Entity:
    """What ran out of something: the host or the worker that stands out, else everybody's database, or all of them."""
    place = place_at_fault(facts)
    return place.entity if place else participant_entity(facts.failing.symptom.participant)
