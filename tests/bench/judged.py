"""Results of cases that nobody ran: a report, and what is said to be true."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from bench.diagnosis.cases import Label, symptoms
from bench.diagnosis.loop import began
from bench.diagnosis.running import Effects, Item, Result, Said
from coordinator.diagnosis.cause import Entity, FaultClass
from coordinator.diagnosis.evidence import EvidenceKind
from coordinator.diagnosis.report import Report
from tests.diagnosis.reports import provider, report_of_a_silent_provider

label = Label(
    (FaultClass.DOWNSTREAM_TIMEOUT,),
    frozenset({provider}),
    frozenset({"slow"}),
    cites=(symptoms, frozenset({EvidenceKind.DEPENDENCY_STATE})),
    onset=180.0,
)
affected = tuple(f"saga-{number}" for number in range(10))


def said(confidence: float = 0.9, failures: int = 10) -> Report:
    """The report on a world in which the card provider is slow."""
    report = report_of_a_silent_provider(confidence=confidence, failures=failures)
    return report.model_copy(update={"onset": began.replace(minute=3)})


def result(
    name: str = "case",
    *,
    truth: Label = label,
    report: Report | None = None,
    hit: Collection[str] = affected,
    text: str = "timed out",
    effects: tuple[Mapping[str, Collection[str]], Mapping[str, str]] | None = None,
    **changed: Any,
) -> Result:
    """A case with one fault."""
    item = Item(
        truth,
        truth.blamed,
        tuple(hit),
        "incident",
        report or said(),
        texts=[Said("place_order.charge", "payment", "action", "ReadTimeout", "", text)],
    )
    if effects:
        right = {step: frozenset(known) for step, known in effects[0].items()}
        item.effects.append(Effects("saga-0", right, dict(effects[1])))
    grouped = dict.fromkeys(affected, "incident")
    whose = dict.fromkeys(affected, "fault 0")
    made = Result(name, "downstream_timeout", "dev", False, [item], 100, 10, whose, grouped, [3.0], 1.0)
    return replace(made, **changed)


def labelled(*classes: FaultClass, blamed: Collection[Entity] = (provider,), **changed: Any) -> Label:
    return replace(label, classes=classes, culprits=frozenset(blamed), **changed)
