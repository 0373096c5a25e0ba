"""What is told of a report, and in which order: the answer first, then what happened to the world and what to do about
it, then why. Plain sentences in parts; how they are written down is markdown.py's business."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from coordinator.diagnosis.cause import FaultClass, Phase
from coordinator.diagnosis.evidence import Evidence, Trust
from coordinator.diagnosis.remedy import PlannedRemedy, Tier, executable
from coordinator.diagnosis.report import (
    BlastRadius,
    Certainty,
    Claim,
    ClaimKind,
    Flag,
    Hypothesis,
    Report,
    RuledOutBecause,
    Similar,
    StepEffect,
    Transience,
)

entries_max = 12  # of one part; what is more is counted


@dataclass(frozen=True, slots=True)
class Entry:
    """One sentence: a word or two before it that says what it is, and the evidence it rests on."""

    text: str
    mark: str = ""
    cites: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """What belongs together under one heading. `numbered`: the order of its entries means something."""

    title: str
    entries: tuple[Entry, ...]
    numbered: bool = False


@dataclass(frozen=True, slots=True)
class Outline:
    """A report as it is told: the headline, what it comes to, the words of the error, and the rest in parts."""

    headline: str
    summary: tuple[Entry, ...]
    quote: str
    parts: tuple[Part, ...]
    made: str  # how the report was made, for the last line


# --- words ------------------------------------------------------------------------------------------------------------

_classes = {
    FaultClass.DOWNSTREAM_TIMEOUT: "answers too late",
    FaultClass.DOWNSTREAM_UNAVAILABLE: "can't be reached, or fails",
    FaultClass.RATE_LIMITED: "takes no more requests for now",
    FaultClass.CREDENTIAL_FAILURE: "doesn't accept who asks",
    FaultClass.BUSINESS_REJECTION: "says no, as often as it always does",
    FaultClass.DATA_CONFLICT: "is there already, or was changed meanwhile",
    FaultClass.POISON_PAYLOAD: "breaks every worker that touches its data",
    FaultClass.UPSTREAM_BAD_OUTPUT: "succeeded, and gave something unusable",
    FaultClass.BAD_DEPLOY: "fails where other versions don't",
    FaultClass.WORKER_LOST: "died with the command in hand",
    FaultClass.WORKER_BACKLOG: "doesn't keep up with its commands",
    FaultClass.BROKER_OUTAGE: "carried no messages",
    FaultClass.LOCK_CONTENTION: "makes transactions wait for each other",
    FaultClass.RESOURCE_EXHAUSTION: "has run out of something it needs",
    FaultClass.MISCONFIGURATION: "asks for what can't work",
}
_certainties = {
    Certainty.APPLIED: "happened",
    Certainty.NOT_APPLIED: "did not happen",
    Certainty.UNDONE: "undone",
    Certainty.UNKNOWN: "not known",
    Certainty.NOT_RUN: "not run",
}
_transiences = {
    Transience.TRANSIENT: "it comes and goes",
    Transience.PERSISTENT: "it stays until somebody mends it",
    Transience.DETERMINISTIC: "the same input fails every time",
}
_because = {
    RuledOutBecause.HEALTHY_IN_SAME_WINDOW: "healthy meanwhile",
    RuledOutBecause.CHANGE_AFTER_ONSET: "changed afterwards",
    RuledOutBecause.OTHER_DIMENSION_EXPLAINS: "something else explains it",
    RuledOutBecause.RATE_AT_BASELINE: "as often as always",
    RuledOutBecause.NOT_ON_PATH: "not on the way",
}
_flags = {
    Flag.INJECTION_SUSPECTED: "a text among the errors reads like instructions to whoever analyses it",
    Flag.INSUFFICIENT_EVIDENCE: "too little is known",
    Flag.CONFOUNDED: "two explanations fit the same failures, and nothing tells them apart",
    Flag.COMPENSATION_STUCK: "a compensation is stuck, and a person has to decide",
    Flag.NON_IDEMPOTENT_STEP: "a step that may have happened is not safe to repeat",
    Flag.CLOCK_SKEW: "the clocks of the machines differ, so the order of events is uncertain",
    Flag.TRUNCATED: "more failed than was looked at",
    Flag.REDACTED: "secrets and personal data were taken out",
    Flag.MODEL_UNAVAILABLE: "the model gave no answer",
    Flag.MODEL_REJECTED: "what the model said did not stand up to the evidence, and was dropped",
}
_tiers = {
    Tier.A: "may be done automatically",
    Tier.B: "may be done automatically, a little at first",
    Tier.C: "after approval",
    Tier.D: "for a person to do",
}
# What nothing is said of was seen by the coordinator itself.
_hearsay = {Trust.PARTICIPANT: " (a participant says so)", Trust.EXTERNAL_TEXT: " (some text says so)"}


def certainty_in_words(confidence: float) -> str:
    if confidence >= 0.9:
        return "almost certain"
    if confidence >= 0.75:
        return "likely"
    return "more likely than not" if confidence >= 0.5 else "a guess"


def _percent(share: float) -> str:
    """Never "100 %": nothing here is that certain."""
    return f"{min(99, round(100 * share))} %"


def _spoken(word: str) -> str:
    return word.replace("_", " ")


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _clock(at: datetime, today: datetime) -> str:
    """The time of day; with the date if that is another one."""
    return f"{at:%H:%M:%S}" if at.date() == today.date() else f"{at:%Y-%m-%d %H:%M:%S}"


# --- the whole --------------------------------------------------------------------------------------------------------


def outline(report: Report) -> Outline:
    """The report in the order in which it is worth reading."""
    parts = (
        Part("How it came about", tuple(_chain(report)), numbered=True),
        Part("Did it happen?", tuple(_effects(report))),
        Part("Left to do by hand", tuple(_residue(report))),
        Part("What to do", tuple(_advice(report)), numbered=True),
        Part("Seen before", tuple(_seen_before(report))),
        Part("Why", tuple(_reasons(report))),
        Part("Ruled out", tuple(_ruled_out(report))),
        Part("What else it could be", tuple(_others(report))),
        Part("Mind", tuple(Entry(_flags[flag]) for flag in Flag if flag in report.flags)),
        Part("Evidence", tuple(_evidence(item, report.created_at) for item in report.evidence)),
    )
    return Outline(
        headline=report.headline,
        summary=tuple(_summary(report)),
        quote=report.symptom,
        parts=tuple(part for part in map(_bounded, parts) if part.entries),
        made=_made(report),
    )


def _bounded(part: Part) -> Part:
    if part.title == "Evidence" or len(part.entries) <= entries_max:
        return part
    more = len(part.entries) - entries_max
    return Part(part.title, (*part.entries[:entries_max], Entry(f"and {more} more")), part.numbered)


def _summary(report: Report) -> Iterator[Entry]:
    verdict = report.verdict
    yield Entry(_cause_of(verdict), "cause")
    yield Entry(_how_sure(report), "how sure", verdict.supports)
    if verdict.contradicts:
        against = _counted(len(verdict.contradicts), "fact speaks", "facts speak")
        yield Entry(f"{against} against it", "but", verdict.contradicts)
    way = "on the way forward" if report.phase is Phase.FORWARD else "while it was undone"
    since = f", since {_clock(report.onset, report.created_at)}" if report.onset else ""
    yield Entry(f"{report.symptom_step}, {way}{since}", "where")
    reach = _reach(report.blast_radius)
    if reach:
        yield Entry(reach, "reach")
    if report.transience in _transiences:
        yield Entry(_transiences[report.transience], "nature")
    if report.feedback and report.feedback.verdict:
        said = f"{report.feedback.by or 'somebody'} said that this is {report.feedback.verdict}"
        yield Entry(said + (f": {report.feedback.resolution}" if report.feedback.resolution else ""), "verdict")


def _named(hypotheses: Iterable[Hypothesis]) -> list[Hypothesis]:
    """Those that name a cause: that it is none of them always remains."""
    return [one for one in hypotheses if one.cls is not FaultClass.UNKNOWN]


def _cause_of(hypothesis: Hypothesis) -> str:
    if hypothesis.cls is FaultClass.UNKNOWN or hypothesis.culprit is None:
        return "not known"
    kind, name = _spoken(hypothesis.culprit.kind), hypothesis.culprit.name
    return f"{kind} {name} {_classes[hypothesis.cls]} ({_spoken(hypothesis.cls)})"


def _how_sure(report: Report) -> str:
    verdict = report.verdict
    facts = [item for item in report.evidence if item.id in verdict.supports]
    own = sum(item.trust in (Trust.COORDINATOR, Trust.INFRA) for item in facts)
    why = []
    if facts:
        seen = (
            "" if own == 0 else ", seen by the coordinator" if own == len(facts) else f", {own} seen by the coordinator"
        )
        why.append(f"{_counted(len(facts), 'fact', 'facts')} for it{seen}")
    second = next(iter(_named(report.hypotheses[1:])), None)
    if second is not None:
        why.append(f"the next best is {_spoken(second.cls)} with {_percent(second.confidence)}")
    if report.contested:
        why.append("the model and the rules disagree")
    if verdict.missing:
        why.append(f"missing: {', '.join(verdict.missing)}")
    known = verdict.cls is not FaultClass.UNKNOWN
    sure = (
        f"{certainty_in_words(verdict.confidence)}, {_percent(verdict.confidence)}" if known else "nothing stands out"
    )
    return "; ".join([sure, *why])


def _reach(radius: BlastRadius) -> str:
    said = []
    if radius.sagas_failed:
        said.append(f"{_counted(radius.sagas_failed, 'saga', 'sagas')} failed")
    if radius.sagas_stuck:
        said.append(f"{radius.sagas_stuck} blocked")
    if radius.sagas_at_risk:
        said.append(f"{radius.sagas_at_risk} still to go through it")
    if radius.rate_per_minute and radius.sagas_failed > 1:
        said.append(f"{radius.rate_per_minute:.3g} per minute")
    if radius.still_growing:
        said.append("still growing")
    return ", ".join(said)


# --- the parts --------------------------------------------------------------------------------------------------------


def _chain(report: Report) -> Iterator[Entry]:
    for link in report.chain:
        yield Entry(link.text, _clock(link.at, report.created_at) if link.at else "", link.evidence)


def _effects(report: Report) -> Iterator[Entry]:
    """Step by step, those of which the same is to be said together; at last those that never ran."""
    alike: dict[tuple[Certainty, str], list[StepEffect]] = {}
    for effect in report.effects:
        text = "" if effect.certainty is Certainty.NOT_RUN else effect.text
        alike.setdefault((effect.certainty, text), []).append(effect)
    for (certainty, text), effects in sorted(alike.items(), key=lambda one: one[0][0] is Certainty.NOT_RUN):
        steps = ", ".join(effect.step for effect in effects)
        cites = dict.fromkeys(cited for effect in effects for cited in effect.evidence)
        yield Entry(f"{steps}: {text}" if text else steps, _certainties[certainty], tuple(cites))


def _residue(report: Report) -> Iterator[Entry]:
    for left in report.residue:
        whose = "" if left.saga_id == report.saga_id else f", saga {left.saga_id}"
        yield Entry(f"{left.step}{whose}: {left.text.rstrip('.')}. {left.todo}", "", left.evidence)


def _advice(report: Report) -> Iterator[Entry]:
    """Remedies, then advice that no remedy says already."""
    for remedy in report.remedies:
        yield Entry(_remedy(remedy), "", remedy.evidence)
    said = {remedy.text for remedy in report.remedies}
    for claim in _claims(report, ClaimKind.ADVICE):
        if claim.text not in said:
            yield Entry(claim.text, "", claim.evidence)


def _remedy(remedy: PlannedRemedy) -> str:
    """Of what the coordinator can do itself also what it is called, and who decides on it."""
    if remedy.kind not in executable:
        return remedy.text
    return f"{remedy.text.rstrip('.')} ({_spoken(remedy.kind)}; {_tiers[remedy.tier]})"


def _seen_before(report: Report) -> Iterator[Entry]:
    for past in report.similar:
        yield Entry(_similar(past), f"{past.at:%Y-%m-%d %H:%M}")


def _similar(past: Similar) -> str:
    said = f"{past.headline.rstrip('.')}. {_percent(past.similarity)} alike"
    said += f": {', '.join(past.matched_on)}" if past.matched_on else ""
    said += f"; other than then: {', '.join(past.differences)}" if past.differences else ""
    if past.resolution:
        said += f". What resolved it: {past.resolution.rstrip('.')}"
    return f"{said} ({'confirmed ' if past.verified else ''}incident {past.incident_id})"


def _reasons(report: Report) -> Iterator[Entry]:
    for claim in _claims(report, ClaimKind.OBSERVATION, ClaimKind.INFERENCE, ClaimKind.IMPACT):
        yield Entry(claim.text, "", claim.evidence)


def _claims(report: Report, *kinds: ClaimKind) -> Iterable[Claim]:
    return (claim for claim in report.claims if claim.kind in kinds)


def _ruled_out(report: Report) -> Iterator[Entry]:
    for innocent in report.ruled_out:
        who = f"{_spoken(innocent.entity.kind)} {innocent.entity.name}"
        yield Entry(f"{who}: {innocent.text}", _because[innocent.because], innocent.evidence)


def _others(report: Report) -> Iterator[Entry]:
    for other in _named(report.hypotheses[1:]):
        yield Entry(_cause_of(other), _percent(other.confidence), other.supports)


def _evidence(item: Evidence, today: datetime) -> Entry:
    when = _clock(item.ts_from, today) + " " if item.ts_from else ""
    return Entry(when + item.text + _hearsay.get(item.trust, ""), item.id)


def _made(report: Report) -> str:
    whose = f"incident {report.incident_id}" if report.incident_id else f"saga {report.saga_id}"
    who = f"rules {report.analyser_version}"
    if report.source == "model":
        who += f", worded by {report.model or 'a model'} and checked against the evidence"
    return f"{whose}, report {report.version} of {report.created_at:%Y-%m-%d %H:%M:%S} UTC, by {who}"


def brief(told: Outline, titles: Sequence[str]) -> Outline:
    """The same with these parts only."""
    return Outline(
        told.headline, told.summary, told.quote, tuple(part for part in told.parts if part.title in titles), told.made
    )
