"""The order of an analysis: what failed, what is known about it, who votes for which explanation, what follows."""

from __future__ import annotations

from coordinator.diagnosis.analyser.admissible import admissible_classes
from coordinator.diagnosis.analyser.facts import facts_of
from coordinator.diagnosis.analyser.ledger import Ledger
from coordinator.diagnosis.analyser.reckoning import limits_of
from coordinator.diagnosis.analyser.rules import votes_of
from coordinator.diagnosis.analyser.score import candidates_of, ranked
from coordinator.diagnosis.analyser.telling import tell
from coordinator.diagnosis.case import Case
from coordinator.diagnosis.report import Report

version = "1"


def analyse(case: Case) -> Report:
    """Explain a case. The same case always gives the same report."""
    ledger = Ledger(case.nonce)
    facts = facts_of(case, ledger)
    candidates = candidates_of(votes_of(facts), admissible_classes(facts))
    hypotheses = ranked(candidates, ledger, limits_of(facts))
    return tell(facts, hypotheses, (), ledger, version)
