"""Commands that ask why, and tell what may be a reason: explain, incidents, feedback, remedies, announce."""

from __future__ import annotations

import shutil
from enum import StrEnum
from typing import Annotated, Any

import typer

from amends.client import Client, Json
from coordinator.cli.telling import (
    Form,
    Output,
    Url,
    fail,
    plain,
    run,
    table,
    tell,
    text_of,
    url_default,
    usage_code,
)

width_min, width_max = 40, 200

incidents = typer.Typer(help="Failures that share a cause.", invoke_without_command=True)
remedies = typer.Typer(help="What may be done about incidents.", invoke_without_command=True)

Id = Annotated[str, typer.Argument(metavar="ID")]
Reason = Annotated[str | None, typer.Option(help="why; it is kept with the remedy")]
headline_chars_max = 90


class Told(StrEnum):
    """The forms a diagnosis comes in."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


TellingOutput = Annotated[Told, typer.Option("-o", "--output", help="how to answer")]


def add_to(app: typer.Typer) -> None:
    app.command()(explain)
    app.command()(feedback)
    app.command()(announce)
    app.add_typer(incidents, name="incidents")
    app.add_typer(remedies, name="remedies")


def explain(
    saga_id: Annotated[str, typer.Argument(metavar="SAGA")], url: Url = url_default, output: TellingOutput = Told.TEXT
) -> None:
    """Say why a saga failed: the cause, what happened to the world, and what to do."""

    async def work() -> Json | str:
        async with Client(url) as client:
            if output is Told.JSON:
                return await client.diagnosis(saga_id)
            return await client.explain(saga_id, form=output, width=_width())

    _tell(run(work()))


@incidents.callback()
def default(
    context: typer.Context,
    url: Url = url_default,
    output: Output = Form.TEXT,
) -> None:
    """Failures that share a cause. Alone: list them."""
    if context.invoked_subcommand is None:
        list_incidents(url=url, output=output)


@incidents.command("list")
def list_incidents(
    status: Annotated[str | None, typer.Option(help="open, closed, merged")] = None,
    cls: Annotated[str | None, typer.Option("--class", help="of this kind of cause")] = None,
    definition: Annotated[str | None, typer.Option(help="with sagas of this definition")] = None,
    participant: Annotated[str | None, typer.Option(help="with steps of this participant")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
    url: Url = url_default,
    output: Output = Form.TEXT,
) -> None:
    """List incidents, the newest first."""

    async def work() -> list[Json]:
        async with Client(url) as client:
            found = client.incidents(
                limit=limit, status=status, cls=cls, definition=definition, participant=participant
            )
            return [incident async for incident in found]

    tell(run(work()), output, _incident_lines)


@incidents.command("show")
def show_incident(incident_id: Id, url: Url = url_default, output: TellingOutput = Told.TEXT) -> None:
    """Show the newest report of an incident."""

    async def work() -> Json | str:
        async with Client(url) as client:
            if output is Told.JSON:
                return await client.incident(incident_id)
            return await client.incident_report(incident_id, form=output, width=_width())

    _tell(run(work()))


def feedback(
    incident_id: Annotated[str, typer.Argument(metavar="INCIDENT")],
    correct: Annotated[bool | None, typer.Option("--correct/--wrong", help="whether its report was right")] = None,
    cls: Annotated[str | None, typer.Option("--class", help="of a wrong one: what kind of cause it was")] = None,
    culprit: Annotated[str | None, typer.Option(help='of a wrong one: what it was, as "worker payment/w1"')] = None,
    resolution: Annotated[str | None, typer.Option(help="what resolved it")] = None,
    by: Annotated[str | None, typer.Option(help="who says so")] = None,
    url: Url = url_default,
    output: Output = Form.TEXT,
) -> None:
    """Say whether a report was right, and what resolved the incident. The next one like it will be told so."""
    verdict = None if correct is None else "correct" if correct else "wrong"
    said = {"verdict": verdict, "true_class": cls, "true_culprit": culprit, "resolution": resolution, "by": by}
    if all(said[name] is None for name in ("verdict", "true_class", "true_culprit", "resolution")):
        fail("say --correct or --wrong, or what resolved it with --resolution", usage_code)

    async def work() -> Json:
        async with Client(url) as client:
            return await client.feedback(incident_id, **said)

    tell(run(work()), output, lambda kept: [f"kept, of report {kept['report_version']}: thank you"])


def announce(
    text: Annotated[str, typer.Argument(help="what was changed")],
    subject: Annotated[str | None, typer.Option(help='what it was done to, as "participant payment"')] = None,
    at: Annotated[str | None, typer.Option(help="when, as 2030-01-31T12:00:00Z; now, if not stated")] = None,
    by: Annotated[str | None, typer.Option(help="who, or which pipeline")] = None,
    url: Url = url_default,
    output: Output = Form.TEXT,
) -> None:
    """Tell of a deploy or another change, so that what fails after it can be explained by it."""

    async def work() -> Json:
        async with Client(url, actor=by) as client:
            return await client.announce(text, subject=subject, at=at)

    tell(run(work()), output, lambda change: [f"announced: {change['facts']['text']} ({change['at']})"])


@remedies.callback()
def default_remedies(context: typer.Context, url: Url = url_default, output: Output = Form.TEXT) -> None:
    """What may be done about incidents. Alone: list it."""
    if context.invoked_subcommand is None:
        list_remedies(url=url, output=output)


@remedies.command("list")
def list_remedies(
    state: Annotated[str | None, typer.Option(help="proposed, shadow, begun, helped, undone, …")] = None,
    url: Url = url_default,
    output: Output = Form.TEXT,
) -> None:
    """List remedies, the newest first."""

    async def work() -> list[Json]:
        async with Client(url) as client:
            found: list[Json] = (await client.remedies(status=state))["items"]
            return found

    tell(run(work()), output, _remedy_lines)


@remedies.command()
def approve(remedy_id: Id, reason: Reason = None, url: Url = url_default, output: Output = Form.TEXT) -> None:
    """Let a remedy be carried out."""
    _decide(remedy_id, "approve", reason, url, output)


@remedies.command()
def reject(remedy_id: Id, reason: Reason = None, url: Url = url_default, output: Output = Form.TEXT) -> None:
    """Keep a remedy from being carried out."""
    _decide(remedy_id, "reject", reason, url, output)


@remedies.command()
def undo(remedy_id: Id, reason: Reason = None, url: Url = url_default, output: Output = Form.TEXT) -> None:
    """Take back a remedy that is in effect."""
    _decide(remedy_id, "undo", reason, url, output)


def _decide(remedy_id: str, verb: str, reason: str | None, url: str, output: Form) -> None:
    async def work() -> Json:
        async with Client(url) as client:
            return await client.decide(remedy_id, verb, reason)

    tell(run(work()), output, lambda remedy: _remedy_lines([remedy]))


def _width() -> int:
    return max(width_min, min(shutil.get_terminal_size((100, 24)).columns, width_max))


def _tell(told: Json | str) -> None:
    """Print what the API said: JSON, or its lines as they are."""
    if isinstance(told, str):
        for line in told.splitlines():
            print(plain(line))
    else:
        tell(told, Form.JSON, lambda _: ())


def _incident_lines(found: list[Json]) -> list[str]:
    if not found:
        return ["no incident"]
    names = ("id", "status", "failures", "last_at", "cls")
    rows = [(*(text_of(one, name) for name in names), _confidence(one), _headline(one)) for one in found]
    return table([(*names, "sure", "headline"), *rows])


def _confidence(incident: dict[str, Any]) -> str:
    sure = incident["confidence"]
    return "-" if sure is None else f"{min(99, round(100 * sure))} %"


def _headline(incident: dict[str, Any]) -> str:
    said = str(incident["headline"]) or "not analysed yet"
    return said if len(said) <= headline_chars_max else said[: headline_chars_max - 1] + "…"


def _remedy_lines(found: list[Json]) -> list[str]:
    if not found:
        return ["no remedy"]
    names = ("id", "state", "kind", "scope", "by", "outcome")
    return table([names, *(tuple(text_of(remedy, name) for name in names) for remedy in found)])
