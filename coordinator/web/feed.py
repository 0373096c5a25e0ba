"""What is new, as it happens, for those who listen: server-sent events, of incidents or of sagas.

Another coordinator may be the one that moves it, so the database is looked at, once a second for all who listen here,
and not at all while nobody does. What differs from the last look becomes an event, kept in one bounded ring; each
listener only has a place in it. Who fell too far behind, or comes from another process, is told to begin anew.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from coordinator.errors import StoreUnavailable

log = logging.getLogger(__name__)

listeners_max = 200
events_kept = 1_000
look_seconds = 1.0
heartbeat_seconds = 15.0
reconnect_milliseconds = 2_000

# What there is now: for each thing, under a name of its own, the kind of event that tells of it, and its data.
Look = Callable[[], Awaitable[Mapping[str, tuple[str, dict[str, Any]]]]]


def plain(told: Any) -> dict[str, Any]:
    """The fields of a dataclass, as JSON would have them."""
    return {name: moment(value) if isinstance(value, datetime) else value for name, value in asdict(told).items()}


def moment(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


class TooManyListeners(Exception):
    """Nobody else can listen to this process now."""


@dataclass(frozen=True, slots=True)
class _Event:
    number: int
    name: str  # of what it is about; "": of everything
    kind: str
    data: str


class Feed:
    """The events of one process, and who listens to them."""

    def __init__(self, look: Look, *, kept: int | None = None) -> None:
        self._look = look
        self._token = secrets.token_hex(4)
        self._events: deque[_Event] = deque(maxlen=kept or events_kept)
        self._count = 0
        self._seen: Mapping[str, tuple[str, dict[str, Any]]] | None = None
        self._looked_at = 0.0
        self._looking = asyncio.Lock()
        self._stopped = asyncio.Event()
        self._listeners = 0

    def stop(self) -> None:
        """Nobody listens any longer: the process ends."""
        self._stopped.set()

    def listen(self, last_id: str | None, *, only: str | None = None) -> AsyncIterator[bytes]:
        """Everything from now on, or after the event of this id; of `only` that thing, if it is named. Raises
        TooManyListeners."""
        if self._listeners >= listeners_max:
            raise TooManyListeners
        return self._follow(last_id, only)

    async def _follow(self, last_id: str | None, only: str | None) -> AsyncIterator[bytes]:
        self._listeners += 1
        try:
            yield f"retry: {reconnect_milliseconds}\n\n".encode()
            await self._refresh()
            place = self._place(last_id)
            quiet_since = _now()
            while not self._stopped.is_set():
                if place is None or self._is_lost(place):
                    yield self._written("reset", "{}", self._count)
                    place = self._count
                for event in [event for event in self._events if event.number > place]:
                    place = event.number
                    if only is None or event.name in (only, ""):
                        yield self._written(event.kind, event.data, event.number)
                        quiet_since = _now()
                if _now() - quiet_since >= heartbeat_seconds:
                    yield b":\n\n"  # keeps proxies from closing it, and finds listeners that are gone
                    quiet_since = _now()
                await self._pause()
                await self._refresh()
        finally:
            self._listeners -= 1

    def _place(self, last_id: str | None) -> int | None:
        """Where a listener stands. None: nobody here can say."""
        if last_id is None:
            return self._count
        token, _, number = last_id.partition("-")
        known = token == self._token and number.isdecimal() and len(number) < 16 and int(number) <= self._count
        return int(number) if known else None

    def _is_lost(self, place: int) -> bool:
        """Whether events after this place are no longer there."""
        oldest = self._events[0].number if self._events else self._count + 1
        return place + 1 < oldest

    def _written(self, kind: str, data: str, number: int) -> bytes:
        return f"id: {self._token}-{number}\nevent: {kind}\ndata: {data}\n\n".encode()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(look_seconds):
                await self._stopped.wait()
        except TimeoutError:
            return

    async def _refresh(self) -> None:
        """Look, unless somebody just did. While the database is away nothing is new."""
        async with self._looking:
            if _now() - self._looked_at < 0.9 * look_seconds and self._seen is not None:
                return
            try:
                found = await self._look()
            except StoreUnavailable as error:
                log.warning("What is new can't be looked at: %s", error, extra={"action": "feed.store_unavailable"})
                return
            self._looked_at = _now()
            before, self._seen = self._seen, found
            for name, thing in found.items():
                if before is not None and before.get(name) != thing:
                    self._count += 1
                    kind, data = thing
                    self._events.append(_Event(self._count, name, kind, json.dumps(data)))


def _now() -> float:
    return asyncio.get_running_loop().time()
