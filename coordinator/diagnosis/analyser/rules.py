"""The rules: each looks at the facts and votes for explanations, or against them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from coordinator.diagnosis.analyser.facts import Facts
from coordinator.diagnosis.analyser.ledger import Ledger
from coordinator.diagnosis.analyser.naming import (
    broker_entity,
    database_entity,
    dependency_entity,
    participant_entity,
    saga_entity,
    step_entity,
)
from coordinator.diagnosis.analyser.said import Meaning
from coordinator.diagnosis.analyser.score import Vote
from coordinator.diagnosis.cause import Entity, FaultClass

_says: Mapping[Meaning, FaultClass] = {
    Meaning.TIMEOUT: FaultClass.DOWNSTREAM_TIMEOUT,
    Meaning.UNREACHABLE: FaultClass.DOWNSTREAM_UNAVAILABLE,
    Meaning.SERVER_ERROR: FaultClass.DOWNSTREAM_UNAVAILABLE,
    Meaning.RATE_LIMITED: FaultClass.RATE_LIMITED,
    Meaning.CREDENTIAL: FaultClass.CREDENTIAL_FAILURE,
    Meaning.CONFLICT: FaultClass.DATA_CONFLICT,
    Meaning.LOCK: FaultClass.LOCK_CONTENTION,
    Meaning.RESOURCE: FaultClass.RESOURCE_EXHAUSTION,
    Meaning.POOL: FaultClass.RESOURCE_EXHAUSTION,
    Meaning.DATA: FaultClass.POISON_PAYLOAD,
    Meaning.BROKER: FaultClass.BROKER_OUTAGE,
}


def votes_of(facts: Facts, ledger: Ledger) -> list[Vote]:
    """What every rule says."""
    return list(_wording(facts))


def _wording(facts: Facts) -> Iterator[Vote]:
    total = sum(facts.meanings.values())
    for meaning, count in facts.meanings.items():
        cls = _says.get(meaning)
        if cls:
            evidence = (*facts.errors_ref, *facts.attempts_ref)
            yield Vote(cls, 2.5 * count / total, evidence, _culprit(cls, facts), facts.failing.symptom.name)


def _culprit(cls: FaultClass, facts: Facts) -> Entity:
    symptom = facts.failing.symptom
    called = [call.dependency for one in facts.failing.tried for call in one.attempt.calls if call.error or call.code]
    match cls:
        case FaultClass.BROKER_OUTAGE:
            return broker_entity
        case FaultClass.LOCK_CONTENTION:
            return database_entity(symptom.participant)
        case FaultClass.DATA_CONFLICT:
            return step_entity(symptom.definition, symptom.step)
        case FaultClass.POISON_PAYLOAD if facts.failing.sagas:
            return saga_entity(facts.failing.sagas[0].saga.id)
        case _:
            return dependency_entity(called[-1]) if called else participant_entity(symptom.participant)
