"""Probes, metrics, the index, the OpenAPI description, and the catalogue of problems."""

from __future__ import annotations

import asyncio
from typing import Any

from amends.message import Answer, Failure
from coordinator.errors import StoreUnavailable
from coordinator.web import dashboard
from coordinator.web.app import create_web
from tests.engine.puppet import answer
from tests.web.conftest import Site, chain, problem_of


async def test_a_coordinator_whose_loops_run_is_alive_and_ready(site: Site) -> None:
    assert (await site.http.get("/livez")).json() == {"status": "alive"}
    assert (await site.http.get("/readyz")).json() == {
        "status": "ready",
        "database": "reachable",
        "broker": "connected",
    }


async def test_a_coordinator_with_a_dead_loop_is_not_alive(small_site: Site) -> None:
    async def dies() -> None:
        raise StoreUnavailable("gone")

    small_site.app.supervisor._loops = {"a loop": dies}
    small_site.app.supervisor.start()
    await small_site.app.supervisor.failure

    response = await small_site.http.get("/livez")

    assert "a loop" in problem_of(response, 503, "not-alive")["detail"]


async def test_a_broker_that_is_away_does_not_make_it_unready(small_site: Site) -> None:
    await small_site.app.broker.close()

    response = await small_site.http.get("/readyz")

    assert (response.status_code, response.json()["broker"]) == (200, "degraded")


async def test_a_schema_of_another_release_makes_it_unready(small_site: Site) -> None:
    import sqlalchemy as sa

    async with small_site.app.database.begin() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = 'another'"))

    problem = problem_of(await small_site.http.get("/readyz"), 503, "not-ready")

    assert "amends db upgrade" in problem["detail"]


async def test_a_process_that_is_asked_to_end_takes_no_starts_and_lets_go_of_who_waits(small_site: Site) -> None:
    await small_site.define(chain)
    saga_id = await small_site.begin()
    waiting = asyncio.ensure_future(small_site.http.get(f"/v1/sagas/{saga_id}", headers={"Prefer": "wait=30"}))
    while not small_site._desk.finishes._waiting:  # noqa: ASYNC110 — nothing says that a request has arrived
        await asyncio.sleep(0.01)

    small_site._desk.stop()

    async with asyncio.timeout(5):
        assert (await waiting).json()["status"] == "running"
    response = await small_site.http.post("/v1/sagas", json={"definition": "chain"})
    problem_of(response, 503, "stopping")
    assert response.headers["retry-after"] == "1"
    problem_of(await small_site.http.get("/readyz"), 503, "stopping")


async def test_sagas_attempts_and_the_outbox_are_counted(site: Site) -> None:
    await site.define(chain)
    refusal = Failure(type="Declined")
    await site.puppets(
        chain,
        lambda command: (
            answer(command, Answer.REFUSED, error=refusal) if command.handler == "charge" else answer(command)
        ),
    )
    await site.end(await site.begin())
    await site.http.post("/v1/pauses", json={"scope": "all", "reason": "r"})
    await site.begin()

    text = await site.metrics()

    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert lines['amends_sagas_started_total{definition="chain"}'] == "2.0"
    assert lines['amends_sagas_finished_total{definition="chain",status="compensated"}'] == "1.0"
    assert lines['amends_step_attempts_total{definition="chain",kind="compensation",step="reserve"}'] == "1.0"
    assert lines['amends_step_replies_total{answer="refused",definition="chain",kind="action",step="charge"}'] == "1.0"
    assert lines['amends_saga_duration_seconds_count{definition="chain",status="compensated"}'] == "1.0"
    assert lines['amends_outbox_pending{participant="inventory"}'] == "1.0"
    assert float(lines['amends_outbox_oldest_age_seconds{participant="inventory"}']) >= 0
    assert lines['amends_workers_live{participant="payment"}'] == "1.0"
    assert lines["amends_database_up"] == "1.0"


async def test_the_index_names_what_is_there(small_site: Site) -> None:
    links = (await small_site.http.get("/")).json()["links"]

    for name, link in links.items():
        assert (await small_site.http.get(link)).status_code == 200, name


async def test_the_index_says_where_traces_are_shown_if_that_is_set(small_site: Site) -> None:
    assert (await small_site.http.get("/")).json()["trace_url"] is None
    web = create_web(small_site.app, jaeger_url="http://jaeger.example:16686/")
    assert web.state.trace_url == "http://jaeger.example:16686/trace/{trace_id}"


async def test_every_type_of_problem_can_be_looked_up(small_site: Site) -> None:
    types = (await small_site.http.get("/problems")).json()

    assert len(types) > 20
    for one in types:
        assert (await small_site.http.get(one["type"])).json() == one
    problem_of(await small_site.http.get("/problems/none"), 404, "not-found")


async def test_every_route_says_what_it_is_for_takes_and_refuses(small_site: Site) -> None:
    described = (await small_site.http.get("/openapi.json")).json()

    operations: dict[str, dict[str, Any]] = {
        f"{method.upper()} {path}": operation
        for path, item in described["paths"].items()
        for method, operation in item.items()
    }
    assert len(operations) >= 30
    for name, operation in operations.items():
        assert operation["summary"], name
        refusals = {status: one for status, one in operation["responses"].items() if int(status) >= 400}
        assert {"400", "500", "503"} <= refusals.keys(), name
        for status, refusal in refusals.items():
            assert list(refusal["content"]) == ["application/problem+json"], (name, status)
        if name.startswith("POST") and name != "POST /v1/session":  # which takes what the headers show
            assert operation["requestBody"]["content"]["application/json"]["schema"]["type"] == "object", name
            assert {"413", "415"} <= refusals.keys(), name
    asked = operations["POST /v1/sagas"]["requestBody"]["content"]["application/json"]["schema"]
    assert asked["required"] == ["definition"]
    assert set(asked["properties"]) == {"definition", "version", "input", "business_key", "tags"}
    assert [one["in"] for one in operations["POST /v1/sagas"]["parameters"]] == ["header", "header"]


async def test_every_route_is_described(small_site: Site) -> None:
    described = (await small_site.http.get("/openapi.json")).json()["paths"]

    web = small_site._server.config.app
    routes = {route.path_format for route in web.routes}  # type: ignore[union-attr]
    pages = {route for route in routes if route.split("/")[1] in ("dashboard", *dashboard.pages)}
    ours = {"/openapi.json", "/openapi.json/openapi.json", "/openapi.json/{path}"}
    assert routes - described.keys() - pages <= ours


async def test_nothing_in_the_description_points_elsewhere(small_site: Site) -> None:
    text = (await small_site.http.get("/openapi.json")).text

    assert "http://" not in text
    assert "https://" not in text
    problem_of(await small_site.http.get("/openapi.json/redoc"), 404, "not-found")
