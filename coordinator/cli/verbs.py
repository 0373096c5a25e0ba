"""What a person may ask of a saga, or of all sagas that fit a filter: retry, skip, settle, waive, cancel, close.

Each is kept in the history with who and why; which are possible now `amends show` says. Pausing is in `holding`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import typer

from amends.client import Client, Json, path_of
from coordinator.cli import bulk
from coordinator.cli.asking import saga_lines
from coordinator.cli.bulk import DryRun, NoWait, Rate, Yes
from coordinator.cli.calling import Caller, asks
from coordinator.cli.choosing import chooses
from coordinator.cli.completing import saga_ids
from coordinator.cli.reading import json_of, reason_of
from coordinator.cli.telling import refused_code

Saga = Annotated[
    str | None,
    typer.Argument(metavar="SAGA", help="its id; without one, all that fit the filter", autocompletion=saga_ids),
]
Step = Annotated[str | None, typer.Argument(metavar="STEP", help="which step, if more than one could be meant")]
OfStep = Annotated[str | None, typer.Option("--step", help="which step, where many sagas are asked")]
Reason = Annotated[str | None, typer.Option("--reason", help="why; it is kept in the history")]


@dataclass(frozen=True)
class Asked:
    """A verb, with what goes along."""

    verb: str
    reason: str | None
    overrides: bool  # what would happen by itself: that needs a reason
    of_step: bool = True
    step: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    several: bool = False  # of one saga it may be asked of every step that it is possible for


def add_to(app: typer.Typer) -> None:
    for verb in (retry, skip, settle, waive, cancel, close):
        app.command()(verb)


@asks
@chooses
def retry(
    caller: Caller,
    chosen: Mapping[str, Any],
    saga: Saga = None,
    step: Step = None,
    of_step: OfStep = None,
    input: Annotated[  # noqa: A002  # the step's own word
        str | None, typer.Option(help="another input: JSON, @file, or - for standard input; needs a reason")
    ] = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    rate: Rate = None,
    no_wait: NoWait = False,
) -> None:
    """Try blocked steps again: one, those of a saga, or those of all sagas that fit."""
    facts = {} if input is None else {"input": json_of(input, "input")}
    if facts and saga is None:
        caller.fail("another input is for one saga's step")
    asked = Asked("retry", reason, bool(facts), step=step or of_step, facts=facts, several=not facts)
    _ask(caller, saga, chosen, asked, bulk.How(dry_run, yes, rate, no_wait))


@asks
@chooses
def skip(
    caller: Caller,
    chosen: Mapping[str, Any],
    saga: Saga = None,
    step: Step = None,
    of_step: OfStep = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    rate: Rate = None,
    no_wait: NoWait = False,
) -> None:
    """Go on without a step that has not happened."""
    asked = Asked("skip", reason, True, step=step or of_step)
    _ask(caller, saga, chosen, asked, bulk.How(dry_run, yes, rate, no_wait))


@asks
@chooses
def settle(
    caller: Caller,
    chosen: Mapping[str, Any],
    done: Annotated[bool, typer.Option("--done/--undone", help="what is so", show_default=False)],
    saga: Saga = None,
    step: Step = None,
    of_step: OfStep = None,
    result: Annotated[str | None, typer.Option(help="what a step that is done gave: JSON, @file, or -")] = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    rate: Rate = None,
    no_wait: NoWait = False,
) -> None:
    """State that a blocked step is done, or undone, with the evidence as the reason."""
    facts: dict[str, Any] = {"settlement": "done" if done else "undone"}
    if result is not None:
        facts["result"] = json_of(result, "result")
    asked = Asked("settle", reason, True, step=step or of_step, facts=facts)
    _ask(caller, saga, chosen, asked, bulk.How(dry_run, yes, rate, no_wait))


@asks
@chooses
def waive(
    caller: Caller,
    chosen: Mapping[str, Any],
    saga: Saga = None,
    step: Step = None,
    of_step: OfStep = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    rate: Rate = None,
    no_wait: NoWait = False,
) -> None:
    """Leave a blocked step as it is; the saga will end closed, and list it."""
    asked = Asked("waive", reason, True, step=step or of_step)
    _ask(caller, saga, chosen, asked, bulk.How(dry_run, yes, rate, no_wait))


@asks
@chooses
def cancel(
    caller: Caller,
    chosen: Mapping[str, Any],
    saga: Saga = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    rate: Rate = None,
    no_wait: NoWait = False,
) -> None:
    """Undo what a saga has done, and end it."""
    _ask(caller, saga, chosen, Asked("cancel", reason, False, of_step=False), bulk.How(dry_run, yes, rate, no_wait))


@asks
@chooses
def close(
    caller: Caller,
    chosen: Mapping[str, Any],
    saga: Saga = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    rate: Rate = None,
    no_wait: NoWait = False,
) -> None:
    """End a blocked saga with its effects left behind; it lists them."""
    _ask(caller, saga, chosen, Asked("close", reason, True, of_step=False), bulk.How(dry_run, yes, rate, no_wait))


def _ask(caller: Caller, saga_id: str | None, chosen: Mapping[str, Any], asked: Asked, how: bulk.How) -> None:
    """Ask it of the saga, or of all that fit."""
    if saga_id is None:
        arguments = {**asked.facts, **({"step": asked.step} if asked.step else {})}
        if asked.of_step and asked.step is None and not asked.several:
            caller.fail(f"say with --step which step to {asked.verb}")
        bulk.ask(caller, asked.verb, arguments, chosen, asked.reason, how)
        return
    if chosen:
        caller.fail("name one saga, or say with filters which; not both")
    if asked.overrides and not how.dry_run:
        asked = replace(asked, reason=reason_of(asked.reason))
    if how.dry_run:
        caller.tell(caller.ask(lambda client: _would(client, saga_id, asked)), _would_lines)
    else:
        caller.tell(caller.ask(lambda client: _ask_one(caller, client, saga_id, asked)), saga_lines)


async def _ask_one(caller: Caller, client: Client, saga_id: str, asked: Asked) -> Json:
    body = {"by": caller.actor, **({"reason": asked.reason} if asked.reason else {}), **asked.facts}
    path = path_of("v1", "sagas", saga_id)
    if not asked.of_step:
        return await client.request("POST", path + path_of(asked.verb), body=body)
    steps = [asked.step] if asked.step else _steps(caller, await client.get(saga_id), asked)
    saga: Json = {}
    for step in steps:
        saga = await client.request("POST", path + path_of("steps", step, asked.verb), body=body)
    return saga


def _steps(caller: Caller, saga: Json, asked: Asked) -> list[str]:
    """The steps that are meant where none is named: the one it is possible for, or all of them."""
    possible = [step["name"] for step in saga["steps"] if asked.verb in step["allowed"]]
    if not possible:
        caller.fail(f"saga {saga['id']} is {saga['status']}: it has no step to {asked.verb} now", refused_code)
    if len(possible) > 1 and not asked.several:
        caller.fail(f"which step to {asked.verb}? {', '.join(possible)}")
    return possible


async def _would(client: Client, saga_id: str, asked: Asked) -> Json:
    """What would be asked of one saga, without asking it."""
    saga = await client.get(saga_id)
    steps = [
        step["name"] for step in saga["steps"] if asked.verb in step["allowed"] and asked.step in (None, step["name"])
    ]
    would = bool(steps) if asked.of_step else asked.verb in saga["allowed"]
    return {
        "verb": asked.verb,
        "saga_id": saga["id"],
        "status": saga["status"],
        "steps": steps if asked.of_step else [],
        "would": "change" if would else "refuse",
    }


def _would_lines(found: Json) -> list[str]:
    what = f"{found['verb']} {' and '.join(found['steps'])}".strip()
    said = "would change it" if found["would"] == "change" else "is not possible now"
    return [f"saga {found['saga_id']} is {found['status']}: {what} {said}"]
