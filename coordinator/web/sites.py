"""Whose page it is that asks: by which name the browser came here, and from which site it was sent.

Where nobody is asked who they are, a page of another site could have its own name lead to this machine and then ask as
if it were ours (DNS rebinding). It can't choose the name that its browser says in `Host`, so there only names of this
machine, and those that are stated, are answered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection

from coordinator.web.problems import Refusal

Connection = ASGIConnection[Any, Any, Any, Any]

name_chars_max = 253
names_remembered = 1024  # whether each of them is this machine's

_host = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::\d{1,5})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Sites:
    """By which names this coordinator answers those it does not know: None, any. `origin` is where browsers find it."""

    names: frozenset[str] | None = frozenset()
    origin: str | None = None

    def check_name(self, connection: Connection) -> None:
        """Whether somebody who need not say who they are asked for this machine by a name of its own. Answers 403."""
        stated = connection.headers.get("host", "")
        found = _host.fullmatch(stated)
        name = (found[1] or found[2]).lower() if found else ""
        if self.names is None or is_loopback(name) or name in self.names:
            return
        raise Refusal(
            "unknown-host",
            f"{stated[:100] or 'no name'} is not a name of this coordinator: ask for localhost, or name it in "
            "AMENDS_ALLOWED_HOSTS; or make a key, and everybody is asked who they are",
        )

    def check_origin(self, connection: Connection, *, by_itself: bool) -> None:
        """Whether no page of another site makes a browser ask for a change. `by_itself`: with nothing that a page would
        have had to know. Answers 403."""
        headers = connection.headers
        site = headers.get("sec-fetch-site")  # said by browsers, and out of a page's reach
        if site is None and by_itself and (origin := headers.get("origin")) is not None:
            ours = {origin.partition("://")[2] == headers.get("host", ""), origin == self.origin}
            site = "same-origin" if any(ours) else "cross-site"
        if site not in (None, "none", "same-origin"):
            raise Refusal("other-site", "open the dashboard itself, or ask from outside a browser")


def sites_of(host: str, allowed_hosts: str, public_url: str | None) -> Sites:
    """What the settings say: whoever listens where others reach it answers to any name, unless some are stated."""
    names = {name.strip().lower() for name in allowed_hosts.split(",")} - {""}
    if not names and not is_loopback(host):
        return Sites(None, _origin(public_url))
    if public_url:
        names.add((urlsplit(public_url).hostname or "").lower())
    return Sites(frozenset(names), _origin(public_url))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    return host == "localhost" or (len(host) <= name_chars_max and _is_loopback_address(host))


@lru_cache(maxsize=names_remembered)  # the same few ask again and again
def _is_loopback_address(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _origin(url: str | None) -> str | None:
    parts = urlsplit(url or "")
    return f"{parts.scheme}://{parts.netloc}".lower() if parts.netloc else None
