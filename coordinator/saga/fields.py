"""Reading one JSON object of a definition, key by key, and collecting what is wrong with it.

Nothing is raised here: a value that breaks a rule becomes a `Fault` and its default takes its place, so that one
reading finds every fault. `null` is not the same as absent: an optional key is left out, not set to null.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from coordinator.errors import Fault

name_pattern = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}", re.ASCII)
duration_pattern = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*(ms|s|m|h|d)", re.ASCII)
unit_seconds = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

faults_max = 200
near_max = 20
shown_chars_max = 60
integer_max = 2**63 - 1


class Faults:
    """The faults found so far, `faults_max` at most: a definition that is nonsense throughout gets a bounded answer."""

    def __init__(self) -> None:
        self.found: list[Fault] = []

    def add(self, rule: str, message: str, hint: str, step: str | None = None) -> None:
        fault = Fault(rule, message, hint, step)
        if len(self.found) < faults_max and fault not in self.found:
            self.found.append(fault)

    def near(self, text: str, known: Iterable[str]) -> str | None:
        """The known name the author probably meant. Only for the first faults: it is slow, and there may be many."""
        if len(self.found) >= near_max:
            return None
        return next(iter(difflib.get_close_matches(text[:shown_chars_max], known, n=1)), None)


def shown(value: Any) -> str:
    """A value as the author wrote it, shortened."""
    if isinstance(value, dict | list) and value:
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value)  # escapes whatever a terminal or a database would choke on
    return text if len(text) <= shown_chars_max else text[:shown_chars_max] + "…"


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def seconds_of(value: Any) -> float | int | None:
    """Seconds of a duration: a number, or text such as "500ms", "30s", "1.5h", "7d". None if it is neither."""
    if is_number(value):
        return value  # type: ignore[no-any-return]  # mypy can't see through is_number
    if isinstance(value, str) and (match := duration_pattern.fullmatch(value)):
        return float(match[1]) * unit_seconds[match[2]]
    return None


class Fields:
    """The keys of one object. `prefix` says where it is (`retry.`), `step` whose it is."""

    def __init__(self, value: Mapping[str, Any], faults: Faults, step: str | None = None, prefix: str = "") -> None:
        self._value, self._faults, self._step, self._prefix = value, faults, step, prefix

    def has(self, key: str) -> bool:
        return key in self._value

    def get(self, key: str) -> Any:
        return self._value.get(key)

    def fault(self, rule: str, message: str, hint: str) -> None:
        self._faults.add(rule, message, hint, self._step)

    def only(self, known: Sequence[str], aside: Sequence[str] = ()) -> None:
        """Every key is one of these. Nothing is accepted that isn't enforced. Those `aside` are answered elsewhere."""
        for key in self._value:
            if key not in known and key not in aside:
                near = self._faults.near(key, known)
                hint = f"did you mean {near!r}?" if near else f"leave it out; the keys are {', '.join(known)}"
                self.fault("unknown-key", f"{self._prefix}{shown(key)} is not a key here", hint)

    def name(self, key: str, *, required: bool = True) -> str | None:
        if key not in self._value:
            if required:
                self.fault("missing-key", f"{self._prefix}{key} is missing", f"add {self._prefix}{key}")
            return None
        value = self._value[key]
        if isinstance(value, str) and name_pattern.fullmatch(value):
            return value
        self.fault(
            "bad-name",
            f"{self._prefix}{key} is {shown(value)}",
            "a name is a letter, then up to 62 letters, digits, _ or -",
        )
        return None

    def text(self, key: str, chars_max: int) -> str | None:
        if key not in self._value:
            return None
        value = self._value[key]
        if isinstance(value, str) and value.strip() and len(value) <= chars_max:
            return value
        rule = "bad-value" if isinstance(value, str) else "bad-type"
        hint = f"write 1 to {chars_max} characters, or leave it out"
        self.fault(rule, f"{self._prefix}{key} is {shown(value)}", hint)
        return None

    def flag(self, key: str) -> bool:
        value = self._value.get(key, False)
        if isinstance(value, bool):
            return value
        self.fault("bad-type", f"{self._prefix}{key} is {shown(value)}", "write true or false")
        return False

    def one_of(self, key: str, choices: Iterable[str]) -> str | None:
        if key not in self._value:
            return None
        value, known = self._value[key], tuple(choices)
        if isinstance(value, str) and value in known:
            return value
        rule = "bad-value" if isinstance(value, str) else "bad-type"
        self.fault(rule, f"{self._prefix}{key} is {shown(value)}", f"write one of {', '.join(known)}")
        return None

    def number(self, key: str, default: float, least: float, most: float) -> float:
        if key not in self._value:
            return default
        value = self._value[key]
        if is_number(value):
            return float(self._within(key, value, default, least, most, f"between {least:g} and {most:g}"))
        self.fault("bad-type", f"{self._prefix}{key} is {shown(value)}", "write a number")
        return default

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        if key not in self._value:
            return default
        value = self._value[key]
        if isinstance(value, int) and not isinstance(value, bool):
            return int(self._within(key, value, default, least, most, f"between {least} and {most}"))
        self.fault("bad-type", f"{self._prefix}{key} is {shown(value)}", "write a whole number")
        return default

    def seconds(self, key: str, default: float, least: float, most: float) -> float:
        if key not in self._value:
            return default
        value = self._value[key]
        seconds = seconds_of(value)
        if seconds is None:
            rule = "bad-value" if isinstance(value, str) else "bad-type"
            hint = 'write seconds as a number, or a text such as "500ms", "30s", "5m", "2h", "7d"'
            self.fault(rule, f"{self._prefix}{key} is {shown(value)}", hint)
            return default
        return float(self._within(key, seconds, default, least, most, f"between {least:g} and {most:g} seconds"))

    def texts(self, key: str, items_max: int, chars_max: int) -> tuple[str, ...]:
        """A list of different texts."""
        value = self._value.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.fault("bad-type", f"{self._prefix}{key} is {shown(value)}", "write a list of texts")
            return ()
        if len(value) > items_max:
            self.fault("bad-value", f"{self._prefix}{key} has {len(value)} items", f"keep to {items_max}")
            return ()
        for item in value:
            if not item.strip() or len(item) > chars_max:
                hint = f"write 1 to {chars_max} characters"
                self.fault("bad-value", f"{self._prefix}{key} holds {shown(item)}", hint)
        for item in repeated(value):
            self.fault("bad-value", f"{self._prefix}{key} holds {shown(item)} twice", "write it once")
        return tuple(value)

    def object(self, key: str) -> dict[str, Any] | None:
        if key not in self._value:
            return None
        value = self._value[key]
        if isinstance(value, dict):
            return value
        self.fault("bad-type", f"{self._prefix}{key} is {shown(value)}", "write an object, or leave it out")
        return None

    def _within(self, key: str, value: float, default: float, least: float, most: float, hint: str) -> float:
        if least <= value <= most:
            return value
        self.fault("bad-value", f"{self._prefix}{key} is {shown(self._value[key])}", f"write a value {hint}")
        return default


