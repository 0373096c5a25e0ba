"""How much is done about incidents without a person: looked at, and switched down, for every coordinator at once."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, get, put
from litestar.di import NamedDependency

from coordinator.diagnosis.healing.policy import Mode
from coordinator.web import fleet as shown
from coordinator.web.api.verbs import Overriding
from coordinator.web.auditing import before
from coordinator.web.describing import body_of, taking
from coordinator.web.desk import Desk
from coordinator.web.problems import documented
from coordinator.web.reading import actor_of, read_body


class Switching(Overriding):
    """How much may be done without a person, who says so, and why."""

    mode: Mode


class Healing(Controller):
    path = "/v1/healing"
    tags = ("remedies",)

    @get("/", summary="How much is done without a person", responses=documented("diagnosis-off"))
    async def mode(self, desk: NamedDependency[Desk]) -> shown.Healing:
        return await _shown(desk)

    @put(
        "/",
        summary="Let less be done without a person than the settings say, until it is switched again",
        operation_class=taking(body_of(Switching)),
        responses=documented(
            "unreadable-body", "body-too-large", "wrong-content-type", "invalid-body", "diagnosis-off"
        ),
        status_code=200,
    )
    async def switch(self, request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> shown.Healing:
        asked = await read_body(request, Switching)
        before(mode=await desk.diagnosis.healer.mode())
        await desk.diagnosis.healer.switch(asked.mode, by=actor_of(request, asked.by), reason=asked.reason)
        return await _shown(desk)


async def _shown(desk: Desk) -> shown.Healing:
    mode, switched = await desk.diagnosis.healer.mode(), await desk.diagnosis.remedies.switched()
    return shown.Healing(
        mode,
        switched.mode if switched else None,
        switched.at if switched else None,
        switched.by if switched else None,
        switched.reason if switched else None,
    )
