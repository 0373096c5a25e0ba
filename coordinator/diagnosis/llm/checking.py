"""Whether a draft says only what its citations say. A pure function of the draft and the pack.

A sentence that names what its citations don't name, counts what they don't count, or would do something where it is
shown, is dropped. A draft whose headline or verdict fails, or that loses too many sentences, is dropped as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from coordinator.diagnosis.cause import FaultClass
from coordinator.diagnosis.evidence import Evidence
from coordinator.diagnosis.llm.draft import Draft, Said, SaidClaim
from coordinator.diagnosis.llm.pack import Pack
from coordinator.diagnosis.remedy import RemedyKind
from coordinator.diagnosis.report import Hypothesis, claim_chars_max, headline_chars_max

dropped_share_max = 0.4
number_tolerance = 0.01

# What could run, load or lead somewhere in a terminal, a page or a runbook.
_unsafe = re.compile(
    r"""://|www\.|!\[|\]\(|[<>`{}\\]|\$\(|\|\||&&|[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069]
    |\b(?:sudo|rm\s+-|curl|wget|chmod|kubectl|psql|bash|powershell|eval|exec)\b
    |\b(?:drop|alter|truncate)\s+table\b|\bdelete\s+from\b|\binsert\s+into\b|\bselect\b.+\bfrom\b|\bupdate\b.+\bset\b
    |\bmailto:|\bjavascript:""",
    re.VERBOSE | re.IGNORECASE,
)
_words = re.compile(r"[^\s,;:()\[\]\"'“”‘’]+")
_number = re.compile(r"(?<![\w.@/-])\d+(?:\.\d+)?(?:\s?%)?(?![\w@/-])")
_clock = re.compile(r"\b([01]?\d|2[0-3]):([0-5]\d)(?::[0-5]\d)?\b")
Kind = TypeVar("Kind", bound=Said)


@dataclass(frozen=True)
class Checked:
    """What is left of a draft. `rejected` says why nothing is."""

    verdict: Hypothesis | None = None  # None: the model holds none of them to be right
    headline: Said | None = None
    claims: tuple[SaidClaim, ...] = ()
    chain: tuple[Said, ...] = ()
    advice: tuple[Said, ...] = ()
    remedies: tuple[str, ...] = ()
    tampered: bool = False
    dropped: tuple[str, ...] = ()  # why, one for each sentence
    rejected: str | None = None


def check(draft: Draft, pack: Pack) -> Checked:
    """Hold the draft against the pack it answers."""
    if draft.verdict != "none" and draft.verdict not in pack.hypotheses:
        return Checked(rejected=f"the verdict {draft.verdict!r} was not offered")
    unoffered = [one for one in draft.remedies if one not in pack.remedies]
    if unoffered:
        return Checked(rejected=f"the remedy {unoffered[0]!r} was not offered")
    verdict = pack.hypotheses.get(draft.verdict)
    world = _World.of(pack)
    fault = world.fault(draft.headline, verdict, headline_chars_max)
    if fault:
        return Checked(rejected=f"the headline {fault}")
    dropped: list[str] = []

    def kept(sentences: Sequence[Kind]) -> tuple[Kind, ...]:
        faults = [(one, world.fault(one, verdict, claim_chars_max)) for one in sentences]
        dropped.extend(fault for _, fault in faults if fault)
        return tuple(one for one, fault in faults if not fault)

    claims, chain, advice = kept(draft.claims), kept(draft.chain), kept(draft.advice)
    total = len(draft.claims) + len(draft.chain) + len(draft.advice)
    if total and len(dropped) / total > dropped_share_max:
        return Checked(rejected=f"{len(dropped)} of {total} sentences say more than they cite", dropped=tuple(dropped))
    tampered = draft.evidence_looks_tampered
    return Checked(verdict, draft.headline, claims, chain, advice, draft.remedies, tampered, tuple(dropped))


@dataclass(frozen=True)
class _World:
    """The names there are, and who may be named beside which evidence."""

    pack: Pack
    names: frozenset[str]  # of entities, and their parts
    known: frozenset[str]  # every word the pack uses

    @classmethod
    def of(cls, pack: Pack) -> _World:
        names: set[str] = set()
        for item in pack.evidence.values():
            for subject in item.subjects:
                names |= _parts(subject.name)
        for one in pack.hypotheses.values():
            if one.culprit:
                names |= _parts(one.culprit.name)
        said = [*(str(one) for one in FaultClass), *(str(one) for one in RemedyKind)]
        said += [f"{item.text} {' '.join(map(str, item.fact.values()))}" for item in pack.evidence.values()]
        known = {word for text in said for word in _split(text)}
        return cls(pack, frozenset(names), frozenset(known | names))

    def fault(self, said: Said, verdict: Hypothesis | None, chars_max: int) -> str | None:
        """Why a sentence can't stand, or None."""
        if not said.text.strip() or len(said.text) > chars_max:
            return f"has {len(said.text)} characters, of at most {chars_max}"
        unsafe = _unsafe.search(said.text)
        if unsafe:
            return f"holds {unsafe.group()[:20]!r}"
        strange = [one for one in said.evidence if one not in self.pack.evidence]
        if strange or not said.evidence:
            return f"cites {strange[0]!r}, which is not there" if strange else "cites nothing"
        if verdict and any(one in verdict.contradicts for one in said.evidence):
            return "cites what speaks against the verdict"
        cited = [self.pack.evidence[one] for one in said.evidence]
        return self._names(said.text, cited, verdict) or _numbers(said.text, cited)

    def _names(self, text: str, cited: Sequence[Evidence], verdict: Hypothesis | None) -> str | None:
        """Every name in the sentence is one of those its evidence, or the verdict, is about."""
        allowed: set[str] = set()
        for item in cited:
            for subject in item.subjects:
                allowed |= _parts(subject.name)
            allowed |= {word for value in item.fact.values() if isinstance(value, str) for word in _split(value)}
            allowed |= set(_split(item.text))
        if verdict and verdict.culprit:
            allowed |= _parts(verdict.culprit.name)
        for word in _split(text):
            if word in self.names and word not in allowed:
                return f"names {word[:60]!r}, which its evidence is not about"
            if word not in self.known and _looks_like_a_name(word):
                return f"names {word[:60]!r}, which nothing is called"
        return None


