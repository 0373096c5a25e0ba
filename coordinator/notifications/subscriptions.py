"""Who wants to be told, as every coordinator sees it: read once a second, asked at each commit.

Where nobody wants anything, asking costs the look at an empty tuple. A subscription whose queue is full is told nothing
more until there is room: its events are dropped and counted, so that who doesn't listen can't fill the database.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from amends.event import Event, EventKind
from coordinator.errors import StoreUnavailable
from coordinator.notifications.telling import event_of, happened, incident_event
from coordinator.saga.decision import Decision
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.state import Saga
from coordinator.store.ids import new_id
from coordinator.store.notifications import NotificationStore
from coordinator.store.notified import Notice, OpenedIncident, Queue, Subscription
from coordinator.supervisor import uncut

log = logging.getLogger(__name__)

refresh_seconds = 1.0
queue_max = 5_000  # notifications that wait for one subscription; a little more where several coordinators write


class Subscriptions:
    """The subscriptions there are, and what they want to be told of a change. `link`: where others reach the API."""

    def __init__(self, store: NotificationStore, now: Callable[[], datetime], *, link: str | None) -> None:
        self._store, self._now = store, now
        self._link = link.rstrip("/") if link else None
        self.all: tuple[Subscription, ...] = ()
        self.queues: Mapping[str, Queue] = {}
        self._added: Counter[str] = Counter()  # since the queues were counted
        self.dropped: Counter[str] = Counter()  # by target

    async def refresh(self) -> None:
        """Read who there is and what waits for them. Raises StoreUnavailable."""
        found = await uncut(self._store.subscriptions())
        queues = await uncut(self._store.queues()) if found else {}
        self._added.clear()
        self.all, self.queues = tuple(found), queues

    def note(self, known: Subscription) -> None:
        """What has just been learnt of one, until it is read again."""
        self.all = tuple(known if one.id == known.id else one for one in self.all)

    async def run(self) -> None:
        """Refresh until cancelled. While the database is away the last view stands."""
        while True:
            try:
                await self.refresh()
            except StoreUnavailable as error:
                log.warning("Subscriptions can't be read: %s", error, extra={"action": "notifications.unavailable"})
            await asyncio.sleep(refresh_seconds)

    def notices(self, definition: SagaDefinition, before: Saga, decisions: Sequence[Decision]) -> tuple[Notice, ...]:
        """What is to be kept with a change of a saga, for those who want to be told of it."""
        if not self.all:
            return ()
        found: list[Notice] = []
        for decision in decisions:
            for what in happened(before, decision):
                wanting = self._wanting(what.kind, definition.name)
                if wanting:
                    event = event_of(definition, decision, what, link=self._link)
                    found += self._notices(event, wanting, decision.saga.id)
            before = decision.saga
        return tuple(found)

    def incident_notices(self, opened: Sequence[OpenedIncident]) -> tuple[Notice, ...]:
        """As `notices`, of incidents that have just been opened."""
        found: list[Notice] = []
        for incident in opened if self.all else ():
            wanting = self._wanting(EventKind.INCIDENT_OPENED, incident.definition)
            if wanting:
                found += self._notices(incident_event(incident, incident.at, link=self._link), wanting, None)
        return tuple(found)

    def _wanting(self, kind: EventKind, definition: str) -> list[Subscription]:
        """Those who want this, and have room for it."""
        wanting = [one for one in self.all if one.wants(kind, definition)]
        if not wanting:
            return wanting
        full = [one for one in wanting if self._waiting(one.id) >= queue_max]
        for one in full:
            self.dropped[one.target.value] += 1
        return [one for one in wanting if one not in full]

    def _waiting(self, subscription_id: str) -> int:
        queue = self.queues.get(subscription_id)
        return (queue.waiting if queue else 0) + self._added[subscription_id]

    def _notices(self, event: Event, wanting: Sequence[Subscription], saga_id: str | None) -> list[Notice]:
        body = event.model_dump_json(exclude_none=True)
        self._added.update(one.id for one in wanting)
        return [
            Notice(new_id(event.at), one.id, event.id, event.kind.value, event.definition, body, event.at, saga_id)
            for one in wanting
        ]
