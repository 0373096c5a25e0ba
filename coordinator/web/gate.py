"""What every request passes first, and every answer last: the base path, the headers that all answers have, HEAD, which
is GET without a body, and the entry in the audit, which is durable before an answer says that something was done.

Under a base path both addresses work, with it and without: some proxies take it off, others leave it on, and probes ask
the process itself. Paths in answers are relative to the base path, but for `Location` and `Link`, which are HTTP's own.
"""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable, Callable
from typing import cast

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import HTTPScope, Message, Receive, Scope, Send

from coordinator.web.asking import Asking, at_hand

# What the API answers is never a page, whoever is made to believe so. The dashboard's page states a policy of its own.
nothing_runs = b"default-src 'none'; frame-ancestors 'none'"
always = ((b"x-frame-options", b"DENY"), (b"referrer-policy", b"same-origin"),
          (b"cross-origin-resource-policy", b"same-origin"))  # fmt: skip

_chance = random.Random()
_request_id = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class Gate(Litestar):
    """The application behind its gate."""

    base_path: str = ""
    secure: bool = False  # it is reached by https alone
    record: Callable[[Asking, str, int], Awaitable[None]] | None = None  # of a request, its path, its answer's status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        if scope["type"] != ScopeType.HTTP:
            await super().__call__(scope, receive, send)
            return
        base = self.base_path
        path = scope["path"]
        if base and (path == base or path.startswith(f"{base}/")):
            scope["path"] = path[len(base) :] or "/"
            scope["raw_path"] = scope["raw_path"][len(base) :] or b"/"

        bare = scope["method"] == "HEAD"
        if bare:  # what GET would answer, without its body: a copy, for the server has to know which it was
            scope = cast("HTTPScope", {**scope, "method": "GET"})

        now = _begun(scope)
        at_hand.set(now)

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                if self.record is not None:
                    await self.record(now, scope["path"], message["status"])
                own = (b"x-request-id", now.request_id.encode())
                message["headers"] = [*_dressed(list(message["headers"]), base.encode(), secure=self.secure), own]
            elif bare:
                return
            await send(message)
            if bare:
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        await super().__call__(scope, receive, sent)


def _begun(scope: Scope) -> Asking:
    request_id = ""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            stated = value.decode("latin-1")
            request_id = stated if _request_id.fullmatch(stated) else ""
            break
    client = scope["client"]
    # Nobody guards anything with these ids, so that the system need not be asked for each one's chance.
    return Asking(request_id or f"{_chance.getrandbits(128):032x}", client[0] if client else None)


def _dressed(headers: list[tuple[bytes, bytes]], base: bytes, *, secure: bool) -> list[tuple[bytes, bytes]]:
    names = {name.lower() for name, _ in headers}
    if b"content-security-policy" not in names:
        headers += [(b"content-security-policy", nothing_runs), (b"x-content-type-options", b"nosniff")]
    headers += [header for header in always if header[0] not in names]
    if secure:
        headers.append((b"strict-transport-security", b"max-age=31536000; includeSubDomains"))
    if not base:
        return headers
    return [(name, _placed(name.lower(), value, base)) for name, value in headers]


def _placed(name: bytes, value: bytes, base: bytes) -> bytes:
    """A header's address, as the browser has to ask for it."""
    match name:
        case b"location" if value.startswith(b"/"):
            return base + value
        case b"link" if value.startswith(b"</"):
            return b"<" + base + value[1:]
        case _:
            return value
