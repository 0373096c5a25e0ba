"""The door: who asks is found out, whether they may, and whether they have asked too much of late. Whoever is let in
without the permission to see payloads sees the rest: what is one is null in every answer."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from http.cookies import CookieError, SimpleCookie
from typing import Any

from litestar import Litestar, Response
from litestar.routes import HTTPRoute

from coordinator.access.access import Access
from coordinator.access.principal import Principal
from coordinator.access.rates import Rates
from coordinator.access.tokens import ProviderUnavailable
from coordinator.errors import StoreUnavailable
from coordinator.web.asking import asking
from coordinator.web.problems import Refusal
from coordinator.web.reading import Asked, any_query, check_parameters, harmless
from coordinator.web.rules import Rule, everybody, metrics_route, rule_of
from coordinator.web.seen import PAYLOAD
from coordinator.web.sites import Connection, Sites, is_loopback

cookie_name = "amends_session"
own_header = "x-amends-dashboard"  # no page of another site can send it: browsers would ask us first
header_chars_max = 9000
shapes_max = 256  # of answers
looked_again_seconds = 15.0  # at who listens to a stream: their key may have ended meanwhile
noted = ("id", "name", "definition", "version", "status", "state", "revision", "scope", "mode", "role", "payloads",
         "expires_at", "until", "ends_at", "ended_by", "rate_per_second", "verdict", "target", "created", "waiting",
         "verb", "handled", "attempts", "outcome", "switched_to")  # fmt: skip


@dataclasses.dataclass(slots=True)
class Door:
    """How the door is kept. One per application."""

    access: Access
    rates: Rates
    metrics_open: bool = True
    secure: bool = False  # it is reached by https alone: cookies and answers say so
    sites: Sites = dataclasses.field(default_factory=Sites)

    async def enter(self, request: Asked) -> None:
        """Before any handler, and before anything of the body is read: who asks, and what with. Answers 400, 401, 403
        and 429."""
        await self._check(request)
        if not request.route_handler.opt.get(any_query):
            check_parameters(request)

    async def _check(self, connection: Asked) -> None:
        method, route = connection.scope["method"], f"{connection.scope['method']} {connection.scope['path_template']}"
        rule = everybody if method == "OPTIONS" else self._rule(route)
        now = asking()
        now.rule, now.action = rule, route
        credential, by_cookie = credential_of(connection)
        if rule.needs is None:
            self._limit(f"address {now.address}", now.address)
            self._from_here(connection, by_itself=by_cookie or credential is None)
            return
        principal = await identified(self.access, credential)
        if principal is None:
            self._limit(f"address {now.address}", now.address)
            raise unknown(credential)
        who = principal.key_id or principal.name if principal.known else f"address {now.address}"
        self._limit(who, None if principal.known else now.address)
        now.principal = principal
        if not principal.known:
            self.sites.check_name(connection)
        self._from_here(connection, by_itself=by_cookie or not principal.known)
        if by_cookie and method not in harmless and own_header not in connection.headers:
            raise Refusal("other-site", f"a session's request that changes something says {own_header}")
        if not principal.role.covers(rule.needs):
            raise Refusal("forbidden", f"this is for the role {rule.needs}; {principal.name} is {principal.role}")

    def _rule(self, route: str) -> Rule:
        if self.metrics_open and route == metrics_route:
            return everybody
        found = rule_of(route)
        if found is None:  # the start has made sure that there is none such
            raise Refusal("forbidden", "nobody may, for no rule says who")
        return found

    def _from_here(self, connection: Asked, *, by_itself: bool) -> None:
        """No page of another site has a browser change anything. `by_itself`: with no key that it was told."""
        if connection.scope["method"] not in harmless:
            self.sites.check_origin(connection, by_itself=by_itself)

    def _limit(self, who: str, address: str | None) -> None:
        """Count a request. What this machine itself asks where nobody is asked who they are, is not counted."""
        if address is not None and is_loopback(address):
            return
        waits = self.rates.take(who)
        if waits:
            raise Refusal(
                "too-many-requests",
                f"ask again in {waits:.1f} s",
                headers={"Retry-After": str(max(1, math.ceil(waits)))},
            )


def check_rules(web: Litestar) -> None:
    """Whether every route has a rule. Raises RuntimeError."""
    routes = (f"{method} {route.path_format}" for route in web.routes for method in getattr(route, "methods", ()))
    without = sorted(route for route in routes if not route.startswith("OPTIONS ") and rule_of(route) is None)
    if without:
        raise RuntimeError(f"no rule says who may ask for {', '.join(without)}")


def check_entrances(web: Litestar, door: Door) -> None:
    """Whether every route is entered by the door: it would be passed by one with something else of its own to do before
    requests, and by one that is no handler of HTTP. Raises RuntimeError."""
    past = sorted(
        {
            route.path_format
            for route in web.routes
            for handler in (route.route_handlers if isinstance(route, HTTPRoute) else [None])
            if handler is None or handler.resolve_before_request() != door.enter
        }
    )
    if past:
        raise RuntimeError(f"nobody is asked who they are at {', '.join(past)}")


async def identified(access: Access, credential: str | None) -> Principal | None:
    """Who shows this. Answers 503 where that can't be found out."""
    try:
        return await access.identify(credential)
    except ProviderUnavailable as error:
        raise Refusal("provider-unavailable", str(error)) from error


