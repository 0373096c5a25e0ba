"""What may be done about it. What the coordinator can do itself comes as a remedy with bounds; the rest is advice. What
would overrule a person's judgement, to skip a step or to declare it done, is never proposed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from coordinator.diagnosis.analyser.facts import Facts
from coordinator.diagnosis.analyser.ledger import Ref, cut
from coordinator.diagnosis.analyser.naming import plain, seconds, short
from coordinator.diagnosis.analyser.score import Candidate
from coordinator.diagnosis.cause import EntityKind, FaultClass
from coordinator.diagnosis.remedy import RemedyKind, Target, Tier
from coordinator.diagnosis.report import Certainty
from coordinator.saga.event import Kind
from coordinator.saga.state import SagaStatus

remedies_max = 8
retries_max = 5  # of single sagas, in one report
circuit_seconds = 300.0
throttle_seconds = 600.0
pause_seconds = 300.0
many_sagas = 3
text_chars_max = 300

_C = FaultClass
# What is over by itself one day, so that the same command may be sent again at once. Whoever limits how often he is
# called is not: that would be one call more.
passes = frozenset(
    {
        _C.DOWNSTREAM_TIMEOUT,
        _C.DOWNSTREAM_UNAVAILABLE,
        _C.LOCK_CONTENTION,
        _C.WORKER_LOST,
        _C.BROKER_OUTAGE,
    }
)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A remedy before the evidence has its ids."""

    kind: RemedyKind
    tier: Tier
    text: str
    target: Target
    evidence: tuple[Ref, ...]


def proposals_of(facts: Facts, verdict: Candidate) -> tuple[Proposal, ...]:
    """What to do, the most useful first."""
    symptom = facts.failing.symptom
    place = Target(participant=symptom.participant, definition=symptom.definition, step=symptom.step)
    found: list[Proposal] = []
    for kind, tier, text, target in (*_by_class(facts, verdict), *_doubts(facts), *_retries(facts, verdict)):
        if not any((one.kind, one.target) == (kind, target or place) for one in found):
            text = cut(text, text_chars_max)
            found.append(Proposal(kind, tier, text, target or place, verdict.supports[:4]))
    return tuple(found[:remedies_max])


Advice = tuple[RemedyKind, Tier, str, Target | None]


def _by_class(facts: Facts, verdict: Candidate) -> Iterator[Advice]:
    who = short(verdict.culprit) if verdict.culprit else "it"
    participant = plain(facts.failing.symptom.participant)
    match verdict.cls:
        case _C.DOWNSTREAM_TIMEOUT | _C.DOWNSTREAM_UNAVAILABLE:
            yield from _circuit(facts, f"Pause {participant} until {who} answers again: what is sent now fails.")
            yield RemedyKind.RETRY_LATER, Tier.C, f"Once {who} answers again, retry with backoff.", None
        case _C.RATE_LIMITED:
            yield _throttle(facts, f"Send {participant} less, so that {who} keeps up.")
            asked = facts.voices.retry_after_seconds
            after = f" after {seconds(asked)}, as it asks" if asked else ""
            yield RemedyKind.RETRY_LATER, Tier.C, f"Retry with backoff{after}.", None
        case _C.CREDENTIAL_FAILURE:
            text = f"Renew what {participant} shows to {who}: trying again is no use."
            yield RemedyKind.ROTATE_CREDENTIAL, Tier.C, text, None
            yield from _circuit(facts, f"Pause {participant} until its credential is renewed.")
        case _C.BUSINESS_REJECTION:
            yield RemedyKind.REPORT_ONLY, Tier.A, "Nothing is broken: the participant says no, as it may.", None
        case _C.DATA_CONFLICT:
            text = f"Look in {participant}'s system whether what is there is this saga's own."
            yield RemedyKind.CHECK_EFFECT, Tier.C, text, None
            text = "Let a repeated command find its own result instead of failing on it."
            yield RemedyKind.MAKE_IDEMPOTENT, Tier.C, text, None
        case _C.POISON_PAYLOAD:
            yield from _park(facts)
            yield RemedyKind.FIX_INPUT, Tier.C, f"Mend the input of {who}, or teach {participant} to take it.", None
        case _C.UPSTREAM_BAD_OUTPUT:
            yield RemedyKind.FIX_PRODUCER, Tier.C, f"Mend what {who} gives: what comes after it can't use it.", None
            if verdict.culprit and verdict.culprit.kind is EntityKind.WORKER_VERSION:
                yield RemedyKind.ROLL_BACK, Tier.C, f"Roll {who} back.", None
            yield from _park(facts)
        case _C.BAD_DEPLOY:
            yield RemedyKind.ROLL_BACK, Tier.C, f"Roll {who} back.", None
        case _:
            yield from _by_class_of_ours(facts, verdict, who, participant)


