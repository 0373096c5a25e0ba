"""Probes, metrics, the index, and what the types of problems mean."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler
from prometheus_client import CONTENT_TYPE_LATEST

from coordinator.errors import StoreUnavailable
from coordinator.store.values import Backlog, Worker
from coordinator.telemetry import release
from coordinator.web.desk import Desk
from coordinator.web.problems import KINDS, Refusal, documented

ready_seconds_max = 3.0
scrape_seconds_max = 5.0


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
    name: str
    version: str
    links: dict[str, str]


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
    coordinator = desk.coordinator
    at = coordinator.clock.now()
    backlog: list[Backlog] | None = None
    workers: list[Worker] = []
    try:
        async with asyncio.timeout(scrape_seconds_max):
            workers = await coordinator.stores.fleet.live(at)
            backlog = await coordinator.stores.outbox.pending()
            diagnosis = coordinator.diagnosis
            if diagnosis is not None:
                standing = await diagnosis.reader.count_open(), await diagnosis.remedies.counts()
                desk.metrics.explained(*standing, diagnosis.dropped())
    except (StoreUnavailable, TimeoutError):
        backlog = None  # amends_database_up says so
    return Response(desk.metrics.scrape(backlog, workers, at), headers={"Content-Type": CONTENT_TYPE_LATEST})


@get("/", summary="Where everything is", tags=["index"], responses=documented())
async def index() -> Index:
    return Index(
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
            "problems": "/problems",
            "openapi": "/openapi.json",
            "metrics": "/metrics",
            "livez": "/livez",
            "readyz": "/readyz",
        },
    )


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
