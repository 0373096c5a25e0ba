"""Participants: who is alive, in which versions, what they answer, what waits for them, and how they have done."""

from __future__ import annotations

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from coordinator.web import fleet as shown
from coordinator.web.desk import Desk
from coordinator.web.operating import participants
from coordinator.web.problems import Refusal, documented


class Participants(Controller):
    path = "/v1/participants"
    tags = ("participants",)

    @get("/", summary="Every participant that was heard of, or has something waiting", responses=documented())
    async def list_participants(self, desk: NamedDependency[Desk]) -> shown.ParticipantList:
        return shown.ParticipantList(tuple(await participants(desk)))

    @get("/{name:str}", summary="One participant and its workers", responses=documented("unknown-participant"))
    async def one(self, desk: NamedDependency[Desk], name: FromPath[str]) -> shown.Participant:
        found = await participants(desk, name)
        if not found:
            raise Refusal("unknown-participant", f"no worker of {name} was ever heard of")
        return found[0]
