"""Pauses of everything, of a definition's sagas, of a participant's commands; and throttles of a participant.

Either may have an end. A throttle holds nothing back entirely: no clock stands still, and what waits has not begun to
time out. Starts are never refused for one: what is accepted is durable, and the rate is kept where commands leave.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Self

from litestar import Controller, Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from pydantic import Field, StrictStr, StringConstraints, model_validator

from coordinator.store.values import FleetHold, HoldScope
from coordinator.web import fleet as shown
from coordinator.web.api.verbs import By, Reason
from coordinator.web.auditing import because, before
from coordinator.web.describing import body_of, taking
from coordinator.web.desk import Desk
from coordinator.web.operating import pause
from coordinator.web.problems import Refusal, documented
from coordinator.web.reading import Body, actor_of, read_body

seconds_max = 30 * 24 * 3600.0
rate_per_second_min, rate_per_second_max = 0.01, 10_000.0


class Pausing(Body):
    """What is to send nothing more, who says so, and why. `name`: of the definition or the participant.

    With `seconds` it ends by itself; with `rate_per_second`, each coordinator sends a participant no more than that.
    """

    scope: HoldScope
    name: Annotated[StrictStr, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,62}$")] | None = None
    reason: Reason
    by: By | None = None
    seconds: Annotated[float, Field(strict=True, gt=0, le=seconds_max)] | None = None
    rate_per_second: Annotated[float, Field(strict=True, ge=rate_per_second_min, le=rate_per_second_max)] | None = None

    @model_validator(mode="after")
    def _names_what_it_pauses(self) -> Self:
        if (self.name is None) != (self.scope is HoldScope.ALL):
            raise ValueError("name: a definition's or a participant's, and none where the scope is all")
        if self.rate_per_second is not None and self.scope is not HoldScope.PARTICIPANT:
            raise ValueError("rate_per_second: only of a participant")
        return self


class Pauses(Controller):
    path = "/v1/pauses"
    tags = ("pauses",)

    @post(
        "/",
        summary="Pause everything, a definition or a participant, or throttle a participant; the pause that is there "
        "already, if it lasts as long and lets no more through",
        operation_class=taking(body_of(Pausing)),
        responses=documented("unreadable-body", "body-too-large", "wrong-content-type", "invalid-body"),
        status_code=201,
    )
    async def pause(self, request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[shown.FleetPause]:
        asked = await read_body(request, Pausing)
        now = desk.coordinator.clock.now()
        there = await desk.coordinator.stores.fleet.holds(now)
        same = [one.id for one in there if (one.scope, one.name) == (asked.scope, asked.name or "")]
        before(**({"id": ", ".join(same)} if same else {}))
        hold = await desk.coordinator.stores.fleet.hold(
            asked.scope,
            asked.name or "",
            by=actor_of(request, asked.by),
            reason=asked.reason,
            now=now,
            ends_at=None if asked.seconds is None else now + timedelta(seconds=asked.seconds),
            rate_per_second=asked.rate_per_second,
        )
        await desk.coordinator.fleet.refresh()
        return Response(pause(hold), status_code=201, headers={"Location": f"/v1/pauses/{hold.id}"})

    @get("/", summary="The pauses and throttles that hold now, the oldest first", responses=documented())
    async def list_pauses(self, desk: NamedDependency[Desk]) -> shown.FleetPauseList:
        holds = await desk.coordinator.stores.fleet.holds(desk.coordinator.clock.now())
        return shown.FleetPauseList(tuple(pause(hold) for hold in holds))

    @delete(
        "/{pause_id:str}", summary="End a pause or throttle", responses=documented("unknown-pause"), status_code=200
    )
    async def resume(
        self,
        request: Request[Any, Any, Any],
        desk: NamedDependency[Desk],
        pause_id: FromPath[str],
        reason: FromQuery[str | None] = None,
    ) -> shown.FleetPause:
        because(reason)
        by = actor_of(request, None)
        ended = await desk.coordinator.stores.fleet.end(pause_id, by=by, now=desk.coordinator.clock.now())
        if ended is None:
            raise Refusal("unknown-pause", f"no pause {pause_id} holds now")
        before(**facts(ended))
        await desk.coordinator.fleet.refresh()
        return pause(ended)


def facts(hold: FleetHold) -> dict[str, Any]:
    """For the audit: a pause that holds."""
    rate = {} if hold.rate_per_second is None else {"rate_per_second": hold.rate_per_second}
    return {"id": hold.id, "scope": hold.scope, "name": hold.name, "by": hold.held_by, "since": hold.since, **rate}
