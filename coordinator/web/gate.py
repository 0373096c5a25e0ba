"""What every request passes first, and every answer last: the base path, and the headers that all answers have.

Under a base path both addresses work, with it and without: some proxies take it off, others leave it on, and probes ask
the process itself. Paths in answers are relative to the base path, but for `Location` and `Link`, which are HTTP's own.
"""

from __future__ import annotations

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import Message, Receive, Scope, Send

# What the API answers is never a page, whoever is made to believe so. The dashboard's page states a policy of its own.
nothing_runs = b"default-src 'none'; frame-ancestors 'none'"


class Gate(Litestar):
    """The application behind its gate."""

    base_path: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        if scope["type"] != ScopeType.HTTP:
            await super().__call__(scope, receive, send)
            return
        base = self.base_path
        path = scope["path"]
        if base and (path == base or path.startswith(f"{base}/")):
            scope["path"] = path[len(base) :] or "/"
            scope["raw_path"] = scope["raw_path"][len(base) :] or b"/"

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _dressed(list(message["headers"]), base.encode())
            await send(message)

        await super().__call__(scope, receive, sent)


def _dressed(headers: list[tuple[bytes, bytes]], base: bytes) -> list[tuple[bytes, bytes]]:
    names = {name.lower() for name, _ in headers}
    if b"content-security-policy" not in names:
        headers += [(b"content-security-policy", nothing_runs), (b"x-content-type-options", b"nosniff")]
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
