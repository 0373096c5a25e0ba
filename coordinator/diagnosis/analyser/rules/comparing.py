"""What fails here and works there, in the same minutes. A symptom that only one version, host or setting has is not the
world's fault; one that all have is not theirs."""

from __future__ import annotations

from collections.abc import Iterator

from coordinator.diagnosis.analyser.blame import place_at_fault
from coordinator.diagnosis.analyser.changes import Change
from coordinator.diagnosis.analyser.contrast import Contrast, Dimension
from coordinator.diagnosis.analyser.dependencies import Dependency
from coordinator.diagnosis.analyser.facts import Facts
from coordinator.diagnosis.analyser.naming import participant_entity
from coordinator.diagnosis.analyser.rules.saying import class_of
from coordinator.diagnosis.analyser.score import Vote
from coordinator.diagnosis.cause import FaultClass
from coordinator.diagnosis.signals import SignalFamily
from coordinator.store.observed import OccurrenceKind

# What comes from outside a participant, and so would hit all of its workers.
from_outside = (
    FaultClass.DOWNSTREAM_TIMEOUT,
    FaultClass.DOWNSTREAM_UNAVAILABLE,
    FaultClass.RATE_LIMITED,
    FaultClass.CREDENTIAL_FAILURE,
    FaultClass.LOCK_CONTENTION,
    FaultClass.BUSINESS_REJECTION,
)
failing_share_min = 0.8


def comparing(facts: Facts) -> Iterator[Vote]:
    """Versions first: a host or a worker that only differs by its version is explained by it."""
    version = guilty_version(facts)
    if version:
        yield from _version(version, facts)
    plan = facts.contrasts.of(Dimension.DEFINITION_VERSION)
    if plan and not version:
        yield from _against_outside(plan, facts)
    setting = facts.contrasts.of(Dimension.SETTING)
    if setting and not version:
        yield Vote(FaultClass.MISCONFIGURATION, 2.8, (setting.ref,), setting.entity)
        yield from _against_outside(setting, facts)
    if not version and not setting:
        yield from _places(facts)
    for dependency in facts.dependencies:
        yield from _dependency(dependency, facts, partial=version is not None)


def deploy_of(contrast: Contrast, facts: Facts) -> Change | None:
    """When a version that stands out was first seen, if that was noticed."""
    return next((change for change in facts.changes if change.entity == contrast.entity), None)


def guilty_version(facts: Facts) -> Contrast | None:
    """The worker version that stands out, unless it has worked before and nothing was rolled out: then its place does,
    not its code."""
    version = facts.contrasts.of(Dimension.WORKER_VERSION)
    if version is None:
        return None
    deploy = deploy_of(version, facts)
    if deploy is None and version.healthy_before:
        return None
    return None if deploy and deploy.after else version


def _version(version: Contrast, facts: Facts) -> Iterator[Vote]:
    deploy = deploy_of(version, facts)
    evidence = (version.ref, deploy.ref) if deploy else (version.ref,)
    points = 2.6 + (2.0 * deploy.weight if deploy and deploy.suspect else 0.0) + (0.6 if version.strong else 0.0)
    yield Vote(FaultClass.BAD_DEPLOY, points, evidence, version.entity, facts.failing.symptom.step)
    yield from _against_outside(version, facts)
    for cls in (FaultClass.MISCONFIGURATION, FaultClass.RESOURCE_EXHAUSTION):
        yield Vote(cls, -1.0, (version.ref,))


def _against_outside(contrast: Contrast, facts: Facts) -> Iterator[Vote]:
    for cls in from_outside:
        yield Vote(cls, -2.2, (contrast.ref,))


def _places(facts: Facts) -> Iterator[Vote]:
    """A host, or a worker, that fails where others do not."""
    place, worker = place_at_fault(facts), facts.contrasts.of(Dimension.WORKER)
    if place is None:
        return
    if facts.surroundings.lost_share >= failing_share_min:
        return  # where somebody was lost others fail, too, who waited for them
    scarce = facts.voices.weight(SignalFamily.RESOURCE)
    strange = facts.voices.weight(
        SignalFamily.CREDENTIAL, SignalFamily.UNAVAILABLE, SignalFamily.CONFIGURATION, SignalFamily.UNKNOWN_HANDLER
    )
    yield Vote(FaultClass.RESOURCE_EXHAUSTION, 1.0 + 1.2 * scarce, (place.ref,), place.entity)
    if strange >= 0.3:
        one = worker or place
        yield Vote(FaultClass.MISCONFIGURATION, 1.0 + 1.6 * strange, (one.ref,), one.entity)
    yield from _against_outside(place, facts)


def _dependency(one: Dependency, facts: Facts, *, partial: bool) -> Iterator[Vote]:
    """What it depends on fails, or is slow: for all that call it, or for some."""
    mine = one.participant == facts.failing.symptom.participant
    if one.impatient and mine:
        culprit = participant_entity(one.participant)
        yield Vote(FaultClass.MISCONFIGURATION, 1.4, (one.ref,), culprit, facts.failing.symptom.step)
        yield Vote(FaultClass.DOWNSTREAM_TIMEOUT, -1.8, (one.ref,))
        return
    if one.failing and one.meaning and mine:
        cls = class_of(one.meaning, facts) or FaultClass.DOWNSTREAM_UNAVAILABLE
        points = 1.8 + (0.6 if one.everyone else 0.0) + (0.6 if one.elsewhere.rate >= 0.3 else 0.0)
        shared = 0.4 if partial else 1.0
        yield Vote(cls, points * shared, (one.ref,), one.entity, facts.failing.symptom.step)
    if one.slow and mine:
        points = 2.0 * (0.4 if partial else 1.0)
        yield Vote(FaultClass.DOWNSTREAM_TIMEOUT, points, (one.ref,), one.entity, facts.failing.symptom.step)
    if one.well and mine and not any(other.failing or other.slow for other in facts.dependencies):
        for cls in from_outside[:4]:
            yield Vote(cls, -1.2, (one.ref,), participant_entity(one.participant))


def old_versions_fail_too(facts: Facts, change: Change) -> bool:
    """Whether workers of other versions fail as much: then the new one is not to blame."""
    if change.kind is not OccurrenceKind.VERSION_SEEN:
        return False
    new = facts.contrasts.share(change.entity)
    contrasts = [one for one in facts.contrasts.all if one.dimension is Dimension.WORKER_VERSION]
    rest = [one for one in contrasts if one.entity != change.entity and one.inside.total >= 4]
    return any(one.inside.rate >= 0.5 * max(new.rate, 0.05) for one in rest)
