"""JSON Schemas of definitions: whether one is usable, and whether a value keeps to it.

Draft 2020-12 unless the schema says another. Nothing outside the schema is ever fetched, from the network or from
disk: a `$ref` is a pointer within it (`#/$defs/sku`). Checking takes a bounded time: patterns run on an engine that is
linear in the text, so look-arounds and back-references are refused; and so are schemas that refer to themselves, or
whose references, written out, are too many. (Twenty definitions that each name the next one twice keep the library
busy for over a minute, with nothing else running meanwhile.)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import unquote

import jsonschema_rs

reason_chars_max = 500
subschemas_max = 2_000  # counted with every reference written out
depth_max = 200

names_of_schemas = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
plain_values = frozenset({"const", "enum", "default", "examples"})
other_references = ("$dynamicRef", "$recursiveRef")


class Validator(Protocol):
    def validate(self, instance: Any) -> None: ...


def check_schema(schema: Mapping[str, Any]) -> str | None:
    """Why this is no usable JSON Schema, or None."""
    try:
        _Size(schema).of(schema)
        _validator(_text(schema))
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        return _first_line(error)
    return None


def violation(schema: Mapping[str, Any], value: Any) -> str | None:
    """Where and how the value breaks the schema, or None. The value itself is not quoted: it may be private.

    Raises ValueError if the schema is unusable, which registration has ruled out.
    """
    validator = _validator(_text(schema))
    try:
        validator.validate(value)  # stops at the first error; iter_errors collects all of them, at 4 ms for each item
    except jsonschema_rs.ValidationError as error:
        place = ".".join(str(part) for part in error.instance_path)
        return f"{place}: {_first_line(error)}" if place else _first_line(error)
    return None


class _Size:
    """How many schemas a schema is, with every reference written out. Raises ValueError at the first bad one."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._known: dict[str, int] = {}
        self._open: list[str] = []  # the references being written out

    def of(self, schema: Any, depth: int = 1, *, by_name: bool = False) -> int:
        """`by_name`: the keys are names the author chose, not keywords."""
        if depth > depth_max:
            raise ValueError(f"nested deeper than {depth_max}")
        size = 1
        if isinstance(schema, Mapping):
            if not by_name:
                size += self._referred(schema, depth)
            for key, inner in schema.items():
                if by_name or key not in plain_values:
                    size += self.of(inner, depth + 1, by_name=not by_name and key in names_of_schemas)
        elif isinstance(schema, list):
            size += sum(self.of(inner, depth + 1) for inner in schema)
        if size > subschemas_max:
            raise ValueError(f"more than {subschemas_max} schemas, with every $ref written out")
        return size

    def _referred(self, schema: Mapping[str, Any], depth: int) -> int:
        for keyword in other_references:
            if keyword in schema:
                raise ValueError(f"{keyword} is not supported; use $ref")
        if "$id" in schema and depth > 1:
            raise ValueError("$id within a schema is not supported: references begin at its root")
        pointer = schema.get("$ref")
        if not isinstance(pointer, str):
            return 0  # absent, or nonsense that the library names
        if pointer in self._open:
            raise ValueError(f"{pointer} refers to itself")
        if pointer not in self._known:
            self._open.append(pointer)
            self._known[pointer] = self.of(self._target(pointer), depth + 1)
            self._open.pop()
        return self._known[pointer]

    def _target(self, pointer: str) -> Any:
        if pointer != "#" and not pointer.startswith("#/"):
            raise ValueError(f"{pointer} is outside the schema; a $ref is a pointer such as #/$defs/sku")
        target: Any = self._root
        for part in unquote(pointer[1:]).split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(target, Mapping) and key in target:
                target = target[key]
            elif isinstance(target, list) and key.isascii() and key.isdigit() and int(key[:9]) < len(target):
                target = target[int(key[:9])]
            else:
                raise ValueError(f"{pointer} leads nowhere")
        return target


def _text(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, sort_keys=True, separators=(",", ":"))


@lru_cache(maxsize=512)
def _validator(text: str) -> Validator:
    validator: Validator = jsonschema_rs.validator_for(
        json.loads(text),
        retriever=_fetch_nothing,
        pattern_options=jsonschema_rs.RegexOptions(),
        mask="the value",
    )
    return validator


def _fetch_nothing(uri: str) -> Any:
    raise ValueError(f"{uri} is outside the schema, and nothing is fetched")


def _first_line(error: Exception) -> str:
    message = getattr(error, "message", None) or str(error)
    return str(message).split("\n", 1)[0][:reason_chars_max]
