"""API keys: `amends keys`, over the API, or on the database itself for the first one, when nobody can be asked yet."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from amends.client import Json, path_of
from coordinator.cli.calling import Caller, asks
from coordinator.cli.reading import seconds_of
from coordinator.cli.telling import columns, fail, refused_code, unavailable_code, unknown_code, usage_code

app = typer.Typer(help="API keys: who may ask, and for what.", no_args_is_help=True)

Answer = TypeVar("Answer")

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
full = "there are as many keys as there may be: revoke one first"
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
        made = _directly(lambda keys, now: _make(keys, now, stated, caller.actor))
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
    kept = _directly(lambda keys, now: _adopt(keys, now, stated, caller.actor, text))
    caller.tell(kept, lambda one: [_kept_line(one)])


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
    found = _directly(_list) if direct else caller.ask(lambda client: client.request("GET", "/v1/keys"))
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
def revoke(caller: Caller, key_id: KeyId, direct: Direct = False) -> None:
    """End a key at once, and the dashboard's sessions that were begun with it."""
    if direct:
        ended = _directly(lambda keys, now: _revoke(keys, now, key_id, caller.actor))
    else:
        whole = _whole(caller, key_id)
        ended = caller.ask(lambda client: client.request("DELETE", path_of("v1", "keys", whole)))
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


# --- on the database itself -------------------------------------------------------------------------------------------


def _directly(work: Callable[[Any, datetime], Awaitable[Answer]]) -> Answer:
    """Do something with the keys of the database that the settings name. Ends the command where it can't be had."""
    from coordinator.cli.running import settings_or_end
    from coordinator.errors import StoreUnavailable, UnsupportedDatabase
    from coordinator.store.database import Database
    from coordinator.store.keys import KeyStore

    settings = settings_or_end()

    async def working() -> Answer:
        from coordinator.app import prepared

        async with Database.open(prepared(settings.database_url), application_name="amends keys") as database:
            if not await database.check_schema():
                fail("the database's schema is not this release's: run `amends db upgrade`", refused_code)
            return await work(KeyStore(database), await database.now())

    try:
        return asyncio.run(working())
    except UnsupportedDatabase as error:
        fail(str(error), usage_code)
    except (StoreUnavailable, OSError) as error:
        fail(f"the database can't be reached: {error}", unavailable_code)


async def _make(keys: Any, now: datetime, stated: Json, by: str) -> Json:
    from coordinator.access.keys import mint

    key, text = mint(**_facts(stated, by, now))
    if not await keys.add(key):
        fail(full, refused_code)
    return _told(key, now, text)


async def _adopt(keys: Any, now: datetime, stated: Json, by: str, text: str) -> Json:
    from coordinator.access.keys import mint

    try:
        key, _ = mint(text=text, **_facts(stated, by, now))
    except ValueError as error:
        fail(str(error), usage_code)
    kept = await keys.adopt(key)
    if kept is None:
        fail(full, refused_code)
    if kept.hash != key.hash:
        fail(f"amends_{key.prefix} is how another key begins: mint another", refused_code)
    return {**_told(kept, now), "new": kept.id == key.id}


def _facts(stated: Json, by: str, now: datetime) -> Json:
    """What a key is made of, beside its text."""
    from coordinator.store.access import Role

    seconds = stated.get("seconds")
    return {
        "name": stated["name"],
        "role": Role(stated["role"]),
        "payloads": stated["payloads"],
        "by": f"{by} (on the database)",
        "now": now,
        "expires_at": now + timedelta(seconds=seconds) if seconds else None,
    }


async def _list(keys: Any, now: datetime) -> Json:
    return {"items": [_told(key, now) for key in await keys.list()]}


async def _revoke(keys: Any, now: datetime, stated: str, by: str) -> Json:
    meant = _meant((await _list(keys, now))["items"], stated)
    ended = await keys.revoke(meant, by=f"{by} (on the database)", now=now)
    if ended is None:
        fail(f"{stated} is revoked already", refused_code)
    return {**_told(ended, now), "valid": False}


def _told(key: Any, now: datetime, text: str | None = None) -> Json:
    """A key as the API tells it."""
    from dataclasses import asdict

    found = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(key).items()}
    left_out = ("hash", "kind", "parent_id")
    told = {name: value for name, value in found.items() if name not in left_out}
    return {**told, "prefix": f"amends_{key.prefix}", "valid": key.valid(now), "key": text}
