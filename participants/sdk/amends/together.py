"""Many commands in one transaction: their rows are claimed together, their handlers run one after the other, their
outcomes are written together. For handlers that leave the transaction alone and are quick, so that none waits for long
for the others, and no lock of theirs is held meanwhile.

All or nothing: whatever stands in the way, nothing is kept, and each command is answered by itself instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from amends import record
from amends.database import is_transient
from amends.message import Command, Kind, Reply
from amends.record import Entry, Key, State
from amends.sharing import Apart, Due, Quick, together_seconds_max
from amends.tracing import arrived
from amends.verdict import Verdict, judge_action, judge_compensation, outcome, without_proof
from amends.worker import Worker


async def answer_all(
    some: Sequence[Due], worker: Worker, quick: Quick, connection: AsyncConnection
) -> tuple[list[Reply], bool]:
    """The replies to these commands, in their order, and whether there is anything to commit.

    Raises Apart, and what the database raises: then the transaction has to be rolled back.
    """
    entries = await record.claim_all(connection, _claims(some))
    writes: list[tuple[Key, Entry, dict[str, Any]]] = []
    replies: list[Reply] = []
    limit = asyncio.timeout(together_seconds_max)
    running = some[0].handler
    try:
        async with limit:
            for due in some:
                running = due.handler
                verdict = _judge(due.command, entries, worker)
                reply = verdict.reply or await _run(due, verdict, worker)
                replies.append(reply)
                writes += _writes(due.command, reply, verdict, entries)
    except TimeoutError as error:
        quick.was_slow(running)
        raise Apart(f"{running.name} takes longer than what many share") from error
    await record.write_all(connection, writes)
    return replies, bool(writes)


def _claims(some: Iterable[Due]) -> dict[Key, tuple[State, int]]:
    """The rows to be there, always an action's before its compensation's, each as whoever comes first makes it."""
    claims: dict[Key, tuple[State, int]] = {}
    for due in some:
        key = Key.of(due.command)
        if due.command.kind is Kind.COMPENSATION:
            claims[key.action] = State.FENCED, 0
        claims[key] = State.RUNNING, due.command.attempt
    return claims


def _judge(command: Command, entries: dict[Key, Entry], worker: Worker) -> Verdict:
    key = Key.of(command)
    own = entries[key]
    if command.kind is Kind.ACTION:
        verdict, made = judge_action(command, own, worker, ""), own.fresh
    else:
        action = entries[key.action]
        verdict, made = judge_compensation(command, action, own, worker, ""), own.fresh or action.fresh
    if made and not verdict.commit:
        raise Apart(f"{command.id} must leave no trace, and the others must")
    return verdict


async def _run(due: Due, verdict: Verdict, worker: Worker) -> Reply:
    command = due.command
    if verdict.result is not None:
        command = command.model_copy(update={"result": verdict.result})
    arrived(due.published_at)
    reply = await due.handler.run(command, worker, tx=None, seconds=command.timeout_seconds, passes=is_transient)
    return without_proof(reply) if verdict.uncertain else reply


def _writes(
    command: Command, reply: Reply, verdict: Verdict, entries: dict[Key, Entry]
) -> Iterable[tuple[Key, Entry, dict[str, Any]]]:
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
