"""Commands that ask why, and tell what may be a reason: explain, incidents, feedback, remedies, announce."""

from __future__ import annotations

import shutil
from enum import StrEnum
from typing import Annotated, Any

import typer

from amends.client import Client, Json
from coordinator.cli.asking import SagaId
from coordinator.cli.calling import Caller, asks
from coordinator.cli.telling import columns, plain, short, table, text_of

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


@asks
def explain(caller: Caller, saga_id: SagaId, output: TellingOutput = Told.TEXT) -> None:
    """Say why a saga failed: the cause, what happened to the world, and what to do."""

    async def work(client: Client) -> Json | str:
        if output is Told.JSON:
            return await client.diagnosis(saga_id)
        return await client.explain(saga_id, form=output, width=_width())

    _tell(caller, caller.ask(work))


@incidents.callback()
@asks
def default(caller: Caller, context: typer.Context) -> None:
    """Failures that share a cause. Alone: list them."""
    if context.invoked_subcommand is None:
        _list_incidents(caller, limit=20)


@incidents.command("list")
@asks
def list_incidents(
    caller: Caller,
    status: Annotated[str | None, typer.Option(help="open, closed, merged")] = None,
    cls: Annotated[str | None, typer.Option("--class", help="of this kind of cause")] = None,
    definition: Annotated[str | None, typer.Option(help="with sagas of this definition")] = None,
    participant: Annotated[str | None, typer.Option(help="with steps of this participant")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="no more than so many")] = 20,
) -> None:
    """List incidents, the newest first."""
    _list_incidents(caller, limit=limit, status=status, cls=cls, definition=definition, participant=participant)


def _list_incidents(caller: Caller, *, limit: int, **filters: str | None) -> None:
    async def work(client: Client) -> list[Json]:
        return [incident async for incident in client.incidents(limit=limit, **filters)]

    caller.tell(caller.ask(work), _incident_lines)


@incidents.command("show")
@asks
def show_incident(caller: Caller, incident_id: Id, output: TellingOutput = Told.TEXT) -> None:
    """Show the newest report of an incident."""

    async def work(client: Client) -> Json | str:
        if output is Told.JSON:
            return await client.incident(incident_id)
        return await client.incident_report(incident_id, form=output, width=_width())

    _tell(caller, caller.ask(work))


@asks
def feedback(
    caller: Caller,
    incident_id: Annotated[str, typer.Argument(metavar="INCIDENT")],
    correct: Annotated[bool | None, typer.Option("--correct/--wrong", help="whether its report was right")] = None,
    cls: Annotated[str | None, typer.Option("--class", help="of a wrong one: what kind of cause it was")] = None,
    culprit: Annotated[str | None, typer.Option(help='of a wrong one: what it was, as "worker payment/w1"')] = None,
    resolution: Annotated[str | None, typer.Option(help="what resolved it")] = None,
) -> None:
    """Say whether a report was right, and what resolved the incident. The next one like it will be told so."""
    verdict = None if correct is None else "correct" if correct else "wrong"
    said = {"verdict": verdict, "true_class": cls, "true_culprit": culprit, "resolution": resolution}
    if all(value is None for value in said.values()):
        caller.fail("say --correct or --wrong, or what resolved it with --resolution")
    kept = caller.ask(lambda client: client.feedback(incident_id, **said, by=caller.actor))
    caller.tell(kept, lambda answer: [f"kept, of report {answer['report_version']}: thank you"])


@asks
def announce(
    caller: Caller,
    text: Annotated[str, typer.Argument(help="what was changed")],
    subject: Annotated[str | None, typer.Option(help='what it was done to, as "participant payment"')] = None,
    at: Annotated[str | None, typer.Option(help="when, as 2030-01-31T12:00:00Z; now, if not stated")] = None,
) -> None:
    """Tell of a deploy or another change, so that what fails after it can be explained by it."""
    change = caller.ask(lambda client: client.announce(text, subject=subject, at=at))
    caller.tell(change, lambda told: [f"announced: {told['facts']['text']} ({told['at']})"])


@remedies.callback()
@asks
def default_remedies(caller: Caller, context: typer.Context) -> None:
    """What may be done about incidents. Alone: list it."""
    if context.invoked_subcommand is None:
        _list_remedies(caller, None)


@remedies.command("list")
@asks
def list_remedies(
    caller: Caller,
    state: Annotated[str | None, typer.Option(help="proposed, shadow, begun, helped, undone, …")] = None,
) -> None:
    """List remedies, the newest first."""
    _list_remedies(caller, state)


def _list_remedies(caller: Caller, state: str | None) -> None:
    async def work(client: Client) -> list[Json]:
        found: list[Json] = (await client.remedies(status=state))["items"]
        return found

    caller.tell(caller.ask(work), _remedy_lines)


@remedies.command()
@asks
def approve(caller: Caller, remedy_id: Id, reason: Reason = None) -> None:
    """Let a remedy be carried out."""
    _decide(caller, remedy_id, "approve", reason)


@remedies.command()
@asks
def reject(caller: Caller, remedy_id: Id, reason: Reason = None) -> None:
    """Keep a remedy from being carried out."""
    _decide(caller, remedy_id, "reject", reason)


@remedies.command()
@asks
def undo(caller: Caller, remedy_id: Id, reason: Reason = None) -> None:
    """Take back a remedy that is in effect."""
    _decide(caller, remedy_id, "undo", reason)


def _decide(caller: Caller, remedy_id: str, verb: str, reason: str | None) -> None:
    decided = caller.ask(lambda client: client.decide(remedy_id, verb, reason))
    caller.tell(decided, lambda remedy: _remedy_lines([remedy]))


def _width() -> int:
    return max(width_min, min(shutil.get_terminal_size((100, 24)).columns, width_max))


def _tell(caller: Caller, told: Json | str) -> None:
    """Print what the API said: JSON, or its lines as they are."""
    if isinstance(told, str):
        for line in told.splitlines():
            print(plain(line))
    else:
        caller.tell(told, lambda _: ())


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
    return short(str(incident["headline"]) or "not analysed yet", headline_chars_max)


def _remedy_lines(found: list[Json]) -> list[str]:
    return columns(found, ("id", "state", "kind", "scope", "by", "outcome"), "no remedy")
