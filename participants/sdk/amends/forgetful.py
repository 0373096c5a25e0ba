"""What stands in for an inbox where a participant has no database of its own: it remembers nothing.

Every command runs, however often it comes. Nothing it says proves that nothing happened: a command that failed may come
again and succeed, so its failures are `effect: unknown`, and the coordinator undoes what it can't exclude.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from amends.handler import Handler
from amends.message import Answer, Command, Effect, Failure, Reply
from amends.worker import Worker


class NoInbox:
    """The inbox of a participant that said `inbox=None`."""

    async def check(self) -> None:
        """Nothing to check."""

    async def forget(self) -> int:
        """Nothing is remembered."""
        return 0

    async def answer(self, command: Command, handler: Handler, worker: Worker) -> Reply:
        """Run the handler, whatever was done before."""
        if command.inquire:
            said = f"{worker.participant} keeps no inbox and can't say what it did"
            why = Failure(type="NoInbox", message=said, code="amends no_inbox")
            return worker.reply(command, Answer.FAILED, effect=Effect.UNKNOWN, error=why)
        # Both clocks are some host's: the database's, which would be fairer, isn't there.
        if command.expires_at <= datetime.now(UTC):
            return worker.reply(command, Answer.EXPIRED)
        return await replace(handler, forgetful=True).run(
            command, worker, tx=None, seconds=command.timeout_seconds, passes=lambda error: False
        )
