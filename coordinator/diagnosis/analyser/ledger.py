"""The ledger of an analysis: facts are entered as they are found and cited by a number. When all is said the best are
kept, get the ids by which the report cites them, and what cites nothing that was kept falls away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import NewType

from coordinator.diagnosis.cause import Entity
from coordinator.diagnosis.evidence import (
    Evidence,
    EvidenceKind,
    Scalar,
    Trust,
    evidence_max,
    text_chars_max,
)

Ref = NewType("Ref", int)

entries_max = 400  # of one analysis; what comes after is not entered, and nothing can cite it
_alphabet = "abcdefghijklmnopqrstuvwxyz234567"


@dataclass(frozen=True, slots=True)
class Entry:
    """One fact before it has an id. `weight` says how much it tells, whoever cites it."""

    kind: EvidenceKind
    trust: Trust
    text: str
    subjects: tuple[Entity, ...] = ()
    fact: Mapping[str, Scalar] = field(default_factory=dict)
    ts_from: datetime | None = None
    ts_to: datetime | None = None
    source_ref: str = ""
    weight: float = 1.0

    @property
    def key(self) -> tuple[object, ...]:
        return (self.kind, self.text, self.subjects)


class Ledger:
    """Entries in the order in which they were found. The same fact entered twice is one entry."""

    def __init__(self, nonce: str) -> None:
        self._nonce = nonce
        self._entries: list[Entry] = []
        self._refs: dict[tuple[object, ...], Ref] = {}

    def enter(self, entry: Entry) -> Ref:
        known = self._refs.get(entry.key)
        if known is not None:
            return known
        if len(self._entries) >= entries_max:
            return Ref(-1)
        ref = Ref(len(self._entries))
        self._entries.append(entry)
        self._refs[entry.key] = ref
        return ref

    def __getitem__(self, ref: Ref) -> Entry:
        return self._entries[ref]

    def __len__(self) -> int:
        return len(self._entries)

    def firm(self, refs: Iterable[Ref]) -> bool:
        """Whether any of these was seen by the coordinator or the infrastructure, rather than told."""
        return any(self._entries[ref].trust in (Trust.COORDINATOR, Trust.INFRA) for ref in refs if ref >= 0)

    def close(self, cited: Mapping[Ref, float]) -> Kept:
        """Keep the best: what is cited before what is not, by weight; `cited` says how much rests on each."""
        order = sorted(
            range(len(self._entries)),
            key=lambda number: (-cited.get(Ref(number), 0.0), -self._entries[number].weight, number),
        )
        ids: dict[Ref, str] = {}
        items: list[Evidence] = []
        for ordinal, number in enumerate(order[:evidence_max], start=1):
            entry, ref = self._entries[number], Ref(number)
            ids[ref] = f"E{ordinal:02d}-{_suffix(self._nonce, ordinal)}"
            items.append(_evidence(entry, ids[ref]))
        return Kept(ids, tuple(items))


@dataclass(frozen=True)
class Kept:
    """What became of a ledger: the evidence of the report, and which entry is which."""

    by_ref: Mapping[Ref, str]
    evidence: tuple[Evidence, ...]

    def ids(self, refs: Iterable[Ref]) -> tuple[str, ...]:
        """The ids of these entries, each once; what was not kept is not cited."""
        return tuple(dict.fromkeys(self.by_ref[ref] for ref in refs if ref in self.by_ref))


def _suffix(nonce: str, ordinal: int) -> str:
    """Three characters nobody could know before the case was gathered."""
    digest = sha256(f"{nonce}/{ordinal}".encode()).digest()
    return "".join(_alphabet[byte % 32] for byte in digest[:3])


def _evidence(entry: Entry, name: str) -> Evidence:
    return Evidence(
        id=name,
        kind=entry.kind,
        trust=entry.trust,
        subjects=entry.subjects,
        ts_from=entry.ts_from,
        ts_to=entry.ts_to,
        fact=entry.fact,
        text=cut(entry.text, text_chars_max),
        source_ref=cut(entry.source_ref, 400),
    )


def cut(text: str, chars_max: int) -> str:
    """No longer than this; what is missing is marked."""
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"
