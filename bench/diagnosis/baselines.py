"""What a reader of error texts would say: keywords, and no knowledge of the fleet, of time, of what else happened.

B0    the last error's keywords; the step that failed is to blame
B1    the keywords of every error and of what each was raised from
B1f   the same, with the usual suspect of each class instead of the step: a fair tool that reads the logs
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from bench.diagnosis.cases import Label
from bench.diagnosis.grading import Share
from bench.diagnosis.running import Item, Result, Said
from coordinator.diagnosis.cause import Entity, EntityKind, FaultClass
from coordinator.diagnosis.evidence import EvidenceKind

C = FaultClass

_keywords: Sequence[tuple[str, FaultClass]] = (
    (r"deadlock|verklemmung|lock timeout|lock wait|locknotavailable|sperre|40p01|55p03|40001", C.LOCK_CONTENTION),
    (
        r"no space|enospc|speicherplatz|too many open files|emfile|memoryerror|allocate|pool|too many connections|disk",
        C.RESOURCE_EXHAUSTION,
    ),
    (r"429|too many requests|rate.?limit|resource_exhausted|throttl", C.RATE_LIMITED),
    (r"401|403|unauth|forbidden|permission_denied|certificate|expired|credential|invalid_client", C.CREDENTIAL_FAILURE),
    (r"409|conflict|duplicate|already exists|doppelter|23505|unique|stale|conditional", C.DATA_CONFLICT),
    (r"declined|refused: |out of stock|not covered|blocked|restricted|\bno (seat|room)\b", C.BUSINESS_REJECTION),
    (
        r"refused|unreachable|injoignable|name resolution|not known|502|503|unavailable|disconnected|reset|connect",
        C.DOWNSTREAM_UNAVAILABLE,
    ),
    (r"timeout|timed out|deadline|zeitüberschreitung|délai|aucune réponse|no reply", C.DOWNSTREAM_TIMEOUT),
    (r"unknownhandler|has no action|missing handler|no path|missing path", C.MISCONFIGURATION),
    (r"keyerror|typeerror|attributeerror|nonetype|valueerror|operand", C.POISON_PAYLOAD),
)


def _class_of(text: str) -> FaultClass:
    lowered = text.lower()
    return next((cls for pattern, cls in _keywords if re.search(pattern, lowered)), C.UNKNOWN)


def _words(said: Said, *, deep: bool) -> str:
    return " ".join((said.type, said.code, said.message, *(said.causes if deep else ())))


def b0(item: Item) -> tuple[FaultClass, Entity | None]:
    if not item.texts:
        return C.DOWNSTREAM_TIMEOUT, None
    last = item.texts[0]
    return _class_of(_words(last, deep=False)), Entity(kind=EntityKind.STEP, name=last.step)


def b1(item: Item) -> tuple[FaultClass, Entity | None]:
    if not item.texts:
        return C.DOWNSTREAM_TIMEOUT, None
    votes = Counter(_class_of(_words(said, deep=True)) for said in item.texts)
    return votes.most_common(1)[0][0], Entity(kind=EntityKind.STEP, name=item.texts[0].step)


def b1f(item: Item) -> tuple[FaultClass, Entity | None]:
    cls, step = b1(item)
    if step is None:
        return cls, step
    text = " ".join(_words(said, deep=True) for said in item.texts)
    participant = item.texts[0].participant or "?"
    match cls:
        case C.DOWNSTREAM_TIMEOUT | C.DOWNSTREAM_UNAVAILABLE | C.RATE_LIMITED | C.CREDENTIAL_FAILURE:
            host = re.search(r"https://([a-z0-9-]+?)\.internal|(?:to|de|à) ([a-z]+-[a-z]+)", text)
            name = next((group for group in host.groups() if group), "") if host else ""
            kind = EntityKind.DEPENDENCY if name else EntityKind.PARTICIPANT
            return cls, Entity(kind=kind, name=name or participant)
        case C.LOCK_CONTENTION | C.RESOURCE_EXHAUSTION:
            return cls, Entity(kind=EntityKind.DATABASE, name=participant)
        case C.DATA_CONFLICT | C.BUSINESS_REJECTION:
            return cls, Entity(kind=EntityKind.PARTICIPANT, name=participant)
        case _:
            return cls, step


def _grounded(label: Label) -> bool:
    """A text is an error, and an error is all that it can cite."""
    return all(EvidenceKind.ERROR in group for group in label.cites)


def scores(results: Sequence[Result]) -> dict[str, dict[str, Share]]:
    """The three over the same cases."""
    items = [item for result in results for item in result.items if item.affected]
    found: dict[str, dict[str, Share]] = {}
    for name, baseline in (("B0", b0), ("B1", b1), ("B1f", b1f)):
        said = [(item, *baseline(item)) for item in items]
        right = [(item, cls in item.label.classes, item.label.abstain or who in item.blamed) for item, cls, who in said]
        found[name] = {
            "class": Share.of(cls for _, cls, _ in right),
            "culprit": Share.of(who for item, _, who in right if not item.label.abstain),
            "joint": Share.of(cls and who for _, cls, who in right),
            "G-joint": Share.of(cls and who and _grounded(item.label) for item, cls, who in right),
            "innocent blamed": Share.of(
                who in item.label.not_culprits for item, _, who in said if item.label.not_culprits
            ),
        }
    return found
