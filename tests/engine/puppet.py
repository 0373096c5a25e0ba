"""A participant on strings: it hears commands on the real broker and answers as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from amends.broker import Address, Broker, Confirm, Consumer
from amends.errors import BrokerClosed
from amends.message import Answer, Command, Heartbeat, Kind, Reply, Undone, decode, encode_item, frame

Script = Callable[[Command], Reply | None]


def answer(command: Command, said: Answer = Answer.SUCCEEDED, **facts: object) -> Reply:
    """A reply to a command; a success unless said otherwise."""
    undone = Undone.UNDONE if command.kind is Kind.COMPENSATION and said is Answer.SUCCEEDED else None
    identity = command.model_dump(include={"saga_id", "step", "iteration", "kind", "epoch", "attempt", "inquire"})
    return Reply.model_validate(
        {"participant": command.participant, "answer": said, "undone": undone, **identity, **facts}
    )


class Puppet:
    """Consumes one participant's commands; `script` gives the reply, or None for silence."""

    def __init__(self, broker: Broker, participant: str, script: Script = answer) -> None:
        self.broker, self.participant, self.script = broker, participant, script
        self.heard: list[Command] = []
        self._consumer: Consumer | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Puppet:
        self._consumer = await self.broker.subscribe("commands", self.participant, prefetch=100)
        self._task = asyncio.ensure_future(self._serve(self._consumer))
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._consumer
        assert self._task
        await self._consumer.close()
        await self._task

    async def beat(self) -> None:
        """Say that a worker lives."""
        heartbeat = Heartbeat(participant=self.participant, worker=f"{self.participant}-1", interval_seconds=60)
        await self.broker.publish(
            Address("replies", self.participant), frame("heartbeats", [encode_item(heartbeat)]), transient=True
        )

    async def say(self, *replies: Reply) -> Confirm:
        return await self.broker.publish(
            Address("replies", self.participant), frame("replies", [encode_item(reply) for reply in replies])
        )

    async def _serve(self, consumer: Consumer) -> None:
        try:
            while True:
                deliveries = await consumer.take(32)
                commands = [item for one in deliveries for item in decode(one.body) if isinstance(item, Command)]
                self.heard += commands
                replies = [reply for command in commands if (reply := self.script(command))]
                for index in range(0, len(replies), 32):
                    await self.say(*replies[index : index + 32])
                await consumer.acknowledge(deliveries)
        except BrokerClosed:
            return
