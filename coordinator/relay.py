"""How a saga speaks: what is committed to the outbox is published, and forgotten once the broker has confirmed it.

After a commit the rows come straight from memory, leased to this process. A poll finds what anybody left behind: rows
whose lease has run out, and rows that could not be published. One participant's trouble is one lane's trouble.

A participant that is throttled gets its rows from the database alone, those longest free first, no more at a time than
may leave within a second: what waits is safe there, under nobody's lease, and its timeouts have not begun.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from amends.broker import Address, Broker, Confirm
from amends.message import frame, items_max, message_bytes_max
from coordinator.alarm import Alarm
from coordinator.errors import StoreUnavailable
from coordinator.fleet import Fleet
from coordinator.pace import Pace
from coordinator.store.outbox import OutboxStore
from coordinator.store.values import HoldScope, OutboxRow
from coordinator.supervisor import uncut

log = logging.getLogger(__name__)

poll_seconds = 1.0
claim_max = 500
lane_rows_max = 2_000  # more than this waits in the database, not in memory
lists_in_flight_max = 64  # of one lane
list_bytes_max = message_bytes_max // 4
backoff_first_seconds = 0.1
backoff_cap_seconds = 5.0
late_seconds = 1.0  # a command that waited longer than this in the outbox has its timeout started anew
forget_max = 1_000
forget_after_seconds = 0.05  # nobody waits for a confirmed row to go: those of so long go together
ahead_seconds = 1.0  # of a throttled lane: what may leave within this time is held in memory, the rest in the database

Confirmed = Callable[[Sequence[OutboxRow], datetime], None]


class Relay:
    """Publishes outbox rows. `published_late` is told of commands whose timeout must start at the confirm, `confirmed`
    of every list at its confirm; it must not raise."""

    def __init__(
        self,
        outbox: OutboxStore,
        broker: Broker,
        fleet: Fleet,
        *,
        now: Callable[[], datetime],
        token: str,
        published_late: Callable[[OutboxRow], None],
        confirmed: Confirmed | None = None,
        lease_seconds: float = 10.0,
    ) -> None:
        self._outbox, self._broker, self._fleet = outbox, broker, fleet
        self._now, self._token, self._published_late = now, token, published_late
        self._tell_confirmed = [confirmed] if confirmed else []
        self._lease_seconds = lease_seconds
        self._ahead_seconds = min(ahead_seconds, lease_seconds / 2)
        self._lanes: dict[str, _Lane] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._held: set[str] = set()  # the ids this process has in memory or with the broker
        self._out: set[str] = set()  # of these, the ids that the broker has been given
        self._arrived: set[str] = set()  # and those it has confirmed, until the database has forgotten them
        self._confirmed: deque[OutboxRow] = deque()
        self._unsent: deque[_Unsent] = deque()
        self._some = asyncio.Event()
        self._alarm = Alarm(now, poll_seconds)  # rings when a row that was given back may be claimed again

    def offer(self, rows: Sequence[OutboxRow], *, paused: bool = False) -> None:
        """Publish these, already leased to this process. What may not go now, or finds no room, goes back to the
        database, from where a poll takes it when it may."""
        at, throttled = self._now(), self._fleet.throttled
        for row in rows:
            rate = throttled.get(row.participant)
            if rate is None or row.id in self._held:
                self._take(row, at, paused=paused)
            else:  # those that wait in the database were there first
                self._release(row, at, maybe_sent=False, error="", wake=self._room(row.participant, rate) > 0)

    def _take(self, row: OutboxRow, at: datetime, *, paused: bool = False) -> None:
        if row.id in self._held:
            return
        lane = self._lane(row.participant)
        if (
            paused
            or lane is None
            or lane.full
            or not self._broker.connected
            or self._fleet.is_held(row.definition, row.participant)
        ):
            self._release(row, at, maybe_sent=False, error="")
            return
        self._held.add(row.id)
        lane.waiting.append(row)
        lane.some.set()

    def tell(self, confirmed: Confirmed) -> None:
        """Let another one hear of every list at its confirm. Must not raise."""
        self._tell_confirmed.append(confirmed)

    async def run(self) -> None:
        """Relay until cancelled; then what was not published is handed back at once, for the next process to find."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for lane in self._lanes.values():
                    tasks.create_task(self._serve(lane))
                tasks.create_task(self._poll())
                tasks.create_task(self._settle())
        finally:
            self._tasks = None
            await self._hand_back()

    def in_flight(self, row_id: str) -> bool:
        """Whether the broker has been given this row, though the database still holds it."""
        return row_id in self._out or row_id in self._arrived

    def trouble(self) -> dict[str, str]:
        """The participants to whom the last list could not be published, and what the broker said."""
        return {lane.participant: lane.trouble for lane in self._lanes.values() if lane.trouble}

    def published(self) -> dict[str, int]:
        """How many commands to each participant the broker has been given and has not confirmed yet. In process that
        lasts for as long as a handler does."""
        return {lane.participant: lane.out for lane in self._lanes.values() if lane.out}

    # -- lanes -------------------------------------------------------------------------------------------------------

    def _lane(self, participant: str) -> _Lane | None:
        lane = self._lanes.get(participant)
        if lane is None and self._tasks is not None:
            lane = self._lanes[participant] = _Lane(participant)
            self._tasks.create_task(self._serve(lane))
        return lane

    async def _serve(self, lane: _Lane) -> None:
        """Publish a participant's rows, as lists of whatever waits, several lists in flight."""
        async with asyncio.TaskGroup() as publishing:
            while True:
                await lane.some.wait()
                await lane.window.acquire()
                rows = lane.next_list(await self._allowed(lane))
                if rows:
                    lane.pace.spend(len(rows))
                    publishing.create_task(self._publish(lane, rows))
                else:
                    lane.window.release()

    async def _allowed(self, lane: _Lane) -> int:
        """How many of a lane's rows may leave now: waits until its participant's rate lets one."""
        loop = asyncio.get_running_loop()
        while (rate := self._fleet.throttled.get(lane.participant)) is not None and lane.waiting:
            at = self._now()
            for row in lane.beyond(lane.pace.room(rate, loop.time(), ahead_seconds=self._ahead_seconds)):
                self._release(row, at, maybe_sent=False, error="", wake=False)  # its lease would not last
            count = lane.pace.allowance(rate, loop.time())
            if count:
                return count
            await asyncio.sleep(min(lane.pace.seconds_to_next(rate), ahead_seconds))
        return items_max

    def _room(self, participant: str, rate: float) -> int:
        """How many more rows of a throttled participant may be held in memory."""
        lane = self._lane(participant)
        if lane is None:
            return 0
        at = asyncio.get_running_loop().time()
        return lane.pace.room(rate, at, ahead_seconds=self._ahead_seconds) - len(lane.waiting)

    async def _publish(self, lane: _Lane, rows: list[OutboxRow]) -> None:
        ids = {row.id for row in rows}
        self._out |= ids
        lane.out += len(rows)
        try:
            await self._outcome(lane, rows, await self._send(lane, rows))
        finally:
            self._out -= ids
            lane.out -= len(rows)
            lane.window.release()

    async def _send(self, lane: _Lane, rows: list[OutboxRow]) -> Confirm:
        body = frame("commands", (row.body for row in rows))
        return await self._broker.publish(Address("commands", lane.participant), body)

    async def _outcome(self, lane: _Lane, rows: list[OutboxRow], confirm: Confirm) -> None:
        """What became of a list decides what becomes of its rows. Only a confirm lets them be forgotten."""
        if confirm is Confirm.CONFIRMED:
            lane.failures, lane.trouble = 0, ""
            self._confirmed.extend(rows)
            self._arrived.update(row.id for row in rows)
            self._some.set()
            for tell in self._tell_confirmed:
                tell(rows, self._now())
            return
        if confirm is Confirm.PERMANENT and len(rows) > 1:
            for row in rows:  # one of them is to blame: find it, and let the others through
                await self._outcome(lane, [row], await self._send(lane, [row]))
            return
        if confirm is Confirm.PERMANENT:
            await self._park(rows, "the broker can never accept this message")
            return
        if confirm is Confirm.UNSENT:  # the broker is away, which costs no attempt; nothing is claimed until it is back
            for row in rows:
                self._release(row, self._now(), maybe_sent=False, error=confirm.value)
            return
        lane.failures += 1
        lane.trouble = confirm.value
        if confirm is Confirm.UNROUTABLE:
            await self._broker.declare(lane.participant)
        seconds = min(backoff_cap_seconds, backoff_first_seconds * 2 ** min(lane.failures, 10))
        log.warning(
            "Publishing to %s: %s; again in %.1f s",
            lane.participant,
            confirm.value,
            seconds,
            extra={"action": "relay.not_confirmed", "participant": lane.participant},
        )
        available_at = self._now() + timedelta(seconds=seconds)
        for row in rows:
            self._release(row, available_at, maybe_sent=confirm is Confirm.UNKNOWN, error=confirm.value)

    # -- the database ------------------------------------------------------------------------------------------------

    def _release(
        self, row: OutboxRow, available_at: datetime, *, maybe_sent: bool, error: str, wake: bool = True
    ) -> None:
        self._unsent.append(_Unsent(row, available_at, maybe_sent, error, wake))
        self._some.set()

    async def _park(self, rows: Sequence[OutboxRow], reason: str) -> None:
        for row in rows:
            log.error("Parked %s: %s", row.id, reason, extra={"action": "relay.parked", "saga_id": row.saga_id})
        await uncut(self._outbox.park({row.id: reason for row in rows}, self._token))
        self._held.difference_update(row.id for row in rows)

    async def _poll(self) -> None:
        """Claim what nobody publishes, until cancelled."""
        while True:
            try:
                more = await self._claim()
            except StoreUnavailable as error:
                more = False
                log.warning("The outbox can't be read: %s", error, extra={"action": "relay.store_unavailable"})
            if not more:
                await self._alarm.rest()

    async def _claim(self) -> bool:
        """Claim a batch; True when there may be more at once."""
        if self._fleet.all_held or not self._broker.connected:
            return False
        held, throttled = self._fleet.held(HoldScope.PARTICIPANT), self._fleet.throttled
        full = {lane.participant for lane in self._lanes.values() if lane.full}
        rows = await self._claim_rows(claim_max, but=held | full | throttled.keys())
        for participant in throttled.keys() - held:
            room = self._room(participant, throttled[participant])
            if room > 0 and len(await self._claim_rows(room, of=participant)) == room:
                self._alarm.set(self._now() + timedelta(seconds=self._ahead_seconds))
        return len(rows) == claim_max

    async def _claim_rows(self, limit: int, *, but: Collection[str] = (), of: str | None = None) -> Sequence[OutboxRow]:
        """Claim rows of all participants but some, or of one, and let them wait in their lanes."""
        at = self._now()
        claim = self._outbox.claim(
            self._token,
            now=at,
            lease_until=at + timedelta(seconds=self._lease_seconds),
            limit=limit,
            participant=of,
            held_participants=but,
            held_definitions=self._fleet.held(HoldScope.DEFINITION),
        )
        rows = await uncut(claim)
        for row in rows:
            self._take(row, at)
        return rows

    async def _settle(self) -> None:
        """Tell the database what became of rows, all that have gathered at a time, until cancelled."""
        while True:
            await self._some.wait()
            if not self._unsent:
                await asyncio.sleep(forget_after_seconds)
            try:
                await self._settle_once()
            except StoreUnavailable as error:
                log.warning("The outbox can't be written: %s", error, extra={"action": "relay.store_unavailable"})
                await asyncio.sleep(1.0)

    async def _settle_once(self) -> None:
        self._some.clear()
        while self._confirmed:
            rows = [self._confirmed.popleft() for _ in range(min(forget_max, len(self._confirmed)))]
            try:
                await uncut(self._outbox.forget([row.id for row in rows]))
            except BaseException:
                self._confirmed.extendleft(reversed(rows))
                raise
            self._held.difference_update(row.id for row in rows)
            self._arrived.difference_update(row.id for row in rows)
            at = self._now()
            for row in rows:
                if (at - row.created_at).total_seconds() > late_seconds:
                    self._published_late(row)
        while self._unsent:
            await self._give_back(self._unsent.popleft())

    async def _give_back(self, unsent: _Unsent) -> None:
        """Release a row, together with all that go back for the same reason."""
        same = [unsent, *(other for other in self._unsent if other.alike(unsent))]
        self._unsent = deque(other for other in self._unsent if not other.alike(unsent))
        try:
            await uncut(
                self._outbox.release(
                    [one.row.id for one in same],
                    self._token,
                    available_at=unsent.available_at,
                    maybe_sent=unsent.maybe_sent,
                    error=unsent.error,
                )
            )
        except BaseException:
            self._unsent.extend(same)
            raise
        self._held.difference_update(one.row.id for one in same)
        if unsent.wake:
            self._alarm.set(unsent.available_at)

    async def _hand_back(self) -> None:
        """At the end: forget what was confirmed, and release what never left this process."""
        at = self._now()
        for lane in self._lanes.values():
            for row in lane.waiting:
                self._release(row, at, maybe_sent=False, error="")
            lane.waiting.clear()
        try:
            async with asyncio.timeout(2.0):
                await self._settle_once()
        except (StoreUnavailable, TimeoutError) as error:
            # Their lease will run out, and another process takes them over.
            log.warning("Not handed back: %s", error, extra={"action": "relay.not_handed_back"})


