"""Commands about what carries sagas: participants, outbox, dead letters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from amends.client import Client, Json, path_of
from coordinator.cli.calling import Caller, asks
from coordinator.cli.completing import participant_names
from coordinator.cli.reading import reason_of
from coordinator.cli.telling import columns, short, table, text_of

participants = typer.Typer(help="Who answers commands.", invoke_without_command=True)
outbox = typer.Typer(help="What waits to be sent.", invoke_without_command=True)
letters = typer.Typer(help="What nobody could process.", invoke_without_command=True)

LetterId = Annotated[str, typer.Argument(metavar="ID", help="of the dead letter")]
Reason = Annotated[str | None, typer.Option("--reason", help="why; it is kept")]

reason_chars_max = 80
body_chars_max = 4000


def add_to(app: typer.Typer) -> None:
    app.add_typer(participants, name="participants")
    app.add_typer(outbox, name="outbox")
    app.add_typer(letters, name="dead-letters")


# --- participants -----------------------------------------------------------------------------------------------------


@participants.callback()
@asks
def default_participants(caller: Caller, context: typer.Context) -> None:
    """Who answers commands: workers, versions, what waits for them. Alone: list them."""
    if context.invoked_subcommand is None:
        _list_participants(caller)


@participants.command("list")
@asks
def list_participants(caller: Caller) -> None:
    """List every participant that was heard of."""
    _list_participants(caller)


@participants.command("show")
@asks
def show_participant(caller: Caller, name: Annotated[str, typer.Argument(autocompletion=participant_names)]) -> None:
    """Show a participant: its workers, and what they answer."""
    found = caller.ask(lambda client: client.request("GET", path_of("v1", "participants", name)))
    caller.tell(found, _participant_lines)


def _list_participants(caller: Caller) -> None:
    async def work(client: Client) -> list[Json]:
        found: list[Json] = (await client.request("GET", "/v1/participants"))["items"]
        return found

    def lines(found: list[Json]) -> list[str]:
        told = [{**one, **_in_short(one)} for one in found]
        names = ("name", "live", "workers", "versions", "in_flight", "waiting", "errors", "held")
        return columns(told, names, "no participant has been heard of")

    caller.tell(caller.ask(work), lines)


def _in_short(participant: Mapping[str, Any]) -> Json:
    """What stands in one line of a list."""
    live = [worker for worker in participant["workers"] if worker["live"]]
    recent, queue = participant.get("recent") or {}, participant.get("queue") or {}
    rate = recent.get("error_rate")
    return {
        "workers": f"{len(live)} of {len(participant['workers'])}",
        "in_flight": sum(worker["in_flight"] for worker in live),
        "waiting": queue.get("waiting"),
        "errors": None if rate is None else f"{round(100 * rate)} %",
        "held": _held(participant),
    }


def _held(participant: Mapping[str, Any]) -> str | None:
    """What holds it back, in short."""
    throttle = participant.get("throttle")
    if participant["paused"]:
        return "paused"
    return f"{throttle['rate_per_second']:g} per second" if throttle else None


def _participant_lines(participant: Json) -> list[str]:
    names = ("id", "version", "live", "stopping", "in_flight", "last_seen")
    held = [
        f"{kind} since {hold['since']} by {hold['by']}: {hold['reason']}"
        for kind, hold in (("paused", participant.get("pause")), ("throttled", participant.get("throttle")))
        if hold
    ]
    return [
        f"{participant['name']}  {'live' if participant['live'] else 'nobody is there'}",
        *held,
        f"actions: {text_of(participant, 'actions')}",
        f"compensations: {text_of(participant, 'compensations')}",
        "",
        *columns(participant["workers"], names, "no worker was ever heard of"),
    ]


# --- the outbox -------------------------------------------------------------------------------------------------------


@outbox.callback()
@asks
def default_outbox(caller: Caller, context: typer.Context) -> None:
    """What waits to be sent, per participant, and what can't be sent. Alone: list it."""
    if context.invoked_subcommand is None:
        _list_outbox(caller)


@outbox.command("list")
@asks
def list_outbox(caller: Caller) -> None:
    """List what waits to be sent, per participant, and what can't be sent."""
    _list_outbox(caller)


