"""What an error says, as a distribution over families of signals: the analyser wants to know how sure the words are.

Codes count most, names of exceptions next, wordings least; the deepest cause half again as much as the error on top,
which often only says that something below it broke. An error with nothing known in it is `other`.

The hints found in text (a host, a service) are for people to read: text can say anything, so it names no culprit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from coordinator.diagnosis.codes import code_in, meaning_of_code, normal_code
from coordinator.diagnosis.exceptions import meaning_of_exception, plain_name
from coordinator.diagnosis.masking import template_of
from coordinator.diagnosis.meaning import Meaning, Resource, SignalFamily, Timeout
from coordinator.diagnosis.redaction import redact
from coordinator.diagnosis.wordings import meanings_of_wording
from coordinator.saga.event import Failure, Underlying

__all__ = ["Resource", "Signal", "SignalFamily", "Timeout", "signal_of", "signal_of_logs"]

code_strength, code_in_text_strength, name_strength, wording_strength = 4.0, 3.0, 1.5, 1.0
leaf_factor, top_factor, between_factor = 1.5, 1.0, 0.5
log_strength = 0.4
open_share = 0.3  # what is always left to `other`
outranked_factor = 0.15
log_lines_max = 20
hint_chars_max = 100
retry_after_seconds_max = 86_400.0


@dataclass(frozen=True, slots=True)
class Signal:
    """What one failure says. `weights` add up to 1 and begin with `family`.

    `before_send`: nothing left for the dependency, so nothing happened there. `turned_away`: it answered that it did
    not do it. `stated`: the code is the participant's own word, not read out of a text.
    """

    family: SignalFamily
    weights: Mapping[SignalFamily, float]
    code: str = ""
    stated: bool = False
    type: str = ""  # of the error on top, without its module
    leaf_type: str = ""  # of the deepest cause
    leaf_template: str = ""
    retry_after_seconds: float | None = None
    dependency_hint: str = ""  # "<host>:5432", "api.stripe.com", from text
    resource: Resource | None = None
    timeout: Timeout | None = None
    before_send: bool = False
    turned_away: bool = False
    from_logs: bool = False

    @property
    def connect_timeout(self) -> bool:
        return self.timeout is Timeout.CONNECT

    @property
    def read_timeout(self) -> bool:
        return self.timeout is Timeout.READ

    def weight(self, *families: SignalFamily) -> float:
        """How likely the error speaks of one of these."""
        return sum(self.weights.get(family, 0.0) for family in families)


@dataclass(slots=True)
class _Sum:
    """What was found so far, the deepest link first."""

    weights: dict[SignalFamily, float] = field(default_factory=dict)
    resource: Resource | None = None
    timeout: Timeout | None = None
    before_send: bool = False
    turned_away: bool = False
    sent: bool = False
    leaf_read: bool = False

    def add(self, found: Sequence[tuple[Meaning, float]]) -> None:
        """One link of the chain: what was found in it, the strongest first."""
        outranked = {family for what, _ in found for family in what.outranks}
        for what, strength in found:
            seems = [family for family in what.weights if family in outranked and not what.outranks]
            for family, share in what.weights.items():
                much = share * strength * (outranked_factor if family in seems else 1.0)
                self.weights[family] = self.weights.get(family, 0.0) + much
            if seems:
                continue
            self.resource = self.resource or what.resource
            self.timeout = self.timeout or what.timeout
            self.sent = self.sent or what.sent
        if found and not self.leaf_read:
            self.leaf_read = True
            first = found[0][0]
            self.before_send = first.before_send or (not first.sent and any(what.before_send for what, _ in found))
            self.turned_away = first.turned_away


def signal_of(failure: Failure | None) -> Signal:
    """What a failure says; of None, that nobody answered."""
    if failure is None:
        return Signal(SignalFamily.NO_REPLY, {SignalFamily.NO_REPLY: 1.0})
    chain = [Underlying(failure.type, failure.message, failure.code), *failure.causes]
    chain = _without_repeats(chain)
    leaf = chain[-1]
    total = _Sum()
    for place, link in enumerate(reversed(chain)):
        factor = leaf_factor if place == 0 else top_factor if place == len(chain) - 1 else between_factor
        total.add([(what, strength * factor) for what, strength in _meanings(link)])
    code, stated = _code(chain)
    weights = _shares(total.weights)
    texts = [link.message for link in reversed(chain)]
    return Signal(
        family=next(iter(weights)),
        weights=weights,
        code=code,
        stated=stated,
        type=plain_name(failure.type),
        leaf_type=plain_name(leaf.type),
        leaf_template=template_of(leaf.message),
        retry_after_seconds=_retry_after(failure.retry_after_seconds, texts),
        dependency_hint=next((hint for text in texts if (hint := _hint(text))), ""),
        resource=total.resource,
        timeout=total.timeout,
        before_send=total.before_send and not total.sent,
        turned_away=total.turned_away,
    )


def signal_of_logs(lines: Iterable[str]) -> Signal:
    """What the last log lines of a handler say: worth less, for they speak of more than of how it ended."""
    total = _Sum()
    kept = [line for line in lines if line.strip()][-log_lines_max:]
    grave = [line for line in kept if re.match(r"(?:ERROR|CRITICAL|WARNING|FATAL|WARN)\b", line)] or kept
    texts = list(dict.fromkeys(reversed(grave)))
    codes = [code for text in texts if (code := code_in(text))]
    seen: set[str] = set()
    for text in texts:
        template = template_of(text)
        if template not in seen:  # a line that is repeated says it once
            seen.add(template)
            total.add([(what, strength * log_strength) for what, strength in _meanings(Underlying("", text))])
    weights = _shares(total.weights, weak=True)
    return Signal(
        family=next(iter(weights)),
        weights=weights,
        code=codes[0] if codes else "",
        leaf_template=template_of(texts[0]) if texts else "",
        retry_after_seconds=_retry_after(None, texts),
        dependency_hint=next((hint for text in texts if (hint := _hint(text))), ""),
        resource=total.resource,
        timeout=total.timeout,
        from_logs=True,
    )


def _without_repeats(chain: list[Underlying]) -> list[Underlying]:
    """A library that wraps an error in one of the same words adds nothing."""
    kept = [chain[0]]
    for link in chain[1:]:
        if (link.type, link.message, link.code) != (kept[-1].type, kept[-1].message, kept[-1].code):
            kept.append(link)
    return kept


def _meanings(link: Underlying) -> list[tuple[Meaning, float]]:
    """What is known of one error, the strongest first."""
    found: list[tuple[Meaning, float]] = []
    stated, read = normal_code(link.code) if link.code else "", ""
    if stated and (what := meaning_of_code(stated)):
        found.append((what, code_strength))
    else:
        read = code_in(f"{link.type} {link.message}")
        if read and (what := meaning_of_code(read)):
            found.append((what, code_in_text_strength))
    if what := meaning_of_exception(link.type):
        found.append((what, name_strength))
    # The first two: the most specific, and what the text says beside.
    found += [(what, wording_strength / n) for n, what in enumerate(meanings_of_wording(link.message)[:2], 1)]
    return found


def _code(chain: Sequence[Underlying]) -> tuple[str, bool]:
    """The deepest code that somebody stated, else the deepest that a text states."""
    for link in reversed(chain):
        if link.code:
            return normal_code(link.code), True
    for link in reversed(chain):
        if code := code_in(f"{link.type} {link.message}"):
            return code, False
    return "", False


def _shares(weights: Mapping[SignalFamily, float], *, weak: bool = False) -> dict[SignalFamily, float]:
    """Weights that add up to 1, the largest first; what is evenly matched stands in the order of the families.

    Little evidence leaves more open, unless all of it is known to be `weak`.
    """
    total = sum(weights.values())
    if not total:
        return {SignalFamily.OTHER: 1.0}
    left_open = open_share if weak or total >= 1 else 1 + open_share - total
    raised = {**weights, SignalFamily.OTHER: weights.get(SignalFamily.OTHER, 0.0) + left_open}
    order = {family: place for place, family in enumerate(SignalFamily)}
    ranked = sorted(raised, key=lambda family: (-raised[family], order[family]))
    return {family: raised[family] / (total + left_open) for family in ranked}


# --- hints in text ---------------------------------------------------------------------------------------------------

_after = re.compile(
    r"(?:retry[-_ ]?after|try again (?:in|after)|retry in|wait|available again in)[\"']?[ ]?[:=]?[ ]?[\"']?"
    r"([0-9]{1,7}(?:\.[0-9]{1,3})?)[ ]?(milliseconds|millis|ms|minutes?|min|m|hours?|h|seconds?|secs?|s)?\b",
    re.IGNORECASE,
)
_seconds = {"ms": 0.001, "mi": 0.001, "m": 60.0, "h": 3600.0, "s": 1.0, "": 1.0}
_named = r"(?P<host>[\w.\-]{2,100})"
_port = r"(?P<port>[0-9]{1,5})"
_dotted = r"[A-Za-z][\w\-]{0,62}(?:\.[\w\-]{1,62})"
_after_to = r"\b(?:to|host|at|with|reach|from|lookup|resolve|service|upstream) [\"'“]?"
_places = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?<![A-Za-z0-9+.\-])[A-Za-z][A-Za-z0-9+.\-]{1,20}://(?:[^\s/@\"']{0,200}@)?"
        + _named
        + r"(?::"
        + _port
        + r")?",
        r"host=[\"']?" + _named + r"[\"']?(?:, ?port=" + _port + r")?",
        r"\([\"'](?P<host>[\w.\-]{2,100})[\"'], (?P<port>[0-9]{1,5})\)",
        r"(?<![\w.\-:/])(?P<host>(?:[0-9]{1,3}\.){3}[0-9]{1,3}|" + _dotted + r"{0,6}):(?P<port>[0-9]{2,5})(?!\w|:\S)",
        _after_to + r"(?P<host>" + _dotted + r"{1,6})(?![\w(])",
        r"\b(?:service|upstream|dependency|backend|provider) [\"'“](?P<host>[A-Za-z][\w.\-]{1,62})[\"'”]",
    )
)
_address = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}")


def _retry_after(stated: float | None, texts: Sequence[str]) -> float | None:
    """How long the other side asks to wait."""
    if stated is not None:
        return min(max(stated, 0.0), retry_after_seconds_max)
    for text in texts:
        if found := _after.search(text[:2000]):
            unit = (found[2] or "").lower()
            kind = "ms" if unit.startswith(("ms", "milli")) else unit[:1]
            return min(float(found[1]) * _seconds[kind], retry_after_seconds_max)
    return None


def _hint(text: str) -> str:
    """What was called, as the text has it, without what tells one instance from another."""
    text = redact(text[:2000])
    for pattern in _places:
        if found := pattern.search(text):
            host = _address.sub("<host>", found["host"].strip("."))
            host = re.sub(r"[0-9]+", "<num>", host) if host != "<host>" else host
            port = found.groupdict().get("port")
            return (f"{host}:{port}" if port else host)[:hint_chars_max]
    return ""
