"""Probes, metrics, the index, and what the types of problems mean."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler
from prometheus_client import CONTENT_TYPE_LATEST

from coordinator.errors import StoreUnavailable
from coordinator.telemetry import release
from coordinator.web.desk import Desk
from coordinator.web.pages import page_of, wants_page
from coordinator.web.problems import KINDS, Refusal, documented
from coordinator.web.reading import any_query, check_parameters

ready_seconds_max = 3.0


@dataclass(frozen=True, slots=True)
class Alive:
    status: str


@dataclass(frozen=True, slots=True)
class Ready:
    """`broker` down does not make it unready: the outbox keeps what can't leave now."""

    status: str
    database: str
    broker: str


@dataclass(frozen=True, slots=True)
class ProblemType:
    type: str
    title: str
    status: int


@dataclass(frozen=True, slots=True)
class Index:
    """`trace_url` is where a trace is shown, with {trace_id} for its id; null: nowhere that this coordinator knows."""

    name: str
    version: str
    links: dict[str, str]
    trace_url: str | None


@get("/livez", summary="Whether every loop of this process runs", responses=documented("not-alive"), tags=["probes"])
async def livez(desk: NamedDependency[Desk]) -> Alive:
    dead = desk.coordinator.supervisor.dead()
    if dead:
        raise Refusal("not-alive", f"ended: {', '.join(dead)}")
    return Alive("alive")


@get(
    "/readyz", summary="Whether this process can serve", responses=documented("not-ready", "stopping"), tags=["probes"]
)
async def readyz(desk: NamedDependency[Desk]) -> Ready:
    if desk.stopping:
        raise Refusal("stopping", "no new requests, please")
    try:
        async with asyncio.timeout(ready_seconds_max):
            current = await desk.coordinator.database.check_schema()
    except (StoreUnavailable, TimeoutError) as error:
        raise Refusal("not-ready", "the database can't be reached") from error
    if not current:
        raise Refusal("not-ready", "the database's schema is not this release's: run `amends db upgrade`")
    return Ready("ready", "reachable", "connected" if desk.coordinator.broker.connected else "degraded")


@get("/metrics", summary="Metrics for Prometheus", tags=["probes"], media_type="text/plain", responses=documented())
async def metrics(desk: NamedDependency[Desk]) -> Response[bytes]:
    look = await desk.scraping.look()
    diagnosis = desk.coordinator.diagnosis
    if look is not None and diagnosis is not None:
        desk.metrics.explained(look.incidents_open, look.remedies or {}, diagnosis.dropped())
    desk.metrics.told(desk.coordinator.subscriptions, desk.coordinator.courier)
    text = desk.metrics.scrape(look.figures if look else None)
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


@get(
    "/",
    summary="Where everything is; the dashboard, for whoever accepts text/html",
    tags=["index"],
    responses=documented(),
    opt={any_query: True},
)
async def index(request: Request[Any, Any, Any]) -> Response[Index]:
    if wants_page(request):
        return page_of(request)  # type: ignore[return-value]  # the description tells of the JSON
    check_parameters(request)
    found = Index(
        "Amends",
        release(),
        {
            "definitions": "/v1/definitions",
            "sagas": "/v1/sagas",
            "overview": "/v1/overview",
            "bulk": "/v1/bulk",
            "incidents": "/v1/incidents",
            "remedies": "/v1/remedies",
            "changes": "/v1/changes",
            "participants": "/v1/participants",
            "pauses": "/v1/pauses",
            "dead_letters": "/v1/dead-letters",
            "outbox": "/v1/outbox",
            "notifications": "/v1/notifications",
            "subscriptions": "/v1/notifications/subscriptions",
            "problems": "/problems",
            "openapi": "/openapi.json",
            "metrics": "/metrics",
            "livez": "/livez",
            "readyz": "/readyz",
        },
        request.app.state.trace_url,
    )
    return Response(found, headers={"Vary": "Accept"})


@get("/problems", summary="The types of problems", tags=["problems"], responses=documented())
async def list_problems() -> list[ProblemType]:
    return [ProblemType(f"/problems/{slug}", kind.title, kind.status) for slug, kind in KINDS.items()]


@get("/problems/{slug:str}", summary="One type of problem", tags=["problems"], responses=documented("not-found"))
async def problem(slug: FromPath[str]) -> ProblemType:
    kind = KINDS.get(slug)
    if kind is None:
        raise Refusal("not-found", f"no type of problem {slug}")
    return ProblemType(f"/problems/{slug}", kind.title, kind.status)


routes: tuple[ControllerRouterHandler, ...] = (
    livez, readyz, metrics, index, list_problems, problem,
)  # fmt: skip
