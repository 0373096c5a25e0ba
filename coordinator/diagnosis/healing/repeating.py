"""Remedies that do something again, a few first: a blocked step, dead letters. And the one that parks a saga.

Whatever repeats keeps below a tenth of what succeeds meanwhile: where nothing succeeds, nothing is repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from coordinator.dead_letters import DeadLetters
from coordinator.diagnosis.healing.means import CannotBegin, Finding, Remedy
from coordinator.diagnosis.healing.measuring import Measuring, lately
from coordinator.diagnosis.healing.policy import Recent, retries_allowed
from coordinator.engine import Engine
from coordinator.errors import Quarantined, RedriveRefused, UnknownDeadLetter, UnknownSaga
from coordinator.move import Handled
from coordinator.saga.event import Kind, PauseRequested, ResumeRequested, RetryRequested, Verb
from coordinator.saga.state import Saga, StepRun, StepStatus
from coordinator.store.dead_letters import DeadLetterStore
from coordinator.store.explained import RemedyState
from coordinator.store.incident_reader import IncidentReader
from coordinator.store.reader import SagaReader
from coordinator.store.sagas import SagaStore
from coordinator.store.values import DeadLetter, DeadLetterFilter, DeadLetterStatus
from coordinator.supervisor import uncut

log = logging.getLogger(__name__)

canary = 5  # go first; the rest follows when most of them are well
batch_max = 20  # at a time
sagas_max = 200  # of one remedy
settled_seconds = 30.0  # before dead letters that were sent again count as well
handle_seconds_max = 10.0
refused_max = 1_000  # dead letters remembered, that can't be sent again
history_max = 200

_in_flight = (StepStatus.DISPATCHED, StepStatus.WAITING, StepStatus.COMPENSATING)


@dataclass(frozen=True, slots=True)
class Group:
    """What a remedy repeats, by how far it is."""

    waiting: Sequence[str]
    flight: int
    well: int
    again: int  # failed again

    @property
    def repeated(self) -> int:
        return self.flight + self.well + self.again

    def verdict(self, what: str) -> Finding | None:
        """Whether it is over, or must not go on."""
        told = f"{self.again} of {self.well + self.again} {what} again"
        if self.again > self.well and (self.again >= canary / 2 or not self.waiting):
            return Finding(RemedyState.UNDONE, f"it does not help: {told}")
        if self.waiting or self.flight:
            return None
        if not self.repeated:
            return Finding(RemedyState.ENDED, "there is nothing to be tried again")
        return Finding(RemedyState.HELPED, told)

    def next_count(self) -> int:
        """How many may follow now: the canaries, then nothing until they have told, then the rest by and by."""
        if self.repeated < canary:
            return canary - self.repeated
        return batch_max if self.well + self.again >= canary else 0


class Hand:
    """Asks things of sagas, as a person does."""

    def __init__(self, engine: Engine, sagas: SagaStore) -> None:
        self._engine, self._sagas = engine, sagas

    async def ask(self, saga_id: str, verb: Verb) -> Handled | None:
        """None: the saga isn't there, or can't be decided, or nobody could say so in time."""
        try:
            async with asyncio.timeout(handle_seconds_max):
                return await self._engine.handle(saga_id, verb)
        except (UnknownSaga, Quarantined, TimeoutError) as error:
            log.warning("Saga %s was asked in vain: %s", saga_id, error, extra={"action": "healing.unasked"})
            return None

    async def load(self, saga_ids: Sequence[str]) -> list[Saga]:
        loaded = await uncut(self._sagas.load(saga_ids))
        return [saga for saga_id in saga_ids if isinstance(saga := loaded.get(saga_id), Saga)]


class Retries:
    """Blocked steps get a new budget: of one saga, or of an incident's sagas. Each only once, whoever did it."""

    def __init__(self, hand: Hand, reader: IncidentReader, measuring: Measuring) -> None:
        self._hand, self._reader, self._measuring = hand, reader, measuring
        self._times: deque[datetime] = deque()

    async def begin(self, remedy: Remedy, at: datetime) -> None:
        """The steps follow with each look."""

    async def judge(self, remedy: Remedy, at: datetime) -> Finding | None:
        step = (remedy.target.step or "").rpartition(".")[2]
        ids, participant = await self._concerned(remedy, step)
        group = _grouped([(saga.id, saga.step(step)) for saga in await self._hand.load(ids)])
        if found := group.verdict("blocked"):
            return found
        if remedy.row.ends_at is not None and at >= remedy.row.ends_at:
            return Finding(RemedyState.ENDED, f"its time was over; {len(group.waiting)} steps were not tried again")
        count = min(group.next_count(), await self._allowed(remedy, participant, group.repeated, at))
        for saga_id in group.waiting[:count]:
            self._times.append(at)
            await self._hand.ask(saga_id, RetryRequested(at, step, remedy.by, remedy.reason))
        return None

    async def take_back(self, remedy: Remedy, at: datetime, *, by: str) -> None:
        """What was sent can't be unsent; no more follows."""

    async def _concerned(self, remedy: Remedy, step: str) -> tuple[list[str], str]:
        """The sagas, those that failed first before the others, and the participant of the step."""
        target = remedy.target
        if target.saga_id:
            failures = await uncut(self._reader.failures_of(target.saga_id))
        else:
            failures = await uncut(self._reader.failures(remedy.row.incident_id))
        definition = (target.step or "").rpartition(".")[0]
        concerned = [failure for failure in failures if failure.step == step and definition in ("", failure.definition)]
        concerned.sort(key=lambda failure: (failure.at, failure.saga_id))
        ids = list(dict.fromkeys(failure.saga_id for failure in concerned))[:sagas_max]
        if target.saga_id and not ids:
            ids = [target.saga_id]
        return ids, target.participant or (concerned[0].participant if concerned else "")

    async def _allowed(self, remedy: Remedy, participant: str, repeated: int, at: datetime) -> int:
        while self._times and at - self._times[0] > timedelta(hours=1):
            self._times.popleft()
        last_hour = max(len(self._times), repeated)
        if not remedy.row.automatic:
            return retries_allowed(10 * sagas_max, 0, last_hour)
        since_begun = await self._measuring.of(participant, remedy.begun_at, at)
        of_late = (await self._measuring.lately(at)).get(participant, Recent())
        others_too = sum(at - time <= lately for time in self._times)  # several remedies share what is allowed
        return min(
            retries_allowed(since_begun.succeeded, repeated, last_hour),
            retries_allowed(of_late.succeeded, others_too, last_hour),
        )


