"""Which values may travel and be stored: JSON that every part of the system can hold.

One gate for the API, the SDK and the reply consumer alike. Each rule is here because something downstream breaks
without it: PostgreSQL refuses NUL and lone surrogates in text, drivers refuse integers over 64 bits, JSON has no NaN,
and nesting beyond Python's recursion limit turns into an error far from its cause.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

from amends.errors import PayloadError

depth_max = 32
nodes_max = 10_000
integer_max = 2**63 - 1


def parse(body: bytes | str, *, nodes: int = nodes_max) -> Any:
    """JSON text as a value that may travel. Raises PayloadError saying what is wrong and where."""
    try:
        text = body.decode("utf-8") if isinstance(body, bytes) else body
        value = _decode(text)
    except UnicodeDecodeError as error:
        raise PayloadError("not UTF-8") from error
    except RecursionError as error:
        raise PayloadError(f"nested deeper than {depth_max}") from error
    except ValueError as error:  # a JSONDecodeError, or an integer of more digits than Python converts
        raise PayloadError(f"not JSON: {error}") from error
    check_value(value, nodes=nodes)
    return value


def check_value(value: Any, *, nodes: int = nodes_max) -> None:
    """Raise PayloadError, with what is wrong and where, unless the value may travel."""
    if not is_plain(value, nodes=nodes):
        _find_fault(value, nodes)


def is_plain(value: Any, *, nodes: int = nodes_max) -> bool:
    """Whether a value may travel for certain, level by level: nearly every one does, and nobody needs to know what its
    parts are called. False: `check_value` says whether and why."""
    level = [value]
    seen = depth = 0
    while level:
        depth += 1
        seen += len(level)
        if depth > depth_max or seen > nodes:
            return False
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is str:
                if not _is_text(item):
                    return False
            elif kind is dict:
                for key in item:
                    if type(key) is not str or not _is_text(key):
                        return False
                below += item.values()
            elif kind is list:
                below += item
            elif kind is int:
                if not -integer_max - 1 <= item <= integer_max:
                    return False
            elif kind is float:
                if not math.isfinite(item):
                    return False
            elif kind is not bool and item is not None:
                return False
        level = below
    return True


def _is_text(text: str) -> bool:
    return "\x00" not in text and (text.isascii() or not any("\ud800" <= one <= "\udfff" for one in text))


def _find_fault(value: Any, nodes: int) -> None:
    """As `check_value`. Iterative, so that depth can't exhaust the stack."""
    seen = 0
    waiting: list[tuple[Any, str, int]] = [(value, "", 1)]
    while waiting:
        item, path, depth = waiting.pop()
        seen += 1
        if seen > nodes:
            raise PayloadError(f"more than {nodes} values", path)
        if depth > depth_max:
            raise PayloadError(f"nested deeper than {depth_max}", path[:200])
        if isinstance(item, dict):
            for key, inner in item.items():
                if not isinstance(key, str):
                    raise PayloadError("an object's keys are strings", path)
                _check_text(key, path)
                waiting.append((inner, f"{path}.{key}" if path else key, depth + 1))
        elif isinstance(item, list | tuple):
            waiting.extend(
                (inner, f"{path}.{index}" if path else str(index), depth + 1) for index, inner in enumerate(item)
            )
        else:
            _check_scalar(item, path)


def _check_scalar(item: Any, path: str) -> None:
    if isinstance(item, str):
        _check_text(item, path)
    elif isinstance(item, bool) or item is None:
        return
    elif isinstance(item, int):
        if not -integer_max - 1 <= item <= integer_max:
            raise PayloadError("an integer beyond 64 bits; send it as a string", path)
    elif isinstance(item, float):
        if not math.isfinite(item):
            raise PayloadError("NaN and Infinity are not JSON", path)
    else:
        raise PayloadError(f"{type(item).__name__} is not JSON", path)


def _check_text(text: str, path: str) -> None:
    if not _is_text(text):
        raise PayloadError("a NUL character" if "\x00" in text else "a lone surrogate", path)


def _no_constant(name: str) -> Any:
    raise PayloadError(f"{name} is not JSON")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise PayloadError(f"the key {twice[:100]!r} stands twice in one object")
    return value


_decode = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_no_duplicates).decode