def unknown(credential: str | None) -> Refusal:
    detail = "this key or token is not valid, or no longer" if credential else "say who you are: a key, or a token"
    return Refusal("unauthenticated", detail, headers={"WWW-Authenticate": 'Bearer realm="Amends"'})


def credential_of(connection: Connection) -> tuple[str | None, bool]:
    """What somebody shows, and whether a browser did so by itself: the header counts before the cookie."""
    scheme, _, text = connection.headers.get("authorization", "").partition(" ")
    if scheme:
        shown = text.strip()
        return (shown if scheme.lower() == "bearer" and len(shown) <= header_chars_max else "") or "nothing", False
    sent = connection.headers.get("cookie", "")[:header_chars_max]
    try:
        cookie = SimpleCookie(sent).get(cookie_name) if cookie_name in sent else None
    except CookieError:
        cookie = None
    return (cookie.value, True) if cookie and cookie.value else (None, False)


async def while_known(access: Access, credential: str | None, lines: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """A stream that ends soon after whoever listens is no longer known."""
    looked = time.monotonic()
    async for line in lines:
        if time.monotonic() - looked >= looked_again_seconds:
            looked = time.monotonic()
            if not await _still_known(access, credential):
                return
        yield line


async def _still_known(access: Access, credential: str | None) -> bool:
    try:
        return await access.identify(credential) is not None
    except (StoreUnavailable, ProviderUnavailable):
        return True  # as far as anybody can tell now


# --- what an answer leaves out ----------------------------------------------------------------------------------------

hidden_marker = "payloads_hidden"


async def leaving(response: Response[Any]) -> Response[Any]:
    """After a handler: take out payloads where they are not to be seen, and note for the audit what came of it."""
    now = asking()
    if now.rule is not None and now.rule.audited and now.after is None:
        now.after = glance(response.content)
    if now.hides_payloads:
        response.content = hidden(response.content)
    return response


def hidden(value: Any) -> Any:
    """The same without payloads, wherever in it a shape says that one is; a shape with `payloads_hidden` says so."""
    if isinstance(value, tuple | list):
        return type(value)(hidden(item) for item in value)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    changed: dict[str, Any] = {}
    names = {field.name for field in dataclasses.fields(value)}
    for field in dataclasses.fields(value):
        if field.name == hidden_marker:
            continue
        held, mark = getattr(value, field.name), field.metadata.get(PAYLOAD)
        if mark is None:
            changed[field.name] = hidden(held)
        elif isinstance(mark, tuple):
            changed[field.name] = {name: None if name in mark else item for name, item in held.items()}
        else:
            changed[field.name] = None
        if mark is not None and hidden_marker in names:
            changed[hidden_marker] = True
    return dataclasses.replace(value, **changed)


def glance(content: Any) -> Mapping[str, Any] | None:
    """What the audit keeps of an answer: a few facts of those that are never secret."""
    told: dict[str, Any] = {}
    for name in _noted_of(content.__class__):
        value = getattr(content, name)
        if isinstance(value, bool | int | float):
            told[name] = value
        elif isinstance(value, str) or hasattr(value, "isoformat"):
            told[name] = str(value)[:200]
    return told or None


@lru_cache(maxsize=shapes_max)
def _noted_of(shape: type) -> tuple[str, ...]:
    """Which of these facts answers of this shape state."""
    fields = {field.name for field in dataclasses.fields(shape)} if dataclasses.is_dataclass(shape) else set()
    return tuple(name for name in noted if name in fields)
