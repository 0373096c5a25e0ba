"""What a saga takes that no machine changes: statements, transactions, messages, bytes, rows.

Coordinator and participants run in this process, on any database and broker. What happens while no saga is under way
is not counted: which statements those are is found out by waiting a moment before anything is started. Nor is what
goes by the clock and so comes up for few sagas, for more of them the slower the machine. What only forgets confirmed
commands is counted apart: whether a command's confirm is there before its reply, and goes along with that, is luck.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from amends import rows
from amends.broker import Address, Broker, Confirm, Consumer, Lane
from amends.inbox import SqlInbox
from amends.message import decode
from bench.speed import shop
from coordinator.app import App
from coordinator.building import build
from coordinator.config import Settings
from coordinator.embedded import serving
from coordinator.engine import Beginning
from coordinator.saga.decision import Decision
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.state import Saga
from coordinator.store.schema import history, steps
from coordinator.store.straight import Straight

idle_seconds = 1.5  # longer than the shortest of the loops that look at the database by themselves
patience_seconds = 60.0
forgetting = "DELETE FROM outbox WHERE (outbox.saga_id, "  # how the relay's statement begins, on each database


@dataclass(slots=True)
class Statements:
    """What went to the databases of one side."""

    statements: Counter[str] = field(default_factory=Counter)  # by their texts
    transactions: Counter[frozenset[str]] = field(default_factory=Counter)  # by the texts in them

    def copy(self) -> Statements:
        return Statements(Counter(self.statements), Counter(self.transactions))

    def count(self, before: Statements, idle: Statements, seldom: float) -> tuple[int, int]:
        """Statements and transactions since then, but for those that are also there when nothing happens, those that
        come up so seldom, and those that only forget."""
        statements, transactions = self.statements - before.statements, self.transactions - before.transactions
        apart = {text for text, count in statements.items() if count < seldom or text.startswith(forgetting)}
        apart |= idle.statements.keys()
        return (
            sum(count for text, count in statements.items() if text not in apart),
            sum(count for texts, count in transactions.items() if texts - apart),
        )

    def forgets(self, before: Statements) -> int:
        """Statements since then that forget what was confirmed and do nothing else."""
        statements = self.statements - before.statements
        return sum(count for text, count in statements.items() if text.startswith(forgetting))


class Listener:
    """Hears every statement and commit of this process."""

    def __init__(self, participants: Sequence[AsyncEngine]) -> None:
        self._pools = {id(engine.sync_engine.pool) for engine in participants}
        self.coordinator, self.participants = Statements(), Statements()
        self._open: dict[int, set[str]] = {}

    def _side(self, connection: Connection) -> Statements:
        return self.participants if id(connection.engine.pool) in self._pools else self.coordinator

    def before_cursor_execute(
        self, connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        self._side(connection).statements[statement] += 1
        self._open.setdefault(id(connection), set()).add(statement)

    def commit(self, connection: Connection) -> None:
        self._side(connection).transactions[frozenset(self._open.pop(id(connection), set()))] += 1

    def rollback(self, connection: Connection) -> None:
        self.commit(connection)

    def straight(self, statement: Any) -> None:
        """The coordinator's statements that are whole transactions don't go through SQLAlchemy."""
        text = str(statement)
        self.coordinator.statements[text] += 1
        self.coordinator.transactions[frozenset({text})] += 1

    @contextmanager
    def listening(self) -> Iterator[None]:
        heard = ("before_cursor_execute", "commit", "rollback")
        for name in heard:
            sa.event.listen(Engine, name, getattr(self, name))
        run = Straight.run

        async def noted(straight: Straight, statement: Any, parameters: Mapping[str, Any]) -> Any:
            self.straight(statement)
            return await run(straight, statement, parameters)

        inbox = rows._Straight
        inbox_run, inbox_execute = inbox.run, inbox._execute

        async def noted_of_inbox(straight: rows._Straight, statement: rows.Statement, records: str) -> Any:
            text = rows._text(statement)
            self.participants.statements[text] += 1
            self._open.setdefault(id(straight), set()).add(text)
            return await inbox_run(straight, statement, records)

        async def ended(straight: rows._Straight, text: str) -> None:
            if not text.startswith("BEGIN"):
                self.participants.transactions[frozenset(self._open.pop(id(straight), set()))] += 1
            await inbox_execute(straight, text)

        Straight.run = noted  # type: ignore[method-assign, assignment]
        inbox.run, inbox._execute = noted_of_inbox, ended  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            Straight.run = run  # type: ignore[method-assign]
            inbox.run, inbox._execute = inbox_run, inbox_execute  # type: ignore[method-assign]
            for name in heard:
                sa.event.remove(Engine, name, getattr(self, name))


class CountingBroker:
    """A broker that counts what is published on it."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.messages: Counter[str] = Counter()
        self.items: Counter[str] = Counter()  # the commands or replies in them
        self.body_bytes: Counter[str] = Counter()

    @property
    def connected(self) -> bool:
        return self._broker.connected

    async def publish(self, address: Address, body: bytes, *, transient: bool = False) -> Confirm:
        if not transient:  # heartbeats don't depend on sagas
            self.messages[address.lane] += 1
            self.items[address.lane] += len(decode(body))
            self.body_bytes[address.lane] += len(body)
        return await self._broker.publish(address, body, transient=transient)

    async def announce(self, key: str, body: bytes, *, event_id: str) -> Confirm:
        return await self._broker.announce(key, body, event_id=event_id)

    async def declare(self, participant: str) -> None:
        await self._broker.declare(participant)

    async def subscribe(self, lane: Lane, participant: str | None, *, prefetch: int) -> Consumer:
        return await self._broker.subscribe(lane, participant, prefetch=prefetch)

    async def dead_letters(self) -> Consumer:
        return await self._broker.dead_letters()

    async def close(self) -> None:
        await self._broker.close()