@dataclass(frozen=True, slots=True)
class _Unsent:
    """A row that goes back to the database: from when it may be claimed again, and what is known about it."""

    row: OutboxRow
    available_at: datetime
    maybe_sent: bool
    error: str
    wake: bool  # the poll may find it of use to look then, rather than at its next turn

    def alike(self, other: _Unsent) -> bool:
        return replace(self, row=other.row) == other


class _Lane:
    """One participant's rows that wait to be published, and the window of lists in flight."""

    def __init__(self, participant: str) -> None:
        self.participant = participant
        self.waiting: deque[OutboxRow] = deque()
        self.some = asyncio.Event()
        self.window = asyncio.Semaphore(lists_in_flight_max)
        self.failures = 0
        self.out = 0  # rows that the broker has been given, and not answered for
        self.trouble = ""  # what the broker said to the last list, if it did not take it
        self.pace = Pace()

    @property
    def full(self) -> bool:
        return len(self.waiting) >= lane_rows_max

    def beyond(self, count: int) -> list[OutboxRow]:
        """What waits behind the first `count`, which it does no longer."""
        return [self.waiting.pop() for _ in range(len(self.waiting) - count)]

    def next_list(self, count_max: int) -> list[OutboxRow]:
        """What waits, up to `count_max` and to the bounds of a message in items and bytes; at least one."""
        rows: list[OutboxRow] = []
        size = 0
        while self.waiting and len(rows) < min(count_max, items_max):
            size += len(self.waiting[0].body)
            if rows and size > list_bytes_max:
                break
            rows.append(self.waiting.popleft())
        if not self.waiting:
            self.some.clear()
        return rows
