"""A saga's past, read again: its events, as far as they can be read in one go and decided by today's rules."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from coordinator.saga import state
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.event import Event
from coordinator.saga.record import load_event
from coordinator.store.values import HistoryEntry
from coordinator.web.desk import Desk

log = logging.getLogger(__name__)

Told = TypeVar("Told")

history_read_max = 2_000  # entries that are read to tell of one saga
history_page = 1_000


@dataclass(frozen=True, slots=True)
class Past:
    """What happened to a saga up to the revision that was looked at."""

    definition: SagaDefinition
    beginning: state.Saga
    entries: Sequence[HistoryEntry]

    def told(self, tell: Callable[[SagaDefinition, state.Saga, list[Event]], Told]) -> Told | None:
        """What `tell` makes of the events. None: they were decided by other rules than today's."""
        try:
            return tell(self.definition, self.beginning, [load_event(one.event, one.facts) for one in self.entries])
        except Exception as error:
            # The rules may have changed since. The saga is shown without its past, and says so.
            log.warning(
                "The history of saga %s can't be decided again: %s: %s",
                self.beginning.id,
                type(error).__name__,
                error,
                extra={"action": "web.history_unreadable", "saga_id": self.beginning.id},
            )
            return None


async def past_of(desk: Desk, definition: SagaDefinition, saga: state.Saga) -> Past | None:
    """The past of a saga, or None where it is too long to be read whole."""
    if saga.revision > history_read_max:
        return None
    entries: list[HistoryEntry] = []
    while len(entries) < saga.revision:
        after = entries[-1].seq if entries else -1
        page = await desk.coordinator.stores.reader.history(saga.id, after_seq=after, limit=history_page)
        entries += [entry for entry in page if entry.seq <= saga.revision]  # what came since belongs to the next look
        if len(page) < history_page:
            break
    return Past(definition, saga.newborn, entries)
