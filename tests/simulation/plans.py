"""The small worlds: a chain, a fork and its join, an optional step, a pivot, and steps with effects elsewhere."""

from __future__ import annotations

from typing import Any

from coordinator.saga.definition import RetryPolicy, SagaDefinition, Step, StepKind
from tests.simulation.participant import Participant, Rules
from tests.simulation.world import Plan


def step(name: str, *after: str, attempts: int = 2, undo_attempts: int = 2, **facts: Any) -> Step:
    facts = {"compensation": "undo", **facts}
    if facts.get("kind") in (StepKind.PIVOT, StepKind.RETRIABLE):
        facts["compensation"] = None
    policy, undo_policy = RetryPolicy(max_attempts=attempts), RetryPolicy(max_attempts=undo_attempts)
    return Step(name, name, "do", after=after, retry=policy, compensation_retry=undo_policy, **facts)


def definition(*steps: Step, deadline: bool = False) -> SagaDefinition:
    return SagaDefinition("small", 1, steps, deadline_seconds=1000.0 if deadline else None)


three = ("succeeded", "refused", "failed")


def chain(rules: Rules | None = None) -> Plan:
    """A, then B."""
    participant = Participant(three, ("undone", "failed", "refused"), rules=rules)
    steps = definition(step("a"), step("b", "a"), deadline=True)
    return Plan("chain of two", steps, dict.fromkeys("ab", participant))


def fork(
    *,
    attempts: int = 2,
    undo_attempts: int = 1,
    outcomes: tuple[str, ...] = three,
    undo_outcomes: tuple[str, ...] = ("undone",),
    external: str = "",
    rules: Rules | None = None,
) -> Plan:
    """A, then B and C side by side, then D. Only B and C are tried more than once."""
    policy = {"attempts": attempts, "undo_attempts": undo_attempts}
    steps = definition(
        step("a", attempts=1, undo_attempts=1),
        step("b", "a", **policy),
        step("c", "a", **policy),
        step("d", "b", "c", attempts=1, undo_attempts=1),
    )
    participant = Participant(outcomes, undo_outcomes, rules=rules)
    outside = Participant(outcomes, undo_outcomes, external=True, rules=rules)
    participants = {name: outside if name in external else participant for name in "abcd"}
    return Plan(f"fork and join{', external ' if external else ''}{external}", steps, participants)


def optional(*, external: bool = False, attempts: int = 2, undo_attempts: int = 2, rules: Rules | None = None) -> Plan:
    """A, then B that may fail, then C."""
    steps = definition(
        step("a", attempts=1, undo_attempts=1),
        step("b", "a", optional=True, attempts=attempts, undo_attempts=undo_attempts),
        step("c", "b", attempts=1),
    )
    once = Participant(("succeeded", "failed"), ("undone",), rules=rules)
    unsure = Participant(rules=rules, external=external)
    return Plan(f"optional step{', external' if external else ''}", steps, {"a": once, "b": unsure, "c": once})


def pivot(*, external: bool = False, rules: Rules | None = None) -> Plan:
    """A, then the pivot P, then R that is retried until it succeeds."""
    steps = definition(
        step("a", attempts=1, undo_attempts=1),
        step("p", "a", kind=StepKind.PIVOT),
        step("r", "p", kind=StepKind.RETRIABLE),
        deadline=True,
    )
    once = Participant(("succeeded", "failed"), ("undone",), rules=rules)
    turning = Participant(rules=rules, external=external)
    return Plan(f"pivot{', external' if external else ''}", steps, {"a": once, "p": turning, "r": once})


def skipping(*, external: bool = False) -> Plan:
    """A, then B, then the pivot P; a person may skip A or B at any moment."""
    steps = definition(
        step("a", undo_attempts=1), step("b", "a", undo_attempts=1), step("p", "b", kind=StepKind.PIVOT, attempts=1)
    )
    participant = Participant(("succeeded", "failed"), ("undone",))
    first = Participant(("succeeded", "failed"), ("undone",), external=external)
    participants = {"a": first, "b": participant, "p": participant}
    return Plan(f"skipping before the pivot{', external' if external else ''}", steps, participants, skippable="ab")


def external(place: str, *, undo_attempts: int = 1, rules: Rules | None = None) -> Plan:
    """A chain of two, of which one has effects outside its database."""
    steps = definition(
        *(
            step(name, *after, attempts=2 if place == name else 1, undo_attempts=undo_attempts)
            for name, *after in (("a",), ("b", "a"))
        )
    )
    inside = Participant(("succeeded", "failed"), ("undone",), rules=rules)
    outside = Participant(three, ("undone", "failed"), external=True, rules=rules)
    participants = {name: outside if name == place else inside for name in "ab"}
    return Plan(f"chain of two, {place} external", steps, participants)