@outbox.command("redrive")
@asks
def redrive_command(
    caller: Caller, command_id: Annotated[str, typer.Argument(metavar="COMMAND", help="the id of a parked command")]
) -> None:
    """Try a parked command again, if its saga still awaits it."""
    path = path_of("v1", "outbox", command_id, "redrive")
    parked = caller.ask(lambda client: client.request("POST", path))
    caller.tell(parked, lambda answer: [f"{answer['id']} is tried again"])


def _list_outbox(caller: Caller) -> None:
    def lines(found: Json) -> list[str]:
        told = columns(found["backlog"], ("participant", "waiting", "parked", "oldest_at", "paused"), "nothing waits")
        if found["parked"]:
            rows = [(one["id"], one["participant"], short(one["reason"], reason_chars_max)) for one in found["parked"]]
            told += ["", *table([("parked command", "participant", "reason"), *rows])]
        return told

    caller.tell(caller.ask(lambda client: client.request("GET", "/v1/outbox")), lines)


# --- dead letters -----------------------------------------------------------------------------------------------------


@letters.callback()
@asks
def default_letters(caller: Caller, context: typer.Context) -> None:
    """What nobody could process. Alone: list what is open."""
    if context.invoked_subcommand is None:
        _list_letters(caller, status="open", limit=20)


@letters.command("list")
@asks
def list_letters(
    caller: Caller,
    status: Annotated[str | None, typer.Option(help="open, redriven, discarded; all, if not stated")] = None,
    participant: Annotated[
        str | None, typer.Option(help="of this participant", autocompletion=participant_names)
    ] = None,
    saga: Annotated[str | None, typer.Option(help="the id of a saga")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="no more than so many")] = 20,
) -> None:
    """List dead letters, the newest first."""
    _list_letters(caller, status=status, participant=participant, saga_id=saga, limit=limit)


@letters.command("show")
@asks
def show_letter(caller: Caller, letter_id: LetterId) -> None:
    """Show a dead letter: where it came from, why nobody could process it, and what it says."""
    found = caller.ask(lambda client: client.request("GET", path_of("v1", "dead-letters", letter_id)))
    caller.tell(found, _letter_lines)


@letters.command("redrive")
@asks
def redrive_letter(caller: Caller, letter_id: LetterId, reason: Reason = None) -> None:
    """Send a dead letter again, if it is still awaited."""
    body = {"by": caller.actor, **({"reason": reason} if reason else {})}
    path = path_of("v1", "dead-letters", letter_id, "redrive")
    caller.tell(caller.ask(lambda client: client.request("POST", path, body=body)), _letter_lines)


@letters.command("discard")
@asks
def discard_letter(caller: Caller, letter_id: LetterId, reason: Reason = None) -> None:
    """Put a dead letter aside for good."""
    body = {"by": caller.actor, "reason": reason_of(reason)}
    path = path_of("v1", "dead-letters", letter_id, "discard")
    caller.tell(caller.ask(lambda client: client.request("POST", path, body=body)), _letter_lines)


def _list_letters(caller: Caller, *, limit: int, **filters: str | None) -> None:
    async def work(client: Client) -> list[Json]:
        return [letter async for letter in client.items("/v1/dead-letters", limit=limit, **filters)]

    def lines(found: list[Json]) -> list[str]:
        told = [{**letter, "reason": short(letter["reason"], reason_chars_max)} for letter in found]
        return columns(told, ("id", "at", "status", "source", "participant", "reason"), "no dead letter")

    caller.tell(caller.ask(work), lines)


def _letter_lines(letter: Json) -> list[str]:
    resolved = f" at {letter['resolved_at']} by {letter['resolved_by']}: {letter['resolved_why'] or 'no reason given'}"
    names = ("source", "participant", "saga_id", "command_key", "redelivered")
    return [
        f"dead letter {letter['id']}  {letter['at']}",
        letter["status"] + (resolved if letter["resolved_at"] else ""),
        f"reason: {letter['reason']}",
        *(f"{name}: {letter[name]}" for name in names if letter[name] is not None),
        "",
        short(letter["body"], body_chars_max),
    ]
