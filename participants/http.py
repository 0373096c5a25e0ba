"""The built-in participant `http`: a step that calls a service, and a call that undoes it, without code.

    {"name": "book", "participant": "http", "action": "call", "compensation": "undo", "input": {
        "request": {"method": "POST", "url": "https://api.example.com/bookings", "body": {"seat": "${input.seat}"}},
        "undo": {"method": "DELETE", "url": "https://api.example.com/bookings/$${result.body.id}"}}}

A step without `undo` may give the request alone as its input. In `undo`, `$${result.…}` (two dollars: the coordinator
leaves it alone) is filled in from what the call gave: `status`, `body`. Each request carries the command's id as
`Idempotency-Key`, an undo also the id of what it undoes as `Amends-Undoes`; the service must honour the key, because a
call whose answer was lost is made again.

Nobody may be called unless AMENDS_HTTP_ALLOWED_HOSTS says so: `api.example.com,localhost:8080,*.internal.example.com`,
or `*` for everybody. Redirects are not followed, and no proxy of the environment is used.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx2
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.ext.asyncio import AsyncEngine

from amends import Command, EffectUnknown, Participant, Refused, calling
from amends.inbox import SqlInbox
from participants.knobs import Knobs
from participants.run import Service, main, reference

response_bytes_max = 64 * 1024
timeout_seconds_max = 40.0  # the lease is 60 s, of which a handler gets four fifths
retryable = frozenset({408, 425, 429})
allowed_variable = "AMENDS_HTTP_ALLOWED_HOSTS"

_placeholder = re.compile(r"\$\{(result(?:\.[A-Za-z0-9_-]+)+)\}")


class CallFailed(Exception):
    """The service could not be reached, or answered that it failed. The request may have been carried out."""

    def __init__(self, message: str, *, code: str = "", retry_after: str | None = None) -> None:
        super().__init__(message)
        self.amends_code, self.retry_after = code, retry_after


class Request(BaseModel):
    """One HTTP request, and which answers mean that it was carried out (`expect`; by default any 2xx)."""

    model_config = ConfigDict(extra="forbid")

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    url: str = Field(max_length=4096)
    headers: dict[str, str] = Field(default_factory=dict, max_length=50)
    body: Any = None  # text is sent as it is, anything else as JSON; null: no body
    expect: list[int] | None = None
    timeout_seconds: float = Field(10.0, gt=0, le=timeout_seconds_max)

    def means_done(self, status: int) -> bool:
        return 200 <= status < 300 if self.expect is None else status in self.expect


class Call(BaseModel):
    """A step's input: a request and how to undo it, or the request alone."""

    model_config = ConfigDict(extra="forbid")

    request: Request
    undo: Any = None  # a Request once its placeholders are filled in

    @model_validator(mode="before")
    @classmethod
    def _request_alone(cls, value: Any) -> Any:
        return {"request": value} if isinstance(value, dict) and "url" in value else value


def build(engine: AsyncEngine, _knobs: Knobs) -> Participant:
    http = Participant("http", inbox=SqlInbox(engine), version="1.0.0")
    allowed = allowed_hosts(os.environ.get(allowed_variable, ""))

    @http.action("call", effects="external")
    async def call(data: Call, command: Command) -> dict[str, Any]:
        return await send(data.request, {"Idempotency-Key": command.id}, allowed)

    @http.compensation("undo", effects="external")
    async def undo(data: Call, result: Any, command: Command) -> dict[str, Any]:
        if data.undo is None:
            raise Refused("the step's input has no undo", error_type="NoUndo")
        request = Request.model_validate(filled(data.undo, {"result": result}))
        keys = {"Idempotency-Key": command.id, "Amends-Undoes": f"{reference(command)}/action/0"}
        return await send(request, keys, allowed)

    return http


def allowed_hosts(text: str) -> tuple[str, ...]:
    """The patterns in a list separated by commas."""
    return tuple(pattern.strip().lower() for pattern in text.split(",") if pattern.strip())


