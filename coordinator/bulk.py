"""What is asked of many sagas at once: carried out behind the scenes, in batches, by the verbs that one saga is asked.

Each saga's history has who asked and why, with the operation's id. A coordinator that dies in the middle of a batch
leaves it to another, which begins that batch anew: a verb changes nothing the second time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from coordinator.definitions import Definitions
from coordinator.engine import Engine
from coordinator.errors import CoordinatorError, Quarantined, StoreUnavailable, UnknownSaga
from coordinator.listing import Listing
from coordinator.saga.event import (
    CancelRequested,
    CloseRequested,
    PauseRequested,
    ResumeRequested,
    RetryRequested,
    Settlement,
    SettleRequested,
    SkipRequested,
    Verb,
    WaiveRequested,
)
from coordinator.saga.state import Saga, StepStatus
from coordinator.saga.transition import decide
from coordinator.store.bulks import Batch, BulkRow, BulkStore, BulkVerb, Taken
from coordinator.store.reader import SagaReader
from coordinator.store.reader import history_max as history_page
from coordinator.store.sagas import SagaStore
from coordinator.store.values import Unreadable
from coordinator.supervisor import uncut

log = logging.getLogger(__name__)

batch_max = 50
lease_seconds = 30.0
idle_seconds = 1.0
busy_seconds = 0.05  # between two looks while something is under way
sweep_seconds = 3600.0
nothing_blocked = "none of its steps is blocked"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came, or would come, of asking one saga. `refused` says why not."""

    changed: bool
    refused: str | None = None


