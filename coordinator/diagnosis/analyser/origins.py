"""What the coordinator itself knows of bad data: a result that breaks its schema, a value that a definition reads and
that isn't there."""

from __future__ import annotations

import re

from coordinator.diagnosis.analyser.failing import Failing
from coordinator.diagnosis.analyser.ledger import Entry, Ledger, Ref
from coordinator.diagnosis.analyser.naming import plain, step_entity
from coordinator.diagnosis.evidence import EvidenceKind, Trust

# As UnresolvedReference says it: the path, then what is wrong with it.
_path = re.compile(r"steps\.([A-Za-z][A-Za-z0-9_-]{0,62})((?:\.[\w-]{1,63}){0,8})")


def faulty_result(failing: Failing, ledger: Ledger) -> Ref | None:
    """That the failing step's own result breaks its schema."""
    symptom = failing.symptom
    faulty = [seen for seen in failing.sagas if seen.saga.step(symptom.step).fault]
    if not faulty:
        return None
    sagas = "one saga" if len(faulty) == 1 else f"{len(faulty)} sagas"
    return ledger.enter(
        Entry(
            EvidenceKind.OUTPUT_SHAPE,
            Trust.COORDINATOR,
            f"The result of {plain(symptom.step)} broke its schema in {sagas}: it succeeded, and can't be used.",
            subjects=(step_entity(symptom.definition, symptom.step),),
            fact={"sagas": len(faulty)},
            source_ref=f"step:{symptom.name}",
            weight=3.0,
        )
    )


def missing_value(failing: Failing, ledger: Ledger) -> tuple[str | None, Ref | None]:
    """The step whose result lacks what the failing one reads of it. The coordinator says so: nothing was sent."""
    symptom = failing.symptom
    for seen in failing.sagas:
        run = seen.saga.step(symptom.step)
        if run.attempt or run.failure is None or run.failure.type != "UnresolvedReference":
            continue
        found = _path.match(run.failure.message)
        producer = found[1] if found else None
        if producer is not None and producer not in seen.definition.by_name:
            producer = None
        what = f"{plain(producer)}{found[2]}" if producer and found else "a value of the saga's input"
        ref = ledger.enter(
            Entry(
                EvidenceKind.OUTPUT_SHAPE if producer else EvidenceKind.PAYLOAD_SHAPE,
                Trust.COORDINATOR,
                f"{plain(symptom.step)} reads {what}, and it is not there: nothing was sent.",
                subjects=(step_entity(symptom.definition, producer or symptom.step),),
                fact={"reads": what},
                source_ref=f"saga:{seen.saga.id}/step/{symptom.step}",
                weight=3.0,
            )
        )
        return producer, ref
    return None, None
