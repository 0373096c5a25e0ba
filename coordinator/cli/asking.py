"""Commands that start sagas and look at them: start, show, list, version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from amends.client import Client
from coordinator.cli.calling import Caller, asks
from coordinator.cli.choosing import chooses
from coordinator.cli.completing import definition_names, saga_ids
from coordinator.cli.reading import json_of, seconds_of
from coordinator.cli.telling import Form, columns, not_completed_code, table

SagaId = Annotated[str, typer.Argument(metavar="SAGA", help="its id", autocompletion=saga_ids)]


def add_to(app: typer.Typer) -> None:
    app.command()(start)
    app.command()(show)
    app.command("list")(list_sagas)
    app.command()(version)


@asks
def start(
    caller: Caller,
    definition: Annotated[
        str, typer.Argument(help="the name of a registered definition", autocompletion=definition_names)
    ],
    input: Annotated[str, typer.Option(help="JSON, @file, or - for standard input")] = "null",  # noqa: A002
    version: Annotated[int | None, typer.Option(min=1, help="of the definition; the newest, if not stated")] = None,
    key: Annotated[str | None, typer.Option(help="idempotency key: the same key, the same saga")] = None,
    business_key: Annotated[str | None, typer.Option(help="what it is about, for finding it again")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="may be given several times")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="until it has ended; exit code 5 unless it completed")] = False,
    timeout: Annotated[str, typer.Option(help="of the wait: 90s, 10m; exit code 6 when it is over")] = "60s",
) -> None:
    """Start a saga."""
    value, timeout_seconds = json_of(input, "input"), seconds_of(timeout, "timeout")

    async def work(client: Client) -> dict[str, Any]:
        started = await client.start(
            definition, value, key=key, version=version, business_key=business_key, tags=tag or ()
        )
        return await client.wait(started["id"], timeout_seconds) if wait else started

    saga = caller.ask(work)
    caller.tell(saga, saga_lines if wait else lambda started: [started["id"]])
    if wait:
        end_as(saga)


@asks
def show(
    caller: Caller,
    saga_id: SagaId,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="follow it until it has ended; exit code 5 unless it completed")
    ] = False,
) -> None:
    """Show a saga: its steps, what was tried, and what it waits for."""
    if not watch:
        caller.tell(caller.ask(lambda client: client.get(saga_id)), saga_lines)
        return
    from coordinator.cli.watching import follow  # which draws, and takes its time to load

    saga = caller.ask(lambda client: follow(client, saga_id, drawn=caller.form is Form.TEXT))
    if caller.form is Form.JSON:
        caller.tell(saga, saga_lines)
    end_as(saga)


@asks
@chooses
def list_sagas(
    caller: Caller,
    chosen: Mapping[str, Any],
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="no more than so many")] = 20,
) -> None:
    """List sagas, the newest first."""

    async def work(client: Client) -> list[dict[str, Any]]:
        return [saga async for saga in client.list(limit=limit, **chosen)]

    names = ("id", "definition", "status", "waiting_on", "business_key", "created_at")
    caller.tell(caller.ask(work), lambda found: columns(found, names, "no saga"))


def version() -> None:
    """Say which release this is."""
    from coordinator.telemetry import release

    print(release())


def end_as(saga: Mapping[str, Any]) -> None:
    """End the command as the saga has ended."""
    if saga["status"] != "completed":
        raise typer.Exit(not_completed_code)


def saga_lines(saga: dict[str, Any]) -> list[str]:
    progress = saga["progress"]
    lines = [
        f"saga {saga['id']}  {saga['definition']} version {saga['version']}",
        f"{saga['status']}  {progress['completed']} of {progress['total']} steps done, {progress['failed']} failed",
    ]
    if saga["paused"]:
        paused = saga["paused"]
        lines.append(f"paused since {paused['since']} by {paused['by']}: {paused['reason']}")
    if saga["waiting_on"]:
        lines.append(f"waits for: {saga['waiting_on']['message']}")
    if saga["cause"]:
        lines.append(f"turned: {saga['cause']['step'] or ''} {saga['cause']['kind']}: {saga['cause']['message']}")
    lines += ["", *table([("step", "status", "attempts", "error"), *(step_row(step) for step in saga["steps"])])]
    lines += [f"left behind: {left['step']} ({left['because']}) {left['message']}" for left in saga["effects_left"]]
    asked = [*saga["allowed"], *(f"{verb} {step['name']}" for step in saga["steps"] for verb in step["allowed"])]
    return [*lines, *(["", f"possible now: {', '.join(asked)}"] if asked else [])]


def step_row(step: Mapping[str, Any]) -> tuple[str, str, str, str]:
    error = step["error"] or {}
    return (step["name"], step["status"], str(len(step["attempts"])), error.get("message") or error.get("type", ""))