class Bulks:
    """Carries out what was asked, until cancelled. `nudge` tells that something new was."""

    def __init__(
        self,
        store: BulkStore,
        sagas: SagaStore,
        reader: SagaReader,
        listing: Listing,
        definitions: Definitions,
        engine: Engine,
        *,
        now: Callable[[], datetime],
        token: str,
    ) -> None:
        self._store, self._sagas, self._reader, self._listing = store, sagas, reader, listing
        self._definitions, self._engine, self._now, self._token = definitions, engine, now, token
        self._nudged = asyncio.Event()
        self._swept_at: datetime | None = None

    def nudge(self) -> None:
        self._nudged.set()

    async def run(self) -> None:
        """While the database is away what was asked waits."""
        pause_seconds = idle_seconds
        while True:
            try:
                if await self.step():
                    pause_seconds = busy_seconds
                    continue
                await self._sweep()
            except StoreUnavailable as error:
                log.warning("What was asked of many waits: %s", error, extra={"action": "bulk.store_unavailable"})
                pause_seconds = idle_seconds
            await self._rest(pause_seconds)
            pause_seconds = min(idle_seconds, pause_seconds * 2)

    async def step(self) -> bool:
        """Carry out the next batch of whatever has its turn. False: nothing has. Raises StoreUnavailable."""
        now = self._now()
        taken = await uncut(self._store.take(self._token, now=now, until=now + timedelta(seconds=lease_seconds)))
        if taken is None:
            return False
        row = taken.row
        size = max(1, min(batch_max, int(row.rate_per_second)))
        page = await self._listing.page(row.chosen, limit=size, cursor=row.cursor)
        ids = [standing.saga.id for standing in page.items]
        outcomes = await asyncio.gather(*(self._ask(saga_id, taken) for saga_id in ids))
        batch = Batch(
            cursor=page.cursor or (ids[-1] if ids else row.cursor),
            last=page.cursor is None,
            changed=sum(one.changed for one in outcomes),
            unchanged=sum(not one.changed and one.refused is None for one in outcomes),
            refused=tuple(
                (saga_id, one.refused) for saga_id, one in zip(ids, outcomes, strict=True) if one.refused is not None
            ),
        )
        again_at = now + timedelta(seconds=len(ids) / row.rate_per_second)
        if not await uncut(self._store.record(row.id, self._token, batch, now=self._now(), again_at=again_at)):
            log.warning("Batch of %s took too long; another has it", row.id, extra={"action": "bulk.lease_lost"})
        return True

    async def foresee(self, saga_id: str, row: BulkRow) -> Outcome:
        """What would come of asking a saga now. Raises StoreUnavailable."""
        saga = (await self._sagas.load([saga_id])).get(saga_id)
        try:
            if saga is None or isinstance(saga, Unreadable):
                raise Quarantined(saga_id, "it can't be read" if saga else "it is gone")
            definition = await self._definitions.get(saga.definition, saga.version)
        except StoreUnavailable:
            raise
        except CoordinatorError as error:
            return Outcome(changed=False, refused=str(error))
        decisions = [decide(definition, saga, verb) for verb in self._verbs(saga, row)]
        return _together([Outcome(decision.recorded, decision.refused) for decision in decisions])

    async def _ask(self, saga_id: str, taken: Taken) -> Outcome:
        row = taken.row
        try:
            saga = (await self._sagas.load([saga_id])).get(saga_id)
            if saga is None:
                raise UnknownSaga(saga_id)
            if isinstance(saga, Unreadable):
                raise Quarantined(saga_id, saga.reason)
            outcomes = []
            for verb in self._verbs(saga, row):
                handled = await self._engine.handle(saga_id, verb)
                outcomes.append(Outcome(handled.changed and handled.refused is None, handled.refused))
        except (UnknownSaga, Quarantined) as error:
            return Outcome(changed=False, refused=str(error).replace(saga_id, "the saga"))
        outcome = _together(outcomes)
        if taken.interrupted and not outcome.changed and await self._asked_before(saga, row):
            return Outcome(changed=True)
        return outcome

    def _verbs(self, saga: Saga, row: BulkRow) -> Sequence[Verb]:
        """What this saga is asked: of a verb of steps, for each that is blocked, if none is named."""
        at, by, why = self._now(), row.by, f"{row.reason} ({mark_of(row)})"
        named = row.arguments.get("step")
        blocked = [name for name, run in saga.steps.items() if run.status is StepStatus.BLOCKED]
        names = [named] if named is not None else blocked
        match row.verb:
            case BulkVerb.CANCEL:
                return [CancelRequested(at, by, why)]
            case BulkVerb.PAUSE:
                return [PauseRequested(at, by, why)]
            case BulkVerb.RESUME:
                return [ResumeRequested(at, by, why)]
            case BulkVerb.CLOSE:
                return [CloseRequested(at, by, why)]
            case BulkVerb.RETRY:
                return [RetryRequested(at, name, by, why) for name in names]
            case BulkVerb.WAIVE:
                return [WaiveRequested(at, name, by, why) for name in names]
            case BulkVerb.SKIP:
                return [SkipRequested(at, name, by, why) for name in names]
            case BulkVerb.SETTLE:
                settlement, result = Settlement(row.arguments["settlement"]), row.arguments.get("result")
                return [SettleRequested(at, name, settlement, by, why, result) for name in names]
            case _:
                assert_never(row.verb)

    async def _asked_before(self, saga: Saga, row: BulkRow) -> bool:
        """Whether the saga's history has it: whoever had this batch before died after asking."""
        entries = await self._reader.history(
            saga.id, after_seq=max(-1, saga.revision - history_page), limit=history_page
        )
        return any(mark_of(row) in str(entry.facts.get("reason", "")) for entry in entries)

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._nudged.wait()
        except TimeoutError:
            return
        self._nudged.clear()

    async def _sweep(self) -> None:
        """What was over long ago is forgotten, now and then."""
        now = self._now()
        if self._swept_at is None or now - self._swept_at > timedelta(seconds=sweep_seconds):
            await uncut(self._store.prune(now))
            self._swept_at = now


def mark_of(row: BulkRow) -> str:
    """By what a saga's history tells that it was asked together with others."""
    return f"bulk {row.id}"


def _together(outcomes: Sequence[Outcome]) -> Outcome:
    """Of several steps one that changed is enough; else the first refusal is told."""
    if not outcomes:
        return Outcome(changed=False, refused=nothing_blocked)
    if any(one.changed for one in outcomes):
        return Outcome(changed=True)
    return next((one for one in outcomes if one.refused is not None), outcomes[0])
