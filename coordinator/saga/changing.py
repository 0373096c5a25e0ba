"""A value of the core with some of its fields changed. As dataclasses.replace, in less time: a decision makes many."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar, cast

T = TypeVar("T")


def replace(value: T, /, **changes: Any) -> T:
    """The same value but for these fields. Raises KeyError for a name that is none of them."""
    kind = cast(Any, type(value))
    places, held = _fields(kind)
    values = list(held(value))
    for name, change in changes.items():
        values[places[name]] = change
    return cast(T, kind(*values))


@cache
def _fields(kind: type) -> tuple[dict[str, int], Callable[[Any], tuple[Any, ...]]]:
    names = [field.name for field in dataclasses.fields(kind)]
    if len(names) == 1:
        (only,) = names
        return {only: 0}, lambda value: (getattr(value, only),)
    return {name: place for place, name in enumerate(names)}, attrgetter(*names)
