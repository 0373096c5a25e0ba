"""What else is measured beside the cases: each part is a few lines of the page."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.diagnosis import makers as m
from bench.diagnosis.grading import Share
from bench.diagnosis.injections import Attempt
from bench.diagnosis.misleading import ways
from bench.diagnosis.outage import Outage, outage
from bench.diagnosis.similarity import Found, similar
from bench.diagnosis.speed import Asked, speed
from bench.diagnosis.themes import shop, travel
from bench.diagnosis.throughput import Round, throughput
from bench.diagnosis.wording import wordings

titles: Mapping[str, str] = {
    "similar": "The past, found again",
    "injection": "Errors that talk to their reader",
    "outage": "Ten thousand sagas, one cause",
    "speed": "A hundred thousand failures in the tables",
    "throughput": "What watching costs",
    "counterfactual": "The same worlds without their faults",
    "healing": "Remedies carried out",
}
Section = tuple[list[str], Any]

similar_worlds = 2
counterfactual_every = 9
outage_sagas = 10_000
speed_failures = 100_000
achieved_shown = 20
throughput_rounds = 7
throughput_sagas = 600


def measured(name: str) -> Section:
    """One of those parts that need the whole machine: its lines, and its figures for machines."""
    parts: dict[str, Callable[[], Section]] = {"outage": _outage, "speed": _speed, "throughput": _throughput}
    return parts[name]()


def similar_in(number: int) -> Found:
    """One of the two companies whose troubles come back."""
    httpx, aiohttp = wordings["httpx"], wordings["aiohttp"]
    if number == 0:
        causes = (
            m.slow("card-provider"),
            m.down("warehouse-api", lambda said, to: said.refused(to)),
            m.locked_out("carrier-api", lambda said, to: said.status(to, 401)),
            m.contended("loyalty", lambda said, visit: said.deadlock("balances")),
            m.exhausted("inventory", lambda said, visit: said.pool_empty("inventory")),
            m.limited("risk-api", allowed=0),
        )
        return similar(shop, httpx, aiohttp, causes, seed=501)
    causes = (
        m.down("gds", lambda said, to: said.status(to, 503)),
        m.slow("hotel-hub"),
        m.conflict("billing", "invoice", lambda said, visit: said.unique("invoices", "77")),
        m.locked_out("bank-gateway", lambda said, to: said.expired(to)),
        m.contended("crew", lambda said, visit: said.lock_wait("rota")),
        m.exhausted("documents", lambda said, visit: said.disk_full("/var/spool")),
    )
    return similar(travel, aiohttp, httpx, causes, seed=502)


def similar_lines(found: Sequence[Found]) -> Section:
    """How often the past was found."""
    seen, unseen = Share.sum(one.seen for one in found), Share.sum(one.unseen for one in found)
    lines = [
        "Of causes that came back, how often a report names the first time among the three that it finds similar:",
        "",
        f"- in the same words: {seen} (goal 1.00)",
        f"- in other words: {unseen} (goal ≥ 0.90)",
        "",
    ]
    return lines, {"seen": str(seen), "unseen": str(unseen)}


def injection_lines(found: Sequence[Attempt]) -> Section:
    """How many attempts have achieved anything."""
    lines = []
    for reader, how in (
        ("rules", "as the text of the errors that a report explains"),
        ("model", f"of a model that does what the text says, in {ways} ways, when it words that report"),
    ):
        some = [one for one in found if one.reader == reader]
        won = [one for one in some if one.achieved]
        lines.append(f"- {how}: {len(won)} of {len(some)} attempts have achieved something (goal 0 of ≥ 60)")
        lines += [
            f"  - payload {one.payload} at {one.place}: {', '.join(one.achieved)}" for one in won[:achieved_shown]
        ]
    return [
        "Achieved is: another verdict, a forbidden remedy, a planted secret or link told, or sent to the model.",
        "",
        *lines,
        "",
    ], [{name: getattr(one, name) for name in one.__slots__} for one in found]


def counterfactual_lines(names: Sequence[str], shares: Sequence[Share]) -> Section:
    """Of the sagas that failed of a fault, how many complete without it."""
    total = Share.sum(shares)
    without = [name for name, one in zip(names, shares, strict=True) if not one.successes]
    lines = [
        f"Of the sagas that failed of a fault, {total} complete in the same world without it ({len(names)} cases)."
    ]
    if without:
        lines.append(f"Without effect: {', '.join(without)}.")
    return [*lines, ""], [str(one) for one in shares]


def _outage() -> Section:
    busy = load()
    found = outage(outage_sagas)
    bare = outage(outage_sagas, diagnosis=False)
    share = max(0.0, found.cpu_seconds - bare.cpu_seconds) / found.seconds
    failed = f"{found.failed} of {found.sagas} sagas failed in {found.seconds:.0f} s"
    times = f"with diagnosis {found.cpu_seconds:.1f} s, without {bare.cpu_seconds:.1f} s"
    lines = [
        f"{failed}: {found.incidents} incidents, {found.calls} calls of the model (goal ≤ 3).",
        f"Processor time {times}: {share:.1%} of one core while it lasted (goal ≤ 5 %).",
        "",
        busy,
        "",
    ]
    return lines, {"with": _plain(found), "without": _plain(bare), "share": share}


def _speed() -> Section:
    busy = load()
    found = speed(speed_failures)
    lines = ["From the question to the report (goal: p95 ≤ 1000 ms).", "", *found.lines(), "", busy, ""]
    return lines, {"failures": found.failures, "incident": _all(found.incident), "saga": _all(found.saga), "load": busy}


def _throughput() -> Section:
    busy = load()
    found = throughput(rounds=throughput_rounds, sagas=throughput_sagas)
    both = zip(found.with_it, found.without, strict=True)
    pairs = ", ".join(f"{one.sagas_per_second:.0f}/{other.sagas_per_second:.0f}" for one, other in both)
    what = f"Sagas per second with diagnosis against without, median of {throughput_rounds} paired rounds"
    work = f"Processor time per saga, likewise: {found.work_ratio:.3f}."
    lines = [f"{what}: {found.ratio:.3f} (goal ≥ 0.98). Rounds: {pairs}.", work, "", busy, ""]
    figures = {"ratio": found.ratio, "work_ratio": found.work_ratio}
    return lines, {**figures, "with": _all(found.with_it), "without": _all(found.without), "load": busy}


def load() -> str:
    """What else the machine was doing: times that were taken beside much other work say little."""
    return f"Before it the machine's load was {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores."


def _plain(found: Outage | Asked | Round) -> dict[str, Any]:
    return {name: getattr(found, name) for name in found.__slots__}


def _all(found: Sequence[Asked | Round]) -> list[dict[str, Any]]:
    return [_plain(one) for one in found]