@dataclass(frozen=True, slots=True)
class Counts:
    """All of one saga, on average."""

    statements: float  # the coordinator's
    transactions: float
    forgets: float  # statements that are not among those
    inbox_statements: float  # the participants'
    inbox_transactions: float
    messages: float
    items: float  # commands and replies: several travel in one message
    body_bytes: float
    history_rows: float
    step_rows: float
    kept_blocks: float  # of memory, that were not there before the first one and are still there after the last


class Counted:
    """A running coordinator with its participants, and what their sagas take."""

    def __init__(self, app: App, listener: Listener, broker: CountingBroker) -> None:
        self._app, self._listener, self._broker = app, listener, broker
        self._ends: dict[str, asyncio.Future[Saga]] = {}
        self._number = 0

    def observe(self, definition: SagaDefinition, before: Saga, decision: Decision) -> None:
        """Called by the engine after each commit."""
        if decision.saga.final and not (end := self._end(decision.saga.id)).done():
            end.set_result(decision.saga)

    def _end(self, saga_id: str) -> asyncio.Future[Saga]:
        return self._ends.setdefault(saga_id, asyncio.get_running_loop().create_future())

    async def _one(self, *, fails: bool) -> None:
        self._number += 1
        definition = await self._app.definitions.known(shop.definition)
        data = shop.order(self._number, fails=fails)
        started = await self._app.engine.start(Beginning(definition, data, caller="counting", newest=True))
        saga = await self._end(started.saga_id)
        del self._ends[started.saga_id]
        if saga.status.value != ("compensated" if fails else "completed"):
            raise RuntimeError(f"saga {saga.id} ended {saga.status}: {saga.cause}")

    async def count(self, sagas_count: int, *, at_once: int, fails: bool = False) -> Counts:
        """Run so many sagas, so many at a time, and say what one took. Some are run beforehand, uncounted."""
        async with asyncio.timeout(patience_seconds):
            await self._some(at_once + 4, at_once, fails=fails)
            before_idle = self._listener.coordinator.copy()
            await asyncio.sleep(idle_seconds)
            idle = Statements(self._listener.coordinator.statements - before_idle.statements)
            rows = await self._rows()
            sides = (self._listener.coordinator.copy(), self._listener.participants.copy())
            broker = (Counter(self._broker.messages), Counter(self._broker.items), Counter(self._broker.body_bytes))
            blocks = _blocks()
            await self._some(sagas_count, at_once, fails=fails)
            kept = _blocks() - blocks
            seldom = sagas_count / at_once / 2
            coordinator = self._listener.coordinator
            ours = (*coordinator.count(sides[0], idle, seldom), coordinator.forgets(sides[0]))
            rows = [after - earlier for after, earlier in zip(await self._rows(), rows, strict=True)]
            theirs = self._listener.participants.count(sides[1], Statements(), seldom)
        after = (self._broker.messages, self._broker.items, self._broker.body_bytes)
        sent = [(now - then).total() for now, then in zip(after, broker, strict=True)]
        return Counts(*(one / sagas_count for one in (*ours, *theirs, *sent, *rows, kept)))

    async def _some(self, count: int, at_once: int, *, fails: bool) -> None:
        for first in range(0, count, at_once):
            async with asyncio.TaskGroup() as group:
                for _ in range(min(at_once, count - first)):
                    group.create_task(self._one(fails=fails))

    async def _rows(self) -> list[int]:
        """How many rows there are: history, steps."""
        async with self._app.database.reading() as connection:
            counted = [sa.select(sa.func.count()).select_from(table) for table in (history, steps)]
            return [int((await connection.execute(one)).scalar_one()) for one in counted]


def _blocks() -> int:
    gc.collect()
    return sys.getallocatedblocks()


@asynccontextmanager
async def counted(
    database_url: str, broker: Broker, broker_url: str, inboxes: Sequence[AsyncEngine]
) -> AsyncIterator[Counted]:
    """A coordinator and the participants of the measured saga on this database and broker, until the block ends. There
    is an inbox's engine for each participant."""
    listener, counting = Listener(inboxes), CountingBroker(broker)
    names = list(dict.fromkeys(shop.steps.values()))
    for engine in inboxes:
        await SqlInbox(engine).create()
    both = zip(names, inboxes, strict=True)
    participants = [shop.participant(name, engine, host="counted") for name, engine in both]  # replies tell the host
    settings = Settings.model_validate({"database_url": database_url, "broker_url": broker_url})
    found: list[Counted] = []
    app = await build(settings, observers=[lambda *seen: found[0].observe(*seen)], broker=counting)
    found.append(Counted(app, listener, counting))
    await app.start()
    try:
        with listener.listening():
            async with serving(participants, counting):
                await app.definitions.register(shop.document(), by="counting")
                yield found[0]
    finally:
        await app.stop()
