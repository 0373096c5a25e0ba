"""What was here before and looked like this: incidents that are over, for what resolved them.

The same fingerprint is the same error, the same family the same kind of error of the same participant. Beyond that the
words are compared: templates as vectors of their words (rare ones weigh more) and of three letters in a row, which
forgive another wording. How alike two are does not fade; which are shown first does, for causes come back within weeks.
What a person has confirmed goes before what nobody looked at.
"""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from coordinator.diagnosis.case import Case, PastIncident
from coordinator.diagnosis.cause import FaultClass
from coordinator.diagnosis.report import Similar

shown_max = 3
similarity_min = 0.35
fading_days = 20.0
verified_bonus = 0.1
same_fingerprint, same_family, wording_at_most = 1.0, 0.85, 0.84
word_share = 0.6  # of the words in the likeness of two templates; the rest is of letters
step_bonus = 0.005  # a tie-break, not a feature
query_templates_max = 5
compared_max = 300  # templates that are compared by their letters: those that share the weightiest words
headline_chars_max = 140


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for. Steps are "<definition>.<step>"; `cls` and `culprit` are what is held to be wrong now."""

    templates: tuple[str, ...]
    fingerprints: frozenset[str] = frozenset()
    families: frozenset[str] = frozenset()
    steps: frozenset[str] = frozenset()
    cls: str = ""
    culprit: str = ""


def query_of(case: Case) -> Query:
    """What to look for so that a case finds its like."""
    if case.focus is not None and not case.facets:
        failures = [one for one in case.failures if one.saga_id == case.focus.saga.id] or list(case.failures)
    else:
        failures = list(case.failures)
    counted: dict[str, int] = {facet.template: 0 for facet in case.facets}
    for facet in case.facets:
        counted[facet.template] += facet.count
    for failure in failures:
        counted.setdefault(failure.template, 0)
    families = {failure.family for failure in failures} | ({case.incident.family} if case.incident else set())
    return Query(
        templates=tuple(sorted(counted, key=lambda template: -counted[template]))[:query_templates_max],
        fingerprints=frozenset({facet.fingerprint for facet in case.facets} | {one.fingerprint for one in failures}),
        families=frozenset(families),
        steps=frozenset({facet.step for facet in case.facets} | {f"{one.definition}.{one.step}" for one in failures}),
    )


def rank(query: Query, past: Sequence[PastIncident], now: datetime) -> tuple[Similar, ...]:
    """The past incidents most like this one, the most useful first."""
    likeness = _wording(query.templates, [template for one in past for template in one.templates])
    found = []
    for one in past:
        worded = max([likeness.get(template, 0.0) for template in one.templates], default=0.0)
        similarity = min(worded, wording_at_most)
        if one.family in query.families:
            similarity = max(similarity, same_family + (same_fingerprint - same_family) * 0.5 * worded)
        if query.fingerprints & one.fingerprints:
            similarity = same_fingerprint
        if similarity < similarity_min:
            continue
        days = max((now - one.at).total_seconds() / 86_400, 0.0)
        score = similarity * math.exp(-days / fading_days) + verified_bonus * one.verified * similarity
        score += step_bonus * bool(query.steps & one.steps)
        found.append((score, one.at, one, similarity, worded))
    found.sort(key=lambda each: (-each[0], -each[1].timestamp(), each[2].incident_id))
    return tuple(_told(query, one, similarity, worded, now) for _, _, one, similarity, worded in found[:shown_max])


def _told(query: Query, one: PastIncident, similarity: float, worded: float, now: datetime) -> Similar:
    known = one.cls in set(FaultClass)
    return Similar(
        incident_id=one.incident_id,
        at=one.at,
        headline=one.headline[:headline_chars_max],
        similarity=round(similarity, 3),
        matched_on=_matched(query, one, worded),
        differences=_differences(query, one, worded, now),
        cls=FaultClass(one.cls) if known else FaultClass.UNKNOWN,
        resolution=one.resolution,
        verified=one.verified,
    )


def _matched(query: Query, one: PastIncident, worded: float) -> tuple[str, ...]:
    matched = []
    if query.fingerprints & one.fingerprints:
        matched.append("the same error at the same step")
    elif one.family in query.families:
        matched.append("the same kind of error of the same participant")
    if not matched or worded >= 0.999:
        matched.append("the same wording" if worded >= 0.999 else "similar wording")
    if query.steps & one.steps and not query.fingerprints & one.fingerprints:
        matched.append("the same step")
    return tuple(matched)


def _differences(query: Query, one: PastIncident, worded: float, now: datetime) -> tuple[str, ...]:
    differences = []
    if query.steps and one.steps and not query.steps & one.steps:
        differences.append(f"it was at {_listed(one.steps)}, this is at {_listed(query.steps)}")
    elif one.steps - query.steps:
        differences.append(f"it was at {_listed(one.steps - query.steps)} too")
    elif query.steps - one.steps:
        differences.append(f"this is at {_listed(query.steps - one.steps)} too")
    if query.families and one.family not in query.families:
        differences.append("another kind of error, or of another participant")
    elif worded < 0.6 and not query.fingerprints & one.fingerprints:
        differences.append("worded differently")
    if query.culprit and one.culprit and query.culprit != one.culprit:
        differences.append(f"to blame was {one.culprit}, now it is {query.culprit}")
    elif query.cls and one.cls and query.cls != one.cls:
        differences.append(f"its cause was {one.cls}, this is {query.cls}")
    days = (now - one.at).days
    if days > fading_days:
        differences.append(f"it was {days} days ago")
    return tuple(differences)


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:2]) + (f" and {len(ordered) - 2} more" if len(ordered) > 2 else "")


# --- likeness of wordings --------------------------------------------------------------------------------------------

_placeholder = re.compile(r"<[a-z]{2,10}>")
_not_a_word = bytes(ord(" ") if chr(byte) in "!\"#$%&'()*+,-./:;=?@[\\]^_`{|}~" else byte for byte in range(256))


def _wording(wanted: Sequence[str], templates: Iterable[str]) -> Mapping[str, float]:
    """How alike each template is to the most alike of those wanted, 0 to 1. Only the likelier ones are in it."""
    looked_for = [(template, _words(template)) for template in wanted[:query_templates_max] if template.strip()]
    asked = frozenset[bytes]().union(*(words for _, words in looked_for))
    distinct = [template for template in dict.fromkeys(templates) if template]
    if not distinct:
        return {}
    # All of them in one text: what is done to a million characters at once costs a fraction of as many calls.
    plain = _plain("\n".join(template.replace("\n", " ") for template in distinct))
    counts = dict.fromkeys(asked, 0)
    candidates: list[tuple[str, list[bytes], set[bytes]]] = []
    for template, line in zip(distinct, plain.split(b"\n"), strict=True):
        words = line.split()
        if common := asked.intersection(words):
            candidates.append((template, words, set(common)))
            for word in common:
                counts[word] += 1
    rare = math.log(1 + len(distinct))
    weights = {word: max(rare - math.log(0.5 + count), 0.1) for word, count in counts.items()}
    heavy = [
        (-sum([weights[word] for word in common]) / (1 + len(words)) ** 0.5, template, words)
        for template, words, common in candidates
    ]
    likeliest = heapq.nsmallest(compared_max, heavy)
    return {
        template: max(_alike(one, own, template, frozenset(words), weights, rare) for one, own in looked_for)
        for _, template, words in likeliest
    }


def _alike(
    one: str, own: frozenset[bytes], other: str, others: frozenset[bytes], weights: Mapping[bytes, float], rare: float
) -> float:
    if one == other:
        return 1.0
    common = own & others
    dot = sum(weights[word] ** 2 for word in common)
    # What the other says that was not asked for counts as if it were as telling as the average of what was.
    usual = sum(weights[word] ** 2 for word in own) / max(len(own), 1) or rare**2
    norms = math.sqrt(sum(weights[word] ** 2 for word in own) * (dot + (len(others) - len(common)) * usual))
    in_words = dot / norms if norms else 0.0
    left, right = _letters(one), _letters(other)
    in_letters = len(left & right) / math.sqrt(len(left) * len(right)) if left and right else 0.0
    return min(word_share * in_words + (1 - word_share) * in_letters, 1.0)


def _plain(text: str) -> bytes:
    """Small letters, and blanks for what is no letter. As bytes, for they are translated in one go."""
    return text.lower().encode("utf-8", "replace").translate(_not_a_word)


def _words(template: str) -> frozenset[bytes]:
    """The words of a template. Placeholders are words too, but say little: they are in most templates."""
    return frozenset(_plain(template).split())


@lru_cache(maxsize=4096)
def _letters(template: str) -> frozenset[str]:
    """Each three letters in a row, without what only stands for something."""
    text = f" {b' '.join(_plain(_placeholder.sub(' ', template)).split()).decode()} "
    return frozenset(text[at : at + 3] for at in range(len(text) - 2))
