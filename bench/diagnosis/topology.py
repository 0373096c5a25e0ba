"""The world at rest: which services there are, what they depend on, and the definitions that go through them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

numbers = ("price", "amount", "total", "weight", "points", "fee", "dose", "volume", "quantity", "duty")


@dataclass(frozen=True, slots=True)
class Work:
    """One action of a service, or one compensation: what it calls, and whether it has effects outside its database."""

    dependency: str | None = None
    external: bool = False
    seconds: float = 0.03  # of its own
    declines: float = 0.0  # how often it says no, as it always has
    reason: str = ""  # what it says then


@dataclass(frozen=True, slots=True)
class Service:
    """A participant, and how its workers are started."""

    name: str
    actions: Mapping[str, Work]
    compensations: Mapping[str, Work]
    settings: Mapping[str, str] = field(default_factory=dict)
    version: str = "1.4.0"
    next_version: str = "1.5.0"


@dataclass(frozen=True, slots=True)
class Plan:
    """One step of a definition. `takes`: what its input is made of. `gives`: the fields of its result."""

    name: str
    service: str
    action: str
    compensation: str = ""
    after: tuple[str, ...] | None = None
    kind: str = "compensatable"
    takes: Mapping[str, str] = field(default_factory=dict)
    gives: tuple[str, ...] = ()
    timeout_seconds: float = 6.0
    max_attempts: int = 2

    def document(self) -> dict[str, Any]:
        """The step as it is posted."""
        fields: dict[str, Any] = {
            "name": self.name,
            "participant": self.service,
            "action": self.action,
            "timeout": self.timeout_seconds,
            "retry": {"max_attempts": self.max_attempts, "first": 1.0, "factor": 2.0},
            "input": {key: f"${{{reference}}}" for key, reference in self.takes.items()},
            "kind": self.kind,
        }
        if self.compensation:
            fields["compensation"] = self.compensation
            fields["compensation_retry"] = {"max_attempts": 3, "first": 1.0, "factor": 2.0}
        if self.after is not None:
            fields["after"] = list(self.after)
        return fields


@dataclass(frozen=True, slots=True)
class Definition:
    """A saga's plan, and what a saga of it is given."""

    name: str
    inputs: tuple[str, ...]
    steps: tuple[Plan, ...]

    def document(self) -> dict[str, Any]:
        return {"name": self.name, "steps": [step.document() for step in self.steps]}

    def step(self, name: str) -> Plan:
        return next(step for step in self.steps if step.name == name)


@dataclass(frozen=True, slots=True)
class Theme:
    """Services and definitions that belong together."""

    name: str
    services: tuple[Service, ...]
    definitions: tuple[Definition, ...]
    hosts: tuple[str, str, str]

    def service(self, name: str) -> Service:
        return next(service for service in self.services if service.name == name)

    def definition(self, name: str) -> Definition:
        return next(definition for definition in self.definitions if definition.name == name)


def call(text: str, undo: str = "", **more: Any) -> dict[str, Any]:
    """The service and the action of a step, written "service.action"."""
    service, _, action = text.partition(".")
    return {"service": service, "action": action, "compensation": undo, **more}


def value_of(name: str, chance: random.Random) -> Any:
    """Something a field of that name may hold."""
    if name in numbers:
        return round(chance.uniform(5, 400), 2)
    if name == "items":
        return [{"sku": f"sku-{chance.randrange(900)}", "count": chance.randrange(1, 4)} for _ in range(3)]
    if name.endswith("_id"):
        return f"{name[:3]}_{chance.getrandbits(40):010x}"
    if name == "email":
        return f"person{chance.randrange(10_000)}@example.org"
    return f"{name} {chance.randrange(10_000)}"
