"""The results as people read them: a page of Markdown."""

from __future__ import annotations

import os
import platform
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from bench.race.results import Fact, Kind, Part, kinds

headings: Mapping[Kind, str] = {
    "busy": "As many at a time as suit each",
    "alone": "One at a time",
    "half": "Offered at half of the rate that it came to in the same round",
}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Where and how it was measured."""

    revision: str
    versions: Mapping[str, str]
    rounds: int
    in_flight: int
    load_before: float
    at: datetime

    @classmethod
    def now(cls, revision: str, versions: Mapping[str, str], rounds: int, in_flight: int) -> Circumstances:
        return cls(revision, versions, rounds, in_flight, os.getloadavg()[0], datetime.now(UTC))


def number(value: float | None) -> str:
    """Three digits that count, and no more than are known."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column is words, the others are figures."""
    rule = "|" + "|".join(["---", *["---:"] * (len(head) - 1)]) + "|"
    return (
        [f"| {' | '.join(cells)} |" for cells in (head,)] + [rule] + [f"| {' | '.join(row)} |" for row in rows] + [""]
    )


def page(parts: Sequence[Part], where: Circumstances, plot: str | None) -> str:
    """Everything."""
    lines = ["# How fast it is", "", *_foreword(where), ""]
    if plot:
        lines += [f"![Sagas a second, by contender]({plot})", ""]
    for part in parts:
        lines += [f"## {part.name.capitalize()}", "", part.asks, "", *section(part)]
    return "\n".join(lines).rstrip() + "\n"


def _foreword(where: Circumstances) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in where.versions.items())
    turns = f"{where.rounds} round{'s' if where.rounds > 1 else ''}"
    return [
        *_prose(
            f"Written by `make bench`, never by hand. Every figure is the median of {turns}, in each of which all "
            "contenders of a part took their turn, in an order that turned around; all were running all the time. A "
            "machine's speed drifts, so **compare only by the ratios**: each is the median of the rounds' ratios, "
            "which stand beside it."
        ),
        "",
        *_prose(
            f"{where.at:%d %B %Y}, revision {where.revision}, {os.cpu_count()} processors ({platform.machine()}), load "
            f"{where.load_before:.1f} before the start, Python {sys.version.split()[0]}, {versions}. PostgreSQL with "
            f"fsync, quorum queues, confirms, inboxes and history on; traces off. {where.in_flight} sagas at a time, "
            "but for DBOS as many as it has threads: more make it slower. DBOS and Restate with steps in process send "
            "no messages; DBOS is called as a function, without HTTP."
        ),
    ]


def _prose(text: str, indent: str = "") -> list[str]:
    """Lines that are short enough to read."""
    return textwrap.wrap(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def section(part: Part) -> list[str]:
    """One part."""
    lines: list[str] = []
    for kind in kinds:
        names = [name for name in part.names if part.of(name, kind)]
        if names:
            lines += [f"### {part.name.capitalize()}: {headings[kind].lower()}", ""]
            lines += _busy(part, names) if kind == "busy" else _waiting(part, names, kind)
    if part.ratios:
        rows = [
            [f"{one.of} ÷ {one.to}", one.figure, f"**{number(one.median)}**", _spread(one.rounds)]
            for one in part.ratios
        ]
        lines += table(["ratio", "of", "median", "of each round"], rows)
    lines += _facts([fact for fact in part.facts if ": " not in fact.name])
    lines += _compared([fact for fact in part.facts if ": " in fact.name])
    lines += [line for note in part.notes for line in _prose(f"- {note}", "  ")] + ([""] if part.notes else [])
    if part.failed:
        lines += [
            "**This part has failed**, and what stands above is incomplete:",
            "",
            "```text",
            part.failed,
            "```",
            "",
        ]
    return lines


def _facts(facts: Sequence[Fact]) -> list[str]:
    rows = [[fact.name, number(fact.value), fact.unit] for fact in facts]
    return table(["", "", ""], rows) if rows else []


def _compared(facts: Sequence[Fact]) -> list[str]:
    """Facts called "which: what", with a line for each which and a column for each what."""
    cells = {tuple(fact.name.rpartition(": ")[::2]): number(fact.value) for fact in facts}
    units = {fact.name.rpartition(": ")[2]: fact.unit for fact in facts}
    rows = [
        [which, *(cells.get((which, what), "–") for what in units)] for which in dict.fromkeys(one for one, _ in cells)
    ]
    return table(["", *(f"{what}, {unit}" for what, unit in units.items())], rows) if rows else []


def _spread(rounds: Sequence[float]) -> str:
    return " ".join(number(one) for one in rounds)


def _busy(part: Part, names: Sequence[str]) -> list[str]:
    head = [
        "",
        "sagas/s",
        "p50 ms",
        "p99 ms",
        "CPU-s per 1,000",
        "of it",
        "transactions",
        "WAL bytes",
        "whole pages",
        "MiB",
    ]
    rows = []
    for name in names:
        figures = {
            figure: part.median(name, "busy", figure)
            for figure in ("sagas_per_second", "p50_ms", "p99_ms", "cpu_seconds", "transactions_in_all", "log_bytes",
                           "whole_pages", "mebibytes")
        }  # fmt: skip
        databases = any(one.transactions for one in part.of(name, "busy"))
        spent = [
            number(figures[key]) if databases else "–" for key in ("transactions_in_all", "log_bytes", "whole_pages")
        ]
        shown = [number(figures[key]) for key in ("sagas_per_second", "p50_ms", "p99_ms", "cpu_seconds")]
        rows.append([name, *shown, _by_process(part, name), *spent, number(figures["mebibytes"])])
    return table(head, rows)


def _by_process(part: Part, name: str) -> str:
    """CPU-seconds per 1,000 sagas of each process: medians, the client last."""
    rounds = [one.cpu_seconds_per_1000 for one in part.of(name, "busy")]
    return ", ".join(f"{who} {number(median(one[who] for one in rounds))}" for who in rounds[0])


def _waiting(part: Part, names: Sequence[str], kind: Kind) -> list[str]:
    figures = ("sagas_per_second", "p50_ms", "p99_ms", "cpu_seconds")
    rows = [[name, *(number(part.median(name, kind, figure)) for figure in figures)] for name in names]
    return table(["", "sagas/s", "p50 ms", "p99 ms", "CPU-s per 1,000"], rows)
