"""How a saga moves: whatever has happened to whichever sagas is loaded, decided and committed in one transaction.

The batch is whatever waits when the last one is done and a moment has passed that is measured by it: one event when
little happens, which waits for nothing, and hundreds under load. Who loses a compare-and-set loads and decides again,
which costs nothing because deciding is pure.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from amends.errors import PayloadError
from coordinator.definitions import Definitions
from coordinator.errors import Disbelieved, MovedSince, Quarantined, StoreUnavailable, UnknownSaga
from coordinator.fleet import Fleet
from coordinator.lane import Lane, fail
from coordinator.move import Handled, Job, Move, Observer, Outgoing, Telling, Wake
from coordinator.remembered import Remembered
from coordinator.saga.decision import Decision, Incident, SendCommand
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.event import Event, Failure, Kind, Replied, Started, Unsendable, Voided, Woke
from coordinator.saga.state import Saga, wake_at
from coordinator.saga.transition import decide
from coordinator.schema import violation
from coordinator.store.ids import new_id
from coordinator.store.notified import Notice
from coordinator.store.sagas import SagaStore
from coordinator.store.values import Created, Creation, NewSaga, OutboxRow, Unreadable
from coordinator.supervisor import uncut
from coordinator.trust import Trust
from coordinator.wire import outbox_row, parse_key

log = logging.getLogger(__name__)

batch_max = 256  # events in one transaction
outage_pause_seconds = 1.0  # between two looks for a database that is away; what waits is kept however long
conflicts_max = 50  # how often one event may lose its compare-and-set before something must be wrong


@dataclass(frozen=True, slots=True)
class Beginning:
    """A saga to start. `body_hash` identifies the request under its idempotency key. Who is to hear of its end gives it
    an `id` beforehand. Where the definition has to be the `newest` of its name and isn't any more, it is Outdated."""

    definition: SagaDefinition
    input: Any
    caller: str = ""
    key: str | None = None
    body_hash: str = ""
    business_key: str | None = None
    tags: tuple[str, ...] = ()
    id: str | None = None
    newest: bool = False


@dataclass(slots=True)
class _Start:
    saga_id: str
    new: NewSaga
    move: Move
    done: asyncio.Future[Creation]