def _numbers(text: str, cited: Sequence[Evidence]) -> str | None:
    """Every number in the sentence is a fact of what it cites, as it stands there or rounded."""
    facts = [
        float(value)
        for item in cited
        for value in item.fact.values()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    facts += [float(number) for item in cited for value in item.fact.values() for number in _in_text(value)]
    times = {at.strftime("%H:%M") for item in cited for at in (item.ts_from, item.ts_to) if at}
    rest = text
    for match in _clock.finditer(text):
        if f"{int(match[1]):02d}:{match[2]}" not in times:
            return f"says {match.group()}, which none of its evidence says"
        rest = rest.replace(match.group(), " ")
    for match in _number.finditer(rest):
        written = match.group().rstrip(" %")
        value, places = float(written), len(written.partition(".")[2])
        candidates: Iterable[float] = [fact * 100 for fact in facts] if match.group().endswith("%") else facts
        candidates = [*candidates, *facts]
        if not any(_same(value, fact, places) for fact in candidates):
            return f"says {match.group()}, which none of its evidence says"
    return None


def _same(written: float, fact: float, places: int) -> bool:
    return round(fact, places) == written or abs(written - fact) <= number_tolerance * abs(fact)


def _in_text(value: object) -> list[str]:
    return re.findall(r"\d+(?:\.\d+)?", value) if isinstance(value, str) else []


def _split(text: str) -> list[str]:
    return [word.strip(".!?").lower() for word in _words.findall(text) if word.strip(".!?")]


def _parts(name: str) -> set[str]:
    """A name, and the parts of it that a person would use alone: "payment@1.4.2" is also "1.4.2"."""
    whole = name.lower()
    return {whole, *(part for part in re.split(r"[@/.]", whole) if _looks_like_a_name(part)), *whole.split("@")}


def _looks_like_a_name(word: str) -> bool:
    """An identifier rather than a word: with a digit among letters, or a mark that no prose has."""
    marked = any(mark in word.strip("-_/@") for mark in "@_/") or bool(re.search(r"\w\.\w+\.\w", word))
    mixed = any(one.isdigit() for one in word) and any(one.isalpha() for one in word)
    return marked or (mixed and not re.fullmatch(r"\d+(?:st|nd|rd|th|s|ms|x|h|min|kb|mb)", word))
