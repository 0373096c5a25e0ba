"""One saga's data, or what an earlier step made of it; a participant that says no; what was there already."""

from __future__ import annotations

from collections.abc import Iterator

from coordinator.diagnosis.analyser.facts import Facts
from coordinator.diagnosis.analyser.failing import Tried
from coordinator.diagnosis.analyser.ledger import Ref
from coordinator.diagnosis.analyser.naming import saga_entity, step_entity
from coordinator.diagnosis.analyser.rules.comparing import guilty_version
from coordinator.diagnosis.analyser.said import said_of
from coordinator.diagnosis.analyser.score import Vote
from coordinator.diagnosis.cause import Entity, FaultClass
from coordinator.diagnosis.signals import SignalFamily

baseline_z_max = 3.0

# What passes, or hits everybody: an error of this kind is not about one saga's data.
not_of_the_data = (
    SignalFamily.TIMEOUT,
    SignalFamily.UNAVAILABLE,
    SignalFamily.RATE_LIMITED,
    SignalFamily.CREDENTIAL,
    SignalFamily.LOCK,
    SignalFamily.RESOURCE,
    SignalFamily.BROKER,
    SignalFamily.CONFLICT,
)
of_the_data = (SignalFamily.INVALID_DATA, SignalFamily.BUG)


def data(facts: Facts) -> Iterator[Vote]:
    """All that the data may be to blame for."""
    yield from _poison(facts)
    yield from _producer(facts)
    yield from _refusal(facts)
    yield from _already(facts)


def _poison(facts: Facts) -> Iterator[Vote]:
    """This saga fails wherever it is tried; others pass the same step at the same time."""
    if not facts.failing.sagas or not facts.alone or guilty_version(facts):
        return
    own = facts.own
    culprit = saga_entity((own[0].seen if own else facts.failing.sagas[0]).saga.id)
    of_data = facts.voices.weight(*of_the_data)
    points = 1.6 * of_data
    refs: list[Ref] = [*facts.attempts_ref, *facts.voices.refs[:1]]
    if facts.others_fine:
        points += 1.6
        refs.append(facts.passing_ref)
    if len(own) > 1 and same_error(own):
        points += 0.4
        points += 0.6 if len({one.worker for one in own if one.worker}) > 1 else 0.0
        points += 0.3 if len({one.version for one in own if one.version}) > 1 else 0.0
    odd = [one for one in facts.odd if one.origin is None]
    if facts.reference_ref is not None and facts.missing_from is None:
        points += 1.5
        refs.append(facts.reference_ref)
    if odd:
        points += 1.5
        refs += [one.ref for one in odd[:2]]
    points -= 2.5 * facts.voices.weight(*not_of_the_data)
    if facts.failing.refused and of_data < 0.3:
        points -= 1.5
    if points > 0 and (facts.others_fine or odd):
        yield Vote(FaultClass.POISON_PAYLOAD, points, tuple(refs), culprit, facts.failing.symptom.step)


def same_error(tried: tuple[Tried, ...]) -> bool:
    """Whether every attempt failed in the same way."""
    kinds = {(one.failure.type, one.failure.code) if one.failure else None for one in tried}
    return len(kinds) == 1


