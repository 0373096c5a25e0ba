"""What of a checked draft enters the report: its prose. A pure function.

Class, culprit, effects, blast radius, onset and the parameters of remedies are never the model's. Where it disagrees
with the rules the report says so, and nothing is done automatically.
"""

from __future__ import annotations

from coordinator.diagnosis.cause import FaultClass
from coordinator.diagnosis.llm.checking import Checked
from coordinator.diagnosis.remedy import PlannedRemedy, executable
from coordinator.diagnosis.report import ChainLink, Claim, ClaimKind, Flag, Hypothesis, Report, claims_max

overrule_below = 0.5  # the model's choice goes first only where the rules are less sure than this …
overruled_confidence_max = 0.6  # … and then with at most this confidence


def merge(report: Report, checked: Checked, *, model: str, prompt_hash: str, tokens_in: int, tokens_out: int) -> Report:
    """The report in the model's words, or as it was with a flag if they can't be used."""
    quality = report.quality.model_copy(
        update={
            "tokens_in": report.quality.tokens_in + tokens_in,
            "tokens_out": report.quality.tokens_out + tokens_out,
            "claims_dropped": report.quality.claims_dropped + len(checked.dropped),
        }
    )
    if checked.rejected or checked.headline is None:
        return report.model_copy(update={"quality": quality, "flags": report.flags | {Flag.MODEL_REJECTED}})
    contested = report.contested or checked.verdict != report.verdict
    hypotheses = _ordered(report, checked)
    changes: dict[str, object] = {
        "source": "model",
        "model": model,
        "prompt_hash": prompt_hash,
        "quality": quality,
        "contested": contested,
        "hypotheses": hypotheses,
    }
    if checked.tampered:
        changes["flags"] = report.flags | {Flag.INJECTION_SUSPECTED}
    if checked.verdict and (hypotheses[0].cls, hypotheses[0].culprit) == (checked.verdict.cls, checked.verdict.culprit):
        changes |= _prose(report, checked)
    return report.model_copy(update=changes)


def _ordered(report: Report, checked: Checked) -> tuple[Hypothesis, ...]:
    """The hypotheses, the model's choice first where it may be."""
    chosen, first = checked.verdict, report.verdict
    if chosen is None or chosen == first:
        return report.hypotheses
    if first.confidence >= overrule_below or chosen.cls is FaultClass.UNKNOWN:
        return report.hypotheses
    confidence = min(max(chosen.confidence, first.confidence), overruled_confidence_max)
    others = [one for one in report.hypotheses if one != chosen]
    ranked = [chosen.model_copy(update={"confidence": confidence}), *others]
    return tuple(one.model_copy(update={"rank": rank}) for rank, one in enumerate(ranked, start=1))


def _prose(report: Report, checked: Checked) -> dict[str, object]:
    assert checked.headline is not None
    claims = [Claim(kind=ClaimKind(said.kind), text=said.text, evidence=said.evidence) for said in checked.claims]
    claims += [Claim(kind=ClaimKind.ADVICE, text=said.text, evidence=said.evidence) for said in checked.advice]
    # What the rules say of the impact and of what is to be done stays, whatever the model adds.
    own = [one for one in report.claims if one.kind in (ClaimKind.IMPACT, ClaimKind.ADVICE)]
    links = tuple(ChainLink(text=said.text, evidence=said.evidence) for said in checked.chain)
    prose: dict[str, object] = {
        "headline": checked.headline.text,
        "claims": tuple([*claims, *own][:claims_max]) if claims else report.claims,
        "remedies": _remedies(report, checked),
    }
    return prose | ({"chain": links} if len(links) > 1 else {})


def _remedies(report: Report, checked: Checked) -> tuple[PlannedRemedy, ...]:
    """Advice in the model's order; what can be carried out stays where the rules put it."""
    wanted = {f"A{number}": one for number, one in enumerate(report.remedies, start=1)}
    advice = [wanted[name] for name in dict.fromkeys(checked.remedies) if wanted[name].kind not in executable]
    advice += [one for one in report.remedies if one.kind not in executable and one not in advice]
    ordered = iter(advice)
    return tuple(one if one.kind in executable else next(ordered) for one in report.remedies)


def unavailable(report: Report) -> Report:
    """The report as the rules wrote it, saying that the model could not be had."""
    return report.model_copy(update={"flags": report.flags | {Flag.MODEL_UNAVAILABLE}})
