"""API keys: `amends keys`, over the API, or on the database itself for the first one, when nobody can be asked yet."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from amends.client import Json, path_of
from coordinator.cli.calling import Caller, asks
from coordinator.cli.reading import seconds_of
from coordinator.cli.telling import columns, fail, unknown_code

app = typer.Typer(help="API keys: who may ask, and for what.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="who it is for: a person, a service, a pipeline")]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="of the key, or how its prefix begins")]
Direct = Annotated[
    bool, typer.Option("--direct", help="on the database itself (AMENDS_DATABASE_URL), as for the first key")
]
Lasting = Annotated[str | None, typer.Option("--for", help="how long it is valid, such as 90d; until revoked, if not")]
Reason = Annotated[str | None, typer.Option("--reason", help="why; it is kept in the audit")]
Role = Annotated[str, typer.Option("--role", help="viewer, operator or admin")]
Payloads = Annotated[bool, typer.Option("--payloads", help="it may see what goes through sagas")]
key_bytes_max = 1000  # of a file that is to hold one
names = ("id", "prefix", "name", "role", "payloads", "expires_at", "last_used_at", "state")


@app.command()
@asks
def create(
    caller: Caller,
    name: Name,
    role: Role = "viewer",
    payloads: Payloads = False,
    lasting: Lasting = None,
    reason: Reason = None,
    direct: Direct = False,
) -> None:
    """Make a key, and print it: it is never shown again."""
    stated = _stated(caller, name, role, payloads=payloads, lasting=lasting, reason=reason)
    if direct:
        made = _directly(caller, lambda place: place.make(stated))
    else:
        made = caller.ask(lambda client: client.request("POST", "/v1/keys", body=stated))
    caller.tell(made, _made_lines)


@app.command()
def mint() -> None:
    """Print a key that no coordinator knows yet, for where secrets are kept; `amends keys import` lets it in."""
    from coordinator.access.keys import new_text

    print(new_text())


@app.command("import")
@asks
def import_key(
    caller: Caller,
    name: Name,
    role: Role = "viewer",
    payloads: Payloads = False,
    lasting: Lasting = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="where the key is; if not, in the environment: AMENDS_KEY")
    ] = None,
) -> None:
    """Let a key in that `amends keys mint` made, on the database itself. Again, nothing changes; it is never printed.

    A key that was revoked stays revoked: to let somebody in again, mint another.
    """
    stated = _stated(caller, name, role, payloads=payloads, lasting=lasting)
    text = _brought(caller, file)
    kept = _directly(caller, lambda place: place.adopt(stated, text))
    caller.tell(kept, lambda one: [_kept_line(one)])


def _directly(caller: Caller, work: Callable[[Any], Awaitable[Json]]) -> Json:
    """Do something on the database itself, which is loaded only then."""
    from coordinator.cli.direct import at_database

    return at_database(caller.actor, work)


def _stated(
    caller: Caller, name: str, role: str, *, payloads: bool, lasting: str | None, reason: str | None = None
) -> Json:
    """What a key is to be. Ends the command over what none can be."""
    seconds = seconds_of(lasting, "for") if lasting else None
    if role not in ("viewer", "operator", "admin"):
        caller.fail(f"--role {role}: viewer, operator or admin")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.@:-]{0,62}", name):
        caller.fail(f"{name!r} can't be whom a key is for: letters, digits, and _.@:-")
    body = {"name": name, "role": role, "payloads": payloads, "seconds": seconds, "reason": reason}
    return {part: value for part, value in body.items() if value is not None}


def _brought(caller: Caller, file: Path | None) -> str:
    """The key that is to be let in. A profile's is not meant: it is somebody's already."""
    if file is None:
        text = os.environ.get("AMENDS_KEY", "")
        return text or caller.fail("AMENDS_KEY is not set, and no --file is stated: which key?")
    try:
        with file.open("rb") as opened:
            return opened.read(key_bytes_max).decode("ascii", "replace").strip()
    except OSError as error:
        caller.fail(f"--file {file}: {error.strerror}")


@app.command("list")
@asks
def list_keys(caller: Caller, direct: Direct = False) -> None:
    """List the keys, the newest first."""
    found = (
        _directly(caller, lambda place: place.list())
        if direct
        else caller.ask(lambda client: client.request("GET", "/v1/keys"))
    )
    caller.tell(found, lambda answer: columns([_line(one) for one in answer["items"]], names, "no key was ever made"))


@app.command()
@asks
def rotate(
    caller: Caller,
    key_id: KeyId,
    overlap: Annotated[str, typer.Option("--overlap", help="how long the former one stays valid")] = "1d",
    lasting: Lasting = None,
    reason: Reason = None,
) -> None:
    """Let a new key follow one, and print it; the former stays valid for a while."""
    body = {
        "overlap_seconds": seconds_of(overlap, "overlap"),
        "seconds": seconds_of(lasting, "for") if lasting else None,
    }
    stated = {part: value for part, value in {**body, "reason": reason}.items() if value is not None}
    whole = _whole(caller, key_id)
    made = caller.ask(lambda client: client.request("POST", path_of("v1", "keys", whole, "rotate"), body=stated))
    caller.tell(made, _made_lines)


@app.command()
@asks
def revoke(caller: Caller, key_id: KeyId, reason: Reason = None, direct: Direct = False) -> None:
    """End a key at once, and the dashboard's sessions that were begun with it."""
    if direct:
        meant = _meant(_directly(caller, lambda place: place.list())["items"], key_id)
        ended = _directly(caller, lambda place: place.revoke(meant, reason))
    else:
        whole = _whole(caller, key_id)
        path = path_of("v1", "keys", whole)
        ended = caller.ask(lambda client: client.request("DELETE", path, query={"reason": reason}))
    caller.tell(ended, lambda one: [f"{one['prefix']} of {one['name']} is revoked"])


def _whole(caller: Caller, stated: str) -> str:
    """The id of the one key that is meant."""
    found: list[Json] = caller.ask(lambda client: client.request("GET", "/v1/keys"))["items"]
    return _meant(found, stated)


def _meant(found: list[Json], stated: str) -> str:
    fitting = [one["id"] for one in found if stated == one["id"] or one["prefix"].startswith(stated)]
    if len(fitting) != 1:
        fail(f"{len(fitting) or 'no'} keys have this id, or a prefix that begins so: {stated}", unknown_code)
    return str(fitting[0])


def _line(key: Mapping[str, Any]) -> Json:
    state = "valid" if key["valid"] else "revoked" if key["revoked_at"] else "expired"
    return {**key, "state": "followed" if key["valid"] and key["replaced_by"] else state}


def _kept_line(kept: Json) -> str:
    state = _line(kept)["state"]
    sees = "sees payloads" if kept["payloads"] else "does not see payloads"
    is_in = "is let in" if kept["new"] else "was let in before, and stays as it was"
    return f"{kept['prefix']} of {kept['name']} {is_in}: {kept['role']}, {sees}, {state}"


def _made_lines(made: Json) -> list[str]:
    sees = "sees payloads" if made["payloads"] else "does not see payloads"
    until = f"until {made['expires_at']}" if made["expires_at"] else "until it is revoked"
    return [
        str(made["key"]),
        "",
        f"{made['name']}, {made['role']}, {sees}, {until}. It is not shown again: keep it where secrets are kept.",
    ]
