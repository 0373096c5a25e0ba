"""What data looks like, never what it says: for every place in it the type, whether it is empty, about how long, which
kind of text or number. A place that looks one way where a step fails and never so where it works is odd; the step, or
the saga's own input, that put it there is known from the definition's mapping."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coordinator.diagnosis.analyser.failing import Failing
from coordinator.diagnosis.analyser.ledger import Entry, Ledger, Ref
from coordinator.diagnosis.analyser.naming import plain, saga_entity, step_entity
from coordinator.diagnosis.case import Case, SagaSeen
from coordinator.diagnosis.cause import Entity
from coordinator.diagnosis.evidence import EvidenceKind, Trust
from coordinator.errors import UnresolvedReference
from coordinator.saga.definition import Step, Unset
from coordinator.saga.event import Kind
from coordinator.saga.expression import Reference, read_template

places_max = 300  # of one value
depth_max = 8
items_looked_at_max = 5  # of a list
failing_share_min = 0.8
peers_share_max = 0.1
peers_min = 3
odd_max = 6
absent = "absent"

_classes: Sequence[tuple[str, re.Pattern[str]]] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("number as text", r"[-+]?\d+([.,]\d+)?"),
        ("uuid", r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
        ("time", r"\d{4}-\d\d-\d\d([T ].*)?"),
        ("address", r"[^@\s]+@[^@\s]+"),
        ("url", r"[a-zA-Z][a-zA-Z0-9+.-]*://\S*"),
        ("code", r"[A-Z0-9_-]{1,40}"),
        ("name", r"[A-Za-z][\w.-]{0,60}"),
    )
)

Shape = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Odd:
    """A place in a failing step's data that looks as it never does where the step works."""

    step: str  # whose data
    path: str
    looks: str
    usual: str
    failing: int  # sagas in which it does
    sagas: int  # that were looked at
    peers: int  # in which it might have
    origin: str | None  # the step that put it there; None: the saga's own input
    ref: Ref


def shape_of(value: Any) -> dict[str, str]:
    """Each place of a value, and how it looks there."""
    found: dict[str, str] = {}
    for path, inner in _places(value):
        look = _look(inner)
        found[path] = look if path not in found or found[path] == look else f"{found[path]} and {look}"[:80]
        if len(found) >= places_max:
            break
    return found


def _places(value: Any) -> Iterator[tuple[str, Any]]:
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    steps = 0
    while waiting and steps < places_max * 2:
        path, inner, depth = waiting.pop()
        steps += 1
        yield path, inner
        if depth >= depth_max:
            continue
        if isinstance(inner, Mapping):
            keys = sorted(inner, key=str)[:places_max]
            waiting += [(f"{path}.{plain(str(key))}".strip("."), inner[key], depth + 1) for key in reversed(keys)]
        elif isinstance(inner, list | tuple):
            waiting += [(f"{path}.[]".strip("."), item, depth + 1) for item in inner[:items_looked_at_max]]


