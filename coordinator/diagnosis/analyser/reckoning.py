"""How far it reaches, whether it passes, and what a reader must be warned of."""

from __future__ import annotations

from datetime import timedelta

from coordinator.diagnosis.analyser.contrast import Contrast, Dimension
from coordinator.diagnosis.analyser.facts import Facts
from coordinator.diagnosis.analyser.ledger import cut
from coordinator.diagnosis.analyser.naming import plain, short
from coordinator.diagnosis.analyser.rules.comparing import deploy_of, guilty_version
from coordinator.diagnosis.analyser.score import Candidate, Limits
from coordinator.diagnosis.cause import FaultClass, Phase
from coordinator.diagnosis.report import BlastRadius, Flag, Transience, claim_chars_max

recent = timedelta(minutes=5)
names_max = 20
many_failures = 500

_C = FaultClass
_passing = frozenset(
    {
        _C.DOWNSTREAM_TIMEOUT,
        _C.DOWNSTREAM_UNAVAILABLE,
        _C.RATE_LIMITED,
        _C.WORKER_LOST,
        _C.WORKER_BACKLOG,
        _C.BROKER_OUTAGE,
        _C.LOCK_CONTENTION,
    }
)
_staying = frozenset({_C.CREDENTIAL_FAILURE, _C.BAD_DEPLOY, _C.MISCONFIGURATION, _C.RESOURCE_EXHAUSTION})


def limits_of(facts: Facts) -> Limits:
    """What keeps the confidence down."""
    told = bool(facts.voices.codes or facts.dependencies or facts.voices.log_refs or facts.fleet.own)
    return Limits(
        confounded=bool(confounded(facts)),
        alone_without_code=facts.failing.total <= 1 and not facts.voices.codes and not facts.failing.refused,
        nothing_told=not told and not facts.failing.refused,
    )


def confounded(facts: Facts) -> tuple[Contrast, Contrast] | None:
    """Two that fail together and that nothing tells apart: neither was changed just before, or both were."""
    for one, other in facts.contrasts.twins:
        dimensions = {one.dimension, other.dimension}
        if dimensions == {Dimension.HOST, Dimension.WORKER} or Dimension.STEP in dimensions:
            continue
        changed = {change.entity for change in facts.changes if change.suspect}
        if (one.entity in changed) is not (other.entity in changed):
            continue
        if Dimension.WORKER_VERSION in dimensions:
            version = guilty_version(facts)
            if version is None or (Dimension.WORKER in dimensions and deploy_of(version, facts)):
                continue  # it worked before on the same place: its place is to blame, not its code
        if one.entity not in changed and one.healthy_before is not other.healthy_before:
            continue
        return one, other
    return None


def blast_radius(facts: Facts) -> BlastRadius:
    """How far it reaches, and whether it still grows."""
    failing, case = facts.failing, facts.case
    latest = case.at - recent
    lately = sum(failure.at > latest for failure in case.failures)
    before = sum(latest - recent < failure.at <= latest for failure in case.failures)
    first = min((one.attempt.started_at for one in failing.tried), default=None)
    return BlastRadius(
        sagas_failed=failing.total,
        sagas_at_risk=case.at_risk,
        sagas_stuck=case.stuck,
        definitions=tuple(dict.fromkeys(plain(step.definition) for step in failing.steps))[:names_max],
        steps=tuple(dict.fromkeys(f"{plain(step.definition)}.{plain(step.step)}" for step in failing.steps))[
            :names_max
        ],
        since=facts.onset.at or first,
        rate_per_minute=round(lately / (recent.total_seconds() / 60), 2),
        still_growing=lately > 0 and lately >= before and failing.total > 1,
    )


def transience_of(facts: Facts, verdict: Candidate) -> Transience:
    """Whether it comes and goes, stays until somebody mends it, or hits the same input every time."""
    if verdict.cls in (_C.BUSINESS_REJECTION, _C.POISON_PAYLOAD, _C.UPSTREAM_BAD_OUTPUT, _C.DATA_CONFLICT):
        return Transience.DETERMINISTIC
    if verdict.cls in _staying:
        return Transience.PERSISTENT
    if verdict.cls in _passing:
        return Transience.TRANSIENT
    return Transience.UNKNOWN


def flags_of(facts: Facts, verdict: Candidate) -> frozenset[Flag]:
    """What a reader, and whoever acts, must be warned of."""
    found: set[Flag] = set()
    if facts.voices.suspicious:
        found.add(Flag.INJECTION_SUSPECTED)
    if verdict.cls is FaultClass.UNKNOWN:
        found.add(Flag.INSUFFICIENT_EVIDENCE)
    if confounded(facts):
        found.add(Flag.CONFOUNDED)
    if facts.failing.phase is Phase.COMPENSATION:
        found.add(Flag.COMPENSATION_STUCK)
    if verdict.cls is FaultClass.DATA_CONFLICT and any(one.silent for one in facts.failing.tried):
        found.add(Flag.NON_IDEMPOTENT_STEP)
    skewed = [
        one
        for one in facts.failing.tried
        if one.attempt.duration_seconds is not None
        and one.attempt.duration_seconds > (one.at - one.attempt.started_at).total_seconds() + 0.25
    ]
    if skewed:
        found.add(Flag.CLOCK_SKEW)
    if len(facts.case.failures) >= many_failures or any("older" in missing for missing in facts.case.missing):
        found.add(Flag.TRUNCATED)
    quotes = (facts.voices.quote, *(facet.template for facet in facts.case.facets))
    if any(mark in quote for quote in quotes for mark in ("<secret", "<token", "<email", "<card", "<iban", "<pem")):
        found.add(Flag.REDACTED)
    return frozenset(found)


def missing_of(facts: Facts) -> tuple[str, ...]:
    """What would help to be surer."""
    symptom = facts.failing.symptom
    found = [cut(" ".join(missing.split()), claim_chars_max) for missing in facts.case.missing[:4]]
    if not facts.dependencies:
        found.append(f"{plain(symptom.participant)} does not report its calls to what it depends on")
    if not facts.voices.codes and not facts.failing.refused:
        found.append(f"the errors of {plain(symptom.participant)} state no code")
    if not facts.fleet.own:
        found.append("no other attempts at this step to compare with")
    twins = confounded(facts)
    if twins:
        found.append(f"{short(twins[0].entity)} and {short(twins[1].entity)} fail together; nothing tells them apart")
    return tuple(found[:5])
