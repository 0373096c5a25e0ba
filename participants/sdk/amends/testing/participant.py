"""Play the coordinator to one participant: commands by hand, answers from its real handlers and its real inbox."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from amends.message import Answer, Command, Kind, Reply, decode, encode_item, frame
from amends.participant import Participant

transit_seconds = 86_400.0  # how long a command is good for


class PlayParticipant:
    """Sends a participant commands, as the coordinator would, and gives back its replies.

        async with PlayParticipant(payment) as play:
            charged = await play.action("charge", {"total": 30})
            assert await play.again(charged) == charged  # a redelivery: one effect, the stored reply
            undone = await play.compensate("refund", of=charged)

    Entering checks that the inbox can work and raises InboxError if not. Commands and replies go through the wire's
    encoding, so what could not travel fails here, too.
    """

    def __init__(self, participant: Participant, *, saga: str = "played", saga_id: str = "saga-1") -> None:
        """`saga` is the name of the definition that commands carry, `saga_id` the saga unless a call names another."""
        self.participant = participant
        self.commands: list[Command] = []
        self._saga, self._saga_id = saga, saga_id

    async def __aenter__(self) -> Self:
        await self.participant.inbox.check()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    async def action(
        self,
        name: str,
        data: Any = None,
        *,
        saga_id: str | None = None,
        step: str | None = None,
        attempt: int = 1,
        timeout_seconds: float = 30.0,
    ) -> Reply:
        """Send an action. The step is called like the action unless `step` says otherwise."""
        facts = {"data": data, "timeout_seconds": timeout_seconds}
        return await self.send(self._command(Kind.ACTION, name, step or name, saga_id, attempt, **facts))

    async def compensate(
        self,
        name: str,
        *,
        of: Reply | None = None,
        step: str | None = None,
        saga_id: str | None = None,
        data: Any = None,
        result: Any = None,
        reason: str | None = "played: cancelled",
        attempt: int = 1,
        epoch: int = 0,
        timeout_seconds: float = 30.0,
    ) -> Reply:
        """Send a compensation: of the action that gave the reply `of`, or of a `step` whose action may not have come.

        With `of`, saga, step, data and result are that action's. `result=None` says that the result is unknown, as
        after a lost reply; the inbox then hands the handler what it has stored. Raises ValueError without either.
        """
        succeeded = False
        iteration = 0
        if of is not None:
            sent = self._sent(of)
            saga_id, step, iteration = of.saga_id, of.step, of.iteration
            data = sent.data if data is None else data
            succeeded = of.answer is Answer.SUCCEEDED
            result = of.result if result is None else result
        if step is None:
            raise ValueError("say which action to undo: of=its reply, or step=its name")
        facts = {
            "data": data,
            "result": result,
            "succeeded": succeeded,
            "reason": reason,
            "epoch": epoch,
            "iteration": iteration,
            "timeout_seconds": timeout_seconds,
        }
        return await self.send(self._command(Kind.COMPENSATION, name, step, saga_id, attempt, **facts))

    async def again(self, of: Reply | Command, *, attempt: int | None = None) -> Reply:
        """Send a command again: the same delivery twice, or a further `attempt` of it."""
        command = self._sent(of) if isinstance(of, Reply) else of
        return await self.send(command if attempt is None else command.model_copy(update={"attempt": attempt}))

    async def inquire(self, action: str, *, step: str | None = None, saga_id: str | None = None) -> Reply:
        """Ask what became of an action. One that has not run is fenced by the question."""
        return await self.send(self._command(Kind.ACTION, action, step or action, saga_id, 1, inquire=True))

    async def send(self, command: Command) -> Reply:
        """Send any command. Raises PayloadError if it may not travel, MessageError if it is another's."""
        self.commands.append(command)
        (arrived,) = decode(frame("commands", [encode_item(command)]))
        if not isinstance(arrived, Command):
            raise ValueError(f"not a command that could be sent: {arrived}")
        reply = await self.participant.answer(arrived)
        (heard,) = decode(frame("replies", [encode_item(reply)]))
        if not isinstance(heard, Reply):
            raise AssertionError(f"a reply that can't be read: {heard}")
        return heard

    def _command(self, kind: Kind, handler: str, step: str, saga_id: str | None, attempt: int, **facts: Any) -> Command:
        now = datetime.now(UTC)
        timeout_seconds = facts.pop("timeout_seconds", 30.0)
        return Command(
            saga_id=saga_id or self._saga_id,
            saga=self._saga,
            step=step,
            kind=kind,
            attempt=attempt,
            participant=self.participant.name,
            handler=handler,
            timeout_seconds=timeout_seconds,
            issued_at=now,
            expires_at=now + timedelta(seconds=transit_seconds),
            **facts,
        )

    def _sent(self, reply: Reply) -> Command:
        """The command that this reply answers. Raises ValueError for a reply of another play."""
        for command in reversed(self.commands):
            if (command.id, command.attempt, command.inquire) == (reply.id, reply.attempt, reply.inquire):
                return command
        raise ValueError(f"no command of this play was answered by {reply.id} attempt {reply.attempt}")
