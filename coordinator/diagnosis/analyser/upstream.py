"""Whether the sagas that fail differ from those that don't in who did an earlier step: a producer's version under which
everything that comes later goes wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from coordinator.diagnosis.analyser.failing import Failing
from coordinator.diagnosis.analyser.fleet import Share
from coordinator.diagnosis.analyser.ledger import Entry, Ledger, Ref
from coordinator.diagnosis.analyser.naming import plain, step_entity, version_entity
from coordinator.diagnosis.case import Case, SagaSeen
from coordinator.diagnosis.cause import Entity
from coordinator.diagnosis.evidence import EvidenceKind, Trust
from coordinator.saga.event import Kind

sagas_min = 3
failing_share_min = 0.8
peers_share_max = 0.25


@dataclass(frozen=True, slots=True)
class Upstream:
    """An earlier step whose worker version goes with the failures."""

    step: str
    entity: Entity  # the version
    failing: Share  # of the failed sagas, those it did the step for
    peers: Share
    ref: Ref


def upstream_of(case: Case, failing: Failing, ledger: Ledger) -> Upstream | None:
    """Compare, for every step before the failing one, who did it."""
    symptom = failing.symptom
    mine = [seen for seen in failing.sagas if seen.saga.definition == symptom.definition]
    peers = [seen for seen in case.peers if seen.saga.definition == symptom.definition]
    if min(len(mine), len(peers)) < sagas_min or symptom.step not in mine[0].definition.by_name:
        return None
    definition = mine[0].definition
    best: Upstream | None = None
    # A step whose own result broke its schema is its own producer.
    faulty = any(seen.saga.step(symptom.step).fault for seen in mine)
    before = definition.ancestors[symptom.step] | ({symptom.step} if faulty else set())
    for step in definition.steps:
        if step.name not in before:
            continue
        ours, theirs = _versions(mine, step.name), _versions(peers, step.name)
        if not ours or not theirs:
            continue
        version, count = max(ours.items(), key=lambda item: (item[1], item[0]))
        failed = Share(count, sum(ours.values()))
        others = Share(theirs[version], sum(theirs.values()))
        if failed.rate < failing_share_min or others.rate > peers_share_max:
            continue
        if best is None or failed.rate - others.rate > best.failing.rate - best.peers.rate:
            entity = version_entity(step.participant, version)
            ref = _entry(definition.name, step.name, entity, failed, others, ledger)
            best = Upstream(step.name, entity, failed, others, ref)
    return best


def _versions(sagas: list[SagaSeen], step: str) -> Counter[str]:
    """The versions that did a step, one per saga in which it succeeded."""
    found: Counter[str] = Counter()
    for seen in sagas:
        for attempt in seen.attempts:
            mine = attempt.command.step == step and attempt.command.kind == Kind.ACTION
            if mine and attempt.outcome == "succeeded" and attempt.worker_version:
                found[attempt.worker_version] += 1
                break
    return found


def _entry(definition: str, step: str, entity: Entity, failed: Share, others: Share, ledger: Ledger) -> Ref:
    text = (
        f"{plain(step)} was done by {entity.name} in {failed.bad} of {failed.total} sagas that failed later,"
        f" and in {others.bad} of {others.total} that did not."
    )
    return ledger.enter(
        Entry(
            EvidenceKind.STEP_CONTRAST,
            Trust.COORDINATOR,
            text,
            subjects=(entity, step_entity(definition, step)),
            fact={
                "failed": failed.bad,
                "of_failed": failed.total,
                "others": others.bad,
                "of_others": others.total,
            },
            source_ref=f"step:{definition}.{step}",
            weight=3.0,
        )
    )
