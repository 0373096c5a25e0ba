"""A span that is over: what a saga's trace is made of. Nothing is held open between a span's start and its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from opentelemetry.trace import SpanKind

Attribute = str | int | float | bool | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SpanLink:
    """To another span of the same trace, and what this one does to it: repeats, undoes, asks about, answers."""

    span_id: str
    relation: str


@dataclass(frozen=True, slots=True)
class FinishedSpan:
    """Ids are hexadecimal, 32 and 16 digits; times are aware UTC. `error` says what went wrong, if anything did."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start: datetime
    end: datetime
    kind: SpanKind = SpanKind.INTERNAL
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    links: tuple[SpanLink, ...] = ()
    error: str | None = None
