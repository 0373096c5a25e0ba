"""Pauses of everything, of a definition's sagas, of a participant's commands."""

from __future__ import annotations

from typing import Annotated, Any, Self

from litestar import Controller, Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from pydantic import StrictStr, StringConstraints, model_validator

from coordinator.store.values import FleetHold, HoldScope
from coordinator.web import seen
from coordinator.web.api.verbs import By, Reason
from coordinator.web.describing import body_of, taking
from coordinator.web.desk import Desk
from coordinator.web.problems import Refusal, documented
from coordinator.web.reading import Body, actor_of, read_body


class Pausing(Body):
    """What is to send nothing more, who says so, and why. `name`: of the definition or the participant."""

    scope: HoldScope
    name: Annotated[StrictStr, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,62}$")] | None = None
    reason: Reason
    by: By | None = None

    @model_validator(mode="after")
    def _names_what_it_pauses(self) -> Self:
        if (self.name is None) != (self.scope is HoldScope.ALL):
            raise ValueError("name: a definition's or a participant's, and none where the scope is all")
        return self


class Pauses(Controller):
    path = "/v1/pauses"
    tags = ("pauses",)

    @post(
        "/",
        summary="Pause everything, a definition or a participant; the pause that is there already, if there is one",
        operation_class=taking(body_of(Pausing)),
        responses=documented("unreadable-body", "body-too-large", "wrong-content-type", "invalid-body"),
        status_code=201,
    )
    async def pause(self, request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[seen.FleetPause]:
        asked = await read_body(request, Pausing)
        hold = await desk.coordinator.stores.fleet.hold(
            asked.scope,
            asked.name or "",
            by=actor_of(request, asked.by),
            reason=asked.reason,
            now=desk.coordinator.clock.now(),
        )
        await desk.coordinator.fleet.refresh()
        return Response(_shown(hold), status_code=201, headers={"Location": f"/v1/pauses/{hold.id}"})

    @get("/", summary="The pauses that hold now, the oldest first", responses=documented())
    async def list_pauses(self, desk: NamedDependency[Desk]) -> seen.FleetPauseList:
        holds = await desk.coordinator.stores.fleet.holds(desk.coordinator.clock.now())
        return seen.FleetPauseList(tuple(_shown(hold) for hold in holds))

    @delete("/{pause_id:str}", summary="End a pause", responses=documented("unknown-pause"), status_code=200)
    async def resume(
        self, request: Request[Any, Any, Any], desk: NamedDependency[Desk], pause_id: FromPath[str]
    ) -> seen.FleetPause:
        by = actor_of(request, None)
        ended = await desk.coordinator.stores.fleet.end(pause_id, by=by, now=desk.coordinator.clock.now())
        if ended is None:
            raise Refusal("unknown-pause", f"no pause {pause_id} holds now")
        await desk.coordinator.fleet.refresh()
        return _shown(ended)


def _shown(hold: FleetHold) -> seen.FleetPause:
    return seen.FleetPause(
        hold.id, hold.scope, hold.name or None, hold.since, hold.held_by, hold.reason, hold.until, hold.ended_by
    )
