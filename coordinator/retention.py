"""How long sagas are kept once they have ended: as long as the newest version of their definition says, else as long as
the coordinator is told. A saga that has not ended is never forgotten, whatever its age. And how long the audit is kept.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from coordinator.definitions import Definitions
from coordinator.errors import InvalidDefinition, UnknownDefinition
from coordinator.store.audit import AuditStore
from coordinator.store.definitions import DefinitionStore, page_max
from coordinator.store.settled import SettledSagas

log = logging.getLogger(__name__)

kept_min = timedelta(hours=1)  # a late reply to one that is gone would be a puzzle, a late command a second effect


class Retention:
    """Forgets sagas that ended long ago, with their steps, history, tags and idempotency keys. `kept` None: for ever,
    unless a definition says otherwise."""

    def __init__(
        self, store: DefinitionStore, definitions: Definitions, settled: SettledSagas, kept: timedelta | None
    ) -> None:
        self._store, self._definitions, self._settled, self._kept = store, definitions, settled, kept

    async def prune(self, now: datetime) -> int:
        """Forget some sagas of each definition; how many. Zero: nothing is left to forget. Raises StoreUnavailable."""
        forgotten = 0
        after: str | None = None
        while page := await self._store.newest(after=after):
            for newest in page:
                kept = await self._kept_of(newest.name, newest.version)
                if kept is not None:
                    forgotten += await self._settled.forget(newest.name, now - max(kept, kept_min))
            after = page[-1].name
            if len(page) < page_max:
                break
        if forgotten:
            log.info("%d sagas that ended long ago are forgotten", forgotten, extra={"action": "retention.forgotten"})
        return forgotten

    async def _kept_of(self, name: str, version: int) -> timedelta | None:
        try:
            stated = (await self._definitions.get(name, version)).retention_seconds
        except (InvalidDefinition, UnknownDefinition) as error:
            # What it says can't be read by this release: what is kept too long is the smaller harm.
            log.warning("Sagas of %s are kept: %s", name, error, extra={"action": "retention.unreadable"})
            return None
        return self._kept if stated is None else timedelta(seconds=stated)


class AuditRetention:
    """Forgets what was audited longer ago than it is kept."""

    def __init__(self, store: AuditStore, kept: timedelta) -> None:
        self._store, self._kept = store, kept

    async def prune(self, now: datetime) -> int:
        """Forget some entries; how many. Raises StoreUnavailable."""
        return await self._store.forget(now - self._kept)
