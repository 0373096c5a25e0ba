"""Everything an analysis knows before it judges: computed once, read by every rule."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from coordinator.diagnosis.analyser.effects import Happened, Left, effects_of, residue_of
from coordinator.diagnosis.analyser.failing import Failing, failing_of
from coordinator.diagnosis.analyser.ledger import Entry, Ledger, Ref
from coordinator.diagnosis.analyser.naming import plain, saga_entity, step_entity
from coordinator.diagnosis.analyser.said import Meaning, meaning_of
from coordinator.diagnosis.analyser.score import Limits
from coordinator.diagnosis.case import Case
from coordinator.diagnosis.evidence import EvidenceKind, Trust


@dataclass(frozen=True)
class Facts:
    case: Case
    failing: Failing
    meanings: Counter[Meaning]  # of each saga's failures, each kind once
    attempts_ref: tuple[Ref, ...]  # what the coordinator wrote down of the failed attempts
    errors_ref: tuple[Ref, ...]  # what participants said
    effects: tuple[Happened, ...]  # of the focus, or the first saga
    residue: tuple[Left, ...]  # of all sagas
    limits: Limits


def facts_of(case: Case, ledger: Ledger) -> Facts:
    """Compute them. Enters every fact that may be cited."""
    failing = failing_of(case)
    meanings: Counter[Meaning] = Counter()
    told: set[tuple[str, Meaning]] = set()
    errors: list[Ref] = []
    for one in failing.tried:
        if one.failure is None:
            continue
        said = meaning_of(one.failure)
        if (one.seen.saga.id, said.leaf) not in told:
            told.add((one.seen.saga.id, said.leaf))
            meanings[said.leaf] += 1
        if len(errors) < 8:
            errors.append(_error(one.failure.type, said.code, one.worker, failing, ledger))
    attempts = tuple(_attempt(seen.saga.id, failing, ledger) for seen in failing.sagas[:3])
    effects: tuple[Happened, ...] = ()
    residue: list[Left] = []
    for index, seen in enumerate(failing.sagas):
        found = effects_of(seen, ledger)
        residue += residue_of(found)
        if index == 0:
            effects = found
    return Facts(case, failing, meanings, attempts, tuple(dict.fromkeys(errors)), effects, tuple(residue), Limits())


def _error(kind: str, code: str, worker: str, failing: Failing, ledger: Ledger) -> Ref:
    symptom = failing.symptom
    return ledger.enter(
        Entry(
            EvidenceKind.ERROR,
            Trust.PARTICIPANT,
            f"{plain(symptom.participant)} reports {plain(kind)}{f' ({plain(code)})' if code else ''}.",
            subjects=(step_entity(symptom.definition, symptom.step),),
            fact={"type": plain(kind), "code": plain(code) if code else ""},
            weight=2.0,
        )
    )


def _attempt(saga_id: str, failing: Failing, ledger: Ledger) -> Ref:
    mine = [one for one in failing.tried if one.seen.saga.id == saga_id]
    outcomes = Counter(one.attempt.outcome for one in mine)
    text = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items(), key=str)) or "none failed"
    return ledger.enter(
        Entry(
            EvidenceKind.ATTEMPT,
            Trust.COORDINATOR,
            f"Attempts of {plain(failing.symptom.name)} in saga {plain(saga_id)}: {text}.",
            subjects=(saga_entity(saga_id),),
            fact={str(outcome): count for outcome, count in outcomes.items()},
            ts_from=min((one.attempt.started_at for one in mine), default=None),
            ts_to=max((one.at for one in mine), default=None),
            source_ref=f"saga:{saga_id}",
            weight=2.0,
        )
    )