def _look(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        if isinstance(value, float) and not math.isfinite(value):
            return "not a number"
        kind = "whole number" if isinstance(value, int) or value.is_integer() else "fraction"
        if value == 0:
            return "zero"
        return f"{'negative ' if value < 0 else ''}{kind}{_size(abs(value), 1e6)}"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return "object" if value else "empty object"
    if isinstance(value, list | tuple):
        return f"list{_size(len(value), 100)}" if value else "empty list"
    return "other"


def _size(value: float, much: float) -> str:
    if value < much:
        return ""
    return f" of about 10^{int(math.log10(value))}"


def _text(value: str) -> str:
    if not value:
        return "empty text"
    if not value.strip():
        return "blank text"
    long = f", about 10^{int(math.log10(len(value)))} long" if len(value) >= 100 else ""
    if not value.isascii():
        return f"text beyond ASCII{long}"
    kind = next((name for name, pattern in _classes if pattern.fullmatch(value[:400])), "text")
    return f"{kind}{long}"


def odd_places(case: Case, failing: Failing, ledger: Ledger) -> tuple[Odd, ...]:
    """Where the data of the failing step is odd, the most telling first."""
    symptom = failing.symptom
    if symptom.kind != Kind.ACTION:
        return ()
    mine = _shapes(failing.sagas, symptom.definition, symptom.step, succeeded=False)
    others = _shapes(case.peers, symptom.definition, symptom.step, succeeded=True)
    if not mine or len(others) < peers_min:
        return ()
    step = next(seen.definition.by_name[symptom.step] for seen in failing.sagas if _has(seen, symptom))
    found: list[Odd] = []
    for path in sorted({path for shape in mine for path in shape} | {path for shape in others for path in shape}):
        looks = Counter(shape.get(path, absent) for shape in mine)
        usual = Counter(shape.get(path, absent) for shape in others)
        look, count = looks.most_common(1)[0]
        if count / len(mine) < failing_share_min or usual[look] / len(others) > peers_share_max:
            continue
        if look == absent and any(path.startswith(f"{one.path}.") and one.looks == absent for one in found):
            continue  # all below what is missing is missing
        found.append(_odd(step, failing, path, look, usual, count, len(mine), len(others), ledger))
    found.sort(key=lambda one: (one.looks not in (absent, "null"), one.path.count("."), one.path))
    return tuple(found[:odd_max])


def _has(seen: SagaSeen, symptom: Any) -> bool:
    return seen.saga.definition == symptom.definition and symptom.step in seen.definition.by_name


def _shapes(sagas: Sequence[SagaSeen], definition: str, step: str, *, succeeded: bool) -> list[Shape]:
    found: list[Shape] = []
    for seen in sagas:
        run = seen.saga.step(step)
        if seen.saga.definition != definition or run.happened is not succeeded:
            continue
        mine = [one for one in seen.attempts if one.command.step == step and one.command.kind == Kind.ACTION]
        if mine:
            found.append(shape_of(mine[-1].data))
    return found


def _odd(
    step: Step,
    failing: Failing,
    path: str,
    look: str,
    usual: Counter[str],
    count: int,
    sagas: int,
    peers: int,
    ledger: Ledger,
) -> Odd:
    symptom = failing.symptom
    origin = origin_of(step, path)
    normal = usual.most_common(1)[0][0]
    where = path or "the whole of it"
    put = f"from the result of {plain(origin)}" if origin else "from the saga's input"
    text = (
        f"Data of {plain(symptom.step)}: {where} ({put}) is {look} in {count} of {sagas} failed sagas"
        f" and in {usual[look]} of {peers} others, where it mostly is {normal}."
    )
    subject: Entity = step_entity(symptom.definition, origin or symptom.step)
    subjects = (subject,) if origin or sagas > 1 else (saga_entity(failing.sagas[0].saga.id), subject)
    ref = ledger.enter(
        Entry(
            EvidenceKind.OUTPUT_SHAPE if origin else EvidenceKind.PAYLOAD_SHAPE,
            Trust.COORDINATOR,
            text,
            subjects=subjects,
            fact={
                "path": where,
                "looks": look,
                "usual": normal,
                "failed": count,
                "of_failed": sagas,
                "others": usual[look],
                "of_others": peers,
            },
            source_ref=f"step:{symptom.name}",
            weight=2.5,
        )
    )
    return Odd(symptom.step, path, look, normal, count, sagas, peers, origin, ref)


def origin_of(step: Step, path: str) -> str | None:
    """The step whose result a place in a step's data comes from. None: the saga's input, or the definition itself."""
    keys = [key for key in path.split(".") if key]
    if isinstance(step.input, Unset):
        return keys[1] if len(keys) > 1 and keys[0] == "steps" else None
    mapping = step.input
    for key in keys:
        if isinstance(mapping, Mapping) and key in mapping:
            mapping = mapping[key]
        elif isinstance(mapping, list | tuple) and key == "[]" and mapping:
            mapping = mapping[0]
        else:
            break
    return _producer(mapping)


def _producer(mapping: Any) -> str | None:
    """The only step that a template reads."""
    if not isinstance(mapping, str) or "${" not in mapping:
        return None
    try:
        parts = read_template(mapping)
    except UnresolvedReference:
        return None
    steps = {part.step for part in parts if isinstance(part, Reference)}
    return next(iter(steps)) if len(steps) == 1 else None
