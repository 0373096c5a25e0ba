"""Commands that ask a running coordinator: start, show, list, cancel, version."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from amends.client import Client
from coordinator.cli.telling import (
    Form,
    Output,
    Url,
    fail,
    refused_code,
    run,
    table,
    tell,
    text_of,
    url_default,
    usage_code,
)
from coordinator.telemetry import release

done_badly = ("compensated", "closed", "blocked")


def add_to(app: typer.Typer) -> None:
    app.command()(start)
    app.command()(show)
    app.command("list")(list_sagas)
    app.command()(cancel)
    app.command()(version)


def start(
    definition: Annotated[str, typer.Argument(help="the name of a registered definition")],
    input: Annotated[str, typer.Option(help="JSON, @file, or - for standard input")] = "null",  # noqa: A002
    key: Annotated[str | None, typer.Option(help="idempotency key: the same key, the same saga")] = None,
    business_key: Annotated[str | None, typer.Option(help="what it is about, for finding it again")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="may be given several times")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="until it has ended; exit code 1 unless it completed")] = False,
    timeout_seconds: Annotated[float, typer.Option(min=0, help="of the wait")] = 60.0,
    url: Url = url_default,
    output: Output = Form.TEXT,
) -> None:
    """Start a saga."""
    value = _json_of(input)

    async def work() -> dict[str, Any]:
        async with Client(url) as client:
            started = await client.start(definition, value, key=key, business_key=business_key, tags=tag or ())
            return await client.wait(started["id"], timeout_seconds) if wait else started

    saga = run(work())
    tell(saga, output, _saga_lines if wait else lambda started: [started["id"]])
    if wait and saga["status"] in done_badly:
        raise typer.Exit(refused_code)


def show(
    saga_id: Annotated[str, typer.Argument(metavar="ID")], url: Url = url_default, output: Output = Form.TEXT
) -> None:
    """Show a saga: its steps, what was tried, and what it waits for."""

    async def work() -> dict[str, Any]:
        async with Client(url) as client:
            return await client.get(saga_id)

    tell(run(work()), output, _saga_lines)


def list_sagas(
    definition: Annotated[str | None, typer.Option(help="of this definition")] = None,
    status: Annotated[str | None, typer.Option(help="running, compensating, blocked, completed, …")] = None,
    tag: Annotated[str | None, typer.Option()] = None,
    business_key: Annotated[str | None, typer.Option()] = None,
    waiting_on: Annotated[str | None, typer.Option(help="reply, no_consumer, blocked, paused, backoff, …")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
    url: Url = url_default,
    output: Output = Form.TEXT,
) -> None:
    """List sagas, the newest first."""

    async def work() -> list[dict[str, Any]]:
        async with Client(url) as client:
            found = client.list(
                limit=limit,
                definition=definition,
                status=status,
                tag=tag,
                business_key=business_key,
                waiting_on=waiting_on,
            )
            return [saga async for saga in found]

    tell(run(work()), output, _list_lines)


def cancel(
    saga_id: Annotated[str, typer.Argument(metavar="ID")],
    reason: Annotated[str | None, typer.Option(help="why; it is kept in the history")] = None,
    url: Url = url_default,
    output: Output = Form.TEXT,
) -> None:
    """Undo what a saga has done, and end it."""

    async def work() -> dict[str, Any]:
        async with Client(url) as client:
            return await client.cancel(saga_id, reason)

    tell(run(work()), output, _saga_lines)


def version() -> None:
    """Say which release this is."""
    print(release())


def _json_of(text: str) -> Any:
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        return json.loads(text)
    except OSError as error:
        fail(f"{text}: {error.strerror}", usage_code)
    except ValueError as error:
        fail(f"--input is not JSON: {error}", usage_code)


def _saga_lines(saga: dict[str, Any]) -> list[str]:
    progress = saga["progress"]
    lines = [
        f"saga {saga['id']}  {saga['definition']} version {saga['version']}",
        f"{saga['status']}  {progress['completed']} of {progress['total']} steps done, {progress['failed']} failed",
    ]
    if saga["waiting_on"]:
        lines.append(f"waits for: {saga['waiting_on']['message']}")
    if saga["cause"]:
        lines.append(f"turned: {saga['cause']['step'] or ''} {saga['cause']['kind']}: {saga['cause']['message']}")
    rows = [("step", "status", "attempts", "error")]
    for step in saga["steps"]:
        error = step["error"] or {}
        rows.append(
            (step["name"], step["status"], str(len(step["attempts"])), error.get("message") or error.get("type", ""))
        )
    lines += ["", *table(rows)]
    lines += [f"left behind: {left['step']} ({left['because']}) {left['message']}" for left in saga["effects_left"]]
    return lines


def _list_lines(sagas: list[dict[str, Any]]) -> list[str]:
    names = ("id", "definition", "status", "waiting_on", "business_key", "created_at")
    return table([names, *(tuple(text_of(saga, name) for name in names) for saga in sagas)])
