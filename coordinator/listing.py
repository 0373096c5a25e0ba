"""Lists of sagas by what they wait for: some of it is stored, and some only a running coordinator knows, such as who is
alive, what is paused and what is on its way. Such lists are sifted, page by page, and each answer is bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from coordinator.fleet import Fleet
from coordinator.saga.explain import WaitingKind
from coordinator.store.reader import SagaReader, count_max, page_max
from coordinator.store.values import Counted, HoldScope, SagaFilter, SagaSummary, Unsent

# What a list can be filtered by.
listed = ("paused", "blocked", "reply", "no_consumer", "inquiry", "backoff", "unreadable", "outbox")
answered_by_participant = (WaitingKind.REPLY, WaitingKind.INQUIRY)
_under_way = (*answered_by_participant, WaitingKind.BACKOFF)
noticed_after = timedelta(seconds=2)
pages_sifted_max = 10


@dataclass(frozen=True, slots=True)
class Standing:
    """A saga of a list, and what it waits for."""

    saga: SagaSummary
    waiting_on: str | None


@dataclass(frozen=True, slots=True)
class Listed:
    items: tuple[Standing, ...]
    cursor: str | None  # where the next page begins; None: this is the last


class Listing:
    """`in_flight` says whether a row of the outbox is with the broker, `connected` whether that can be reached."""

    def __init__(
        self,
        reader: SagaReader,
        fleet: Fleet,
        *,
        now: Callable[[], datetime],
        in_flight: Callable[[str], bool],
        connected: Callable[[], bool],
    ) -> None:
        self._reader, self._fleet, self._now = reader, fleet, now
        self._in_flight, self._connected = in_flight, connected

    async def page(self, chosen: SagaFilter, *, limit: int, cursor: str | None = None) -> Listed:
        """The sagas of a page, the newest first. Of a sifted list a page may hold few, or none, and not be the last."""
        wanted = chosen.waiting_on
        stored, sifted = self._stored(chosen)
        found: list[Standing] = []
        for _ in range(pages_sifted_max):
            page = await self._reader.page(stored, limit=page_max if sifted else limit, cursor=cursor)
            for standing in await self._standing(page.items):
                if sifted and standing.waiting_on != wanted:
                    continue
                found.append(standing)
                if sifted and len(found) == limit:
                    return Listed(tuple(found), standing.saga.id)
            cursor = page.cursor
            if cursor is None or not sifted:
                break
        return Listed(tuple(found), cursor)

    async def count(self, chosen: SagaFilter) -> Counted:
        """How many sagas such a list holds; those of a sifted one are looked for only so far."""
        stored, sifted = self._stored(chosen)
        if not sifted:
            return await self._reader.count(stored)
        listed_now = await self.page(chosen, limit=count_max)
        return Counted(len(listed_now.items), listed_now.cursor is not None)

    def held(self, definition: str, participant: str | None) -> str | None:
        """Which pause of the fleet holds a saga of this definition back, in words."""
        if self._fleet.all_held:
            return "everything is paused"
        if definition in self._fleet.held(HoldScope.DEFINITION):
            return f"the sagas of {definition} are paused"
        if participant in self._fleet.held(HoldScope.PARTICIPANT):
            return f"the participant {participant} is paused"
        return None

    def stands_in_outbox(self, saga_id: str, unsent: Unsent, at: datetime) -> bool:
        """Whether a command that is in the outbox is worth a word: every one is there for a moment, but it has a
        reason, or has been there for a while, and the broker has not been given it. That nobody would take it is told
        otherwise."""
        if self._in_flight(f"{saga_id}/{unsent.key}"):
            return False
        if unsent.parked_reason or not self._connected():
            return True
        if unsent.participant not in self._fleet.attended(at):
            return False
        return unsent.last_error is not None or at - unsent.created_at > noticed_after

    async def _standing(self, summaries: Sequence[SagaSummary]) -> list[Standing]:
        awaiting = [one.id for one in summaries if one.waiting_on in answered_by_participant]
        unsent = await self._reader.unsent(awaiting)
        at = self._now()
        return [Standing(one, self._stands(one, unsent, at)) for one in summaries]

    def _stands(self, summary: SagaSummary, unsent: Mapping[str, Iterable[Unsent]], at: datetime) -> str | None:
        kind, participant = summary.waiting_on, summary.waiting_for
        if kind is None or kind in ("paused", "blocked", "unreadable"):
            return kind
        if self.held(summary.definition, participant):
            return "paused"
        if kind not in answered_by_participant:
            return kind
        if any(self.stands_in_outbox(summary.id, one, at) for one in unsent.get(summary.id, ())):
            return "outbox"
        return "no_consumer" if participant and participant not in self._fleet.attended(at) else kind

    def _stored(self, chosen: SagaFilter) -> tuple[SagaFilter, bool]:
        """What to ask the database for, to find the sagas that stand so, and whether the answer is to be sifted."""

        def asking(**changes: Any) -> SagaFilter:
            return replace(chosen, **changes)

        fleet = self._fleet
        held = fleet.all_held or fleet.held(HoldScope.DEFINITION) or fleet.held(HoldScope.PARTICIPANT)
        match chosen.waiting_on:
            case None | "blocked" | "unreadable":
                return chosen, False
            case "paused":
                return (asking(waiting_on_any=("paused", *_under_way)), True) if held else (chosen, False)
            case "no_consumer":
                return asking(waiting_on_any=answered_by_participant), True
            case "outbox":
                since = self._now() - noticed_after if self._connected() else self._now()
                return asking(waiting_on_any=answered_by_participant, unsent_since=since), True
            case _:
                return chosen, True
