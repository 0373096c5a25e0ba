"""What errors say, and how far that may be believed: what codes and types say is kept apart from what only wording
says, and wording that speaks to whoever reads it is not listened to at all."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from coordinator.diagnosis.analyser.failing import Failing
from coordinator.diagnosis.analyser.ledger import Entry, Ledger, Ref
from coordinator.diagnosis.analyser.naming import plain, quotable, step_entity
from coordinator.diagnosis.case import Case
from coordinator.diagnosis.evidence import EvidenceKind, Trust
from coordinator.diagnosis.injection import suspicious
from coordinator.diagnosis.masking import template_of
from coordinator.diagnosis.signals import Resource, Signal, SignalFamily, Timeout, signal_of, signal_of_logs
from coordinator.saga.event import Failure

quote_chars_max = 160
errors_max = 8
logs_max = 3


@dataclass(frozen=True, slots=True)
class Said:
    """What one failure says. `typed` are the weights without any wording."""

    signal: Signal
    typed: Mapping[SignalFamily, float]
    suspicious: bool  # its wording speaks to the reader, and was not read

    @property
    def code(self) -> str:
        return self.signal.code


def said_of(failure: Failure | None) -> Said:
    """Read one failure."""
    signal = signal_of(failure)
    if failure is None:
        return Said(signal, signal.weights, suspicious=False)
    bare = signal_of(_without_words(failure))
    if _speaks_to_the_reader(failure):
        return Said(bare, bare.weights, suspicious=True)
    return Said(signal, bare.weights, suspicious=False)


def _without_words(failure: Failure) -> Failure:
    causes = tuple(replace(cause, message="") for cause in failure.causes)
    return replace(failure, message="", logs=(), causes=causes)


def _speaks_to_the_reader(failure: Failure) -> bool:
    texts = (failure.type, failure.code, failure.message, *(cause.message for cause in failure.causes), *failure.logs)
    return any(suspicious(text) for text in texts if text)


@dataclass(frozen=True)
class Voices:
    """What all failures say together. Of one saga each error counts once, however often it was tried."""

    typed: Mapping[SignalFamily, float]  # weights that add up to 1, by codes and types alone
    all: Mapping[SignalFamily, float]  # … by wording, too
    logs: Mapping[SignalFamily, float]  # … of the last log lines; empty: there were none
    resources: Mapping[Resource, int]
    timeouts: Mapping[Timeout, int]
    codes: Mapping[str, int]  # those that were stated
    types: Mapping[str, int]
    retry_after_seconds: float | None
    suspicious: bool
    quote: str  # the words of the most frequent, masked; "" if they are withheld
    refs: tuple[Ref, ...]  # the most frequent first
    log_refs: tuple[Ref, ...]

    def weight(self, *families: SignalFamily) -> float:
        return sum(self.all.get(family, 0.0) for family in families)

    def typed_weight(self, *families: SignalFamily) -> float:
        return sum(self.typed.get(family, 0.0) for family in families)


def voices_of(case: Case, failing: Failing, ledger: Ledger) -> Voices:
    """Listen to every failure of the failing steps: the sampled sagas', and of the others what was kept of them."""
    counts: Counter[Failure] = Counter()
    sampled: set[str] = set()
    for saga_id, failures in _by_saga(failing).items():
        sampled.add(saga_id)
        counts.update(set(failures))
    for facet in case.facets:
        rest = facet.count - sum(
            1
            for one in failing.sagas
            if any(
                _like(one_failure, facet.error_type, facet.code)
                for one_failure in _by_saga(failing).get(one.saga.id, ())
            )
        )
        if rest > 0:
            counts[Failure(facet.error_type, facet.template, (), facet.code)] += rest
    return _summed(counts, failing, ledger)


def _by_saga(failing: Failing) -> dict[str, list[Failure]]:
    found: dict[str, list[Failure]] = {}
    for one in failing.tried:
        failure = one.failure or Failure("NoReply")
        found.setdefault(one.seen.saga.id, []).append(replace(failure, logs=failure.logs[-20:]))
    if not found:
        for seen in failing.sagas:
            run = seen.saga.step(failing.symptom.step)
            if run.fault:
                found[seen.saga.id] = [Failure("OutputSchema", run.fault)]
            elif run.failure:
                found[seen.saga.id] = [run.failure]
    return found


def _like(failure: Failure, kind: str, code: str) -> bool:
    return (failure.code or failure.type) == (code or kind)


