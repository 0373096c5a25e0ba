"""Which classes may be named at all: hard predicates on facts, so that no sum of hints, and no model, can name a class
of which the evidence that makes it one is lacking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from coordinator.diagnosis.analyser.contrast import Dimension
from coordinator.diagnosis.analyser.facts import Facts
from coordinator.diagnosis.analyser.rules.comparing import guilty_version, old_versions_fail_too
from coordinator.diagnosis.analyser.rules.data import refusals_at_baseline
from coordinator.diagnosis.analyser.rules.waiting import scaled_down
from coordinator.diagnosis.analyser.surroundings import participants_at_once_min
from coordinator.diagnosis.cause import FaultClass
from coordinator.diagnosis.signals import SignalFamily
from coordinator.store.observed import OccurrenceKind

heard_min = 0.25  # of what the errors say, at least so much speaks of it


def admissible_classes(facts: Facts) -> Mapping[FaultClass, bool]:
    """For every class whether it may be named."""
    return {cls: admissible(cls, facts) for cls in FaultClass}


def admissible(cls: FaultClass, facts: Facts) -> bool:  # one case per class: a table
    """Whether the evidence that makes a failure one of this class is there."""
    match cls:
        case FaultClass.DOWNSTREAM_TIMEOUT:
            return _awaited_in_vain(facts)
        case FaultClass.DOWNSTREAM_UNAVAILABLE:
            return _says(facts, SignalFamily.UNAVAILABLE)
        case FaultClass.RATE_LIMITED:
            return _says(facts, SignalFamily.RATE_LIMITED)
        case FaultClass.CREDENTIAL_FAILURE:
            return _says(facts, SignalFamily.CREDENTIAL)
        case FaultClass.BUSINESS_REJECTION:
            return facts.failing.refused and refusals_at_baseline(facts)
        case FaultClass.DATA_CONFLICT:
            return _says(facts, SignalFamily.CONFLICT)
        case FaultClass.POISON_PAYLOAD:
            return facts.alone and (facts.others_fine or any(one.origin is None for one in facts.odd))
        case FaultClass.UPSTREAM_BAD_OUTPUT:
            return _given_something_odd(facts)
        case FaultClass.BAD_DEPLOY:
            return _deployed_before(facts)
        case FaultClass.WORKER_LOST:
            mine = facts.failing.participants
            return any((one.held or one.awaited) and one.participant in mine for one in facts.surroundings.lost)
        case FaultClass.WORKER_BACKLOG:
            lain = facts.timings.queueing or facts.timings.mostly_overdue
            return lain or bool(facts.surroundings.backlogs) or scaled_down(facts) is not None
        case FaultClass.BROKER_OUTAGE:
            silent = len(facts.surroundings.fell_silent) >= participants_at_once_min
            return bool(facts.surroundings.broker) or silent
        case FaultClass.LOCK_CONTENTION:
            return _says(facts, SignalFamily.LOCK) or _says(facts, SignalFamily.TIMEOUT)
        case FaultClass.RESOURCE_EXHAUSTION:
            place = facts.contrasts.of(Dimension.HOST) or facts.contrasts.of(Dimension.WORKER)
            return _says(facts, SignalFamily.RESOURCE) or bool(facts.voices.resources) or place is not None
        case FaultClass.MISCONFIGURATION:
            return _set_wrong(facts)
        case FaultClass.UNKNOWN:
            return True
        case _:
            assert_never(cls)


def _says(facts: Facts, family: SignalFamily) -> bool:
    """By the errors, the calls, or, where these say nothing, the logs."""
    called = any(one.meaning is family and (one.failing or one.named) for one in facts.dependencies)
    silent = facts.voices.weight(SignalFamily.OTHER, SignalFamily.NO_REPLY) >= 0.4
    logged = silent and facts.voices.logs.get(family, 0.0) >= heard_min
    return facts.voices.weight(family) >= heard_min or called or logged


def _awaited_in_vain(facts: Facts) -> bool:
    """A worker that is there was at it, and waited for something."""
    if _says(facts, SignalFamily.TIMEOUT) or any(one.slow for one in facts.dependencies):
        return True
    return any(one.silent and one.begun for one in facts.own)


def _given_something_odd(facts: Facts) -> bool:
    odd = any(one.origin is not None for one in facts.odd)
    return odd or facts.faulty_ref is not None or facts.missing_from is not None or facts.upstream is not None


def _deployed_before(facts: Facts) -> bool:
    """A version that stands out and did not come too late; or one that came just before, everywhere."""
    if guilty_version(facts):
        return True
    return any(
        change.suspect
        and change.kind is OccurrenceKind.VERSION_SEEN
        and change.participant in facts.failing.participants
        and not old_versions_fail_too(facts, change)
        for change in facts.changes
    )


def _set_wrong(facts: Facts) -> bool:
    """A setting or a definition that explains it: changed, of a kind that only the failing have, or plainly unfit."""
    changed = (OccurrenceKind.SETTING_CHANGED, OccurrenceKind.DEFINITION_REGISTERED)
    if any(change.suspect and change.kind in changed for change in facts.changes):
        return True
    places = (Dimension.SETTING, Dimension.DEFINITION_VERSION, Dimension.HOST, Dimension.WORKER)
    if any(facts.contrasts.of(dimension) for dimension in places):
        return True
    if any(one.impatient for one in facts.dependencies):
        return True
    if facts.timings.slow_as_ever or facts.timings.late or facts.handlers.nobody:
        return True
    silent = bool(facts.deserted) or any(failure.cause == "no_consumer" for failure in facts.case.failures)
    return silent or _says(facts, SignalFamily.CONFIGURATION) or _says(facts, SignalFamily.UNKNOWN_HANDLER)
