"""Whom a class of causes usually names, where nothing more specific is known."""

from __future__ import annotations

from coordinator.diagnosis.analyser.contrast import Dimension
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

of_the_database = frozenset({Resource.POOL})


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


def _exhausted(facts: Facts) -> Entity:
    """What ran out of something: the host or the worker that stands out, else everybody's database, or all of them."""
    for dimension in (Dimension.HOST, Dimension.WORKER):
        contrast = facts.contrasts.of(dimension)
        if contrast:
            return contrast.entity
    return participant_entity(facts.failing.symptom.participant)