def _producer(facts: Facts) -> Iterator[Vote]:
    """The failing step was given something by an earlier one that it never got before."""
    symptom, upstream = facts.failing.symptom, facts.upstream
    odd = [one for one in facts.odd if one.origin is not None]
    named = facts.missing_from
    if facts.faulty_ref is not None:
        culprit: Entity = step_entity(symptom.definition, symptom.step)
        culprit = upstream.entity if upstream and upstream.step == symptom.step else culprit
        refs = (facts.faulty_ref, *facts.attempts_ref)
        yield Vote(FaultClass.UPSTREAM_BAD_OUTPUT, 3.0, refs, culprit, symptom.step)
    if odd:
        first = odd[0]
        root = first.origin or symptom.step
        culprit = upstream.entity if upstream and upstream.step == root else step_entity(symptom.definition, root)
        points = 2.4 + (0.6 if first.failing > 1 else 0.0)
        # Strange data makes code stumble, or be refused; it makes nothing slow, full or unreachable.
        points -= 2.0 * facts.voices.weight(*not_of_the_data)
        if points > 0:
            refs = (*(one.ref for one in odd[:2]), *facts.attempts_ref)
            yield Vote(FaultClass.UPSTREAM_BAD_OUTPUT, points, refs, culprit, root)
            yield Vote(FaultClass.POISON_PAYLOAD, -1.0, (first.ref,))
            yield Vote(FaultClass.BUSINESS_REJECTION, -1.0, (first.ref,))
    if named is not None and facts.reference_ref is not None:
        culprit = upstream.entity if upstream and upstream.step == named else step_entity(symptom.definition, named)
        refs = (facts.reference_ref, *facts.attempts_ref)
        # Should the plan have changed what it reads, then that is why it isn't there.
        points = 1.2 if replanned(facts) else 3.2
        yield Vote(FaultClass.UPSTREAM_BAD_OUTPUT, points, refs, culprit, named)
        yield Vote(FaultClass.POISON_PAYLOAD, -2.0, refs)
    if upstream and facts.voices.weight(*not_of_the_data) < 0.5:
        points = 1.6 if odd or named or facts.faulty_ref is not None else 1.2
        yield Vote(FaultClass.UPSTREAM_BAD_OUTPUT, points, (upstream.ref,), upstream.entity, upstream.step)


def replanned(facts: Facts) -> bool:
    """Whether a new version of the definition changed the failing step's input just before."""
    symptom = facts.failing.symptom
    return any(
        change.suspect
        and change.definition == symptom.definition
        and f"{symptom.step}.input" in change.occurrence.facts
        for change in facts.changes
    )


def _refusal(facts: Facts) -> Iterator[Vote]:
    """A participant that says no as often as it always does."""
    if not facts.failing.refused:
        return
    symptom = facts.failing.symptom
    business = 1.0 - facts.voices.typed_weight(*of_the_data, *not_of_the_data)
    refs = (*facts.attempts_ref, *facts.voices.refs[:1])
    if facts.onset.ref is not None:
        refs = (*refs, facts.onset.ref)
    culprit = step_entity(symptom.definition, symptom.step)
    if refusals_at_baseline(facts):
        points = 1.6 * business + (0.8 if facts.others.total >= 20 else 0.0)
        yield Vote(FaultClass.BUSINESS_REJECTION, points, refs, culprit, symptom.step)
    else:
        yield Vote(FaultClass.BUSINESS_REJECTION, -2.0, refs)


def refusals_at_baseline(facts: Facts) -> bool:
    """Whether refusals are no more frequent than they always were."""
    return not (facts.onset.jumped and facts.onset.known and facts.onset.z >= baseline_z_max)


def _already(facts: Facts) -> Iterator[Vote]:
    """It met what an earlier attempt of its own had left behind."""
    own = facts.own
    conflicts = [one for one in own if said_of(one.failure).signal.family is SignalFamily.CONFLICT]
    symptom = facts.failing.symptom
    culprit = step_entity(symptom.definition, symptom.step)
    for one in conflicts:
        before = [
            other
            for other in own
            if other.seen is one.seen and other.attempt.number < one.attempt.number and in_doubt(other)
        ]
        if before:
            refs = (*facts.attempts_ref, *facts.voices.refs[:2])
            yield Vote(FaultClass.DATA_CONFLICT, 1.5, refs, culprit, symptom.step)
            yield Vote(FaultClass.DOWNSTREAM_TIMEOUT, -1.0, facts.attempts_ref)
            return


def in_doubt(one: Tried) -> bool:
    """Whether this attempt may have had its effect."""
    return one.silent or one.attempt.effect == "unknown"
