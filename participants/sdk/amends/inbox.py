"""The inbox: what a participant has already done, in its own database, in the transaction of its business writes.

    answer      one command, by the rules of `amends.verdict`; a reply states only what is committed
    create      the table
    forget      rows older than any command that may still come

Every transaction inserts first. Whoever comes second waits at the unique key and then reads what the first has done, so
that duplicates and the two kinds of a step's commands never work side by side.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import event, inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncTransaction

from amends import record
from amends.calls import now_seconds
from amends.database import check_engine, is_refusal, is_transient
from amends.errors import AmendsError, InboxError, InboxUnavailable
from amends.handler import Handler, HandlerEndedTransaction, HandlerTimeout, lease_share
from amends.message import Answer, Command, Kind, Reply
from amends.record import Entry, Key, State
from amends.rows import Rows, rows_on
from amends.sharing import Apart, Due, Quick
from amends.together import answer_all, answer_one
from amends.verdict import Verdict, judge_action, judge_compensation, judge_end, judge_inquiry, outcome, without_proof
from amends.witness import Witness
from amends.worker import Worker

log = logging.getLogger("amends.inbox")

turns_max = 6  # how often a transaction is begun anew after a deadlock, a lock, a lost connection
turn_seconds_max = 1.0
age_seconds_min = 2 * 86_400.0  # commands expire after a day: what is younger may still be asked for
forget_rows_max = 1_000

# What a transaction came to: a reply, or several, and whether it is to be committed.
Came = TypeVar("Came")
Work = Callable[[AsyncConnection], Awaitable[tuple[Came, bool]]]
RowWork = Callable[[Rows], Awaitable[tuple[Came, bool]]]


class CommitRefused(AmendsError):
    """The database refused the transaction at its end, for a constraint it checks only there."""


class TransactionLost(AmendsError):
    """The handler has left the transaction in a state from which there is no way on, or back to the savepoint."""

    amends_code = "amends transaction_lost"


class CommitUnknown(AmendsError):
    """COMMIT ended in an error: whether it took place, only the inbox can say."""


class SqlInbox:
    """The inbox in the participant's PostgreSQL or SQLite. `engine` comes from `amends.database.open_engine`."""

    def __init__(self, engine: AsyncEngine, *, kept_seconds: float = 14 * 86_400.0) -> None:
        """`kept_seconds` is how long it remembers, two days at least. Keep it longer than the longest saga: a
        compensation that finds no row believes its command alone. Raises ValueError below two days."""
        if kept_seconds < age_seconds_min:
            raise ValueError(f"at least {age_seconds_min:g} s: a younger command may still come again")
        self._engine = engine
        self._kept_seconds = kept_seconds
        self._checked = False
        self._quick = Quick()
        # SQLite has one writer. Waiting here is fair; its own waiting polls, and gives up under load.
        self._writer = asyncio.Lock() if engine.dialect.name == "sqlite" else None

    async def create(self) -> None:
        """Create the table `amends_inbox` unless it is there. Raises InboxError for an unsafe engine."""
        await self._check_engine()
        async with self._engine.begin() as connection:
            await connection.run_sync(record.metadata.create_all)

    async def check(self) -> None:
        """Raise InboxError if this inbox can't work: an unsafe engine, no table. Other errors: no database now."""
        await self._check_engine()
        async with self._turn(), self._engine.connect() as connection:
            there = await connection.run_sync(lambda sync: inspect(sync).has_table(record.inbox.name))
        if not there:
            raise InboxError(f"there is no table {record.inbox.name}: call `await inbox.create()` once")

    async def forget(self) -> int:
        """Delete rows untouched for `kept_seconds`, in batches; returns how many. A participant that serves does so
        by itself."""
        total = 0
        while True:
            async with self._turn(), self._engine.begin() as connection:
                deleted = await record.delete_before(connection, self._kept_seconds, rows_max=forget_rows_max)
            total += deleted
            if deleted < forget_rows_max:
                return total

    async def answer(self, command: Command, handler: Handler, worker: Worker) -> Reply:
        """Answer one command; the reply states what is committed.

        Raises InboxUnavailable when nothing can be said: stay silent, leave the command unacknowledged, try again.
        """
        try:
            await self._check_engine()
            if command.inquire:
                return await self._transact(partial(self._inquire, command, worker))
            if handler.lease_seconds is not None:
                return await self._answer_outside(command, handler, worker, handler.lease_seconds)
            return await self._answer_inside(command, handler, worker)
        except InboxUnavailable:
            raise
        except (SQLAlchemyError, OSError, CommitUnknown, CommitRefused, TransactionLost) as error:
            raise InboxUnavailable(f"{command.id}: {type(error).__name__}: {error}"[:500]) from error

    def may_share(self, command: Command, handler: Handler) -> bool:
        """Whether `answer_together` may be asked about this command."""
        return self._quick.may_share(command, handler)

    async def answer_together(self, some: Sequence[Due], worker: Worker) -> list[Reply] | None:
        """Answer commands of different steps in one transaction. None: nothing was kept, or nobody can say whether it
        was; each is to be answered by itself, which finds out."""
        ordered = sorted(some, key=lambda due: Key.of(due.command).order)
        try:
            await self._check_engine()
            replies = await self._row_transact_once(partial(answer_all, ordered, worker, self._quick))
        except (Apart, SQLAlchemyError, OSError, CommitUnknown, CommitRefused) as error:
            said = f"{type(error).__name__}: {error}"[:500]
            log.info("%d commands are answered one by one: %s", len(some), said, extra={"action": "inbox.apart"})
            return None
        by_command = {id(due.command): reply for due, reply in zip(ordered, replies, strict=True)}
        return [by_command[id(due.command)] for due in some]

    # --- the handler inside the transaction ---------------------------------------------------------------------------

    async def _answer_inside(self, command: Command, handler: Handler, worker: Worker) -> Reply:
        handler = replace(handler, witness=Witness())
        try:
            if "tx" not in handler.wants:
                return await self._row_transact(partial(answer_one, command, handler, worker))
            return await self._transact(partial(self._work_inside, command, handler, worker))
        except (HandlerTimeout, HandlerEndedTransaction, CommitRefused, TransactionLost) as error:
            # The transaction is gone, and with it everything the handler did. A second one writes that down, unless
            # the row has moved on meanwhile: it is judged anew like any command.
            return await self._row_transact(partial(answer_one, command, handler.failing(error), worker))

    async def _work_inside(
        self, command: Command, handler: Handler, worker: Worker, connection: AsyncConnection
    ) -> tuple[Reply, bool]:
        verdict = await self._judge(connection, command, worker, token="", lease_seconds=None)
        if verdict.reply is not None:
            return verdict.reply, verdict.commit
        reply = await self._run_in_savepoint(connection, _with_result(command, verdict), handler, worker)
        if verdict.uncertain:
            reply = without_proof(reply)
        await self._keep(connection, command, reply, verdict, token="")
        return reply, True

    async def _run_in_savepoint(
        self, connection: AsyncConnection, command: Command, handler: Handler, worker: Worker
    ) -> Reply:
        """The business code, rolled back unless it succeeded; the inbox's row, claimed before, stays."""
        savepoint = await connection.begin_nested()
        with _transaction_guarded(connection) as attempts:
            reply = await handler.run(
                command, worker, tx=connection, seconds=command.timeout_seconds, passes=is_transient
            )
        if attempts:
            await connection.invalidate()
            raise HandlerEndedTransaction("it called commit() or rollback(): the transaction ends by itself")
        if reply.answer is not Answer.SUCCEEDED:
            try:
                await savepoint.rollback()
            except SQLAlchemyError as error:
                if is_transient(error):
                    raise
                await connection.invalidate()
                raise TransactionLost(reply.error.message if reply.error is not None else "") from error
            return reply
        try:
            await savepoint.commit()
        except SQLAlchemyError as error:
            if is_transient(error):
                raise
            # A statement of the handler failed and it went on regardless: the database keeps nothing after that.
            await connection.invalidate()
            raise TransactionLost(f"the handler went on after a database error: {error}"[:500]) from error
        return reply

    # --- the handler between two transactions -------------------------------------------------------------------------

    async def _answer_outside(self, command: Command, handler: Handler, worker: Worker, lease_seconds: float) -> Reply:
        """Commit the intent, run without a transaction, commit how it ended."""
        token = secrets.token_hex(8)
        began = now_seconds()  # before the lease does, so that the handler's time is over first
        verdicts: list[Verdict] = []
        reply = await self._transact(partial(self._intend, command, worker, token, lease_seconds, verdicts))
        verdict = verdicts[-1]
        if verdict.reply is not None:
            return reply
        seconds = lease_share * lease_seconds - (now_seconds() - began)
        if seconds <= 0:
            raise InboxUnavailable(f"{command.id}: its lease was over before its handler could begin")
        told = _with_result(command, verdict)
        reply = await handler.run(told, worker, tx=None, seconds=seconds, passes=lambda error: False)
        if any(
            verdict.uncertain for verdict in verdicts
        ):  # a try whose COMMIT is unknown may have seen more than the last
            reply = without_proof(reply)
        return await self._transact(partial(self._conclude, command, worker, token, reply))

    async def _intend(
        self,
        command: Command,
        worker: Worker,
        token: str,
        lease_seconds: float,
        verdicts: list[Verdict],
        connection: AsyncConnection,
    ) -> tuple[Reply, bool]:
        verdict = await self._judge(connection, command, worker, token, lease_seconds)
        verdicts.append(verdict)
        if verdict.reply is not None:
            return verdict.reply, verdict.commit
        return worker.reply(command, Answer.IN_PROGRESS), True

    async def _conclude(
        self, command: Command, worker: Worker, token: str, reply: Reply, connection: AsyncConnection
    ) -> tuple[Reply, bool]:
        key = Key.of(command)
        own = await record.claim(connection, key, {"state": State.RUNNING, "attempt": command.attempt, "token": token})
        verdict = judge_end(command, own, reply, worker, token)
        if verdict.reply is None or not verdict.keep:
            return verdict.reply or reply, False
        if command.kind is Kind.ACTION and reply.answer is Answer.SUCCEEDED:
            late = await record.compensation_counts(connection, key)
            reply = reply.model_copy(update={"recorded_after_compensation": late})
        await self._keep(connection, command, reply, verdict, token)
        return reply, True

    # --- what both share ----------------------------------------------------------------------------------------------

    async def _judge(
        self, connection: AsyncConnection, command: Command, worker: Worker, token: str, lease_seconds: float | None
    ) -> Verdict:
        """Claim the rows, always the action's first, judge, and write what is certain before any handler runs."""
        key = Key.of(command)
        intent = {
            "state": State.RUNNING.value,
            "attempt": command.attempt,
            "token": token or None,
            "lease_until": record.lease_end(connection, lease_seconds),
        }
        if command.kind is Kind.ACTION:
            own = await record.claim(connection, key, intent)
            verdict = judge_action(command, own, worker, token)
        else:
            action = await record.claim(connection, key.action, {"state": State.FENCED.value})
            own = await record.claim(connection, key, intent)
            verdict = judge_compensation(command, action, own, worker, token)
            if verdict.fence:
                await self._fence(connection, key.action, action, verdict)
        if verdict.keep and verdict.reply is not None:
            await self._keep(connection, command, verdict.reply, verdict, token)
        elif verdict.reply is None and not own.fresh and lease_seconds is not None:
            again = {"attempt": max(own.attempt, command.attempt), "doubtful": verdict.doubtful, "reply": None}
            await record.write(connection, key, {**intent, **again})
        return verdict

    async def _inquire(self, command: Command, worker: Worker, connection: AsyncConnection) -> tuple[Reply, bool]:
        key = Key.of(command)
        asked: Entry | None
        if command.kind is Kind.ACTION:
            asked = await record.claim(connection, key, {"state": State.FENCED.value})
        else:
            asked = await record.read(connection, key, lock=False)
        verdict = judge_inquiry(command, asked, worker)
        if verdict.reply is None:
            raise AssertionError("an inquiry is always answered")
        if not verdict.fence or command.kind is not Kind.ACTION or asked is None:
            return verdict.reply, False
        await self._fence(connection, key, asked, verdict)
        return verdict.reply, True

    async def _fence(self, connection: AsyncConnection, key: Key, found: Entry, verdict: Verdict) -> None:
        """The action may not run any more. What was said about it stays: a late reader learns why it failed."""
        if found.state is State.FENCED and found.doubtful == verdict.fence_doubtful:
            return
        doubtful = found.doubtful or verdict.fence_doubtful
        await record.write(connection, key, {"state": State.FENCED.value, "doubtful": doubtful})

    async def _keep(
        self, connection: AsyncConnection, command: Command, reply: Reply, verdict: Verdict, token: str
    ) -> None:
        """Write a command's outcome into its own row, which this transaction has claimed."""
        kept: dict[str, Any] = {"reply": record.kept(reply), "token": token or None, "lease_until": None}
        changes = {**outcome(command, reply, verdict), **kept}
        await record.write(connection, Key.of(command), changes)

    # --- transactions -------------------------------------------------------------------------------------------------

    async def _transact(self, work: Work[Came]) -> Came:
        """Do the work in one transaction, and anew while only the database stood in its way."""
        return await _anew(partial(self._transact_once, work))

    async def _row_transact(self, work: RowWork[Came]) -> Came:
        """As `_transact`, where nothing is touched but the inbox's rows."""
        return await _anew(partial(self._row_transact_once, work))

    async def _transact_once(self, work: Work[Came]) -> Came:
        async with self._turn(), self._engine.connect() as connection:
            transaction = await connection.begin()
            return await _ended(connection, transaction, *await work(connection))

    async def _row_transact_once(self, work: RowWork[Came]) -> Came:
        async with self._turn(), self._engine.connect() as connection, rows_on(connection) as rows:
            return await _ended(connection, rows, *await work(rows))

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._writer is None:
            yield
            return
        async with self._writer:
            yield

    async def _check_engine(self) -> None:
        if not self._checked:
            async with self._turn():
                await check_engine(self._engine)
            self._checked = True


