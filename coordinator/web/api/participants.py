"""Participants: who is alive, in which versions, and what they answer."""

from __future__ import annotations

from collections.abc import Sequence

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from coordinator.store.values import HoldScope, Worker
from coordinator.web import seen
from coordinator.web.desk import Desk
from coordinator.web.problems import Refusal, documented


class Participants(Controller):
    path = "/v1/participants"
    tags = ("participants",)

    @get("/", summary="Every participant that was heard of", responses=documented())
    async def list_participants(self, desk: NamedDependency[Desk]) -> seen.ParticipantList:
        workers = await desk.coordinator.stores.fleet.workers(desk.coordinator.clock.now())
        of: dict[str, list[Worker]] = {}
        for worker in workers:
            of.setdefault(worker.beat.participant, []).append(worker)
        return seen.ParticipantList(tuple(_shown(desk, name, found) for name, found in of.items()))

    @get("/{name:str}", summary="One participant and its workers", responses=documented("unknown-participant"))
    async def one(self, desk: NamedDependency[Desk], name: FromPath[str]) -> seen.Participant:
        workers = await desk.coordinator.stores.fleet.workers(desk.coordinator.clock.now(), participant=name)
        if not workers:
            raise Refusal("unknown-participant", f"no worker of {name} was ever heard of")
        return _shown(desk, name, workers)


def _shown(desk: Desk, name: str, workers: Sequence[Worker]) -> seen.Participant:
    live = [worker.beat for worker in workers if worker.live]
    fleet = desk.coordinator.fleet
    return seen.Participant(
        name=name,
        live=bool(live),
        paused=fleet.all_held or name in fleet.held(HoldScope.PARTICIPANT),
        versions=tuple(sorted({beat.version for beat in live if beat.version})),
        actions=tuple(sorted({action for beat in live for action in beat.actions})),
        compensations=tuple(sorted({name for beat in live for name in beat.compensations})),
        workers=tuple(
            seen.Worker(
                id=worker.beat.worker,
                version=worker.beat.version,
                live=worker.live,
                stopping=worker.beat.stopping,
                in_flight=worker.beat.in_flight,
                first_seen=worker.first_seen,
                last_seen=worker.last_seen,
                actions=worker.beat.actions,
                compensations=worker.beat.compensations,
            )
            for worker in workers
        ),
    )
