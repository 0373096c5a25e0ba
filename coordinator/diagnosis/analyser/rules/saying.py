"""What the errors say. A code or a type counts more than twice as much as wording; silence and bugs name no class by
themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from coordinator.diagnosis.analyser.blame import usual_suspect
from coordinator.diagnosis.analyser.facts import Facts
from coordinator.diagnosis.analyser.ledger import Ref
from coordinator.diagnosis.analyser.score import Vote
from coordinator.diagnosis.cause import FaultClass
from coordinator.diagnosis.signals import SignalFamily, Timeout

typed_points = 2.6
wording_points = 1.2
log_points = 0.8
weight_min = 0.15  # what is less likely than this is no vote

_classes: Mapping[SignalFamily, FaultClass] = {
    SignalFamily.TIMEOUT: FaultClass.DOWNSTREAM_TIMEOUT,
    SignalFamily.UNAVAILABLE: FaultClass.DOWNSTREAM_UNAVAILABLE,
    SignalFamily.RATE_LIMITED: FaultClass.RATE_LIMITED,
    SignalFamily.CREDENTIAL: FaultClass.CREDENTIAL_FAILURE,
    SignalFamily.BUSINESS: FaultClass.BUSINESS_REJECTION,
    SignalFamily.CONFLICT: FaultClass.DATA_CONFLICT,
    SignalFamily.LOCK: FaultClass.LOCK_CONTENTION,
    SignalFamily.RESOURCE: FaultClass.RESOURCE_EXHAUSTION,
    SignalFamily.BROKER: FaultClass.BROKER_OUTAGE,
    SignalFamily.CONFIGURATION: FaultClass.MISCONFIGURATION,
    SignalFamily.UNKNOWN_HANDLER: FaultClass.MISCONFIGURATION,
}


def saying(facts: Facts) -> Iterator[Vote]:
    """One vote per family that is likely enough."""
    voices = facts.voices
    if facts.reference_ref is not None or facts.faulty_ref is not None:
        return  # the coordinator's own words, which other rules read
    evidence: tuple[Ref, ...] = (*voices.refs[:3], *facts.attempts_ref)
    for family in SignalFamily:
        cls = class_of(family, facts)
        typed = voices.typed_weight(family)
        heard = voices.weight(family)
        if cls is None or max(typed, heard) < weight_min:
            continue
        points = typed_points * typed + wording_points * max(0.0, heard - typed)
        refs = evidence
        if family is SignalFamily.TIMEOUT and facts.timings.ref is not None:
            refs = (*evidence, facts.timings.ref)
        yield Vote(cls, points, refs, usual_suspect(cls, facts), facts.failing.symptom.step)
    if voices.weight(SignalFamily.OTHER, SignalFamily.NO_REPLY) >= 0.4:
        yield from _logs(facts)


def _logs(facts: Facts) -> Iterator[Vote]:
    """Where the errors say little, the last log lines are listened to."""
    for family, weight in facts.voices.logs.items():
        cls = class_of(family, facts)
        if cls and weight >= weight_min:
            evidence = (*facts.voices.log_refs, *facts.attempts_ref)
            yield Vote(cls, log_points * weight, evidence, usual_suspect(cls, facts), facts.failing.symptom.step)


def class_of(family: SignalFamily, facts: Facts) -> FaultClass | None:
    """The class a family speaks for. A timeout may be of a lock, or of one's own pool."""
    if family is SignalFamily.TIMEOUT and facts.voices.timeouts:
        most = max(facts.voices.timeouts, key=lambda kind: facts.voices.timeouts[kind])
        if most in (Timeout.LOCK, Timeout.STATEMENT):
            return FaultClass.LOCK_CONTENTION
        if most is Timeout.POOL:
            return FaultClass.RESOURCE_EXHAUSTION
    return _classes.get(family)