class Engine:
    """Decides and commits. After the commit `outgoing` gets what is to be sent; the rows are the durable truth."""

    def __init__(
        self,
        store: SagaStore,
        definitions: Definitions,
        fleet: Fleet,
        *,
        now: Callable[[], datetime],
        token: str,
        outgoing: Outgoing,
        wake: Callable[[datetime], None],
        observers: Sequence[Observer] = (),
        telling: Telling | None = None,
        trust: Trust | None = None,
        lanes: int = 1,
        lease_seconds: float = 10.0,
    ) -> None:
        self._store, self._definitions, self._fleet = store, definitions, fleet
        self._now, self._token, self._outgoing, self._wake, self._observers = now, token, outgoing, wake, observers
        self._telling, self._trust, self._lease_seconds = telling, trust or Trust(), lease_seconds
        self._lanes: list[Lane[Job]] = [Lane() for _ in range(lanes)]
        self._starts: Lane[_Start] = Lane()
        self._remembered = Remembered(time.monotonic)

    def observe(self, observer: Observer) -> None:
        """Let another one look on: called after each commit, with the saga before and each decision. Must not raise."""
        self._observers = (*self._observers, observer)

    @property
    def starting(self) -> int:
        """How many sagas wait to be started."""
        return len(self._starts)

    async def start(self, beginning: Beginning) -> Creation:
        """Start a saga, durably, once per caller and key. Raises StoreUnavailable."""
        start = self._begin(beginning)
        await self._starts.put(start)
        return await start.done

    async def handle(
        self,
        saga_id: str,
        event: Event | Wake,
        *,
        participant: str | None = None,
        revisions: frozenset[int] | None = None,
    ) -> Handled:
        """Let an event happen to a saga; returns once it is committed. Raises UnknownSaga, Quarantined; where
        `participant` is who says so, Disbelieved unless the step is that participant's; and MovedSince where it may
        happen at some `revisions` only, and the saga is at none of them."""
        return await (await self.ask(saga_id, event, participant=participant, revisions=revisions))

    async def ask(
        self,
        saga_id: str,
        event: Event | Wake,
        *,
        participant: str | None = None,
        revisions: frozenset[int] | None = None,
    ) -> asyncio.Future[Handled]:
        """As `handle`, for who has many events: returns once there is room for it, with what is to come of it."""
        job = Job(saga_id, event, asyncio.get_running_loop().create_future(), participant, revisions)
        await self._lane(saga_id).put(job)
        return job.done

    def tell(self, saga_id: str, event: Event) -> None:
        """As `handle`, for who does not wait for what comes of it."""
        self._lane(saga_id).put_now(Job(saga_id, event, asyncio.get_running_loop().create_future()))

    async def run(self) -> None:
        """Move sagas until cancelled. A batch that is being committed is let finish."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run(self._starts, self._create))
            for lane in self._lanes:
                group.create_task(self._run(lane, self._move))

    async def _run(self, lane: Lane[Any], work: Callable[[list[Any]], Any]) -> None:
        while True:
            batch = await lane.take(batch_max)
            try:
                with lane.linger.working(job.saga_id for job in batch):
                    await uncut(work(batch))
            except asyncio.CancelledError:
                for job in batch:
                    if not job.done.done():
                        job.done.cancel()
                raise

    def _lane(self, saga_id: str) -> Lane[Job]:
        return self._lanes[hash(saga_id) % len(self._lanes)]

    # -- starting ----------------------------------------------------------------------------------------------------

    def _begin(self, beginning: Beginning) -> _Start:
        at, definition = self._now(), beginning.definition
        saga = Saga(
            id=beginning.id or new_id(at),
            definition=definition.name,
            version=definition.version,
            input=beginning.input,
            created_at=at,
            business_key=beginning.business_key,
            tags=beginning.tags,
            trace_id=secrets.token_hex(16),
        )
        move = Move(definition, saga, saga)
        self._decide(move, Started(at))
        new = move.new(
            self._notices(move),
            caller=beginning.caller,
            key=beginning.key,
            body_hash=beginning.body_hash,
            newest=beginning.newest,
        )
        return _Start(saga.id, new, move, asyncio.get_running_loop().create_future())

    async def _create(self, batch: list[_Start]) -> None:
        try:
            results = await self._store.create(
                [start.new for start in batch], lease_token=self._token, lease_until=self._lease_until()
            )
        except StoreUnavailable as error:
            # Whether it was committed is unknown; a caller with a key asks again and gets the same saga.
            for start in batch:
                fail(start.done, error)
            return
        for start, result in zip(batch, results, strict=True):
            if isinstance(result, Created):
                move = start.move
                self._remembered.keep(move.saga)
                self._committed(move.definition, move.loaded, move.decisions, move.rows)
            if not start.done.done():
                start.done.set_result(result)

    # -- moving ------------------------------------------------------------------------------------------------------

    async def _move(self, batch: list[Job]) -> None:
        try:
            await self._move_once(batch)
        except StoreUnavailable as error:
            log.warning("The database can't be reached: %s", error, extra={"action": "engine.store_unavailable"})
            await asyncio.sleep(outage_pause_seconds)
            self._give_back([job for job in batch if not job.done.done()])

    async def _move_once(self, batch: list[Job]) -> None:
        ids = list(dict.fromkeys(job.saga_id for job in batch))
        # Replies alone: whoever asks for something, or sees to a clock, is told of a saga as it is kept.
        asked = {job.saga_id for job in batch if not isinstance(job.event, Replied)}
        remembered = {one: known for one in ids if one not in asked and (known := self._remembered.get(one))}
        unknown = [saga_id for saga_id in ids if saga_id not in remembered]
        loaded = {**remembered, **(await self._store.load(unknown) if unknown else {})}
        doubted: set[str] = set()
        waking = [job.saga_id for job in batch if isinstance(job.event, Wake)]
        unsent = await self._store.unsent(waking) if waking else {}
        moves: dict[str, Move] = {}
        broken: dict[str, str] = {}
        for job in batch:
            saga = loaded.get(job.saga_id)
            if job.saga_id in doubted:
                continue
            if saga is None:
                fail(job.done, UnknownSaga(job.saga_id))
                continue
            if isinstance(saga, Unreadable):
                broken[job.saga_id] = saga.reason
                fail(job.done, Quarantined(job.saga_id, saga.reason))
                continue
            try:
                move = moves.get(saga.id)
                if move is None:
                    definition = await self._definitions.get(saga.definition, saga.version)
                    move = moves[saga.id] = Move(definition, saga, saga, saga.id in remembered)
                if job.revisions is not None and move.saga.revision not in job.revisions:
                    fail(job.done, MovedSince(job.saga_id, move.saga.revision))
                    continue
                if not move.concerns(job):
                    fail(job.done, Disbelieved(job.saga_id, f"its step is not one of {job.participant}'s"))
                    continue
                move.jobs.append(job)
                self._decide(move, self._fact(job.event, move, unsent.get(saga.id, frozenset())))
            except StoreUnavailable:
                raise
            except Exception as error:
                if saga.id in remembered:  # what is to be thought of this, only the database can say
                    doubted.add(saga.id)
                    moves.pop(saga.id, None)
                    continue
                # One saga that can't be decided stands still and is shown; the others go on (EC-47).
                log.exception("Saga %s is quarantined", saga.id, extra={"action": "engine.quarantined"})
                broken[saga.id] = f"{type(error).__name__}: {error}"
                given_up = moves.pop(saga.id, None)
                for failed in given_up.jobs if given_up else [job]:
                    fail(failed.done, Quarantined(saga.id, str(error)))
        if broken:
            await self._store.quarantine(broken)
        await self._commit(list(moves.values()))
        self._doubt(doubted, batch)

    def _fact(self, event: Event | Wake, move: Move, stored: Collection[str]) -> Event:
        """The event with the facts that only the engine knows."""
        if isinstance(event, Wake):
            at = self._now()
            # In process a command is confirmed only when it was carried out; the broker has it all the same.
            unsent = frozenset(key for key in stored if not self._outgoing.in_flight(f"{move.saga.id}/{key}"))
            participants = frozenset(step.participant for step in move.definition.steps)
            holds = self._fleet.holds(move.definition.name, participants)
            return Woke(at, unsent, participants - self._fleet.attended(at), holds)
        if isinstance(event, Replied) and event.answer == "succeeded" and event.command.kind is Kind.ACTION:
            step = move.definition.by_name.get(event.command.step)
            if step and step.output_schema is not None:
                return replace(event, fault=violation(step.output_schema, event.result))
        return event

    def _decide(self, move: Move, event: Event) -> None:
        """Decide one event, and again for each command that turns out not to be sendable."""
        decision = decide(move.definition, move.saga, event)
        move.saga = decision.saga
        if decision.recorded:
            move.decisions.append(decision)
        move.outcomes.append(Handled(decision.saga, decision.refused, decision.recorded))
        for effect in decision.effects:
            if isinstance(effect, SendCommand):
                failure = self._prepare(move, effect, event.at)
                if failure:
                    self._decide(move, Unsendable(event.at, effect.command, failure))
                    move.outcomes.pop()
                    move.outcomes[-1] = replace(move.outcomes[-1], saga=move.saga)

    def _prepare(self, move: Move, effect: SendCommand, at: datetime) -> Failure | None:
        """Put a command among the rows to commit, or say why it can't be sent."""
        step = move.definition.by_name[effect.command.step]
        is_action = effect.command.kind is Kind.ACTION and not effect.inquiry
        try:
            if is_action and step.input_schema is not None:
                broken = violation(step.input_schema, effect.data)
                if broken:
                    return Failure("InputSchema", broken)
            token = self._trust.token(move.saga.id, effect.command, step.participant)
            move.rows.append(outbox_row(move.saga, effect, at, token))
        except PayloadError as error:
            if is_action:
                return Failure("Unsendable", str(error))
            raise Quarantined(move.saga.id, f"{effect.key} can't be sent: {error}") from error
        return None

    async def _commit(self, moves: list[Move]) -> None:
        changes = [move.change(self._notices(move)) for move in moves if move.recorded]
        stale: frozenset[str] = frozenset()
        voided: Mapping[str, Sequence[str]] = {}
        if changes:
            committed = await self._store.commit(
                changes, now=self._now(), lease_token=self._token, lease_until=self._lease_until()
            )
            stale, voided = committed.stale, committed.voided
        for move in moves:
            if move.remembered and move.recorded:
                self._remembered.judge(stale=move.saga.id in stale)
            if move.saga.id in stale:
                self._remembered.drop(move.saga.id)
                self._again(move.jobs)
                continue
            if move.remembered and not move.recorded:  # nothing has said that it still stands so
                self._doubt({move.saga.id}, move.jobs)
                continue
            if move.recorded:
                self._remembered.keep(move.saga)
                self._committed(move.definition, move.loaded, move.decisions, move.rows)
            for job, outcome in zip(move.jobs, move.outcomes, strict=True):
                if not job.done.done():
                    job.done.set_result(outcome)
        for saga_id, keys in voided.items():
            self.tell(saga_id, Voided(self._now(), tuple(parse_key(key) for key in keys)))

    def _notices(self, move: Move) -> tuple[Notice, ...]:
        """Who is to be told of a move, if anybody wants to be told of anything."""
        return self._telling(move.definition, move.loaded, move.decisions) if self._telling else ()

    def _give_back(self, jobs: Sequence[Job]) -> None:
        """To the head of their lanes, in their order: they go before anything newer."""
        for job in reversed(jobs):
            self._lane(job.saga_id).put_first(job)

    def _doubt(self, saga_ids: Collection[str], jobs: Sequence[Job]) -> None:
        """Let the database be asked how these sagas stand, and decide again."""
        for saga_id in saga_ids:
            self._remembered.drop(saga_id)
        self._give_back([job for job in jobs if job.saga_id in saga_ids and not job.done.done()])

    def _again(self, jobs: Sequence[Job]) -> None:
        """Somebody else moved these sagas first: load and decide again."""
        for job in jobs:
            job.conflicts += 1
            if job.conflicts > conflicts_max:
                fail(job.done, Quarantined(job.saga_id, f"lost {conflicts_max} compare-and-sets in a row"))
        self._give_back([job for job in jobs if not job.done.done()])

    def _committed(
        self, definition: SagaDefinition, before: Saga, decisions: Sequence[Decision], rows: Sequence[OutboxRow]
    ) -> None:
        """After the commit: the commands go out from memory, the timers learn of the next wait, others look on."""
        after = decisions[-1].saga
        if rows:
            self._outgoing.offer(rows, paused=after.paused is not None)
        due = wake_at(after)
        if due:
            self._wake(due)
        for decision in decisions:
            for effect in decision.effects:
                if isinstance(effect, Incident):
                    log.warning(
                        "Saga %s: %s",
                        after.id,
                        effect.message,
                        extra={
                            "action": f"incident.{effect.kind}",
                            "saga_id": after.id,
                            "step": effect.step,
                            "trace_id": after.trace_id,
                        },
                    )
            for observe in self._observers:
                observe(definition, before, decision)
            before = decision.saga

    def _lease_until(self) -> datetime:
        return self._now() + timedelta(seconds=self._lease_seconds)
