"""What a new version of a definition changed, step by step, in a form that can be compared with when things broke."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from coordinator.saga.definition import SagaDefinition, Step, Unset

told_max = 40  # differences of one version
value_chars_max = 120


def differences(before: SagaDefinition | None, after: SagaDefinition, redact: Callable[[str], str]) -> dict[str, str]:
    """ "<step>.<key>" and "before -> after" for each thing that is another, at most `told_max`. A first version differs
    from nothing."""
    if before is None:
        return {}
    found: dict[str, str] = {}
    for name, old, new in _differing(before, after):
        if len(found) == told_max:
            break
        found[name] = f"{_told(old, redact)} -> {_told(new, redact)}"
    return found


def _differing(before: SagaDefinition, after: SagaDefinition) -> Iterator[tuple[str, Any, Any]]:
    for name in (*after.by_name, *(gone for gone in before.by_name if gone not in after.by_name)):
        old, new = before.by_name.get(name), after.by_name.get(name)
        if old is None or new is None:
            yield name, "absent" if old is None else "there", "there" if old is None else "absent"
        else:
            yield from _parts(name, old, new)
    for key in ("deadline_seconds", "grace_seconds", "input_schema"):
        if getattr(before, key) != getattr(after, key):
            yield key, getattr(before, key), getattr(after, key)


def _parts(prefix: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """The fields in which two values of one kind differ, those of a retry policy one by one."""
    for part in fields(old):
        before, after = getattr(old, part.name), getattr(new, part.name)
        if before == after or (isinstance(old, Step) and part.name == "name"):
            continue
        name = f"{prefix}.{part.name.removesuffix('_seconds')}"
        if is_dataclass(before) and is_dataclass(after) and type(before) is type(after):
            yield from _parts(name, before, after)
        else:
            yield name, before, after


def _told(value: Any, redact: Callable[[str], str]) -> str:
    if value is None or isinstance(value, Unset):
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    text = value if isinstance(value, str) else json.dumps(value, default=_plain, ensure_ascii=False)
    text = redact(text)
    return text if len(text) <= value_chars_max else text[: value_chars_max - 1] + "…"


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset) else str(value)