class Redrives:
    """Dead letters of a participant are sent again."""

    def __init__(self, letters: DeadLetters, store: DeadLetterStore, measuring: Measuring) -> None:
        self._letters, self._store, self._measuring = letters, store, measuring
        self._refused: dict[str, None] = {}

    async def begin(self, remedy: Remedy, at: datetime) -> None:
        """The letters follow with each look."""

    async def judge(self, remedy: Remedy, at: datetime) -> Finding | None:
        sent = [
            letter
            for letter in await self._page(remedy, DeadLetterStatus.REDRIVEN)
            if remedy.mark in (letter.resolved_why or "")
        ]
        again = [letter for letter in sent if letter.redelivered]
        settled = at - timedelta(seconds=settled_seconds)
        flight = [letter for letter in sent if not letter.redelivered and (letter.resolved_at or at) > settled]
        waiting = [
            letter.id
            for letter in reversed(await self._page(remedy, DeadLetterStatus.OPEN))  # the oldest first
            if not letter.redelivered and letter.id not in self._refused
        ]
        group = Group(waiting, len(flight), len(sent) - len(again) - len(flight), len(again))
        if found := group.verdict("died"):
            return found
        if remedy.row.ends_at is not None and at >= remedy.row.ends_at:
            return Finding(RemedyState.ENDED, f"its time was over; {len(waiting)} dead letters were not sent again")
        for letter_id in waiting[: min(group.next_count(), await self._allowed(remedy, group.repeated, at))]:
            await self._redrive(letter_id, remedy)
        return None

    async def take_back(self, remedy: Remedy, at: datetime, *, by: str) -> None:
        """What was sent can't be unsent; no more follows."""

    async def _redrive(self, letter_id: str, remedy: Remedy) -> None:
        try:
            await self._letters.redrive(letter_id, remedy.by, remedy.reason)
        except (RedriveRefused, UnknownDeadLetter, UnknownSaga, Quarantined) as error:
            log.info("Dead letter %s stays: %s", letter_id, error, extra={"action": "healing.not_redriven"})
            while len(self._refused) >= refused_max:
                self._refused.pop(next(iter(self._refused)))
            self._refused[letter_id] = None

    async def _page(self, remedy: Remedy, status: DeadLetterStatus) -> Sequence[DeadLetter]:
        chosen = DeadLetterFilter(status=status, participant=remedy.target.participant)
        return (await uncut(self._store.page(chosen, limit=sagas_max))).items

    async def _allowed(self, remedy: Remedy, repeated: int, at: datetime) -> int:
        if not remedy.row.automatic:
            return retries_allowed(10 * sagas_max, 0, repeated)
        recent = await self._measuring.of(remedy.target.participant or "", remedy.begun_at, at)
        return retries_allowed(recent.succeeded, repeated, repeated)


