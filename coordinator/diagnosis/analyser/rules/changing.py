"""What was done shortly before it began, where nothing is left to compare with: a version rolled out everywhere, a
setting, a definition."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from coordinator.diagnosis.analyser.changes import Change
from coordinator.diagnosis.analyser.contrast import Dimension, count_min
from coordinator.diagnosis.analyser.facts import Facts
from coordinator.diagnosis.analyser.fleet import Row, Share
from coordinator.diagnosis.analyser.ledger import Ref
from coordinator.diagnosis.analyser.naming import plain, setting_entity, version_entity
from coordinator.diagnosis.analyser.rules.comparing import from_outside, guilty_version, old_versions_fail_too
from coordinator.diagnosis.analyser.score import Vote
from coordinator.diagnosis.cause import Entity, FaultClass
from coordinator.diagnosis.signals import SignalFamily
from coordinator.store.observed import OccurrenceKind

# What a participant's own code does, rather than the world around it.
of_the_code = (SignalFamily.BUG, SignalFamily.INVALID_DATA, SignalFamily.OTHER, SignalFamily.UNKNOWN_HANDLER)
nearly_all = 0.98


def changing(facts: Facts) -> Iterator[Vote]:
    """One vote per change that may explain it; a change that came too late speaks against its class."""
    for change in facts.changes:
        late_version = change.after and change.kind is OccurrenceKind.VERSION_SEEN and change.concerns
        if late_version and guilty_version(facts) is None:
            yield Vote(FaultClass.BAD_DEPLOY, -1.5, (change.ref,))
        if not change.suspect or not facts.onset.at:
            continue
        match change.kind:
            case OccurrenceKind.VERSION_SEEN:
                yield from _rolled_out(change, facts)
            case OccurrenceKind.SETTING_CHANGED:
                yield from _setting(change, facts)
            case OccurrenceKind.DEFINITION_REGISTERED:
                yield from _definition(change, facts)
            case _:
                pass


def _rolled_out(change: Change, facts: Facts) -> Iterator[Vote]:
    """Everywhere at once: the only comparison is with what was before."""
    symptom = facts.failing.symptom
    if change.participant != symptom.participant or guilty_version(facts) or old_versions_fail_too(facts, change):
        return
    if not (facts.onset.jumped or facts.contrasts.share(change.entity).rate >= 0.5):
        return
    if facts.worked_since(change):
        return
    inside = facts.voices.weight(*of_the_code)
    # What worked in no attempt, and those before it in all, is hardly new by chance.
    never = 1.8 if never_worked(change, facts) else 0.0
    points = change.weight * (1.4 + 1.8 * inside + never)
    yield Vote(FaultClass.BAD_DEPLOY, points, (change.ref, *_onset(facts)), change.entity, symptom.step)
    yield from _against_the_world(change, facts, 1.4 + never)


def never_worked(change: Change, facts: Facts) -> bool:
    """Whether the workers that have what is new have failed from their first attempt on, at steps that the others did
    well to the end. What finds nothing to do succeeds all the same."""
    has_it = _having(change, facts)
    new, old = Share(), Share()
    for row in facts.fleet.own:
        if row.place.participant == change.participant and row.place.worker not in ("", "*"):
            share = Share(row.mine, row.mine + row.good)
            new, old = (new + share, old) if has_it(row) else (new, old + share)
    return min(new.total, old.total) >= count_min and new.rate >= nearly_all and old.rate <= 1 - nearly_all


def _having(change: Change, facts: Facts) -> Callable[[Row], bool]:
    """Whose attempts a change can have spoilt: those of workers with the new version, or with the new value."""
    if change.kind is OccurrenceKind.VERSION_SEEN:
        return lambda row: version_entity(row.place.participant, row.place.worker_version) == change.entity
    name = str(change.occurrence.facts.get("setting") or "")
    settings = {
        one.worker: one.settings.get(name) for one in facts.case.workers if one.participant == change.participant
    }
    value = settings.get(str(change.occurrence.facts.get("worker") or ""))
    having = {worker for worker, other in settings.items() if value is not None and other == value}
    return lambda row: row.place.worker in having


def _against_the_world(change: Change, facts: Facts, points: float) -> Iterator[Vote]:
    """What was changed a moment before explains what seems to come from outside; unless others feel it, too."""
    if not facts.onset.jumped or any(one.elsewhere.rate >= 0.3 for one in facts.dependencies if one.failing):
        return
    for cls in (*from_outside, FaultClass.RESOURCE_EXHAUSTION):
        yield Vote(cls, -points * change.weight, (change.ref,))


def _onset(facts: Facts) -> tuple[Ref, ...]:
    return () if facts.onset.ref is None else (facts.onset.ref,)


def _setting(change: Change, facts: Facts) -> Iterator[Vote]:
    if change.participant != facts.failing.symptom.participant or guilty_version(facts) or facts.worked_since(change):
        return
    never = 1.0 if never_worked(change, facts) else 0.0
    points = ((3.0 if facts.onset.jumped else 1.2) + never) * change.weight
    yield Vote(FaultClass.MISCONFIGURATION, points, (change.ref, *_onset(facts)), change.entity)
    yield from _against_the_world(change, facts, 2.0 + never)


def _definition(change: Change, facts: Facts) -> Iterator[Vote]:
    """A new version of the plan; the more if what changed in it is the failing step, and older ones still work."""
    symptom = facts.failing.symptom
    if change.definition != symptom.definition:
        return
    contrast = facts.contrasts.of(Dimension.DEFINITION_VERSION)
    touched = changed_key(change, symptom.step)
    if contrast is None and touched is None:
        return
    culprit: Entity = change.entity
    if touched:
        culprit = setting_entity(f"{plain(symptom.definition)}.{plain(symptom.step)}", touched)
    points = change.weight * (1.2 + (1.2 if touched else 0.0)) + (2.0 if contrast else 0.0)
    refs = (change.ref, contrast.ref) if contrast else (change.ref, *_onset(facts))
    yield Vote(FaultClass.MISCONFIGURATION, points, refs, culprit, symptom.step)


def changed_key(change: Change, step: str) -> str | None:
    """The key of the step that a new version of a definition changed."""
    prefix = f"{step}."
    keys = [str(key).removeprefix(prefix) for key in change.occurrence.facts if str(key).startswith(prefix)]
    return sorted(keys)[0] if keys else None
