"""The sentences of a report. Numbers come out of facts, names out of entities; what others wrote is quoted masked, or
not at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from coordinator.diagnosis.analyser.contrast import Contrast, Dimension
from coordinator.diagnosis.analyser.facts import Facts
from coordinator.diagnosis.analyser.ledger import Ref, cut
from coordinator.diagnosis.analyser.naming import clock, plain, short
from coordinator.diagnosis.analyser.score import Candidate
from coordinator.diagnosis.cause import EntityKind, FaultClass, Phase
from coordinator.diagnosis.report import ClaimKind, claim_chars_max, headline_chars_max

_C = FaultClass


@dataclass(frozen=True, slots=True)
class Sentence:
    """One claim, or one link of the chain, before the evidence has its ids."""

    text: str
    evidence: tuple[Ref, ...]
    kind: ClaimKind = ClaimKind.OBSERVATION
    at: datetime | None = None


def headline(facts: Facts, verdict: Candidate) -> str:
    """What is wrong in a line: the culprit, what it does, since when, to how many, and who is fine."""
    failing = facts.failing
    many = f" ({failing.total} sagas)" if failing.total > 1 else ""
    since = f" since {clock(facts.onset.at)}" if facts.onset.at and facts.onset.jumped else ""
    text = f"{_what(facts, verdict)}{since}{many}"
    fine = _counterpart(facts, verdict)
    if fine and len(text) + len(fine) + 2 <= headline_chars_max:
        text = f"{text}; {fine}"
    return cut(text, headline_chars_max)


def _what(facts: Facts, verdict: Candidate) -> str:
    symptom = facts.failing.symptom
    step, participant = plain(symptom.step), plain(symptom.participant)
    doing = f"undoing {step}" if facts.failing.phase is Phase.COMPENSATION else step
    who = short(verdict.culprit) if verdict.culprit else ""
    match verdict.cls:
        case _C.DOWNSTREAM_TIMEOUT:
            of = "" if verdict.culprit and verdict.culprit.kind is EntityKind.PARTICIPANT else f" {participant}"
            return f"{who} answers{of} too late, and {doing} fails"
        case _C.DOWNSTREAM_UNAVAILABLE:
            if verdict.culprit and verdict.culprit.kind is EntityKind.PARTICIPANT:
                return f"Something that {who} depends on is unavailable, and {doing} fails"
            return f"{who} is unavailable to {participant}, and {doing} fails"
        case _C.RATE_LIMITED:
            return f"{who} limits how often {participant} may call, and {doing} fails"
        case _C.CREDENTIAL_FAILURE:
            return f"{who} no longer accepts {participant}'s credential, and {doing} fails"
        case _C.BUSINESS_REJECTION:
            return f"{participant} refused {doing}, as it may"
        case _C.DATA_CONFLICT:
            return f"{doing} meets what is there already"
        case _C.POISON_PAYLOAD:
            return f"The data of {who} breaks {doing}; others pass"
        case _C.UPSTREAM_BAD_OUTPUT:
            return f"{who} gives what {doing} can't use"
        case _C.BAD_DEPLOY:
            share = facts.contrasts.share(verdict.culprit).rate if verdict.culprit else 0.0
            return f"{who} fails {'every' if share >= 0.95 else 'at'} {doing}"
        case _:
            return _what_of_ours(verdict, who, doing, participant)


def _what_of_ours(verdict: Candidate, who: str, doing: str, participant: str) -> str:
    match verdict.cls:
        case _C.WORKER_LOST:
            return f"{who} was lost while at {doing}"
        case _C.WORKER_BACKLOG:
            return f"{participant} does not keep up: {doing} is not taken in time"
        case _C.BROKER_OUTAGE:
            return f"Messages did not travel: {doing} went unanswered"
        case _C.LOCK_CONTENTION:
            return f"Transactions wait for each other in {who}, and {doing} fails"
        case _C.RESOURCE_EXHAUSTION:
            return f"{who} has run out of something, and {doing} fails"
        case _C.MISCONFIGURATION:
            return f"{who} is set wrong, and {doing} fails"
        case _C.UNKNOWN:
            return f"{doing} fails, and what is known does not say why"
        case (
            _C.DOWNSTREAM_TIMEOUT
            | _C.DOWNSTREAM_UNAVAILABLE
            | _C.RATE_LIMITED
            | _C.CREDENTIAL_FAILURE
            | _C.BUSINESS_REJECTION
            | _C.DATA_CONFLICT
            | _C.POISON_PAYLOAD
            | _C.UPSTREAM_BAD_OUTPUT
            | _C.BAD_DEPLOY
        ):
            raise AssertionError(f"{verdict.cls} has been said")
        case _:
            assert_never(verdict.cls)


def _counterpart(facts: Facts, verdict: Candidate) -> str:
    """Who of the same kind is fine."""
    if verdict.culprit is None:
        return ""
    kind = str(verdict.culprit.kind)
    fine = [one for one in facts.contrasts.healthy if str(one.dimension) == kind]
    fine.sort(key=lambda one: (-one.inside.total, one.entity.name))
    if not fine:
        return ""
    name = fine[0].entity.name
    if fine[0].dimension is Dimension.WORKER_VERSION:
        name = name.partition("@")[2]
    return f"{name} is fine"


def symptom_line(facts: Facts) -> str:
    """The words of the failure, masked; or that there were none."""
    quote = facts.voices.quote
    if not quote or facts.voices.suspicious:
        kinds = [plain(kind) for kind in facts.voices.types if kind]
        quote = kinds[0] if kinds else "nothing was said"
    if quote in ("NoReply", ""):
        quote = "no reply"
    return cut(quote, claim_chars_max)


def chain_of(facts: Facts, verdict: Candidate) -> Iterator[Sentence]:
    """From the cause to the symptom."""
    symptom = facts.failing.symptom
    step, onset = plain(symptom.step), facts.onset.at
    if verdict.cls is not FaultClass.UNKNOWN and verdict.culprit:
        change = next((one for one in facts.changes if one.entity == verdict.culprit and one.suspect), None)
        if change:
            yield Sentence(f"{short(change.entity)} changed.", (change.ref,), at=change.occurrence.at)
        doing = f"undoing {step}" if facts.failing.phase is Phase.COMPENSATION else step
        cause = _what(facts, verdict).removesuffix(f", and {doing} fails")  # which is the next link
        yield Sentence(cut(f"{cause}.", claim_chars_max), verdict.supports[:4], at=onset)
    if verdict.root_step and verdict.root_step != symptom.step:
        text = f"{plain(verdict.root_step)} succeeds, and {step} is given what it made."
        yield Sentence(text, verdict.supports[:2], at=onset)
    if facts.attempts_ref and verdict.cls is not FaultClass.BUSINESS_REJECTION:  # which is said already
        outcome = "was refused" if facts.failing.refused else "got no answer" if facts.failing.silent else "failed"
        yield Sentence(f"{step} {outcome}.", facts.attempts_ref, at=onset)
    for seen in facts.failing.sagas[:1]:
        refs = facts.attempts_ref or tuple(ref for one in facts.effects for ref in one.evidence)[:1]
        if refs:
            at = seen.saga.finished_at
            yield Sentence(f"Saga {plain(seen.saga.id)} is {seen.saga.status}.", refs, at=at)


def claims_of(facts: Facts, verdict: Candidate, hypotheses: tuple[Candidate, ...]) -> Iterator[Sentence]:
    """What is seen, what follows, whom it reaches."""
    symptom = facts.failing.symptom
    yield Sentence(_tried(facts), facts.attempts_ref)
    if facts.voices.quote and facts.voices.refs:
        quoted = f"{plain(symptom.participant)} says: “{facts.voices.quote}”"
        yield Sentence(cut(quoted, claim_chars_max), facts.voices.refs[:1])
    for one in facts.contrasts.guilty[:2]:
        yield Sentence(_contrasted(one), (one.ref,))
    if verdict.cls is not FaultClass.UNKNOWN:
        yield Sentence(f"So {_what(facts, verdict)}.", verdict.supports[:6], ClaimKind.INFERENCE)
    elif len(hypotheses) > 1 and hypotheses[1].supports:
        other = hypotheses[1]
        text = f"It may be that {_what(facts, other)}; the evidence for it is thin."
        yield Sentence(cut(text, claim_chars_max), other.supports[:4], ClaimKind.INFERENCE)
    if facts.onset.ref is not None:
        inside = facts.onset.inside
        text = f"{inside.bad} of {inside.total} attempts at {plain(symptom.step)} fail so"
        text += f" since {clock(facts.onset.at)}." if facts.onset.at else "."
        yield Sentence(text, (facts.onset.ref,), ClaimKind.IMPACT)
    for left in facts.residue[:3]:
        yield Sentence(cut(f"Not undone: {left.text}", claim_chars_max), left.evidence, ClaimKind.IMPACT)


def _tried(facts: Facts) -> str:
    sagas = {one.seen.saga.id for one in facts.failing.tried}
    count, step = len(facts.failing.tried), plain(facts.failing.symptom.step)
    where = "in one saga" if len(sagas) == 1 else f"in {len(sagas)} sagas looked at"
    return f"{count} attempt{'' if count == 1 else 's'} at {step} came to nothing {where}."


def _contrasted(one: Contrast) -> str:
    return (
        f"{short(one.entity)} fails {one.inside.bad} of {one.inside.total}; the others"
        f" {one.outside.bad} of {one.outside.total}."
    )
