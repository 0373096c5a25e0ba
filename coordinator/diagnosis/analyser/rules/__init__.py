"""The rules: each looks at the facts and votes, for explanations or against them, in log-odds.

saying     what the errors say: codes and types much, wording little
comparing  what fails here and works there: versions, hosts, workers, settings, dependencies
changing   what was done shortly before
waiting    what silence means: who was lost, who queued, what was given too little time
data       one saga's data, or what an earlier step made of it; refusals; what was there already
"""

from __future__ import annotations

from coordinator.diagnosis.analyser.facts import Facts
from coordinator.diagnosis.analyser.rules.changing import changing
from coordinator.diagnosis.analyser.rules.comparing import comparing
from coordinator.diagnosis.analyser.rules.data import data
from coordinator.diagnosis.analyser.rules.saying import saying
from coordinator.diagnosis.analyser.rules.waiting import waiting
from coordinator.diagnosis.analyser.score import Vote


def votes_of(facts: Facts) -> list[Vote]:
    """What every rule says."""
    return [vote for rule in (saying, comparing, changing, waiting, data) for vote in rule(facts)]
