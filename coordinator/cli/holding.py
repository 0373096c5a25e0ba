"""Pausing and resuming: a saga, a definition, a participant, everything; and what is paused, since when, by whom, why.

What is paused accepts starts and replies, sends nothing, and its clocks stand still. What waited can be let go slowly:
`amends resume --participant payment --rate 5 --for 10m`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from amends.client import Client, Json, path_of
from coordinator.cli import bulk
from coordinator.cli.asking import saga_lines
from coordinator.cli.bulk import DryRun, NoWait, Yes
from coordinator.cli.calling import Caller, asks
from coordinator.cli.choosing import chooses
from coordinator.cli.completing import saga_ids
from coordinator.cli.reading import reason_of, seconds_of
from coordinator.cli.telling import columns, unknown_code

Saga = Annotated[str | None, typer.Argument(metavar="SAGA", help="its id", autocompletion=saga_ids)]
Everything = Annotated[bool, typer.Option("--all", help="everything")]
Each = Annotated[
    bool, typer.Option("--each", help="one by one each saga that fits the filter, instead of what --definition names")
]
Rate = Annotated[float | None, typer.Option("--rate", min=0.01, help="let so many commands per second through")]
For = Annotated[str | None, typer.Option("--for", help="for so long, then it ends by itself: 90s, 10m, 2h")]
Reason = Annotated[str | None, typer.Option("--reason", help="why; it is kept")]

of_the_fleet = ("definition", "participant")


@dataclass(frozen=True)
class Scope:
    """What is held back as a whole."""

    scope: str
    name: str | None

    def __str__(self) -> str:
        return "everything" if self.name is None else f"{self.scope} {self.name}"


def add_to(app: typer.Typer) -> None:
    app.command()(pause)
    app.command()(resume)
    app.command()(pauses)


@asks
@chooses
def pause(
    caller: Caller,
    chosen: Mapping[str, Any],
    saga: Saga = None,
    everything: Everything = False,
    each: Each = False,
    rate: Rate = None,
    lasting: For = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    no_wait: NoWait = False,
) -> None:
    """Hold back a saga, a --definition, a --participant (or only slow it, with --rate), or --all.

    With --each and filters, each saga that fits.
    """
    if each:
        bulk.ask(caller, "pause", {}, chosen, reason, bulk.How(dry_run, yes, rate, no_wait))
        return
    if saga is not None:
        _only_saga(caller, chosen, everything, rate, lasting)
        _ask_saga(caller, saga, "pause", reason)
        return
    scope = _scope(caller, chosen, everything)
    body: Json = {"scope": scope.scope, "name": scope.name, "reason": reason_of(reason), "by": caller.actor}
    if rate is not None:
        body["rate_per_second"] = rate
    if lasting is not None:
        body["seconds"] = seconds_of(lasting, "for")
    caller.tell(caller.ask(lambda client: client.request("POST", "/v1/pauses", body=body)), lambda hold: _lines([hold]))


@asks
@chooses
def resume(
    caller: Caller,
    chosen: Mapping[str, Any],
    saga: Saga = None,
    everything: Everything = False,
    hold: Annotated[str | None, typer.Option("--pause", metavar="ID", help="the pause of this id")] = None,
    each: Each = False,
    rate: Rate = None,
    lasting: For = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    no_wait: NoWait = False,
) -> None:
    """Let go on what was paused or slowed: a saga, a --definition, a --participant, --all, or a --pause.

    With --rate not at once: its participants are sent so many commands per second, for ten minutes or as --for says.
    With --each and filters, each saga that fits.
    """
    if each:
        bulk.ask(caller, "resume", {}, chosen, reason, bulk.How(dry_run, yes, rate, no_wait))
        return
    if saga is not None:
        _only_saga(caller, chosen, everything or hold is not None, rate, lasting)
        _ask_saga(caller, saga, "resume", reason)
        return
    if lasting is not None and rate is None:
        caller.fail("--for is of a --rate: what is resumed is resumed for good")
    body: Json = {"by": caller.actor, **({"reason": reason} if reason else {})}
    if rate is not None:
        body["rate_per_second"] = rate
    if lasting is not None:
        body["seconds"] = seconds_of(lasting, "for")
    scope = None if hold is not None else _scope(caller, chosen, everything)
    caller.tell(caller.ask(lambda client: _resume(caller, client, hold, scope, body)), _resumed_lines)


async def _resume(caller: Caller, client: Client, hold: str | None, scope: Scope | None, body: Json) -> Json:
    """End what holds it back. Where a pause and a throttle do, the throttle is only replaced by a stricter one."""
    ids = [hold] if hold is not None else []
    if scope is not None:
        found = (await client.request("GET", "/v1/pauses"))["items"]
        there = [one for one in found if (one["scope"], one["name"]) == (scope.scope, scope.name)]
        if not there:
            caller.fail(f"{scope} is not paused", unknown_code)
        # The throttle first: what a pause leaves behind with a rate must not be ended again.
        ids = [one["id"] for one in sorted(there, key=lambda one: one["rate_per_second"] is None)]
        if body.get("rate_per_second") is not None:
            ids = ids[-1:]
    answers = [await client.request("POST", path_of("v1", "pauses", one, "resume"), body=body) for one in ids]
    return {
        "ended": [answer["ended"] for answer in answers],
        "throttles": [throttle for answer in answers for throttle in answer["throttles"]],
    }


@asks
def pauses(caller: Caller) -> None:
    """List what is paused or slowed, since when, by whom, and why.

    Sagas that are paused alone are found by `amends list --waiting-on paused`.
    """

    async def work(client: Client) -> list[Json]:
        found: list[Json] = (await client.request("GET", "/v1/pauses"))["items"]
        return found

    caller.tell(caller.ask(work), _lines)


def _ask_saga(caller: Caller, saga_id: str, verb: str, reason: str | None) -> None:
    body = {"by": caller.actor, **({"reason": reason} if reason else {})}
    path = path_of("v1", "sagas", saga_id, verb)
    caller.tell(caller.ask(lambda client: client.request("POST", path, body=body)), saga_lines)


def _only_saga(caller: Caller, chosen: Mapping[str, Any], more: bool, rate: float | None, lasting: str | None) -> None:
    if chosen or more or rate is not None or lasting is not None:
        caller.fail("one saga is paused and resumed alone, at once, and without an end")


def _scope(caller: Caller, chosen: Mapping[str, Any], everything: bool) -> Scope:
    """The one thing that is meant."""
    other = [name for name in chosen if name not in of_the_fleet]
    if other:
        caller.fail(f"--{other[0].replace('_', '-')} chooses sagas: say --each to mean each of them")
    meant = [Scope(name, str(chosen[name])) for name in of_the_fleet if name in chosen]
    meant += [Scope("all", None)] if everything else []
    if len(meant) != 1:
        caller.fail("say what: a saga, --definition, --participant or --all; one of them")
    return meant[0]


def _resumed_lines(answer: Json) -> list[str]:
    ended = [f"{_what(hold)} goes on" for hold in answer["ended"]]
    slowly = [
        f"{_what(hold)} gets {hold['rate_per_second']:g} per second until {hold['ends_at'] or 'that is ended'}"
        for hold in answer["throttles"]
    ]
    return [*ended, *slowly]


def _lines(found: list[Json]) -> list[str]:
    told = [{**hold, "what": _what(hold), "how": _how(hold), "until": hold["ends_at"]} for hold in found]
    return columns(told, ("id", "what", "how", "since", "by", "until", "reason"), "nothing is paused")


def _what(hold: Mapping[str, Any]) -> str:
    return str(Scope(hold["scope"], hold["name"]))


def _how(hold: Mapping[str, Any]) -> str:
    return "paused" if hold["rate_per_second"] is None else f"{hold['rate_per_second']:g} per second"
