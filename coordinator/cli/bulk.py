"""Verbs that are asked of all sagas that fit a filter: counted first, carried out by the coordinator at a rate, shown.

The coordinator carries it out whether or not anybody looks on, and goes on after a restart; `amends bulk` shows and
ends it.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from amends.client import Client, Json, path_of
from coordinator.cli.calling import Caller, asks
from coordinator.cli.choosing import as_filter
from coordinator.cli.reading import reason_of
from coordinator.cli.telling import Form, columns, refused_code, table

app = typer.Typer(help="Verbs that were asked of many sagas.", no_args_is_help=True)

_panel = "Where many sagas are asked"
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="say what would follow, and ask nothing", rich_help_panel=_panel)
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="without asking back", rich_help_panel=_panel)]
Rate = Annotated[
    float | None, typer.Option("--rate", min=1, max=1000, help="so many per second", rich_help_panel=_panel)
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="don't stay until it is done", rich_help_panel=_panel)]
BulkId = Annotated[str, typer.Argument(metavar="BULK", help="its id")]

look_seconds = 0.3
over = ("done", "cancelled")


@dataclass(frozen=True)
class How:
    """How carefully, and how fast."""

    dry_run: bool
    yes: bool
    rate: float | None
    no_wait: bool


def ask(
    caller: Caller, verb: str, arguments: Mapping[str, Any], chosen: Mapping[str, Any], reason: str | None, how: How
) -> None:
    """Ask it of all sagas that fit."""
    if not chosen:
        caller.fail(f"name a saga, or say with filters which to {verb}: --status blocked, --definition …")
    body: Json = {
        "filter": as_filter(chosen),
        "verb": verb,
        "arguments": dict(arguments),
        "reason": reason or "a dry run" if how.dry_run else reason_of(reason),
        "by": caller.actor,
    }
    if how.rate is not None:
        body["rate_per_second"] = how.rate
    if how.dry_run or not how.yes:
        trial = caller.ask(lambda client: client.request("POST", "/v1/sagas/bulk", body={**body, "dry_run": True}))
        if how.dry_run:
            caller.tell(trial, _trial_lines)
            return
        _confirm(caller, verb, trial)
    key = {"Idempotency-Key": str(uuid.uuid4())}
    begun = caller.ask(lambda client: client.request("POST", "/v1/sagas/bulk", body=body, headers=key))
    if how.no_wait:
        caller.tell(begun, _lines)
        return
    _stay(caller, begun)


def _confirm(caller: Caller, verb: str, trial: Json) -> None:
    count = count_of(trial["total"])
    if not sys.stdin.isatty():
        caller.fail(f"this would {verb} {count} sagas: look with --dry-run, then say --yes")
    typer.confirm(f"{verb} {count} sagas?", abort=True)


def _stay(caller: Caller, begun: Json) -> None:
    """Show how far it is until it is over, and end as it ended."""
    try:  # around the bar as well: whoever sees it may leave
        with progress(caller.form is Form.TEXT and sys.stderr.isatty(), begun) as moved:
            ended = caller.ask(lambda client: until_over(client, begun["id"], moved))
    except KeyboardInterrupt:
        caller.fail(f"it goes on without you: amends bulk show {begun['id']}, amends bulk cancel {begun['id']}", 130)
    caller.tell(ended, _lines)
    if ended["refused"] or ended["state"] == "cancelled":
        raise typer.Exit(refused_code)


async def until_over(client: Client, bulk_id: str, moved: Callable[[Json], None]) -> Json:
    while True:
        bulk = await client.request("GET", path_of("v1", "bulk", bulk_id))
        moved(bulk)
        if bulk["state"] in over:
            return bulk
        await asyncio.sleep(look_seconds)


@contextmanager
def progress(drawn: bool, begun: Json) -> Iterator[Callable[[Json], None]]:
    """A bar on standard error, where somebody looks at it."""
    if not drawn:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*shown, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(str(begun["verb"]), total=begun["total"]["count"])
        yield lambda bulk: bar.update(
            task, completed=bulk["handled"], total=max(bulk["total"]["count"], bulk["handled"])
        )


@app.command("list")
@asks
def list_bulks(
    caller: Caller, limit: Annotated[int, typer.Option(min=1, max=1000, help="no more than so many")] = 20
) -> None:
    """List what was asked of many sagas, the newest first."""

    async def work(client: Client) -> list[Json]:
        return [bulk async for bulk in client.items("/v1/bulk", limit=limit)]

    names = ("id", "verb", "state", "handled", "changed", "refused", "by", "created_at")
    caller.tell(caller.ask(work), lambda found: columns(found, names, "nothing was asked of many"))


@app.command()
@asks
def show(
    caller: Caller,
    bulk_id: BulkId,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", "-w", help="follow it until it is over; exit code 1 if some were refused, or it was cancelled"
        ),
    ] = False,
) -> None:
    """Show how far it is, and what was refused why."""
    found = caller.ask(lambda client: client.request("GET", path_of("v1", "bulk", bulk_id)))
    if watch:
        _stay(caller, found)
    else:
        caller.tell(found, _lines)


@app.command()
@asks
def cancel(caller: Caller, bulk_id: BulkId, reason: Annotated[str | None, typer.Option(help="why")] = None) -> None:
    """Ask no more sagas; what was carried out stays."""
    body = {"by": caller.actor, **({"reason": reason} if reason else {})}
    path = path_of("v1", "bulk", bulk_id, "cancel")
    caller.tell(caller.ask(lambda client: client.request("POST", path, body=body)), _lines)


def count_of(capped: Mapping[str, Any]) -> str:
    return f"{capped['count']}{' or more' if capped['capped'] else ''}"


def _trial_lines(trial: Json) -> list[str]:
    rows = [
        (one["saga"]["id"], one["saga"]["definition"], one["saga"]["status"], one["would"], one["why"] or "")
        for one in trial["sample"]
    ]
    head = [f"{trial['verb']} would be asked of {count_of(trial['total'])} sagas; nothing was done"]
    return [*head, *table([("id", "definition", "status", "would", "why"), *rows])] if rows else head


def _lines(bulk: Json) -> list[str]:
    head = f"{bulk['verb']} of {count_of(bulk['total'])} sagas by {bulk['by']}: {bulk['reason']}"
    counts = ", ".join(f"{bulk[name]} {name}" for name in ("handled", "changed", "unchanged", "refused"))
    refusals = [f"refused {one['sagas']}: {one['reason']} (as saga {one['saga_id']})" for one in bulk["refusals"]]
    return [f"bulk {bulk['id']}  {bulk['state']}", head, counts, *refusals]
