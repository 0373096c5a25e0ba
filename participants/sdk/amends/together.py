"""Many commands in one transaction: their rows are claimed together, their handlers run one after the other, their
outcomes are written together. For handlers that leave the transaction alone and are quick, so that none waits for long
for the others, and no lock of theirs is held meanwhile.

All or nothing: whatever stands in the way, nothing is kept, and each command is answered by itself instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from amends import record
from amends.database import is_transient
from amends.handler import Handler
from amends.message import Command, Kind, Reply
from amends.record import Entry, Key, State
from amends.rows import Rows
from amends.sharing import Apart, Due, Quick, together_seconds_max
from amends.tracing import arrived
from amends.verdict import Verdict, judge_action, judge_compensation, outcome, without_proof
from amends.worker import Worker

Write = tuple[Key, Entry, dict[str, Any]]


async def answer_all(some: Sequence[Due], worker: Worker, quick: Quick, rows: Rows) -> tuple[list[Reply], bool]:
    """The replies to these commands, in their order, and whether there is anything to commit.

    Raises Apart, and what the database raises: then the transaction has to be rolled back.
    """
    entries = await record.claim_all(rows, _claims(due.command for due in some))
    writes: list[Write] = []
    replies: list[Reply] = []
    limit = asyncio.timeout(together_seconds_max)
    running = some[0].handler
    try:
        async with limit:
            for due in some:
                running = due.handler
                verdict, made = _judge(due.command, entries, worker)
                if made and not verdict.commit:
                    raise Apart(f"{due.command.id} must leave no trace, and the others must")
                arrived(due.published_at)
                # The limit of all is over before its own would be: there is no need for both.
                own_seconds = due.command.timeout_seconds
                seconds = own_seconds if own_seconds < together_seconds_max else None
                reply = await _reply(due.command, due.handler, verdict, worker, seconds)
                replies.append(reply)
                writes += _writes(due.command, reply, verdict, entries)
    except TimeoutError as error:
        quick.was_slow(running)
        raise Apart(f"{running.name} takes longer than what many share") from error
    await record.write_all(rows, writes)
    return replies, bool(writes)


async def answer_one(command: Command, handler: Handler, worker: Worker, rows: Rows) -> tuple[Reply, bool]:
    """As `answer_all`, of a command by itself, however long its handler takes."""
    entries = await record.claim_all(rows, _claims([command]))
    verdict, _ = _judge(command, entries, worker)
    reply = await _reply(command, handler, verdict, worker, command.timeout_seconds)
    writes = list(_writes(command, reply, verdict, entries))
    await record.write_all(rows, writes)
    return reply, bool(writes)


def _claims(commands: Iterable[Command]) -> dict[Key, tuple[State, int]]:
    """The rows to be there, always an action's before its compensation's, each as whoever comes first makes it."""
    claims: dict[Key, tuple[State, int]] = {}
    for command in commands:
        key = Key.of(command)
        if command.kind is Kind.COMPENSATION:
            claims[key.action] = State.FENCED, 0
        claims[key] = State.RUNNING, command.attempt
    return claims


def _judge(command: Command, entries: Mapping[Key, Entry], worker: Worker) -> tuple[Verdict, bool]:
    """The verdict, and whether a row of this command was made for it."""
    key = Key.of(command)
    own = entries[key]
    if command.kind is Kind.ACTION:
        return judge_action(command, own, worker, ""), own.fresh
    action = entries[key.action]
    return judge_compensation(command, action, own, worker, ""), own.fresh or action.fresh


async def _reply(command: Command, handler: Handler, verdict: Verdict, worker: Worker, seconds: float | None) -> Reply:
    if verdict.reply is not None:
        return verdict.reply
    if verdict.result is not None:
        command = command.model_copy(update={"result": verdict.result})
    reply = await handler.run(command, worker, tx=None, seconds=seconds, passes=is_transient)
    return without_proof(reply) if verdict.uncertain else reply


def _writes(command: Command, reply: Reply, verdict: Verdict, entries: Mapping[Key, Entry]) -> Iterable[Write]:
    """What is to be written into the rows of a command, which this transaction has claimed."""
    key = Key.of(command)
    if verdict.fence and command.kind is Kind.COMPENSATION:
        action = entries[key.action]
        doubtful = action.doubtful or verdict.fence_doubtful
        if (action.state, action.doubtful) != (State.FENCED, doubtful):
            kept = None if action.reply is None else record.kept(action.reply)
            fenced = {"state": State.FENCED.value, "attempt": action.attempt, "doubtful": doubtful, "reply": kept}
            yield key.action, action, fenced
    if verdict.keep or verdict.reply is None:
        yield key, entries[key], {**outcome(command, reply, verdict), "reply": record.kept(reply)}
