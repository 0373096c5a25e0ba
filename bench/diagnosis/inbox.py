"""The participants' inbox, without a database: the SDK's own rules over rows in memory.

What a handler does to its service's data is staged, and takes place together with the row that says so, or not at all.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import replace

from amends.handler import Handler, HandlerTimeout, lease_share
from amends.held import KeyLocks
from amends.message import Answer, Command, Effect, Kind, Reply
from amends.record import Entry, Key, State
from amends.verdict import Verdict, judge_action, judge_compensation, judge_end, judge_inquiry, without_proof
from amends.worker import Worker

_states = {Answer.SUCCEEDED: State.SUCCEEDED, Answer.REFUSED: State.REFUSED, Answer.FAILED: State.FAILED}


class Staged(list[Callable[[], None]]):
    """What takes place when the transaction commits."""


class MemoryInbox:
    """One per service, shared by its workers, as their database would be."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rows: dict[Key, Entry] = {}
        self._locks = KeyLocks()

    async def check(self) -> None:
        """It can always be used."""

    async def forget(self) -> int:
        """A world is over before anything is old."""
        return 0

    async def answer(self, command: Command, handler: Handler, worker: Worker) -> Reply:
        """As the SDK's other inboxes."""
        row = (command.saga_id, command.step, command.iteration)
        if command.inquire:
            async with self._locks.hold(row):
                return self._inquire(command, worker)
        if handler.lease_seconds is not None:
            return await self._outside(command, handler, worker, handler.lease_seconds)
        async with self._locks.hold(row):
            return await self._inside(command, handler, worker)

    async def _inside(self, command: Command, handler: Handler, worker: Worker) -> Reply:
        before = dict.fromkeys((Key.of(command), Key.of(command).action))
        kept = {key: self._rows.get(key) for key in before}
        verdict = self._judge(command, worker, "", None)
        if verdict.reply is not None:
            return verdict.reply
        staged = Staged()
        told = _with_result(command, verdict)
        try:
            reply = await handler.run(
                told, worker, tx=staged, seconds=command.timeout_seconds, passes=lambda error: False
            )
        except HandlerTimeout as error:
            reply = await handler.failing(error).run(told, worker, tx=staged, seconds=1.0, passes=lambda error: False)
        except asyncio.CancelledError:
            self._restore(kept)  # the worker died, and its transaction with it
            raise
        if verdict.uncertain:
            reply = without_proof(reply)
        if reply.answer is Answer.SUCCEEDED:
            for effect in staged:
                effect()
        self._keep(command, reply, verdict, "")
        return reply

    def _restore(self, kept: dict[Key, Entry | None]) -> None:
        for key, entry in kept.items():
            if entry is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = entry

    async def _outside(self, command: Command, handler: Handler, worker: Worker, lease_seconds: float) -> Reply:
        token = secrets.token_hex(8)
        row = (command.saga_id, command.step, command.iteration)
        async with self._locks.hold(row):
            verdict = self._judge(command, worker, token, lease_seconds)
        if verdict.reply is not None:
            return verdict.reply
        told = _with_result(command, verdict)
        seconds = lease_share * lease_seconds
        reply = await handler.run(told, worker, tx=None, seconds=seconds, passes=lambda error: False)
        if verdict.uncertain:
            reply = without_proof(reply)
        async with self._locks.hold(row):
            own = replace(self._rows[Key.of(command)], at=self._clock())
            end = judge_end(command, own, reply, worker, token)
            if end.reply is None or not end.keep:
                return end.reply or reply
            if command.kind is Kind.ACTION and reply.answer is Answer.SUCCEEDED:
                reply = reply.model_copy(update={"recorded_after_compensation": self._was_undone(command)})
            self._keep(command, reply, end, token)
            return reply

    def _judge(self, command: Command, worker: Worker, token: str, lease_seconds: float | None) -> Verdict:
        key = Key.of(command)
        lease_until = None if lease_seconds is None else self._clock() + lease_seconds
        if command.kind is Kind.ACTION:
            own = self._claim(key, State.RUNNING, command.attempt, token, lease_until)
            verdict = judge_action(command, own, worker, token)
        else:
            action = self._claim(key.action, State.FENCED, 0, "", None)
            own = self._claim(key, State.RUNNING, command.attempt, token, lease_until)
            verdict = judge_compensation(command, action, own, worker, token)
            if verdict.fence:
                self._fence(key.action, verdict)
        if verdict.keep and verdict.reply is not None:
            self._keep(command, verdict.reply, verdict, token)
        elif verdict.reply is None and not own.fresh and lease_seconds is not None:
            attempt = max(own.attempt, command.attempt)
            self._rows[key] = Entry(
                State.RUNNING,
                self._clock(),
                doubtful=verdict.doubtful,
                attempt=attempt,
                token=token,
                lease_until=lease_until,
            )
        return verdict

    def _claim(self, key: Key, state: State, attempt: int, token: str, lease_until: float | None) -> Entry:
        found = self._rows.get(key)
        if found is not None:
            return replace(found, at=self._clock(), fresh=False)
        entry = Entry(state, self._clock(), fresh=True, attempt=attempt, token=token or None, lease_until=lease_until)
        self._rows[key] = entry
        return entry

    def _fence(self, key: Key, verdict: Verdict) -> None:
        found = self._rows[key]
        self._rows[key] = replace(
            found, state=State.FENCED, doubtful=found.doubtful or verdict.fence_doubtful, fresh=False
        )

    def _keep(self, command: Command, reply: Reply, verdict: Verdict, token: str) -> None:
        self._rows[Key.of(command)] = Entry(
            _states[reply.answer],
            self._clock(),
            doubtful=verdict.doubtful or reply.effect is Effect.UNKNOWN,
            attempt=max(command.attempt, verdict.attempt),
            reply=reply,
            token=token or None,
        )

    def _was_undone(self, command: Command) -> bool:
        undoing = (State.SUCCEEDED, State.RUNNING)
        return any(
            key.kind is Kind.COMPENSATION and (entry.state in undoing or entry.doubtful)
            for key, entry in self._rows.items()
            if (key.saga_id, key.step, key.iteration) == (command.saga_id, command.step, command.iteration)
        )

    def _inquire(self, command: Command, worker: Worker) -> Reply:
        key = Key.of(command)
        if command.kind is Kind.ACTION:
            asked: Entry | None = self._claim(key, State.FENCED, 0, "", None)
        else:
            asked = self._rows.get(key)
        verdict = judge_inquiry(command, asked, worker)
        if verdict.reply is None:
            raise AssertionError("an inquiry is always answered")
        if verdict.fence and command.kind is Kind.ACTION and asked is not None:
            self._fence(key, verdict)
        return verdict.reply


def _with_result(command: Command, verdict: Verdict) -> Command:
    return command if verdict.result is None else command.model_copy(update={"result": verdict.result})
