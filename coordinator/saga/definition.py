"""The plan: what a saga is made of. Data, immutable once stored, versioned.

`SagaDefinition` answers questions about its own graph; `coordinator.saga.registration` reads one from JSON and
checks it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Any


class StepKind(StrEnum):
    """What may be done about a step once it happened."""

    COMPENSATABLE = "compensatable"
    PIVOT = "pivot"  # the point of no return: before it the saga can turn, after it it can't
    RETRIABLE = "retriable"  # after the pivot: retried until it succeeds
    READONLY = "readonly"  # leaves nothing behind


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a command is sent, and how long to wait in between. `max_attempts` counts the first."""

    max_attempts: int = 4
    first_seconds: float = 1.0
    factor: float = 2.0
    cap_seconds: float = 60.0
    jitter: float = 0.1  # each wait is spread by up to this share of itself, either way
    give_up_on: frozenset[str] = frozenset()  # error types that end the attempts at once


# A compensation has no alternative, so it is tried for hours before a person is asked.
compensation_retry_default = RetryPolicy(max_attempts=30, first_seconds=1.0, factor=2.0, cap_seconds=300.0)

timeout_seconds_default = 30.0
grace_seconds_default = 30.0


@dataclass(frozen=True, slots=True)
class Unset:
    """A step that states no `input`: it gets the saga's input and the results of the steps before it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One local transaction of one participant, and its way back."""

    name: str
    participant: str
    action: str
    compensation: str | None = None
    after: tuple[str, ...] = ()
    kind: StepKind = StepKind.COMPENSATABLE
    input: Any = field(default_factory=Unset)
    when: str | None = None
    optional: bool = False
    irreversible: str | None = None  # why there is no way back, in the author's words
    timeout_seconds: float = timeout_seconds_default
    retry: RetryPolicy = RetryPolicy()
    compensation_retry: RetryPolicy = compensation_retry_default
    input_schema: Mapping[str, Any] | None = None
    output_schema: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class SagaDefinition:
    """The steps of a saga and the order their edges (`after`) give. `document` is the JSON it was read from."""

    name: str
    version: int
    steps: tuple[Step, ...]
    deadline_seconds: float | None = None
    grace_seconds: float = grace_seconds_default  # what a sibling in flight gets when the saga turns
    retention_seconds: float | None = None
    tags: tuple[str, ...] = ()
    input_schema: Mapping[str, Any] | None = None
    document: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @cached_property
    def by_name(self) -> dict[str, Step]:
        return {step.name: step for step in self.steps}

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The names in an order in which each comes after all it depends on. Raises graphlib.CycleError."""
        return tuple(TopologicalSorter({step.name: step.after for step in self.steps}).static_order())

    @cached_property
    def ancestors(self) -> dict[str, frozenset[str]]:
        """For each step, every step that comes before it."""
        return self._closure(self.order, {step.name: step.after for step in self.steps})

    @cached_property
    def followers(self) -> dict[str, tuple[str, ...]]:
        """For each step, the steps that name it in their `after`."""
        found: dict[str, list[str]] = {step.name: [] for step in self.steps}
        for step in self.steps:
            for before in step.after:
                found[before].append(step.name)
        return {name: tuple(names) for name, names in found.items()}

    @cached_property
    def descendants(self) -> dict[str, frozenset[str]]:
        """For each step, every step that comes after it."""
        return self._closure(tuple(reversed(self.order)), self.followers)

    @cached_property
    def pivot(self) -> Step | None:
        return next((step for step in self.steps if step.kind is StepKind.PIVOT), None)

    @staticmethod
    def _closure(order: Iterable[str], next_of: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
        reached: dict[str, frozenset[str]] = {}
        for name in order:
            direct = frozenset(next_of[name])
            reached[name] = direct.union(*(reached[other] for other in direct))
        return reached
