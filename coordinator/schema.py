"""JSON Schemas of definitions: whether one is usable, and whether a value keeps to it.

Draft 2020-12 unless the schema says another. Nothing outside the schema is ever fetched, from the network or from
disk. Patterns run on an engine that is linear in the text, so look-arounds and back-references are refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Protocol

import jsonschema_rs

reason_chars_max = 500


class Validator(Protocol):
    def iter_errors(self, instance: Any) -> Any: ...


def check_schema(schema: Mapping[str, Any]) -> str | None:
    """Why this is no usable JSON Schema, or None."""
    try:
        _validator(_text(schema))
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        return _first_line(error)
    return None


def violation(schema: Mapping[str, Any], value: Any) -> str | None:
    """Where and how the value breaks the schema, or None. The value itself is not quoted: it may be private.

    Raises ValueError if the schema is unusable, which registration has ruled out.
    """
    error = next(iter(_validator(_text(schema)).iter_errors(value)), None)
    if error is None:
        return None
    place = ".".join(str(part) for part in error.instance_path)
    return f"{place}: {_first_line(error)}" if place else _first_line(error)


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
