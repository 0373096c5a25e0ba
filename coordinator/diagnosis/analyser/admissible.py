"""Which classes may be named at all: hard predicates on facts, so that no sum of hints, and no model, can name a class
of which the evidence that makes it one is lacking."""

from __future__ import annotations

from collections.abc import Mapping

from coordinator.diagnosis.analyser.facts import Facts
from coordinator.diagnosis.cause import FaultClass


def admissible_classes(facts: Facts) -> Mapping[FaultClass, bool]:
    """For every class whether it may be named."""
    return dict.fromkeys(FaultClass, True)
