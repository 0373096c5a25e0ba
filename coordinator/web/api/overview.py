"""The overview, and what happens to sagas, as it happens."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import FromQuery, HeaderParameter
from litestar.response import Stream

from coordinator.web.choosing import seconds_max
from coordinator.web.desk import Desk
from coordinator.web.door import credential_of, while_known
from coordinator.web.feed import Feed, TooManyListeners
from coordinator.web.overview import Overview, overview
from coordinator.web.problems import Refusal, documented
from coordinator.web.reading import bad_parameter


@get("/v1/overview", summary="How everything stands, what is wrong first", tags=["overview"], responses=documented())
async def look(desk: NamedDependency[Desk], stuck_for_seconds: FromQuery[int] = 300) -> Overview:
    if not 1 <= stuck_for_seconds <= seconds_max:
        raise bad_parameter("stuck_for_seconds", f"1 to {seconds_max}")
    return await overview(desk, stuck_for_seconds)


@get(
    "/v1/events",
    summary="What happens to sagas, as it happens: server-sent events",
    media_type="text/event-stream",
    tags=["sagas"],
    responses=documented("too-many-listeners", "stopping"),
)
async def events(
    request: Request[Any, Any, Any],
    desk: NamedDependency[Desk],
    saga_id: FromQuery[str | None] = None,
    last_event_id: Annotated[
        str | None, HeaderParameter(name="Last-Event-ID", description="go on after this event")
    ] = None,
) -> Stream:
    return following(desk, desk.sagas_feed, request, only=saga_id)


def following(desk: Desk, feed: Feed, request: Request[Any, Any, Any], *, only: str | None = None) -> Stream:
    """A feed as a stream that proxies leave alone."""
    if desk.stopping:
        raise Refusal("stopping", "listen at another coordinator, or a little later")
    try:
        lines = feed.listen(request.headers.get("last-event-id"), only=only)
    except TooManyListeners as error:
        raise Refusal("too-many-listeners", "listen at another coordinator, or a little later") from error
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    known = while_known(desk.coordinator.access, credential_of(request)[0], lines)
    return Stream(known, media_type="text/event-stream", headers=headers)
