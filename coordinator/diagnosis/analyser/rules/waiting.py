"""What silence means. Nobody came to take the command; or somebody did, and was lost; or the work takes longer than it
is given; or messages did not travel."""

from __future__ import annotations

from collections.abc import Iterator

from coordinator.diagnosis.analyser.blame import dependency
from coordinator.diagnosis.analyser.changes import Change
from coordinator.diagnosis.analyser.facts import Facts
from coordinator.diagnosis.analyser.ledger import Ref
from coordinator.diagnosis.analyser.naming import (
    broker_entity,
    host_entity,
    participant_entity,
    plain,
    setting_entity,
)
from coordinator.diagnosis.analyser.score import Vote
from coordinator.diagnosis.analyser.surroundings import participants_at_once_min
from coordinator.diagnosis.cause import Entity, FaultClass
from coordinator.diagnosis.signals import SignalFamily
from coordinator.saga.event import Kind
from coordinator.store.observed import OccurrenceKind

mostly, half = 0.8, 0.5


def waiting(facts: Facts) -> Iterator[Vote]:
    """Silence, and what was around it."""
    yield from _broker(facts)
    silence = facts.voices.weight(SignalFamily.NO_REPLY)
    if silence >= 0.3 or facts.failing.silent:
        yield from _lost(facts)
        yield from _backlog(facts)
        yield from _at_work(facts)
    if silence >= 0.3 or facts.voices.weight(SignalFamily.TIMEOUT) >= 0.3:
        yield from _too_little_time(facts)
    yield from _nobody_can(facts)


def _broker(facts: Facts) -> Iterator[Vote]:
    around = facts.surroundings
    if around.broker:
        points = 2.2 + (1.2 if around.broker_lost else 0.0)
        points += 0.8 if len(facts.failing.participants) >= participants_at_once_min else 0.0
        yield Vote(FaultClass.BROKER_OUTAGE, points, (*around.broker, *facts.attempts_ref), broker_entity)
    if len(around.fell_silent) >= participants_at_once_min:
        refs = tuple(one.ref for one in around.lost if one.participant in around.fell_silent)[:4]
        if around.host_gone:
            return
        # That workers fell silent is no news where the broker is known to have been away.
        yield Vote(FaultClass.BROKER_OUTAGE, 2.0, around.broker or refs, broker_entity)
        yield Vote(FaultClass.WORKER_LOST, -2.5, refs)


def _lost(facts: Facts) -> Iterator[Vote]:
    around = facts.surroundings
    lost = [one for one in around.lost if one.participant in facts.failing.participants and (one.held or one.awaited)]
    if not lost:
        return
    first = lost[0]
    culprit: Entity = host_entity(around.host_gone) if around.host_gone else first.entity
    # Of a worker that held none for certain, the more of the silence falls into its time the likelier it had some.
    points = 3.2 if first.held else 1.0 + 2.2 * around.lost_share
    refs = tuple(one.ref for one in lost[:3])
    told = facts.timings.overdue_ref
    evidence = (*refs, *facts.attempts_ref) if told is None else (*refs, told, *facts.attempts_ref)
    yield Vote(FaultClass.WORKER_LOST, points, evidence, culprit, facts.failing.symptom.step)
    if first.held and not around.broker:
        yield Vote(FaultClass.DOWNSTREAM_TIMEOUT, -1.5, refs)


def scaled_down(facts: Facts) -> Change | None:
    """Fewer workers of the failing participant, shortly before."""
    for change in facts.changes:
        mine = change.participant in facts.failing.participants and change.kind is OccurrenceKind.WORKERS_SCALED
        before, after = change.occurrence.facts.get("before"), change.occurrence.facts.get("after")
        fewer = isinstance(before, int | float) and isinstance(after, int | float) and after < before
        if mine and fewer and not change.after:
            return change
    return None