def _by_class_of_ours(facts: Facts, verdict: Candidate, who: str, participant: str) -> Iterator[Advice]:
    match verdict.cls:
        case _C.WORKER_LOST:
            text = "Nothing, if another worker took over: attempts are repeated by themselves."
            yield RemedyKind.WAIT, Tier.A, text, None
            yield RemedyKind.RETRY_LATER, Tier.C, f"See why {who} fell silent; then retry what was given up.", None
        case _C.WORKER_BACKLOG:
            yield RemedyKind.SCALE_WORKERS, Tier.C, f"Run more workers of {participant}.", None
            yield _throttle(facts, f"Send {participant} less until it has caught up; retries would only add to it.")
        case _C.BROKER_OUTAGE:
            target = Target(seconds=pause_seconds)
            yield RemedyKind.PAUSE_ALL, Tier.A, "Stop all clocks until the broker is back: nobody can answer.", target
            yield RemedyKind.RESTORE_BROKER, Tier.C, "Bring the broker back.", None
        case _C.LOCK_CONTENTION:
            yield RemedyKind.RETRY_LATER, Tier.C, "Retry with backoff and jitter: locks pass.", None
            yield RemedyKind.END_TRANSACTION, Tier.C, f"Look for a long transaction in {who}, and end it.", None
        case _C.RESOURCE_EXHAUSTION:
            yield RemedyKind.FREE_RESOURCE, Tier.C, f"Free what ran out at {who}.", None
            if verdict.culprit and verdict.culprit.kind in (EntityKind.HOST, EntityKind.WORKER):
                yield RemedyKind.DRAIN, Tier.C, f"Drain {who} meanwhile.", None
        case _C.MISCONFIGURATION:
            setting = verdict.culprit is not None and verdict.culprit.kind is EntityKind.SETTING
            if setting and verdict.culprit and verdict.culprit.name.endswith(".timeout"):
                yield RemedyKind.EXTEND_TIMEOUT, Tier.C, f"Give {who} as much time as the work takes.", None
            yield RemedyKind.RESTORE_SETTING, Tier.C, f"Put {who} back to what worked.", None
        case _:
            yield RemedyKind.COLLECT_EVIDENCE, Tier.A, _wanted(facts), None


def _wanted(facts: Facts) -> str:
    missing = []
    if not facts.dependencies:
        missing.append("its calls to what it depends on")
    if not facts.voices.codes:
        missing.append("the codes of its errors")
    if not any(worker.version for worker in facts.case.workers):
        missing.append("the versions of its workers")
    participant = plain(facts.failing.symptom.participant)
    wanted = " and ".join(filter(None, [", ".join(missing[:-1]), *missing[-1:]]))
    return f"Have {participant} report {wanted or 'more'}: nothing that is known names a cause."


def _circuit(facts: Facts, text: str) -> Iterator[Advice]:
    """Of use when many fail for the one reason; for one saga it would stop the innocent."""
    if facts.failing.total >= many_sagas:
        target = Target(participant=facts.failing.symptom.participant, seconds=circuit_seconds)
        yield RemedyKind.OPEN_CIRCUIT, Tier.A, text, target


def _throttle(facts: Facts, text: str) -> Advice:
    """About half of what got through lately; a tenth of all at least."""
    succeeded = max(1, facts.others.total - facts.others.bad)
    span = 60.0
    if facts.onset.at:
        span = max(60.0, (facts.case.at - facts.onset.at).total_seconds())
    rate = round(max(0.5 * succeeded / span, 0.1 * facts.others.total / span, 0.1), 2)
    symptom = facts.failing.symptom
    target = Target(participant=symptom.participant, rate_per_second=rate, seconds=throttle_seconds)
    return RemedyKind.THROTTLE, Tier.A, text, target


def _park(facts: Facts) -> Iterator[Advice]:
    for seen in facts.failing.sagas[:many_sagas]:
        if not seen.saga.final and not seen.saga.paused:
            target = Target(saga_id=seen.saga.id)
            yield RemedyKind.PARK_SAGA, Tier.A, f"Hold saga {plain(seen.saga.id)}: trying again breaks again.", target


def _doubts(facts: Facts) -> Iterator[Advice]:
    """Effects nobody knows of are looked for before anything else is done to their steps."""
    for left in facts.residue:
        run = left.seen.saga.step(left.step)
        if (run.unclean or run.blocked) and not run.undone:
            step = left.seen.definition.by_name[left.step]
            target = Target(saga_id=left.seen.saga.id, step=left.step, participant=step.participant)
            what = f"{plain(left.step)} of saga {plain(left.seen.saga.id)}"
            text = f"Look in {plain(step.participant)}'s system what became of {what}."
            yield RemedyKind.CHECK_EFFECT, Tier.C, text, target
            return


def _retries(facts: Facts, verdict: Candidate) -> Iterator[Advice]:
    """Blocked steps of which it is known that nothing happened, or that what happened is still there to be undone."""
    if verdict.cls not in passes:
        return
    certain = {(one.seen.saga.id, one.step.name): one.certainty for one in facts.effects}
    found = 0
    for seen in facts.failing.sagas:
        if seen.saga.status is not SagaStatus.BLOCKED or found >= retries_max:
            continue
        for run in seen.saga.steps.values():
            clean = not run.unclean or run.happened
            known = certain.get((seen.saga.id, run.name)) is not Certainty.UNKNOWN
            doubtful_undo = run.blocked is Kind.COMPENSATION and _undo_in_doubt(facts, seen.saga.id, run.name)
            if run.blocked and clean and known and not doubtful_undo:
                found += 1
                target = Target(saga_id=seen.saga.id, step=run.name, definition=seen.saga.definition)
                text = f"Try {plain(run.name)} of saga {plain(seen.saga.id)} again: its last attempt changed nothing."
                yield RemedyKind.RETRY_STEP, Tier.A, text, target


def _undo_in_doubt(facts: Facts, saga_id: str, step: str) -> bool:
    return any(
        one.silent or one.attempt.effect == "unknown"
        for one in facts.failing.tried
        if (one.seen.saga.id, one.step.name, one.attempt.command.kind) == (saga_id, step, Kind.COMPENSATION)
    )
