"""What `amends broker setup` makes at RabbitMQ, over its management API: what must exist, and who may do what with it.

    the coordinators   write commands, dead letters and events; read replies, heartbeats and dead letters; each has a
                       queue of its own for the replies to its commands
    a participant      reads its own queue of commands; writes replies and heartbeats under its own name, and commands
                       to itself alone (one that can't be read is taken out of its list and sent again, by itself)

Nobody may declare or delete anything else but the administrator whom this command is run as. RabbitMQ vouches for the
user that a message says it is from, so a reply's `user_id` is who sent it. A user that is deleted is disconnected;
taking permissions away from one that is connected would change nothing until it connects again.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx2

from amends.rabbitmq import topology

request_seconds_max = 30.0

Told = Callable[[str], str | None]


class SetupRefused(Exception):
    """RabbitMQ does not do what was asked, and says why."""


class ManagementUnavailable(Exception):
    """RabbitMQ's management API can't be reached."""


@dataclass(frozen=True, slots=True)
class Rights:
    """Regular expressions of names, as RabbitMQ takes them; `keys` bounds what is written to an exchange, by name."""

    configure: str
    write: str
    read: str
    keys: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Account:
    """A user that was set up. `password` is the one made for it, None if it was told or is kept."""

    user: str
    rights: Rights
    password: str | None


def coordinator_rights() -> Rights:
    """What any coordinator needs, and no more."""
    own = f"{re.escape(topology.replies)}\\.[a-z0-9]+"
    return Rights(
        f"^{own}$",
        _one_of(topology.commands, topology.dead, topology.events, topology.orphans, also=own),
        _one_of(topology.replies, topology.heartbeats, topology.dead, topology.unroutable, also=own),
        {},
    )


def participant_rights(participant: str) -> Rights:
    """What this participant needs, and no more."""
    name = re.escape(participant)
    return Rights(
        "^$",
        _one_of(topology.replies, topology.commands),
        _one_of(topology.command_queue(participant).name),
        {
            topology.replies: f"^((reply|heartbeat)\\.{name}|direct\\.{name}\\.[a-z0-9]+)$",
            topology.commands: f"^{name}$",
        },
    )


def _one_of(*names: str, also: str = "") -> str:
    """Exactly these names, or what matches `also`."""
    return f"^({'|'.join([*map(re.escape, names), *([also] if also else [])])})$"


class Administration:
    """RabbitMQ as its administrator sees it, in one virtual host. `url` carries who that is, and the password."""

    def __init__(self, url: str, vhost: str, *, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = f":{parts.port}" if parts.port else ""
        self._vhost = quote(vhost, safe="")
        self._http = httpx2.AsyncClient(
            base_url=f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}/api/",
            auth=(unquote(parts.username or "guest"), unquote(parts.password or "guest")),
            timeout=request_seconds_max,
            transport=transport,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def declare(self, participants: Sequence[str]) -> None:
        """Make the virtual host, the exchanges and the queues, those of these participants too. What is there stays."""
        await self._ask("PUT", f"vhosts/{self._vhost}", {})
        for exchange in topology.exchanges:
            body = {"type": exchange.type, "durable": True, "arguments": exchange.arguments}
            await self._ask("PUT", f"exchanges/{self._vhost}/{exchange.name}", body)
        for queue in (*topology.queues, *map(topology.command_queue, participants)):
            body = {"durable": True, "arguments": queue.arguments}
            await self._ask("PUT", f"queues/{self._vhost}/{queue.name}", body)
            for exchange_name, key in queue.bindings:
                place = f"bindings/{self._vhost}/e/{exchange_name}/q/{queue.name}"
                await self._ask("POST", place, {"routing_key": key})

    async def grant(self, user: str, rights: Rights, told: str | None) -> Account:
        """Make a user, or change it, so that it has exactly these rights. Without a password that is told, one that is
        there keeps its own, and a new one gets one that is made up."""
        name = quote(user, safe="")
        there = await self._there(f"users/{name}")
        made = None if told or there else secrets.token_urlsafe(32)
        if told or made:
            await self._ask("PUT", f"users/{name}", {"password": told or made, "tags": ""})
        # What is written is narrowed first: a user never has more than it is to have.
        for exchange, keys in rights.keys.items():
            body = {"exchange": exchange, "write": keys, "read": "^$"}
            await self._ask("PUT", f"topic-permissions/{self._vhost}/{name}", body)
        permissions = {"configure": rights.configure, "write": rights.write, "read": rights.read}
        await self._ask("PUT", f"permissions/{self._vhost}/{name}", permissions)
        return Account(user, rights, made)

    async def revoke(self, user: str) -> bool:
        """Delete a user, which ends its connections. False if there is none."""
        name = quote(user, safe="")
        if not await self._there(f"users/{name}"):
            return False
        await self._ask("DELETE", f"users/{name}", None)
        return True

    async def _there(self, path: str) -> bool:
        answer = await self._send("GET", path, None)
        if answer.status_code == 404:
            return False
        _check(answer, path)
        return True

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> None:
        _check(await self._send(method, path, body), path)

    async def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> httpx2.Response:
        try:
            return await self._http.request(method, path, json=body)
        except httpx2.HTTPError as error:
            raise ManagementUnavailable(f"{error or type(error).__name__}") from error


def _check(answer: httpx2.Response, path: str) -> None:
    if answer.status_code < 400:
        return
    try:
        said = str(answer.json().get("reason") or answer.json().get("error"))
    except (ValueError, AttributeError):
        said = answer.text
    raise SetupRefused(f"{path.split('?')[0]}: {answer.status_code} {said[:500]}")


async def set_up(
    administration: Administration,
    participants: Sequence[str],
    *,
    coordinator_user: str,
    user_of: Callable[[str], str],
    told: Told,
) -> list[Account]:
    """Everything for the coordinators and these participants. `told` gives the password for "coordinator" or for a
    participant, if there is one."""
    await administration.declare(participants)
    accounts = [await administration.grant(coordinator_user, coordinator_rights(), told("coordinator"))]
    for participant in participants:
        rights = participant_rights(participant)
        accounts.append(await administration.grant(user_of(participant), rights, told(participant)))
    return accounts
