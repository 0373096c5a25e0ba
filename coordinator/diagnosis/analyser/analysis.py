"""The order of an analysis: what failed, what is known about it, who votes for which explanation, what follows."""

from __future__ import annotations

from coordinator.diagnosis.analyser.admissible import admissible_classes
from coordinator.diagnosis.analyser.facts import facts_of
from coordinator.diagnosis.analyser.history import remembered
from coordinator.diagnosis.analyser.ledger import Ledger
from coordinator.diagnosis.analyser.reckoning import limits_of
from coordinator.diagnosis.analyser.rules import votes_of
from coordinator.diagnosis.analyser.score import candidates_of, ranked
from coordinator.diagnosis.analyser.telling import tell
from coordinator.diagnosis.case import Case
from coordinator.diagnosis.report import Report
from coordinator.diagnosis.similar import query_of, rank

version = "1"


def analyse(case: Case) -> Report:
    """Explain a case. The same case always gives the same report."""
    ledger = Ledger(case.nonce)
    facts = facts_of(case, ledger)
    similar = rank(query_of(case), case.past, case.at)
    votes = [*votes_of(facts), *remembered(facts, similar, ledger)]
    common = (*facts.attempts_ref[:1], *facts.voices.refs[:1])
    candidates = candidates_of(votes, admissible_classes(facts), common)
    hypotheses = ranked(candidates, ledger, limits_of(facts))
    return tell(facts, hypotheses, similar, ledger, version)
