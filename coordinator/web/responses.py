"""What is answered so often that it counts what an answer costs: JSON with headers, and with nothing else that the
framework's own response may have (cookies, other media types, tasks for afterwards)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from litestar import Request, Response
from litestar.response.base import ASGIResponse
from litestar.serialization import encode_json, get_serializer
from litestar.types import Receive, Scope, Send, TypeEncodersMap

T = TypeVar("T")


class JsonResponse(Response[T]):
    """A response with a body in JSON."""

    def __init__(self, content: T, status_code: int, headers: Mapping[str, str]) -> None:
        super().__init__(content, status_code=status_code, headers=headers)

    def to_asgi_response(
        self,
        app: Any,
        request: Request[Any, Any, Any],
        *,
        type_encoders: TypeEncodersMap | None = None,
        **defaults: Any,  # of the route: there are none but its status, and this has its own
    ) -> ASGIResponse:
        return _Encoded(self.status_code or 200, self.headers, encode_json(self.content, get_serializer(type_encoders)))


class _Encoded(ASGIResponse):
    """The two messages of an answer."""

    __slots__ = ("_headers",)

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status_code, self.body = status, body
        self._headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        self._headers.append((b"content-type", b"application/json"))
        self._headers.append((b"content-length", b"%d" % len(body)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self._headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})
