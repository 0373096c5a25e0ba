"""The audit, written in batches: many requests share a transaction, and each may wait until its entry is durable."""

from __future__ import annotations

import asyncio
import logging

from coordinator.errors import StoreUnavailable
from coordinator.store.access import AuditEntry
from coordinator.store.audit import AuditStore
from coordinator.supervisor import uncut

log = logging.getLogger(__name__)

waiting_max = 10_000  # entries; whoever comes then waits for room
batch_max = 500
written_seconds_max = 5.0  # how long an answer waits for its entry
again_seconds = 0.5
gathered_seconds = 0.05  # how long entries are gathered that nobody waits for

Waiting = tuple[AuditEntry, asyncio.Future[None] | None]  # who waits for it to be durable, if anybody does


class Journal:
    def __init__(self, store: AuditStore) -> None:
        self._store = store
        self._waiting: asyncio.Queue[Waiting] = asyncio.Queue(waiting_max)
        self._left: list[Waiting] = []  # taken, and not written
        self._urgent = asyncio.Event()  # somebody waits for one

    async def write(self, entry: AuditEntry, *, wait: bool = True) -> None:
        """Add an entry; with `wait`, until it is durable. Where that takes too long, it is written later."""
        if not wait and not self._waiting.full():
            self._waiting.put_nowait((entry, None))
            return
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(written_seconds_max):
                await self._waiting.put((entry, written))
                if wait:
                    self._urgent.set()
                    await asyncio.shield(written)
        except TimeoutError:
            log.error("%s by %s is not in the audit yet", entry.action, entry.who, extra={"action": "audit.late"})

    async def run(self) -> None:
        """Write what comes, for as long as this coordinator runs. What is at hand when it ends, `flush` writes."""
        while True:
            batch = [await self._waiting.get()]
            try:
                await self._gather()
                self._fill(batch)
                await self._keep(batch)
            finally:
                self._left = list(batch)

    async def _gather(self) -> None:
        """Let others join what nobody waits for."""
        try:
            async with asyncio.timeout(gathered_seconds):
                await self._urgent.wait()
        except TimeoutError:
            return
        self._urgent.clear()

    async def flush(self) -> None:
        """Write what still waits, at the end."""
        batch, self._left = self._left, []
        self._fill(batch)
        while batch:
            await self._write(batch)
            self._fill(batch)

    def _fill(self, batch: list[Waiting]) -> None:
        while len(batch) < batch_max and not self._waiting.empty():
            batch.append(self._waiting.get_nowait())

    async def _keep(self, batch: list[Waiting]) -> None:
        while True:
            try:
                await uncut(self._write(batch))
                return
            except StoreUnavailable as error:
                log.warning("The audit can't be written now: %s", error, extra={"action": "audit.unavailable"})
                await asyncio.sleep(again_seconds)

    async def _write(self, batch: list[Waiting]) -> None:
        """Write what is in the batch, and empty it."""
        await self._store.add([entry for entry, _ in batch])
        for _, written in batch:
            if written is not None and not written.done():
                written.set_result(None)
        batch.clear()
