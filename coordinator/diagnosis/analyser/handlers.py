"""Whether anybody who is alive has the handler that the failing step asks for."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.diagnosis.analyser.failing import Failing
from coordinator.diagnosis.analyser.ledger import Entry, Ledger, Ref
from coordinator.diagnosis.analyser.naming import participant_entity, plain
from coordinator.diagnosis.case import Case
from coordinator.diagnosis.evidence import EvidenceKind, Trust
from coordinator.saga.event import Kind


@dataclass(frozen=True, slots=True)
class Handlers:
    """Live workers of the failing participant that say what they answer, and how many of these lack the handler."""

    workers: int
    lacking: int
    ref: Ref | None

    @property
    def nobody(self) -> bool:
        return 0 < self.workers == self.lacking


def handlers_of(case: Case, failing: Failing, ledger: Ledger) -> Handlers:
    """Count them."""
    symptom = failing.symptom
    step = next(
        (
            seen.definition.by_name[symptom.step]
            for seen in failing.sagas
            if seen.saga.definition == symptom.definition and symptom.step in seen.definition.by_name
        ),
        None,
    )
    if step is None:
        return Handlers(0, 0, None)
    name = step.compensation if symptom.kind == Kind.COMPENSATION else step.action
    known = [one for one in case.workers if one.participant == symptom.participant and one.live and one.handlers]
    lacking = sum(name not in one.handlers for one in known)
    if not lacking:
        return Handlers(len(known), 0, None)
    text = f"{lacking} of {len(known)} live workers of {plain(step.participant)} have no handler {plain(name or '')}."
    ref = ledger.enter(
        Entry(
            EvidenceKind.WORKER_STATE,
            Trust.INFRA,
            text,
            subjects=(participant_entity(step.participant),),
            fact={"workers": len(known), "lacking": lacking},
            source_ref=f"participant:{plain(step.participant)}",
            weight=2.5,
        )
    )
    return Handlers(len(known), lacking, ref)
