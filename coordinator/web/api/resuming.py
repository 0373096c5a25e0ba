"""Ending a pause not at once: what has waited is let go at a rate, for a while, instead of all in one moment.

A throttle takes the pause's place in the same transaction, so that no coordinator ever sees neither.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Self, assert_never

from litestar import Controller, Request, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from pydantic import Field, model_validator

from coordinator.store.values import FleetHold, HoldScope
from coordinator.web import fleet as shown
from coordinator.web.api.pauses import facts, rate_per_second_max, rate_per_second_min, seconds_max
from coordinator.web.api.verbs import Asking
from coordinator.web.auditing import after, before
from coordinator.web.describing import body_of, taking
from coordinator.web.desk import Desk
from coordinator.web.operating import pause
from coordinator.web.problems import Refusal, documented
from coordinator.web.reading import actor_of, read_body

slow_seconds = 600.0  # how long what was resumed slowly stays slow, unless it is said


@dataclass(frozen=True, slots=True)
class Resumed:
    """A pause or throttle that was ended, and the throttles that took its place for a while."""

    ended: shown.FleetPause
    throttles: tuple[shown.FleetPause, ...]


class Resuming(Asking):
    """Who lets it go on, and why; with `rate_per_second`, not at once.

    Then each participant that the pause held back is throttled to that, by each coordinator, for so many seconds. A
    throttle is of a participant, so what comes to it from other definitions is slowed down as well.
    """

    rate_per_second: Annotated[float, Field(strict=True, ge=rate_per_second_min, le=rate_per_second_max)] | None = None
    seconds: Annotated[float, Field(strict=True, gt=0, le=seconds_max)] = slow_seconds

    @model_validator(mode="after")
    def _ends_what_it_begins(self) -> Self:
        if self.rate_per_second is None and "seconds" in self.model_fields_set:
            raise ValueError("seconds: of a rate; say rate_per_second as well")
        return self


class SlowResumes(Controller):
    path = "/v1/pauses"
    tags = ("pauses",)

    @post(
        "/{pause_id:str}/resume",
        summary="End a pause or throttle; with a rate, slowly: its participants are throttled for a while",
        operation_class=taking(body_of(Resuming), required=False),
        responses=documented(
            "unreadable-body", "body-too-large", "wrong-content-type", "invalid-body", "unknown-pause"
        ),
        status_code=200,
    )
    async def resume_slowly(
        self, request: Request[Any, Any, Any], desk: NamedDependency[Desk], pause_id: FromPath[str]
    ) -> Resumed:
        asked = await read_body(request, Resuming, may_be_empty=True)
        by, now, fleet = actor_of(request, asked.by), desk.coordinator.clock.now(), desk.coordinator.stores.fleet
        hold = await fleet.one(pause_id, now)
        done: tuple[FleetHold, list[FleetHold]] | None = None
        if hold is not None:
            before(**facts(hold))
        if hold is not None and asked.rate_per_second is not None:
            done = await fleet.slow(
                pause_id,
                await _held_back(desk, hold, now),
                by=by,
                reason=asked.reason or f"resumed slowly; it was paused: {hold.reason}",
                now=now,
                ends_at=now + timedelta(seconds=asked.seconds),
                rate_per_second=asked.rate_per_second,
            )
        elif hold is not None:
            ended = await fleet.end(pause_id, by=by, now=now)
            done = None if ended is None else (ended, [])
        if done is None:
            raise Refusal("unknown-pause", f"no pause {pause_id} holds now")
        await desk.coordinator.fleet.refresh()
        after(id=done[0].id, ended_by=by, throttled=len(done[1]), rate_per_second=asked.rate_per_second)
        return Resumed(pause(done[0]), tuple(pause(throttle) for throttle in done[1]))


async def _held_back(desk: Desk, hold: FleetHold, now: datetime) -> set[str]:
    """The participants that a pause keeps from being sent what waits for them, as far as anybody has heard of them."""
    stores = desk.coordinator.stores
    match hold.scope:
        case HoldScope.PARTICIPANT:
            return {hold.name}
        case HoldScope.DEFINITION:
            versions = await stores.definitions.versions(hold.name)
            return {step["participant"] for stored in versions for step in json.loads(stored.document)["steps"]}
        case HoldScope.ALL:
            known = {worker.beat.participant for worker in await stores.fleet.workers(now)}
            return known | {item.participant for item in await stores.outbox.pending()}
        case _:
            assert_never(hold.scope)