def _summed(counts: Counter[Failure], failing: Failing, ledger: Ledger) -> Voices:
    typed: dict[SignalFamily, float] = defaultdict(float)
    heard: dict[SignalFamily, float] = defaultdict(float)
    logs: dict[SignalFamily, float] = defaultdict(float)
    resources: Counter[Resource] = Counter()
    timeouts: Counter[Timeout] = Counter()
    codes: Counter[str] = Counter()
    types: Counter[str] = Counter()
    entries: Counter[tuple[str, str, str, bool]] = Counter()
    log_refs: list[Ref] = []
    retry_after: float | None = None
    for failure, count in counts.most_common(200):
        said = said_of(failure)
        signal = said.signal
        for families, weights in ((typed, said.typed), (heard, signal.weights)):
            for family, weight in weights.items():
                families[family] += weight * count
        if signal.resource:
            resources[signal.resource] += count
        if signal.timeout:
            timeouts[signal.timeout] += count
        if said.code and signal.stated:
            codes[said.code] += count
        types[signal.type] += count
        retry_after = max(retry_after or 0.0, signal.retry_after_seconds or 0.0) or None
        # The deepest cause may have no words (a bare TimeoutError): then those of the error it was raised as.
        worded = signal.leaf_template or template_of(failure.message) or signal.type
        template = "" if said.suspicious else quotable(worded)
        entries[signal.leaf_type or signal.type, said.code, template, said.suspicious] += count
        if failure.logs and not said.suspicious:
            spoken = signal_of_logs(failure.logs)
            for family, weight in spoken.weights.items():
                logs[family] += weight * count
            if len(log_refs) < logs_max and spoken.leaf_template:
                log_refs.append(_log_entry(spoken, failing, ledger))
    refs = [_error_entry(*key, count, failing, ledger) for key, count in entries.most_common(errors_max)]
    quotes = [template for (_, _, template, _), _ in entries.most_common() if template]
    return Voices(
        typed=_shares(typed),
        all=_shares(heard),
        logs=_shares(logs),
        resources=resources,
        timeouts=timeouts,
        codes=codes,
        types=types,
        retry_after_seconds=retry_after,
        suspicious=any(suspect for _, _, _, suspect in entries),
        quote=quotes[0] if quotes else "",
        refs=tuple(dict.fromkeys(refs)),
        log_refs=tuple(dict.fromkeys(log_refs)),
    )


def _shares(weights: Mapping[SignalFamily, float]) -> dict[SignalFamily, float]:
    total = sum(weights.values())
    return {family: weight / total for family, weight in weights.items()} if total else {}


def _error_entry(
    kind: str, code: str, template: str, suspect: bool, count: int, failing: Failing, ledger: Ledger
) -> Ref:
    symptom = failing.symptom
    silent = kind in ("NoReply", "")
    named = f"{plain(kind)}{f' ({plain_words([code])})' if code else ''}"
    sagas = f"{count} saga{'' if count == 1 else 's'}"
    if silent:
        text = f"Nobody answered {plain(symptom.step)} in time, in {sagas}."
    elif suspect:
        text = f"{plain(symptom.participant)} reports {named} in {sagas}; its wording addresses the reader: withheld."
    else:
        quoted = f": “{template[:quote_chars_max]}”" if template and template != kind else "."
        text = f"{plain(symptom.participant)} reports {named} in {sagas}{quoted}"
    trust = Trust.COORDINATOR if silent else Trust.EXTERNAL_TEXT if suspect else Trust.PARTICIPANT
    return ledger.enter(
        Entry(
            EvidenceKind.ERROR,
            trust,
            text,
            subjects=(step_entity(symptom.definition, symptom.step),),
            fact={"type": plain(kind), "code": plain_words([code]), "sagas": count},
            source_ref=f"failures:{symptom.name}",
            weight=2.0,
        )
    )


def _log_entry(signal: Signal, failing: Failing, ledger: Ledger) -> Ref:
    symptom = failing.symptom
    return ledger.enter(
        Entry(
            EvidenceKind.LOG_TEMPLATE,
            Trust.EXTERNAL_TEXT,
            f"{plain(symptom.participant)} logged “{quotable(signal.leaf_template)[:quote_chars_max]}”",
            subjects=(step_entity(symptom.definition, symptom.step),),
            fact={"code": plain_words([signal.code])},
            source_ref=f"failures:{symptom.name}",
            weight=1.0,
        )
    )


def plain_words(words: Iterable[str]) -> str:
    """Codes as they may stand in a sentence: "http 429" keeps its blank."""
    return ", ".join(" ".join(plain(part) for part in word.split()) for word in words if word)
