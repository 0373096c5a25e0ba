"""Who may ask for what: every route of the API's description, as everybody there is."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from litestar import Litestar, asgi, get
from litestar.types import Receive, Scope, Send

from coordinator.store.access import Role
from coordinator.web.contract import openapi
from coordinator.web.door import check_entrances, check_rules
from coordinator.web.rules import RULES, Rule, metrics_route
from tests.access.conftest import bearer, key_of
from tests.web.conftest import Site

page = Path(__file__).parents[2] / "docs" / "security.md"
routes = sorted(f"{method.upper()} {path}" for path, operations in openapi()["paths"].items() for method in operations)


def test_every_route_of_the_description_has_a_rule_and_every_rule_a_route() -> None:
    assert sorted(RULES) == routes


def test_the_page_on_security_tells_who_may_ask_for_what_as_it_is() -> None:
    told = [line for line in page.read_text("utf-8").splitlines() if line.startswith("| `")]
    rows = [f"| `{route}` | {_words(RULES[route])} | {'yes' if RULES[route].audited else ''} |" for route in RULES]
    assert [line for line in told if "`GET /" in line or "`P" in line or "`DELETE" in line] == rows


def _words(rule: Rule) -> str:
    return rule.needs.value if rule.needs else "everybody"


def test_what_changes_something_is_audited_and_not_for_viewers() -> None:
    harmless = {"POST /v1/definitions/validate", "POST /v1/session", "DELETE /v1/session"}
    changing = [route for route in routes if not route.startswith("GET ") and route not in harmless]
    assert [route for route in changing if not RULES[route].audited or RULES[route].needs is Role.VIEWER] == []


def test_a_route_without_a_rule_keeps_the_api_from_starting() -> None:
    @get("/v1/forgotten")
    async def forgotten() -> str:
        return ""

    with pytest.raises(RuntimeError, match="GET /v1/forgotten"):
        check_rules(Litestar([forgotten], openapi_config=None))


async def test_a_route_that_goes_past_the_door_keeps_the_api_from_starting(small_site: Site) -> None:
    async def something_of_its_own(_: object) -> None:
        return None

    @get("/v1/hatch", before_request=something_of_its_own)
    async def hatch() -> str:
        return ""

    @asgi("/v1/hole", copy_scope=True)
    async def hole(scope: Scope, receive: Receive, send: Send) -> None:
        return None

    @get("/v1/fine")
    async def fine() -> str:
        return ""

    web = Litestar([hatch, hole, fine], openapi_config=None, before_request=small_site.door.enter)
    with pytest.raises(RuntimeError, match=r"at /v1/hatch, /v1/hole$"):
        check_entrances(web, small_site.door)


@pytest.mark.parametrize("who", ["nobody", "viewer", "operator", "admin", "admin without payloads"])
async def test_every_route_lets_in_whom_its_rule_names_and_nobody_else(site: Site, who: str) -> None:
    role = None if who == "nobody" else Role(who.partition(" ")[0])
    text = await key_of(site, role or Role.ADMIN, payloads="without" not in who)
    headers = {} if role is None else bearer(text)
    wrong = []
    for route in routes:
        rule = RULES[route] if route != metrics_route else Rule(None)
        expected = 200 if rule.needs is None else 401 if role is None else 200 if role.covers(rule.needs) else 403
        status, slug = await _asked(site.http, route, headers)
        refused = status if slug in ("unauthenticated", "forbidden") else 200
        if refused != expected:
            wrong.append((route, expected, status, slug))
    assert wrong == []


async def _asked(http: httpx2.AsyncClient, route: str, headers: dict[str, str]) -> tuple[int, str]:
    """The status of the answer, and the problem it tells of. Streams are left after their first line."""
    method, _, path = route.partition(" ")
    filled = path.replace("{version}", "1").replace("{slug}", "not-found")
    for name in ("saga_id", "bulk_id", "letter_id", "name", "incident_id", "subscription_id", "notification_id",
                 "command_id", "entry_id", "pause_id", "remedy_id", "key_id", "step"):  # fmt: skip
        filled = filled.replace(f"{{{name}}}", "x")
    content = b"{}" if method in ("POST", "PUT") else None
    told = {**headers, "Content-Type": "application/json"} if content else headers
    async with http.stream(method, filled, headers=told, content=content) as response:
        if "event-stream" in response.headers.get("content-type", ""):
            return response.status_code, ""
        text = await response.aread()
    if response.headers["content-type"] != "application/problem+json":
        return response.status_code, ""
    return response.status_code, httpx2.Response(200, content=text).json()["type"].removeprefix("/problems/")