def check_host(url: str, allowed: Sequence[str]) -> None:
    """Raise Refused unless the URL is of http or https and its host, or host:port, may be called."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError as error:
        raise Refused(f"not a URL: {error}", error_type="BadUrl") from error
    if parts.scheme not in ("http", "https") or not host:
        raise Refused("a URL begins with http:// or https:// and a host", error_type="BadUrl")
    if not any(fnmatch.fnmatchcase(name, pattern) for pattern in allowed for name in (host, f"{host}:{port}")):
        raise Refused(f"{host} may not be called: add it to {allowed_variable}", error_type="HostNotAllowed")


def filled(value: Any, scope: dict[str, Any]) -> Any:
    """The value with its placeholders replaced; one that is a whole string keeps its type. Raises Refused."""
    if isinstance(value, dict):
        return {key: filled(item, scope) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, scope) for item in value]
    if not isinstance(value, str):
        return value
    whole = _placeholder.fullmatch(value)
    if whole:
        return _found(whole[1], scope)
    return _placeholder.sub(lambda match: _text(_found(match[1], scope)), value)


def _found(path: str, scope: Any) -> Any:
    current = scope
    for part in path.split("."):
        if isinstance(current, list) and part.isdecimal() and int(part) < len(current):
            current = current[int(part)]
        elif isinstance(current, dict) and part in current:
            current = current[part]
        else:
            raise Refused(f"the undo needs {path}, and the call's result has none", error_type="NoResult")
    return current


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


async def send(request: Request, keys: dict[str, str], allowed: Sequence[str]) -> dict[str, Any]:
    """Send it and judge the answer: `{"status", "body"}`. Raises Refused, EffectUnknown, CallFailed."""
    check_host(request.url, allowed)
    content: dict[str, Any] = {}
    if request.body is not None:
        content = {"content": request.body} if isinstance(request.body, str) else {"json": request.body}
    limits = httpx2.Timeout(request.timeout_seconds, connect=min(5.0, request.timeout_seconds))
    async with calling(_host(request.url)):
        try:
            async with (
                httpx2.AsyncClient(timeout=limits, follow_redirects=False, trust_env=False) as client,
                client.stream(request.method, request.url, headers={**request.headers, **keys}, **content) as response,
            ):
                raw, cut = await _read(response)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise CallFailed(f"{request.method} {_place(request.url)}: {type(error).__name__}: {error}") from error
        _judge(request, response, raw)
    body = None if cut else _decoded(raw, response.headers.get("content-type", ""))
    return {"status": response.status_code, "body": body, **({"truncated": True} if cut else {})}


async def _read(response: httpx2.Response) -> tuple[bytes, bool]:
    """The body, and whether it was longer than is kept: then it is not read to its end."""
    chunks = bytearray()
    async for chunk in response.aiter_bytes():
        chunks += chunk
        if len(chunks) > response_bytes_max:
            return bytes(chunks[:response_bytes_max]), True
    return bytes(chunks), False


def _judge(request: Request, response: httpx2.Response, raw: bytes) -> None:
    """Nothing, if the answer means done. A 4xx is a no, unless it asks to come again; everything else is open."""
    status = response.status_code
    if request.means_done(status):
        return
    message = f"{request.method} {_place(request.url)} answered {status}: {raw[:500].decode('utf-8', 'replace')}"
    code = f"http {status}"
    if status in retryable or status >= 500:
        raise CallFailed(message, code=code, retry_after=response.headers.get("retry-after"))
    if 400 <= status < 500:
        raise Refused(message, error_type=f"Http{status}", code=code)
    raise EffectUnknown(message, error_type=f"Http{status}", code=code)


def _decoded(raw: bytes, content_type: str) -> Any:
    text = raw.decode("utf-8", "replace").replace("\x00", "�")
    if "json" in content_type.lower():
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text or None


def _place(url: str) -> str:
    """The URL without what may be secret: its user, and its query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{_host(url)}{parts.path}"


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}{f':{parts.port}' if parts.port else ''}"


http = Service("http", build)

if __name__ == "__main__":
    sys.exit(main(http))