def repeated(items: Iterable[str]) -> list[str]:
    """The items that stand more than once, each named once."""
    seen: dict[str, int] = {}
    for item in items:
        seen[item] = seen.get(item, 0) + 1
    return [item for item, times in seen.items() if times > 1]


def not_storable(value: Any, depth_max: int, nodes_max: int) -> str | None:
    """Why a value can't be kept as JSON everywhere, or None. Iterative, so that depth can't exhaust the stack."""
    nodes = 0
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        nodes += 1
        if nodes > nodes_max:
            return f"it holds more than {nodes_max} values"
        if depth > depth_max:
            return f"it is nested deeper than {depth_max}"
        if isinstance(item, dict):
            waiting.extend((inner, depth + 1) for inner in item.values())
            reason = next((found for key in item if (found := _bad_key(key))), None)
        elif isinstance(item, list):
            waiting.extend((inner, depth + 1) for inner in item)
            reason = None
        else:
            reason = _bad_scalar(item)
        if reason is not None:
            return reason
    return None


def _bad_key(key: Any) -> str | None:
    return _bad_scalar(key) if isinstance(key, str) else "an object's keys are texts"


def _bad_scalar(item: Any) -> str | None:
    if isinstance(item, str):
        if "\x00" in item:
            return "it holds a NUL character"
        if not item.isascii() and any("\ud800" <= character <= "\udfff" for character in item):
            return "it holds a lone surrogate"
    elif item is None or isinstance(item, bool):
        return None
    elif isinstance(item, int):
        if not -integer_max - 1 <= item <= integer_max:
            return "it holds an integer beyond 64 bits"
    elif isinstance(item, float):
        if not math.isfinite(item):
            return "NaN and Infinity are not JSON"
    else:
        return f"{type(item).__name__} is not JSON"
    return None
