"""The web face of a coordinator, put together. It begins the coordinator's loops and ends them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from litestar import Litestar, Response, Router
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ControllerRouterHandler

from coordinator.access.rates import Rates
from coordinator.telemetry import release
from coordinator.web.api.audit import list_audit, one_entry
from coordinator.web.api.bulk import Bulks, ask
from coordinator.web.api.changes import Changes
from coordinator.web.api.dead_letters import DeadLetters, Outbox
from coordinator.web.api.definitions import Definitions
from coordinator.web.api.diagnosis import Diagnosis
from coordinator.web.api.healing import Healing
from coordinator.web.api.incidents import Incidents
from coordinator.web.api.keys import Keys
from coordinator.web.api.looking import Looking
from coordinator.web.api.notifications import Notifications, Subscriptions
from coordinator.web.api.overview import events, look
from coordinator.web.api.participants import Participants
from coordinator.web.api.pauses import Pauses
from coordinator.web.api.probes import routes
from coordinator.web.api.remedies import Remedies
from coordinator.web.api.resuming import SlowResumes
from coordinator.web.api.sagas import Sagas
from coordinator.web.api.session import Sessions
from coordinator.web.api.verbs import Verbs
from coordinator.web.auditing import Auditing
from coordinator.web.dashboard import Dashboard
from coordinator.web.desk import Coordinator, Desk
from coordinator.web.door import Door, check_entrances, check_rules, leaving
from coordinator.web.gate import Gate
from coordinator.web.metrics import Metrics
from coordinator.web.pages import routes as pages
from coordinator.web.problems import Refusal, handlers, respond
from coordinator.web.reading import body_bytes_max
from coordinator.web.sites import Sites


async def _no_other_page(response: Response[Any]) -> Response[Any]:
    """What the framework says beside the description, it says in HTML."""
    if response.status_code == HTTPStatus.NOT_FOUND:
        return respond(Refusal("not-found", "the description is at /openapi.json"))
    return response


controllers: tuple[ControllerRouterHandler, ...] = (
    *routes,
    *pages,
    look,
    events,
    ask,
    Bulks,
    Definitions,
    Sagas,
    Looking,
    Verbs,
    Diagnosis,
    Incidents,
    Remedies,
    Healing,
    Changes,
    Pauses,
    SlowResumes,
    DeadLetters,
    Outbox,
    Participants,
    Notifications,
    Subscriptions,
    Sessions,
    Keys,
    list_audit,
    one_entry,
)


def described() -> OpenAPIConfig:
    """How the API describes itself, at /openapi.json."""
    return OpenAPIConfig(
        title="Amends",
        version=release(),
        description="Sagas: started, watched, and, when something fails, made amends for.",
        use_handler_docstrings=False,
        components=Components(security_schemes={"key": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"key": []}],
        # The JSON alone: the framework's pages would load scripts from elsewhere.
        render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
        openapi_router=Router(
            "/openapi.json", route_handlers=[], include_in_schema=False, after_request=_no_other_page
        ),
    )


def create_web(
    coordinator: Coordinator,
    *,
    begins_and_ends_it: bool = True,
    base_path: str = "",
    jaeger_url: str | None = None,
    rate_per_second: float = 0.0,
    metrics_open: bool = True,
    secure: bool = False,
    sites: Sites | None = None,
) -> Gate:
    """The API and the dashboard over a coordinator, which begins and ends with it, unless somebody else sees to that.

    `base_path` is where a browser finds them, if not at the root of the host; `jaeger_url` is where traces are shown.
    `rate_per_second` bounds what one key or address may ask (0: nothing does), `metrics_open` lets everybody scrape,
    `secure` says that browsers come by https alone, `sites` by which names; without it, by those of this machine.
    `state.desk.stop()` is to be called as soon as the process is asked to end: it lets go of those who wait.
    """
    desk = Desk(coordinator, Metrics())
    _watch(coordinator, desk)
    door = Door(coordinator.access, Rates(rate_per_second), metrics_open, secure, sites or Sites())

    @asynccontextmanager
    async def life(_: Litestar) -> AsyncIterator[None]:
        if begins_and_ends_it:
            await coordinator.start()
        try:
            yield
        finally:
            desk.stop()
            if begins_and_ends_it:
                await coordinator.stop()

    web = Gate(
        controllers,
        dependencies={"desk": Provide(lambda: desk, sync_to_thread=False)},
        # Not as a guard: the framework copies the handler for each of a request's guards.
        before_request=door.enter,
        after_request=leaving,
        exception_handlers=handlers(),
        lifespan=[life],
        # Neither may be switched on by an environment variable: a debug page shows the source.
        debug=False,
        pdb_on_exception=False,
        logging_config=None,
        request_max_body_size=body_bytes_max,
        openapi_config=described(),
    )
    web.state.desk = desk
    web.state.dashboard = Dashboard(base_path)
    web.state.door = door
    web.base_path, web.secure = base_path, secure
    web.record = Auditing(coordinator.access.journal, coordinator.clock.now).record
    check_rules(web)
    check_entrances(web, door)
    web.state.trace_url = f"{jaeger_url.rstrip('/')}/trace/{{trace_id}}" if jaeger_url else None
    return web


def _watch(coordinator: Coordinator, desk: Desk) -> None:
    """Let the web face see what the coordinator does."""
    coordinator.engine.observe(desk.metrics.observe)
    coordinator.engine.observe(desk.finishes.observe)
    coordinator.relay.tell(desk.metrics.confirmed)
    if coordinator.diagnosis is not None:
        coordinator.diagnosis.reporter.subscribe(desk.metrics.reported)
        if coordinator.diagnosis.narrator is not None:
            coordinator.diagnosis.narrator.listen(desk.metrics.spoken)
