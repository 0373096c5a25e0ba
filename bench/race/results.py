"""What a run has found, as data: what people and machines read is made of this alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal

from bench.speed.arithmetic import Ratio, ratio
from bench.speed.measuring import Figures

Kind = Literal["busy", "alone", "half"]
kinds: dict[Kind, str] = {"busy": "many at a time", "alone": "one at a time", "half": "at half that rate"}

# What is compared, of which kind of load, and whether more is better.
compared: tuple[tuple[str, Kind, str], ...] = (
    ("sagas/s", "busy", "sagas_per_second"),
    ("p50, one at a time", "alone", "p50_ms"),
    ("CPU", "busy", "cpu_seconds"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One contender in one round."""

    round: int
    name: str
    kind: Kind
    figures: Figures


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure that has no rounds."""

    name: str
    value: float
    unit: str


@dataclass(slots=True)
class Part:
    """One question, and what was found."""

    name: str
    asks: str
    rows: list[Row] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: str = ""  # why it could not be answered in full

    @property
    def names(self) -> list[str]:
        """Contenders in the order of their first turn."""
        return list(dict.fromkeys(row.name for row in sorted(self.rows, key=lambda row: row.round)))

    def of(self, name: str, kind: Kind) -> list[Figures]:
        return [row.figures for row in self.rows if (row.name, row.kind) == (name, kind)]

    def median(self, name: str, kind: Kind, figure: str) -> float | None:
        """Over the rounds. None: it was not measured."""
        found = [getattr(one, figure) for one in self.of(name, kind)]
        return median(found) if found else None

    def compare(self, of: str, to: Sequence[str]) -> None:
        """Add the ratios of one contender to others, round by round."""
        for other in to:
            for name, kind, figure in compared:
                mine = {row.round: row.figures for row in self.rows if (row.name, row.kind) == (of, kind)}
                theirs = {row.round: row.figures for row in self.rows if (row.name, row.kind) == (other, kind)}
                both = sorted(mine.keys() & theirs.keys())
                pairs = [(getattr(mine[turn], figure), getattr(theirs[turn], figure)) for turn in both]
                if (found := ratio(name, of, other, pairs)) is not None:
                    self.ratios.append(found)


def as_data(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """For machines: everything, with the medians of the ratios."""
    found = []
    for part in parts:
        data = asdict(part)
        data["ratios"] = [{**asdict(one), "median": one.median} for one in part.ratios]
        data["rows"] = [{**asdict(row), "cpu_seconds_in_all": row.figures.cpu_seconds} for row in part.rows]
        found.append(data)
    return found