async def _anew(transact: Callable[[], Awaitable[Came]]) -> Came:
    """Do it, and again while only the database stands in its way.

    Doing it anew is safe whatever became of a COMMIT that ended in an error: the work reads the inbox first.
    """
    for turn in range(1, turns_max + 1):
        try:
            return await transact()
        except (SQLAlchemyError, OSError, CommitUnknown) as error:
            hopeless = isinstance(error, SQLAlchemyError) and not is_transient(error)
            if hopeless or turn == turns_max:
                raise
            await asyncio.sleep(min(turn_seconds_max, 0.01 * 2**turn) * random.uniform(0.5, 1.0))
    raise AssertionError("the last turn returns or raises")


async def _ended(connection: AsyncConnection, transaction: AsyncTransaction | Rows, came: Came, commit: bool) -> Came:
    """What a transaction came to, once it has ended so."""
    if not commit:
        await transaction.rollback()
        return came
    try:
        await transaction.commit()
    except Exception as error:
        # The connection may still be inside the transaction (SQLite's is): nobody shall get it like that.
        await connection.invalidate()
        if is_refusal(error):
            raise CommitRefused(str(error)[:500]) from error
        raise CommitUnknown(f"{type(error).__name__}: {error}"[:500]) from error
    return came


def _with_result(command: Command, verdict: Verdict) -> Command:
    return command if verdict.result is None else command.model_copy(update={"result": verdict.result})


@contextmanager
def _transaction_guarded(connection: AsyncConnection) -> Iterator[list[str]]:
    """While a handler runs, refuse to end the transaction it runs in; collects that it was tried."""
    attempts: list[str] = []
    sync = connection.sync_connection
    if sync is None:
        raise InboxUnavailable("the connection ended before the handler began")

    def refuse(_connection: object) -> None:
        attempts.append("ended")
        raise HandlerEndedTransaction("a handler's transaction ends by itself")

    event.listen(sync, "commit", refuse)
    event.listen(sync, "rollback", refuse)
    try:
        yield attempts
    finally:
        event.remove(sync, "commit", refuse)
        event.remove(sync, "rollback", refuse)
