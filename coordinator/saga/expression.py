"""`${…}`: values out of a saga's input and the results of its steps, and `when`.

A mapping is any JSON value. Its strings are templates:

- a string that is one reference, `"${steps.charge-card.charge_id}"`, becomes the value with its type;
- inside a longer string a reference is rendered: strings as they are, the rest as JSON (`true`, `null`, `[1,2]`);
- `$${` is a literal `${`; a `$` anywhere else is itself.

A reference begins with a path: `input`, `input.…` or `steps.NAME.…`, where list indexes are numbers (`input.items.0`).
It is walked here rather than by JMESPath, so that names with `-` work and a *missing* value, which is an error,
differs from *null*, which is a value. After `|` a JMESPath expression may reshape what the path found
(`${input.items | [].sku}`); within it a missing field is null, as JMESPath has it. Keys of objects are literal.

`when` is a JMESPath expression over `{input, steps}`. A step runs if it gives exactly `true`; everything else, null
and `"yes"` included, skips the step. There, too, what is missing is null, and a name with `-` is quoted:
`steps."charge-card".ok`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from coordinator.errors import InvalidExpression, UnresolvedReference
from coordinator.saga import query
from coordinator.saga.definition import Step, Unset

rendered_chars_max = 256 * 1024  # all text rendered into the strings of one mapping


@dataclass(frozen=True, slots=True)
class Reference:
    """One `${…}`: where it begins, which step it reads (None: the saga's input), and what reshapes the value."""

    root: str  # "input" or "steps"
    step: str | None
    path: str  # as written: `steps.charge-card.lines.0`
    query: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """What is walked from the input, or from the step's result."""
        return tuple(self.path.split("."))[1 if self.step is None else 2 :]


Template = tuple[str | Reference, ...]


def resolve(mapping: Any, scope: Mapping[str, Any]) -> Any:
    """The mapping with its references replaced. `scope` is `{"input": …, "steps": {name: result}}`.

    Values are taken over, not copied. Raises UnresolvedReference naming the path that is not there.
    """
    return _Resolving(scope).value(mapping)


def step_data(step: Step, scope: Mapping[str, Any]) -> Any:
    """What the step's command carries: its resolved `input`, or the whole scope if it states none.

    The scope's `steps` are the results of the steps before this one. Raises UnresolvedReference.
    """
    if isinstance(step.input, Unset):
        return {"input": scope["input"], "steps": dict(scope["steps"])}
    return resolve(step.input, scope)


def is_true(expression: str, scope: Mapping[str, Any]) -> bool:
    """Whether a `when` gives exactly `true`. Raises UnresolvedReference if it fails on the values it meets."""
    return query.search(expression, {"input": scope["input"], "steps": dict(scope["steps"])}) is True


def references(mapping: Any) -> list[Reference]:
    """Every reference of a mapping, in the order they are written. Raises InvalidExpression at the first bad one."""
    return [part for text in texts(mapping) for part in read_template(text) if isinstance(part, Reference)]


def texts(mapping: Any) -> Iterator[str]:
    """Every string of a mapping that is a template. Iterative, so that depth can't exhaust the stack."""
    waiting = [mapping]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            waiting.extend(reversed(list(item.values())))
        elif isinstance(item, list | tuple):
            waiting.extend(reversed(item))


@lru_cache(maxsize=512)
def read_template(text: str) -> Template:
    """A string taken apart into text and references. Raises InvalidExpression."""
    parts: list[str | Reference] = []
    literal, place = "", 0
    while (found := text.find("${", place)) >= 0:
        if found > place and text[found - 1] == "$":
            literal += text[place : found - 1] + "${"
            place = found + 2
            continue
        literal += text[place:found]
        if literal:
            parts.append(literal)
        end = _end(text, found + 2)
        parts.append(read_reference(text[found + 2 : end]))
        literal, place = "", end + 1
    literal += text[place:]
    if literal or not parts:
        parts.append(literal)
    return tuple(parts)


def read_reference(inside: str) -> Reference:
    """What stands between `${` and `}`. Raises InvalidExpression."""
    path, bar, reshaping = (part.strip() for part in inside.partition("|"))
    if len(path) > query.expression_chars_max:
        raise InvalidExpression(path[:60] + "…", f"longer than {query.expression_chars_max} characters")
    keys = path.split(".")
    if not all(keys) or any(character in " \t\r\n\"'`${}[]()" for character in path):
        message = "a reference is a dotted path such as input.lines.0.sku; other shapes go after ' | '"
        raise InvalidExpression(path, message)
    if keys[0] not in ("input", "steps"):
        raise InvalidExpression(path, "a reference begins with input or steps")
    if keys[0] == "steps" and len(keys) == 1:
        raise InvalidExpression(path, "name the step: steps.NAME")
    if bar:
        query.read(reshaping)
    return Reference(keys[0], keys[1] if keys[0] == "steps" else None, path, reshaping if bar else None)


def _end(text: str, start: int) -> int:
    """Where the `}` of a reference is; JMESPath's own braces and quoted text are passed over."""
    open_braces = 1
    for place, character in query.unquoted(text, start):
        if character == "{":
            open_braces += 1
        elif character == "}":
            open_braces -= 1
            if open_braces == 0:
                return place
        if place - start > 2 * query.expression_chars_max:
            break
    raise InvalidExpression(text[start - 2 : start + 60], "the closing } is missing; write $${ for a literal ${")


class _Resolving:
    """One mapping being resolved: the scope, and how much text may still be rendered."""

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self._scope = scope
        self._chars_left = rendered_chars_max

    def value(self, mapping: Any) -> Any:
        if isinstance(mapping, str):
            return self._text(mapping)
        if isinstance(mapping, dict | Mapping):
            return {key: self.value(inner) for key, inner in mapping.items()}
        if isinstance(mapping, list | tuple):
            return [self.value(inner) for inner in mapping]
        return mapping

    def _text(self, text: str) -> Any:
        if "${" not in text:
            return text
        parts = read_template(text)
        if len(parts) == 1 and isinstance(parts[0], Reference):
            return self._reference(parts[0])
        return "".join(part if isinstance(part, str) else self._rendered(part) for part in parts)

    def _rendered(self, reference: Reference) -> str:
        value = self._reference(reference)
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        self._chars_left -= len(text)
        if self._chars_left < 0:
            raise UnresolvedReference(reference.path, f"more than {rendered_chars_max} characters of text to render")
        return text

    def _reference(self, reference: Reference) -> Any:
        value = _walk(reference, self._scope)
        return value if reference.query is None else query.search(reference.query, value)


def _walk(reference: Reference, scope: Mapping[str, Any]) -> Any:
    value, walked = scope["input"], "input"
    if reference.step is not None:
        if reference.step not in scope["steps"]:
            raise UnresolvedReference(reference.path, f"the step {reference.step} has no result here")
        value, walked = scope["steps"][reference.step], f"steps.{reference.step}"
    for key in reference.keys:
        value = _member(value, key, walked, reference.path)
        walked = f"{walked}.{key}"
    return value


def _member(value: Any, key: str, walked: str, path: str) -> Any:
    if isinstance(value, dict | Mapping):
        if key not in value:
            raise UnresolvedReference(path, f"{walked} has no {key!r}")
        return value[key]
    if isinstance(value, list | tuple):
        if not (key.isascii() and key.isdigit() and len(key) <= 9):
            raise UnresolvedReference(path, f"{walked} is a list, and {key!r} is not an index")
        if int(key) >= len(value):
            raise UnresolvedReference(path, f"{walked} has {len(value)} item(s), and no {key}")
        return value[int(key)]
    shown = "null" if value is None else f"a {type(value).__name__}"
    raise UnresolvedReference(path, f"{walked} is {shown}, and has no {key!r}")
