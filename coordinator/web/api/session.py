"""Sessions of browsers: who shows a key or a token once gets a cookie that no script can read and no other site can
use, and that ends after hours, or with the key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from litestar import Controller, Request, Response, delete, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency

from coordinator.access.principal import Principal
from coordinator.web.asking import asking
from coordinator.web.desk import Desk
from coordinator.web.door import Door, cookie_name, credential_of, identified, unknown
from coordinator.web.problems import documented


@dataclass(frozen=True, slots=True)
class Session:
    """Who somebody is here. `asked` is whether people are asked at all; without `name`, it is not known who it is."""

    asked: bool
    name: str | None
    role: str | None
    payloads: bool
    via: str | None
    expires_at: datetime | None


class Sessions(Controller):
    path = "/v1/session"
    tags = ("access",)

    @get("/", summary="Who one is, and what one may do", responses=documented("provider-unavailable"))
    async def look(self, request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Session]:
        access = desk.coordinator.access
        found = await identified(access, credential_of(request)[0])
        if found is None and await access.open():
            found = await identified(access, None)  # a cookie of former times
        return _told(found, asked=not await access.open())

    @post(
        "/",
        summary="Begin a session: the answer sets a cookie",
        responses=documented("provider-unavailable"),
        status_code=201,
    )
    async def begin(self, request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Session]:
        principal, by_cookie = asking().principal, credential_of(request)[1]
        if principal is None or by_cookie:
            raise unknown(None)
        if not principal.known:
            return _told(principal, asked=False)
        key, text = await desk.coordinator.access.keyring.session(principal)
        found = _told(principal, asked=True, status=201)
        left = (key.expires_at - key.created_at).total_seconds() if key.expires_at else 0
        found.cookies.append(_cookie(request, text, int(left)))
        return found

    @delete("/", summary="End the session", responses=documented(), status_code=200)
    async def end(self, request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Session]:
        credential, by_cookie = credential_of(request)
        access = desk.coordinator.access
        if credential is not None and by_cookie:
            await identified(access, credential)
            await access.keyring.end_session(credential)
        found = _told(None, asked=not await access.open())
        found.cookies.append(_cookie(request, "", 0))
        return found


def _cookie(request: Request[Any, Any, Any], text: str, seconds: int) -> Cookie:
    door: Door = request.app.state.door
    path = f"{request.app.state.dashboard.base_path}/"
    return Cookie(cookie_name, path, text, max_age=seconds, secure=door.secure, httponly=True, samesite="strict")


def _told(principal: Principal | None, *, asked: bool, status: int = 200) -> Response[Session]:
    told = (
        Session(asked, None, None, False, None, None)
        if principal is None
        else Session(asked, principal.name, principal.role, principal.payloads, principal.via, principal.expires_at)
    )
    return Response(told, status_code=status, headers={"Cache-Control": "no-store"})