def _backlog(facts: Facts) -> Iterator[Vote]:
    """Commands queue: what is done at all is done as fast as ever, only late."""
    timings, symptom = facts.timings, facts.failing.symptom
    culprit = participant_entity(symptom.participant)
    mine = [one for one in facts.surroundings.backlogs if one.participant == symptom.participant]
    busy = [one for one in mine if one.workers and one.waiting > one.in_flight]
    scaled = scaled_down(facts)
    refs: list[Ref] = [one.ref for one in busy[:2]]
    if timings.ref is not None and timings.queueing:
        refs.append(timings.ref)
    points = (1.8 if busy else 0.0) + (2.2 if timings.queueing else 0.0)
    if timings.mostly_overdue and timings.overdue_ref is not None:
        points += 1.8
        refs.append(timings.overdue_ref)
    if scaled and points:
        points += 1.0
        refs.append(scaled.ref)
    if points:
        points += 0.5 if timings.quick else 0.0
        yield Vote(FaultClass.WORKER_BACKLOG, points, tuple(refs), culprit, symptom.step)
    if points and timings.queueing and timings.ref is not None:
        yield Vote(FaultClass.DOWNSTREAM_TIMEOUT, -1.0, (timings.ref,))
    begun = [one for one in facts.own if one.silent and one.begun]
    unknown = [one for one in facts.own if one.silent and not one.begun]
    if points and len(begun) > len(unknown):
        yield Vote(FaultClass.WORKER_BACKLOG, -1.5, facts.attempts_ref)
    if points and facts.surroundings.lost_share >= mostly:
        # They lay with who was lost, not in a queue, the more certainly if others were taken at once.
        lain = tuple(one.ref for one in facts.surroundings.lost[:2])
        yield Vote(FaultClass.WORKER_BACKLOG, -1.5 if facts.others.rate > half else -3.5, lain)


def _at_work(facts: Facts) -> Iterator[Vote]:
    """A live worker has it in hand, or answers when nobody waits any more."""
    begun = [one for one in facts.own if one.silent and one.begun]
    lost = any(one.held for one in facts.surroundings.lost)
    if not begun or lost:
        return
    symptom = facts.failing.symptom
    culprit = dependency(facts) or participant_entity(symptom.participant)
    points = 0.9 + (0.9 if facts.timings.slower else 0.0)
    refs = (*facts.attempts_ref, facts.timings.ref) if facts.timings.ref is not None else facts.attempts_ref
    yield Vote(FaultClass.DOWNSTREAM_TIMEOUT, points, refs, culprit, symptom.step)


def _too_little_time(facts: Facts) -> Iterator[Vote]:
    """The work always took as long as this; it is the time it is given that is too short."""
    timings, symptom = facts.timings, facts.failing.symptom
    if timings.ref is None:
        return
    setting = setting_entity(f"{plain(symptom.definition)}.{plain(symptom.step)}", "timeout")
    if timings.slow_as_ever:
        yield Vote(FaultClass.MISCONFIGURATION, 3.0, (timings.ref, *facts.attempts_ref), setting, symptom.step)
        yield Vote(FaultClass.DOWNSTREAM_TIMEOUT, -1.5, (timings.ref,))
    elif timings.late and not (timings.slower or timings.queueing or timings.mostly_overdue or dependency(facts)):
        yield Vote(FaultClass.MISCONFIGURATION, 1.0, (timings.ref, *facts.attempts_ref), setting, symptom.step)


def _nobody_can(facts: Facts) -> Iterator[Vote]:
    """No live worker, or none that has the handler."""
    symptom = facts.failing.symptom
    handlers = facts.handlers
    if handlers.ref is not None and handlers.nobody:
        key = "compensation" if symptom.kind == Kind.COMPENSATION else "action"
        setting = setting_entity(f"{plain(symptom.definition)}.{plain(symptom.step)}", key)
        yield Vote(FaultClass.MISCONFIGURATION, 2.5, (handlers.ref, *facts.attempts_ref), setting, symptom.step)
    causes = [failure.cause for failure in facts.case.failures]
    deserted = facts.deserted
    if (deserted or "no_consumer" in causes) and not facts.surroundings.lost:
        refs = (*(one.ref for one in deserted[:2]), *facts.attempts_ref)
        scaled = scaled_down(facts)
        cls = FaultClass.WORKER_BACKLOG if scaled else FaultClass.MISCONFIGURATION
        points = 2.2 if deserted else 1.6
        yield Vote(cls, points, refs, participant_entity(symptom.participant), symptom.step)
