"""Remedies that hold back: a circuit, a throttle, the pause of a definition or of everything. All of them end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from coordinator.diagnosis.healing.means import CannotBegin, Finding, Remedy
from coordinator.diagnosis.healing.measuring import Measuring, minute
from coordinator.diagnosis.healing.policy import helped, outcomes_min, seconds_max
from coordinator.fleet import Fleet
from coordinator.store.explained import RemedyState
from coordinator.store.fleet import FleetStore, ran_out
from coordinator.store.values import FleetHold, HoldScope
from coordinator.supervisor import uncut

probe_seconds = 120.0  # how long a circuit that has ended lets only a few through
probe_rate_per_second = 1.0
probes_min = 3  # that were answered
measured_after_seconds = 120.0  # when a throttle is judged first
settled_seconds = 10.0  # how long the broker must have been back


class Holds:
    """The holds that remedies make, each known by its mark."""

    def __init__(self, store: FleetStore, fleet: Fleet) -> None:
        self._store, self._fleet = store, fleet

    async def of(self, remedy: Remedy, at: datetime) -> Sequence[FleetHold]:
        """Those that this remedy made, active or over, the oldest first."""
        found = await uncut(self._store.holds(at, ended_since=remedy.begun_at))
        return [hold for hold in found if remedy.mark in hold.reason]

    async def hold(
        self, remedy: Remedy, scope: HoldScope, name: str, at: datetime, *, seconds: float, rate: float | None = None
    ) -> None:
        """Raises CannotBegin when somebody else holds it already."""
        ends_at = at + timedelta(seconds=seconds)
        asked = self._store.hold(
            scope, name, by=remedy.by, reason=remedy.reason, now=at, ends_at=ends_at, rate_per_second=rate
        )
        hold = await uncut(asked)
        await self._fleet.refresh()
        if remedy.mark not in hold.reason:
            raise CannotBegin(f"{hold.held_by} holds it already: {hold.reason}")

    async def end(self, remedy: Remedy, at: datetime, *, by: str) -> None:
        for hold in await self.of(remedy, at):
            if hold.until is None:
                await uncut(self._store.end(hold.id, by=by, now=at))
        await self._fleet.refresh()


def ended_by_another(remedy: Remedy, holds: Sequence[FleetHold]) -> Finding | None:
    """Somebody ended it, or put something stronger in its place."""
    last = holds[-1]
    if last.ended_by in (None, ran_out, remedy.by):
        return None
    return Finding(RemedyState.ENDED, f"{last.ended_by} ended it")


class Circuit:
    """A participant is paused; when that is over, a few commands go first and show whether it is well again.

    The throttle that lets only a few through stands beside the pause from its beginning, and outlasts it: should no
    coordinator of this sort be there when the pause ends, the participant is spared all the same.
    """

    def __init__(self, holds: Holds, measuring: Measuring) -> None:
        self._holds, self._measuring = holds, measuring

    async def begin(self, remedy: Remedy, at: datetime) -> None:
        made = await self._holds.of(remedy, at)
        if len(_throttles(made)) < len(_pauses(made)) or not made:
            await self._open(remedy, at, remedy.target.seconds or 0.0, paused=bool(made))

    async def judge(self, remedy: Remedy, at: datetime) -> Finding | None:
        made = await self._holds.of(remedy, at)
        pause, throttle = _pauses(made)[-1], _throttles(made)[-1]
        if pause.until is None:
            return None
        if found := ended_by_another(remedy, [pause]):
            return found
        participant = remedy.target.participant or ""
        # From the next full minute on: this one's counts hold what failed before.
        probed = await self._measuring.of(participant, pause.until + minute, at)
        answered, before = probed.answered, remedy.row.measured_before
        if answered.total >= probes_min:
            after = answered.failing_share
            if helped(1.0 if before is None else before, after):
                told = f"{participant} answers again: {after:.0%} of {answered.total} attempts fail"
                return Finding(RemedyState.HELPED, told, after)
            return await self._again(remedy, at, len(_pauses(made)), after)
        if throttle.until is None:
            return None
        if probed.failed:
            return await self._again(remedy, at, len(_pauses(made)), 1.0)
        return Finding(RemedyState.ENDED, "nothing went through that would show whether it helped")

    async def take_back(self, remedy: Remedy, at: datetime, *, by: str) -> None:
        await self._holds.end(remedy, at, by=by)

    async def _again(self, remedy: Remedy, at: datetime, rounds: int, after: float) -> Finding | None:
        """Pause it once more, twice as long, as long as the bound allows it."""
        seconds = (remedy.target.seconds or 0.0) * 2**rounds
        if at + timedelta(seconds=seconds) <= remedy.begun_at + timedelta(seconds=seconds_max):
            await self._open(remedy, at, seconds)
            return None
        told = f"it still fails after {rounds} {'pause' if rounds == 1 else 'pauses'}: {after:.0%} of the attempts"
        return Finding(RemedyState.UNDONE, told, after)

    async def _open(self, remedy: Remedy, at: datetime, seconds: float, *, paused: bool = False) -> None:
        participant = remedy.target.participant or ""
        if not paused:
            await self._holds.hold(remedy, HoldScope.PARTICIPANT, participant, at, seconds=seconds)
        await self._holds.hold(
            *(remedy, HoldScope.PARTICIPANT, participant, at),
            seconds=seconds + probe_seconds,
            rate=probe_rate_per_second,
        )


class Throttle:
    """A participant is sent no more than so many commands per second."""

    def __init__(self, holds: Holds, measuring: Measuring) -> None:
        self._holds, self._measuring = holds, measuring

    async def begin(self, remedy: Remedy, at: datetime) -> None:
        if not await self._holds.of(remedy, at):
            target = remedy.target
            await self._holds.hold(
                *(remedy, HoldScope.PARTICIPANT, target.participant or "", at),
                seconds=target.seconds or 0.0,
                rate=target.rate_per_second,
            )

    async def judge(self, remedy: Remedy, at: datetime) -> Finding | None:
        made = await self._holds.of(remedy, at)
        if found := ended_by_another(remedy, made):
            return found
        over = made[-1].until is not None
        if not over and at < remedy.begun_at + timedelta(seconds=measured_after_seconds):
            return None
        after = await self._measuring.of(remedy.target.participant or "", remedy.begun_at + minute, at)
        enough = after.total >= outcomes_min
        better = helped(remedy.row.measured_before, after.failing_share if enough else None)
        told = f"{after.failing_share:.0%} of {after.total} attempts fail"
        if better is False:
            return Finding(RemedyState.UNDONE, f"it did not help: {told}", after.failing_share)
        if not over:
            return None
        if better:
            return Finding(RemedyState.HELPED, told, after.failing_share)
        return Finding(RemedyState.ENDED, "its time was over; whether it helped can't be told")

    async def take_back(self, remedy: Remedy, at: datetime, *, by: str) -> None:
        await self._holds.end(remedy, at, by=by)


class DefinitionPause:
    """The sagas of a definition stand still for a while."""

    def __init__(self, holds: Holds) -> None:
        self._holds = holds

    async def begin(self, remedy: Remedy, at: datetime) -> None:
        if not await self._holds.of(remedy, at):
            name, seconds = remedy.target.definition or "", remedy.target.seconds or 0.0
            await self._holds.hold(remedy, HoldScope.DEFINITION, name, at, seconds=seconds)

    async def judge(self, remedy: Remedy, at: datetime) -> Finding | None:
        made = await self._holds.of(remedy, at)
        if made[-1].until is None:
            return None
        return ended_by_another(remedy, made) or Finding(RemedyState.ENDED, "its time was over")

    async def take_back(self, remedy: Remedy, at: datetime, *, by: str) -> None:
        await self._holds.end(remedy, at, by=by)


class FullPause:
    """Everything stands still, clocks too, until the broker is back."""

    def __init__(self, holds: Holds, connected: Callable[[], bool]) -> None:
        self._holds, self._connected = holds, connected
        self._back_at: datetime | None = None  # since when this coordinator has had the broker

    async def begin(self, remedy: Remedy, at: datetime) -> None:
        if not await self._holds.of(remedy, at):
            await self._holds.hold(remedy, HoldScope.ALL, "", at, seconds=remedy.target.seconds or 0.0)

    async def judge(self, remedy: Remedy, at: datetime) -> Finding | None:
        made = await self._holds.of(remedy, at)
        if found := ended_by_another(remedy, made):
            return found
        self._back_at = (self._back_at or at) if self._connected() else None
        if self._back_at is not None and at - self._back_at >= timedelta(seconds=settled_seconds):
            return Finding(RemedyState.HELPED, "the broker is back")
        if made[-1].until is None:
            return None
        left_seconds = seconds_max - (at - remedy.begun_at).total_seconds()
        if left_seconds > settled_seconds:
            seconds = min(remedy.target.seconds or left_seconds, left_seconds)
            await self._holds.hold(remedy, HoldScope.ALL, "", at, seconds=seconds)
            return None
        return Finding(RemedyState.ENDED, "its time was over, and the broker is still away")

    async def take_back(self, remedy: Remedy, at: datetime, *, by: str) -> None:
        await self._holds.end(remedy, at, by=by)


def _pauses(holds: Sequence[FleetHold]) -> list[FleetHold]:
    return [hold for hold in holds if hold.rate_per_second is None]


def _throttles(holds: Sequence[FleetHold]) -> list[FleetHold]:
    return [hold for hold in holds if hold.rate_per_second is not None]