class Parking:
    """One saga stands still until a person resumes it."""

    def __init__(self, hand: Hand, reader: SagaReader) -> None:
        self._hand, self._reader = hand, reader

    async def begin(self, remedy: Remedy, at: datetime) -> None:
        saga_id = remedy.target.saga_id or ""
        if await self._parked_before(saga_id, remedy.mark):
            return
        handled = await self._hand.ask(saga_id, PauseRequested(at, remedy.by, remedy.reason))
        if handled is None or handled.refused:
            raise CannotBegin(handled.refused if handled and handled.refused else "the saga can't be asked")
        if handled.saga.paused and remedy.mark not in handled.saga.paused.reason:
            raise CannotBegin(f"{handled.saga.paused.by} has paused it already")

    async def judge(self, remedy: Remedy, at: datetime) -> Finding | None:
        found = await self._hand.load([remedy.target.saga_id or ""])
        if found and found[0].paused and not found[0].final:
            return None
        return Finding(RemedyState.ENDED, "the saga was resumed" if found else "the saga is gone")

    async def take_back(self, remedy: Remedy, at: datetime, *, by: str) -> None:
        found = await self._hand.load([remedy.target.saga_id or ""])
        if found and found[0].paused and remedy.mark in found[0].paused.reason:
            await self._hand.ask(found[0].id, ResumeRequested(at, by, f"{remedy.mark} was taken back"))

    async def _parked_before(self, saga_id: str, mark: str) -> bool:
        found = await self._hand.load([saga_id])
        if not found:
            return False
        newest = max(-1, found[0].revision - history_max)
        entries = await self._reader.history(saga_id, after_seq=newest, limit=history_max)
        return any(mark in str(entry.facts.get("reason", "")) for entry in entries)


def _grouped(runs: Sequence[tuple[str, StepRun]]) -> Group:
    waiting, flight, well, again = [], 0, 0, 0
    for saga_id, run in runs:
        blocked = run.status is StepStatus.BLOCKED
        if not _repeated(run):
            # With nothing sent, a refusal that stands, or an effect beside its compensation, a retry changes nothing.
            sent = run.undo_attempt if run.blocked is Kind.COMPENSATION else run.attempt
            if blocked and sent and not (run.undo_refused or run.zombie or run.inquiry):
                waiting.append(saga_id)
        elif blocked:
            again += 1
        elif run.status in _in_flight:
            flight += 1
        else:
            well += 1
    return Group(waiting, flight, well, again)


def _repeated(run: StepRun) -> bool:
    """Whether somebody gave it another budget before."""
    if run.blocked is Kind.ACTION:
        return run.budget_from > 0
    if run.blocked is Kind.COMPENSATION:
        return run.undo_budget_from > 0
    return run.budget_from > 0 or run.undo_budget_from > 0
