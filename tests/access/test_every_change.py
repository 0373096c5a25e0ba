"""Whatever changes something leaves an entry that says who, why, and how it stood before and after: every route of the
API's description that may change something, each asked for what it can do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from coordinator.store.access import Role
from coordinator.store.values import DeadLetter
from coordinator.web.contract import openapi
from tests.access.conftest import audited, bearer, key_of
from tests.access.test_matrix import routes
from tests.engine.puppet import answer
from tests.waiting import eventually
from tests.web.conftest import Site, chain
from tests.web.failures import incident, reported
from tests.web.test_fleet import park_one
from tests.web.test_healing import proposed
from tests.web.test_verbs import Moods, blocked, past_the_pivot, stubborn

harmless = {"POST /v1/definitions/validate", "POST /v1/session", "DELETE /v1/session"}
changing = [route for route in routes if not route.startswith("GET ") and route not in harmless]
why = "it is time"
Way = Callable[[Site], Awaitable[str]]  # brings about what is to be changed; what to ask for


def at(path: str) -> Way:
    async def way(_: Site) -> str:
        return path

    return way


async def _key(site: Site) -> str:
    made = await site.http.post("/v1/keys", json={"name": "shop", "role": "viewer"})
    return f"/v1/keys/{made.json()['id']}"


async def _waiting(site: Site) -> str:
    """A saga that nobody answers."""
    await site.define(chain)
    return f"/v1/sagas/{await site.begin()}"


async def _paused(site: Site) -> str:
    path = await _waiting(site)
    await site.http.post(f"{path}/pause")
    return path


async def _blocked(site: Site) -> str:
    return f"/v1/sagas/{(await blocked(site, stubborn, Moods('release')))['id']}"


async def _behind(site: Site) -> str:
    """A saga past its pivot, with a step that has not happened."""
    return f"/v1/sagas/{(await blocked(site, past_the_pivot, Moods('notify')))['id']}/steps/notify"


async def _bulk(site: Site) -> str:
    """One saga a second, of more sagas than a busy machine lets pass before it is ended."""
    await site.define(chain)
    ids = [await site.begin() for _ in range(30)]
    asked = {"filter": {"ids": ids}, "verb": "pause", "reason": why, "rate_per_second": 1.0}
    made = await site.http.post("/v1/sagas/bulk", json=asked)
    return f"/v1/bulk/{made.json()['id']}"


async def _incident(site: Site) -> str:
    found = await incident(site)
    await reported(site, found)
    return f"/v1/incidents/{found}"


async def _remedy(site: Site) -> str:
    return f"/v1/remedies/{await proposed(site)}"


async def _begun(site: Site) -> str:
    path = await _remedy(site)
    await site.http.post(f"{path}/approve")
    return path


async def _pause(site: Site) -> str:
    made = await site.http.post("/v1/pauses", json={"scope": "participant", "name": "inventory", "reason": "r"})
    return f"/v1/pauses/{made.json()['id']}"


async def _parked(site: Site) -> str:
    await site.http.post("/v1/pauses", json={"scope": "all", "reason": "r"})
    await _waiting(site)
    return f"/v1/outbox/{(await park_one(site))['id']}"


async def _letter(site: Site) -> str:
    await _parked(site)
    await site.puppet("inventory", answer)
    (parked,) = await site.app.stores.outbox.parked()
    row = parked.row
    letter = DeadLetter(
        "d1", site.app.clock.now(), "commands", "nobody took it", row.body, row.participant, row.saga_id
    )
    await site.app.stores.dead_letters.keep([letter])
    return "/v1/dead-letters/d1"


async def _subscription(site: Site) -> str:
    made = await site.http.post("/v1/notifications/subscriptions", json={"target": "log"})
    return f"/v1/notifications/subscriptions/{made.json()['id']}"


async def _delivered(site: Site) -> str:
    await _subscription(site)
    await _waiting(site)

    async def told() -> str | None:
        found = (await site.http.get("/v1/notifications?status=delivered")).json()["items"]
        return str(found[0]["id"]) if found else None

    return f"/v1/notifications/{await eventually(told, 'a notification to be delivered')}"


async def _defined(site: Site) -> str:
    await site.define(chain)
    return "/v1/sagas"


async def _meant(site: Site) -> str:
    await _waiting(site)
    return "/v1/sagas/bulk"


def on(path: Way, more: str) -> Way:
    async def way(site: Site) -> str:
        return await path(site) + more

    return way


# Per route: what is there, and what is asked of it.
ways: Mapping[str, tuple[Way, dict[str, Any]]] = {
    "POST /v1/keys": (at("/v1/keys"), {"name": "olga", "role": "operator", "seconds": 60.0}),
    "POST /v1/keys/{key_id}/rotate": (on(_key, "/rotate"), {}),
    "DELETE /v1/keys/{key_id}": (_key, {}),
    "POST /v1/definitions": (at("/v1/definitions"), chain),
    "POST /v1/sagas": (_defined, {"definition": "chain"}),
    "POST /v1/sagas/bulk": (_meant, {"filter": {"definition": "chain"}, "verb": "pause"}),
    "POST /v1/sagas/{saga_id}/cancel": (on(_waiting, "/cancel"), {}),
    "POST /v1/sagas/{saga_id}/pause": (on(_waiting, "/pause"), {}),
    "POST /v1/sagas/{saga_id}/resume": (on(_paused, "/resume"), {}),
    "POST /v1/sagas/{saga_id}/close": (on(_blocked, "/close"), {}),
    "POST /v1/sagas/{saga_id}/steps/{step}/retry": (on(_blocked, "/steps/reserve/retry"), {}),
    "POST /v1/sagas/{saga_id}/steps/{step}/settle": (on(_blocked, "/steps/reserve/settle"), {"settlement": "undone"}),
    "POST /v1/sagas/{saga_id}/steps/{step}/waive": (on(_blocked, "/steps/reserve/waive"), {}),
    "POST /v1/sagas/{saga_id}/steps/{step}/skip": (on(_behind, "/skip"), {}),
    "POST /v1/bulk/{bulk_id}/cancel": (on(_bulk, "/cancel"), {}),
    "POST /v1/incidents/{incident_id}/feedback": (on(_incident, "/feedback"), {"verdict": "correct"}),
    "POST /v1/incidents/{incident_id}/refresh": (on(_incident, "/refresh"), {}),
    "POST /v1/remedies/{remedy_id}/approve": (on(_remedy, "/approve"), {}),
    "POST /v1/remedies/{remedy_id}/reject": (on(_remedy, "/reject"), {}),
    "POST /v1/remedies/{remedy_id}/undo": (on(_begun, "/undo"), {}),
    "PUT /v1/healing": (at("/v1/healing"), {"mode": "off"}),
    "POST /v1/changes": (at("/v1/changes"), {"text": "a new release", "subject": "participant payment"}),
    "POST /v1/pauses": (at("/v1/pauses"), {"scope": "all"}),
    "DELETE /v1/pauses/{pause_id}": (_pause, {}),
    "POST /v1/pauses/{pause_id}/resume": (on(_pause, "/resume"), {}),
    "POST /v1/dead-letters/{letter_id}/discard": (on(_letter, "/discard"), {}),
    "POST /v1/dead-letters/{letter_id}/redrive": (on(_letter, "/redrive"), {}),
    "POST /v1/outbox/{command_id}/redrive": (on(_parked, "/redrive"), {}),
    "POST /v1/notifications/{notification_id}/redeliver": (on(_delivered, "/redeliver"), {}),
    "POST /v1/notifications/subscriptions": (at("/v1/notifications/subscriptions"), {"target": "log"}),
    "DELETE /v1/notifications/subscriptions/{subscription_id}": (_subscription, {}),
}


def _takes_a_reason(route: str) -> str | None:
    """Where a reason is said: in the body, in the query, or nowhere."""
    method, _, path = route.partition(" ")
    described = openapi()
    operation = described["paths"][path][method.lower()]
    if any(one["name"] == "reason" for one in operation.get("parameters", ())):
        return "query"
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    name = str(content.get("$ref", "")).rpartition("/")[2]
    schema = described["components"]["schemas"].get(name, content)
    return "body" if "reason" in schema.get("properties", {}) else None


def test_each_route_that_changes_something_is_tried() -> None:
    assert sorted(ways) == sorted(changing)


@pytest.mark.parametrize("route", changing)
async def test_a_change_leaves_who_why_before_and_after(small_site: Site, route: str) -> None:
    site = small_site
    admin = await key_of(site, Role.ADMIN, name="ada")
    site.http.headers.update(bearer(admin))
    way, body = ways[route]
    path = await way(site)
    place = _takes_a_reason(route)
    asked: dict[str, Any] = (
        {} if route.startswith("DELETE") else {"json": {**body, **({"reason": why} if place == "body" else {})}}
    )
    if place == "query":
        asked["params"] = {"reason": why}

    response = await site.http.request(route.partition(" ")[0], path, headers={"X-Request-Id": "this-one"}, **asked)

    assert response.is_success, response.text

    async def written() -> dict[str, Any] | None:
        found = [one for one in await audited(site, admin, action=route) if one["request_id"] == "this-one"]
        return found[0] if found else None

    entry = await eventually(written, "the entry")
    assert (entry["who"], entry["target"], entry["status"]) == ("ada", path, response.status_code)
    assert entry["why"] == (why if place else None)
    assert entry["before"] is not None
    assert entry["after"]
    assert entry["before"] != entry["after"]


def test_a_reason_can_be_given_for_every_change_but_those_that_say_what_they_are() -> None:
    speak_for_themselves = {
        "POST /v1/definitions",
        "POST /v1/sagas",
        "POST /v1/changes",
        "POST /v1/incidents/{incident_id}/feedback",
        "POST /v1/notifications/subscriptions",
    }
    assert {route for route in changing if _takes_a_reason(route) is None} == speak_for_themselves
