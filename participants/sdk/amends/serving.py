"""The serving loop: take commands, have them answered side by side, acknowledge what is committed and confirmed.

An unacknowledged command is the participant's outbox: whatever dies in between, the command comes again and the inbox
knows what was done. So a delivery is acknowledged when each of its commands has its reply confirmed, and never before.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from amends.answers import Answers, publish_for_certain
from amends.broker import Address, Broker, Consumer, Delivery
from amends.errors import BrokerClosed, InboxUnavailable
from amends.heartbeat import Heartbeats
from amends.held import Commands, Hand, Held, KeyLocks
from amends.linger import Linger
from amends.message import Command, Heartbeat, Reply, Unreadable, decode, frame, items_max
from amends.payload import parse
from amends.sharing import together_max
from amends.tracing import arrived
from amends.worker import Worker

log = logging.getLogger("amends.serving")

pause_seconds_first = 0.1
sharing_max = 2  # transactions of many commands at a time: while one is committed, the next is filled
close_seconds = 2.0


@dataclass(frozen=True, slots=True)
class ServingLimits:
    """The bounds of one `serve`. `prefetch` counts messages, each a list of up to 32 commands; 0: the concurrency."""

    prefetch: int = 0
    heartbeat_seconds: float = 5.0
    grace_seconds: float = 10.0  # what a stop leaves to the commands in hand
    retry_seconds_max: float = 30.0  # the longest pause before a command whose inbox is away is tried again
    resubscribe_seconds_max: float = 5.0


@dataclass(frozen=True, slots=True)
class Served:
    """What a serving loop needs of a participant."""

    worker: Worker
    answer: Callable[[Command], Awaitable[Reply]]
    actions: tuple[str, ...]
    compensations: tuple[str, ...]
    concurrency: int
    settings: Mapping[str, str] = field(default_factory=dict)
    may_share: Callable[[Command], bool] = field(kw_only=True)
    answer_together: Callable[[Sequence[tuple[Command, float | None]]], Awaitable[list[Reply] | None]] = field(
        kw_only=True
    )


class Serving:
    """One run of the loop over one broker."""

    def __init__(self, served: Served, broker: Broker, limits: ServingLimits) -> None:
        self._served = served
        self._broker = broker
        self._limits = limits
        self._name = served.worker.participant
        self._hand = Hand()
        self._answers = Answers(broker, self._name, self._hand)
        self._heartbeats = Heartbeats(broker, limits.heartbeat_seconds, self._heartbeat)
        self._slots = asyncio.Semaphore(served.concurrency)
        self._steps = KeyLocks()
        self._commands = Commands()
        self._shared: deque[tuple[Held, Command]] = deque()  # that wait to be answered together
        self._sharing = 0
        self._linger = Linger()
        self._consumer: Consumer | None = None
        self._stopping = asyncio.Event()
        self._group = asyncio.TaskGroup()
        self._work: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Take nothing more; `run` returns when what is in hand is done, or its grace is over."""
        self._stopping.set()

    async def run(self) -> None:
        """Serve until stopped. Raises BrokerError when the broker can't be used, or was closed."""
        try:
            async with self._group:
                consuming = self._group.create_task(_unending(self._consume))
                others = [
                    self._group.create_task(_unending(self._answers.speak)),
                    self._group.create_task(_unending(self._heartbeats.beat)),
                ]
                await self._stopping.wait()
                consuming.cancel()
                await self._drain()
                for task in (*others, *self._work):
                    task.cancel()
        except BaseExceptionGroup as group:
            if len(group.exceptions) == 1:
                raise group.exceptions[0] from group.exceptions[0].__cause__
            raise
        finally:
            await self._leave()

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(self._limits.grace_seconds):
                await self._hand.empty()
        except TimeoutError:
            log.warning(
                "%s stops with %d messages unanswered; they will come again",
                *(self._name, len(self._hand)),
                extra={"action": "serving.cut_off", "participant": self._name},
            )

    async def _leave(self) -> None:
        await self._heartbeats.farewell()
        if self._consumer is None:
            return
        try:
            async with asyncio.timeout(close_seconds):
                await self._consumer.close()
        except TimeoutError:
            log.warning("The consumer of %s did not close in time", self._name, extra={"action": "serving.close"})

    # --- taking -------------------------------------------------------------------------------------------------------

    async def _consume(self) -> None:
        """Take deliveries, on one subscription after the other, for ever."""
        pause_seconds = pause_seconds_first
        prefetch = self._limits.prefetch or self._served.concurrency
        while True:
            consumer = await self._broker.subscribe("commands", self._name, prefetch=prefetch)
            self._consumer = consumer
            try:
                while True:
                    for delivery in await consumer.take(items_max):
                        self._accept(consumer, delivery)
                    pause_seconds = pause_seconds_first
            except BrokerClosed as error:
                log.warning("The subscription of %s ended: %s", self._name, error, extra={"action": "serving.closed"})
            self._hand.lose(consumer)
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(self._limits.resubscribe_seconds_max, pause_seconds * 2)

    def _accept(self, consumer: Consumer, delivery: Delivery) -> None:
        """Start the work that a delivery brings."""
        commands: list[Command] = []
        strays: list[tuple[int, str]] = []
        for index, item in enumerate(decode(delivery.body)):
            if isinstance(item, Command) and item.participant == self._name:
                commands.append(item)
            else:
                strays.append((index, _why_stray(item, self._name)))
        for command in commands:
            self._commands.take(command)
        held = Held(consumer, delivery, len(commands) + len(strays))
        self._hand.take(held)
        if not commands:
            self._start(self._bury_whole(held, strays[0][1]))
            return
        for index, reason in strays:
            self._start(self._cast_out(held, index, reason))
        if delivery.redelivered:
            # One of them may be what killed the worker that had them: one at a time, the others get their answer.
            self._start(self._work_through(held, commands))
            return
        for command in commands:
            if self._served.may_share(command):
                self._shared.append((held, command))
            else:
                self._start(self._work_through(held, [command]))
        if self._shared and self._sharing < sharing_max:
            self._sharing += 1
            self._start(self._share())

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    # --- answering ----------------------------------------------------------------------------------------------------

    async def _work_through(self, held: Held, commands: list[Command]) -> None:
        for command in commands:
            try:
                async with self._steps.hold(_step_of(command)):
                    reply = await self._answer(held, command)
            finally:
                self._commands.give_back(command)
            if reply is not None:
                await self._answers.give(reply, held)
            else:
                held.settle()
                await self._hand.give_back([held])

    async def _answer(self, held: Held, command: Command) -> Reply | None:
        """The reply, however long the inbox is away; None once the delivery was lost, for then it comes again."""
        pause_seconds = pause_seconds_first
        while not held.lost:
            try:
                async with self._slots:
                    self._commands.turn(command, working=True)
                    try:
                        arrived(held.delivery.published_at)
                        with self._linger.working([command.saga_id]):
                            reply = await self._served.answer(command)
                        return _proven(reply, command)
                    finally:
                        self._commands.turn(command, working=False)
            except InboxUnavailable as error:
                log.warning("No word on %s yet: %s", command.id, error, extra=_facts("inbox.unavailable", command))
            except Exception:
                # Nothing is known, so nothing is said. It stays visible here, and the coordinator notices the silence.
                log.exception("Answering %s failed", command.id, extra=_facts("inbox.failed", command))
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(self._limits.retry_seconds_max, pause_seconds * 2)
        return None

    # --- answering together -------------------------------------------------------------------------------------------

    async def _share(self) -> None:
        """Answer whatever waits, as long as anything does."""
        try:
            while self._shared:
                await self._linger.wait(command.saga_id for _, command in self._shared)
                async with self._slots:
                    some = self._next_shared()
                    with self._linger.working(command.saga_id for _, command in some):
                        replies = await self._answer_together(some)
                for place, (held, command) in enumerate(some):
                    if replies is None:
                        self._start(self._work_through(held, [command]))
                        continue
                    self._commands.give_back(command)
                    await self._answers.give(_proven(replies[place], command), held)
        finally:
            self._sharing -= 1

    def _next_shared(self) -> list[tuple[Held, Command]]:
        """The next to be answered together, no two of one step. Whose step somebody is at goes by itself, behind it."""
        some: dict[Hashable, tuple[Held, Command]] = {}
        while self._shared and len(some) < together_max:
            held, command = self._shared.popleft()
            step = _step_of(command)
            if step in some or not self._steps.is_free(step):
                self._start(self._work_through(held, [command]))
            else:
                some[step] = held, command
        return list(some.values())

    async def _answer_together(self, some: Sequence[tuple[Held, Command]]) -> list[Reply] | None:
        """The replies of all, in their order. None: each is to be answered by itself."""
        if len(some) < 2:
            return None
        for _, command in some:
            self._steps.take(_step_of(command))  # each was free a moment ago
            self._commands.turn(command, working=True)
        try:
            return await self._served.answer_together([(command, held.delivery.published_at) for held, command in some])
        except Exception:
            log.exception("Answering %d commands failed", len(some), extra={"action": "inbox.failed"})
            return None
        finally:
            for _, command in some:
                self._commands.turn(command, working=False)
                self._steps.give_back(_step_of(command))

    # --- what nobody can process --------------------------------------------------------------------------------------

    async def _bury_whole(self, held: Held, reason: str) -> None:
        held.settle(dead=reason)
        held.open = 0
        await self._hand.give_back([held])

    async def _cast_out(self, held: Held, index: int, reason: str) -> None:
        """One item of a list can't be read, the others can: send it again by itself, to be buried when it comes."""
        log.warning("One of several commands can't be read: %s", reason, extra={"action": "message.cast_out"})
        item = json.dumps(parse(held.delivery.body)["commands"][index], ensure_ascii=False)
        if await publish_for_certain(self._broker, Address("commands", self._name), frame("commands", [item])):
            held.settle()
        else:
            held.settle(dead=reason)
        await self._hand.give_back([held])

    def _heartbeat(self, stopping: bool) -> Heartbeat:
        return Heartbeat(
            participant=self._name,
            worker=self._served.worker.id,
            worker_version=self._served.worker.version,
            actions=self._served.actions,
            compensations=self._served.compensations,
            interval_seconds=self._limits.heartbeat_seconds,
            in_flight=self._commands.working,
            holding=self._commands.holding(),
            host=self._served.worker.host,
            settings=dict(self._served.settings),
            stopping=stopping,
        )


async def _unending(loop: Callable[[], Awaitable[None]]) -> None:
    """A loop that must not end. If it does, by itself or cancelled by nobody, that is an error and everybody hears."""
    try:
        await loop()
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise RuntimeError("a loop was cancelled by nobody") from error
    raise RuntimeError("a loop ended by itself")


def _step_of(command: Command) -> Hashable:
    """What no two commands are worked on side by side of."""
    return command.saga_id, command.step, command.iteration


def _proven(reply: Reply, command: Command) -> Reply:
    """The reply with the token that its command came with. Here and not where replies are made: one that an inbox
    remembers is given to any sending."""
    return reply.model_copy(update={"reply_token": command.reply_token})


def _why_stray(item: object, participant: str) -> str:
    if isinstance(item, Unreadable):
        return item.reason
    if isinstance(item, Command):
        return f"a command for {item.participant} reached {participant}"
    return f"a {type(item).__name__.lower()} among the commands"


def _facts(action: str, command: Command) -> dict[str, Any]:
    return {"action": action, "saga_id": command.saga_id, "step": command.step, "attempt": command.attempt}
