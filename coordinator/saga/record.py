"""Sagas, steps and events as JSON values and back: what the store keeps, and what a replay reads.

Fields at their defaults are left out, so that a record is as small as what happened.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar

from coordinator.saga import event as events
from coordinator.saga.changing import replace, values_getter
from coordinator.saga.state import Saga, StepRun

T = TypeVar("T")
EVENTS: Mapping[str, type] = {kind.__name__: kind for kind in typing.get_args(events.Event)}


def dump(value: Any) -> Any:
    """A dataclass of the core as a JSON value."""
    return _dataclass_dumper(typing.cast(Any, type(value)))(value)


def load(kind: type[T], value: Any) -> T:
    """A JSON value as the dataclass it was dumped from."""
    return typing.cast(T, _reader(typing.cast(Any, kind))(value))


def dump_event(event: events.Event) -> tuple[str, dict[str, Any]]:
    """An event as its type's name and its facts."""
    return type(event).__name__, dump(event)


def load_event(name: str, facts: Mapping[str, Any]) -> events.Event:
    return typing.cast(events.Event, load(EVENTS[name], facts))


def dump_saga(saga: Saga, *, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    """A saga without its steps, which are kept one by one, and without these fields."""
    return typing.cast(dict[str, Any], _dataclass_dumper(Saga, without | {"steps"})(saga))


def load_saga(facts: Mapping[str, Any], steps: Mapping[str, StepRun]) -> Saga:
    return replace(load(Saga, facts), steps=steps)


def dump_step(run: StepRun, *, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    return typing.cast(dict[str, Any], _dataclass_dumper(StepRun, without)(run))


def load_step(facts: Mapping[str, Any]) -> StepRun:
    return load(StepRun, facts)


class _Missing:
    """Equal to nothing: a field without a default is always kept."""


Dumper = Callable[[Any], Any]


@cache
def _dataclass_dumper(kind: type, without: frozenset[str] = frozenset()) -> Dumper:
    """Compiled once per type from its annotations. Most fields are at their defaults, and most others are what they
    are: None instead of a dumper."""
    hints = typing.get_type_hints(kind)
    fields = [field for field in dataclasses.fields(kind) if field.name not in without]
    how = tuple((field.name, _default(field), _dumper(hints[field.name])) for field in fields)
    values_of = values_getter([field.name for field in fields])

    def dumped(value: Any) -> dict[str, Any]:
        facts = {}
        for held, (name, default, dumper) in zip(values_of(value), how, strict=True):
            if held is not default and held != default:
                facts[name] = held if dumper is None or held is None else dumper(held)
        return facts

    return dumped


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return _Missing() if field.default is dataclasses.MISSING else field.default


@cache
def _dumper(kind: Any) -> Dumper | None:
    """How to dump a value of this type that is not None. None: it is a JSON value already."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return _dumper(inner)
    if origin is tuple and arguments[-1] is not Ellipsis:
        parts = tuple(_dumper(argument) or _as_it_is for argument in arguments)
        return lambda value: [part(item) for part, item in zip(parts, value, strict=True)]
    if origin is tuple:
        item = _dumper(arguments[0])
        return list if item is None else lambda value: [item(one) for one in value]
    if origin is frozenset:
        return sorted
    if origin is not None and issubclass(origin, Mapping):
        held = _dumper(arguments[1]) or _as_it_is
        return lambda value: {key: held(part) for key, part in value.items()}
    if dataclasses.is_dataclass(kind):
        return _dataclass_dumper(typing.cast(type, kind))
    return datetime.isoformat if kind is datetime else None  # every enum is a StrEnum, and so a string


def _as_it_is(value: Any) -> Any:
    return value


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    """How to read a value of this type. Compiled once per type from its annotations."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        (inner,) = (_reader(argument) for argument in arguments if argument is not type(None))
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            item = _reader(arguments[0])
            return lambda value: tuple(item(part) for part in value)
        items = [_reader(argument) for argument in arguments]
        return lambda value: tuple(read(part) for read, part in zip(items, value, strict=True))
    if origin is frozenset:
        return frozenset
    if origin is not None and issubclass(origin, Mapping):
        held = _reader(arguments[1])
        return lambda value: {key: held(part) for key, part in value.items()}
    if dataclasses.is_dataclass(kind):
        return _dataclass_reader(typing.cast(type, kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    if kind is datetime:
        return datetime.fromisoformat
    return lambda value: value


def _dataclass_reader(kind: type) -> Callable[[Any], Any]:
    hints = typing.get_type_hints(kind)
    readers = {field.name: _reader(hints[field.name]) for field in dataclasses.fields(kind)}
    return lambda facts: kind(**{name: readers[name](value) for name, value in facts.items()})
