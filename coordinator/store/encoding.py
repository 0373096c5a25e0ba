"""JSON values as text that both databases hold."""

from __future__ import annotations

import json
from typing import Any

import msgspec

_quick = msgspec.json.Encoder()
_escaping = json.JSONEncoder(separators=(",", ":"))


def encode(value: Any) -> str:
    """A JSON value as text. What a database could not hold, a NUL or half a surrogate pair, stays escaped."""
    try:
        return _quick.encode(value).decode()
    except UnicodeEncodeError:
        return _escaping.encode(value)
