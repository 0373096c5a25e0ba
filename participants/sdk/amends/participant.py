"""A participant: a domain service that answers commands.

    payment = Participant("payment", inbox=SqlInbox(engine), version="1.2.0")

    @payment.action("charge")
    async def charge(data: Charge, tx: AsyncConnection) -> dict[str, str]: ...

    await payment.serve(broker)

What a handler may ask for by its parameters' names is said in `amends.handler`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from pydantic import TypeAdapter

from amends.broker import Broker
from amends.capture import LogLines, clean_text
from amends.errors import InboxError, MessageError
from amends.forgetful import NoInbox
from amends.handler import Effects, Function, Handler, UnknownHandler
from amends.message import Command, Kind, Name, Reply, Settings
from amends.serving import Served, Serving, ServingLimits
from amends.sharing import Due
from amends.worker import Worker

log = logging.getLogger("amends.participant")

forget_every_seconds = 3600.0

Decorated = TypeVar("Decorated", bound=Function)
_name = TypeAdapter(Name)
_settings = TypeAdapter(Settings)


class Inbox(Protocol):
    """What a participant has already done. `SqlInbox` remembers it; `NoInbox` doesn't."""

    async def check(self) -> None: ...
    async def forget(self) -> int: ...
    async def answer(self, command: Command, handler: Handler, worker: Worker) -> Reply: ...


@runtime_checkable
class SharedInbox(Protocol):
    """An inbox that can answer many commands in one transaction."""

    def may_share(self, command: Command, handler: Handler) -> bool: ...
    async def answer_together(self, some: Sequence[Due], worker: Worker) -> list[Reply] | None: ...


class Participant:
    """A named set of handlers and the inbox that makes each of them happen once.

    `inbox=None` is for a service without a database of its own. It gives up what the inbox promises: a command that
    comes twice runs twice, a compensation can't know whether its action ever ran, and so every failure is
    `effect: unknown` and is compensated. Its handlers must be idempotent by themselves (`command.id` is the key).
    `concurrency` bounds how many commands are worked on at once; the engine's pool should hold as many connections.
    `settings` are what this worker was started with that may matter when somebody asks why it fails (a timeout, a
    feature's switch, never a secret): at most 16, said with every heartbeat. `host` is by default the machine's name.
    """

    def __init__(
        self,
        name: str,
        *,
        inbox: Inbox | None,
        version: str = "",
        concurrency: int = 16,
        host: str | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        if concurrency < 1:
            raise ValueError("a concurrency below 1 answers nothing")
        self.name = _name.validate_python(name)
        self.version = version
        self.concurrency = concurrency
        self.settings = _settings.validate_python(
            {clean_text(key, 63): clean_text(said, 200) for key, said in (settings or {}).items()}
        )
        self.worker = Worker.of_this_process(name, version, host)
        self.inbox: Inbox = NoInbox() if inbox is None else inbox
        self._shared = self.inbox if isinstance(self.inbox, SharedInbox) else None
        self._remembers = inbox is not None
        self._logs = LogLines()
        self._handlers: dict[tuple[Kind, str], Handler] = {}
        self._serving: set[Serving] = set()

    def action(
        self, name: str, *, effects: Effects = "transactional", lease_seconds: float | None = None
    ) -> Callable[[Decorated], Decorated]:
        """Register the handler of an action.

        It runs in the transaction that holds the inbox's row (`tx`), so that both are there or neither. With
        `effects="external"` it runs between two transactions, under a lease (60 s unless `lease_seconds` says more)
        of which it gets four fifths: for calls to other systems, which must accept `command.id` as idempotency key.
        Raises TypeError for a function that can't be called so, ValueError for a name that is taken or isn't one.
        """
        return self._register(Kind.ACTION, name, effects, lease_seconds)

    def compensation(
        self, name: str, *, effects: Effects = "transactional", lease_seconds: float | None = None
    ) -> Callable[[Decorated], Decorated]:
        """Register the handler of a compensation. Which action it undoes is said by the definition. As `action`."""
        return self._register(Kind.COMPENSATION, name, effects, lease_seconds)

    @property
    def actions(self) -> list[str]:
        return sorted(name for kind, name in self._handlers if kind is Kind.ACTION)

    @property
    def compensations(self) -> list[str]:
        return sorted(name for kind, name in self._handlers if kind is Kind.COMPENSATION)

    async def answer(self, command: Command) -> Reply:
        """Answer one command through the inbox. The reply states what is committed.

        Raises MessageError for a command to somebody else, InboxUnavailable when nothing can be said now.
        """
        return await self.inbox.answer(command, self.handler_of(command), self.worker)

    def may_share(self, command: Command) -> bool:
        """Whether this command may be answered together with others, in one transaction."""
        return self._shared is not None and self._shared.may_share(command, self.handler_of(command))

    async def answer_together(self, commands: Sequence[tuple[Command, float | None]]) -> list[Reply] | None:
        """Answer commands that may share, each with when it was published, in one transaction; they are of different
        steps. None: each is to be answered by itself."""
        assert self._shared is not None
        some = [Due(command, self.handler_of(command), published_at) for command, published_at in commands]
        return await self._shared.answer_together(some, self.worker)

    def handler_of(self, command: Command) -> Handler:
        """What answers this command; one that only fails, where this version has none. Raises MessageError."""
        if command.participant != self.name:
            raise MessageError(f"a command for {command.participant} reached {self.name}")
        return self._handlers.get((command.kind, command.handler)) or self._unknown(command)

    async def serve(
        self,
        broker: Broker,
        *,
        definitions: Iterable[Mapping[str, Any]] = (),
        limits: ServingLimits | None = None,
    ) -> None:
        """Answer commands until `stop` is called or the task is cancelled.

        Raises InboxError if the inbox can't work as it is, BrokerError if the broker can't be used; a database or a
        broker that is merely away is waited for. `definitions` are compared with the handlers: differences are logged.
        """
        for difference in check_actions(self, definitions):
            log.warning("%s", difference, extra={"action": "participant.differs", "participant": self.name})
        try:
            await self.inbox.check()
        except InboxError:
            raise
        except Exception as error:
            log.warning(
                "The inbox of %s can't be reached yet: %s", self.name, error, extra={"action": "inbox.unreachable"}
            )
        served = Served(
            self.worker,
            self.answer,
            tuple(self.actions),
            tuple(self.compensations),
            self.concurrency,
            self.settings,
            may_share=self.may_share,
            answer_together=self.answer_together,
        )
        serving = Serving(served, broker, limits or ServingLimits())
        self._serving.add(serving)
        forgetting = asyncio.create_task(self._forget(), name=f"{self.name} forgets")
        try:
            await serving.run()
        finally:
            self._serving.discard(serving)
            forgetting.cancel()
            await asyncio.gather(forgetting, return_exceptions=True)

    def stop(self) -> None:
        """Let every `serve` end: nothing more is taken, what is in hand gets `grace_seconds`."""
        for serving in self._serving:
            serving.stop()

    async def _forget(self) -> None:
        """Remove what the inbox need not remember any more, once an hour; not all workers at the same time."""
        while True:
            await asyncio.sleep(random.uniform(0.5, 1.5) * forget_every_seconds)
            try:
                forgotten = await self.inbox.forget()
                log.debug("The inbox forgot %d rows", forgotten, extra={"action": "inbox.forgot"})
            except Exception as error:
                log.warning("The inbox could not forget: %s", error, extra={"action": "inbox.forget_failed"})

    def _register(
        self, kind: Kind, name: str, effects: Effects, lease_seconds: float | None
    ) -> Callable[[Decorated], Decorated]:
        key = (kind, _name.validate_python(name))
        if key in self._handlers:
            raise ValueError(f"{self.name} has two handlers for the {kind} {name!r}")

        def register(function: Decorated) -> Decorated:
            handler = Handler.of(function, name, kind, self._logs, effects=effects, lease_seconds=lease_seconds)
            if not self._remembers and "tx" in handler.wants:
                raise TypeError(f"{name!r}: there is no transaction without an inbox, so it can't have tx")
            self._handlers[key] = handler
            return function

        return register

    def _unknown(self, command: Command) -> Handler:
        """Stands for a handler this version doesn't have. Retriable: another version's worker may take the next."""

        async def nothing() -> None:
            return None

        blank = Handler(command.handler, command.kind, nothing, self._logs)
        return blank.failing(UnknownHandler(f"{self.name} {self.version} has no {command.kind} {command.handler!r}"))


def check_actions(participant: Participant, definitions: Iterable[Mapping[str, Any]]) -> list[str]:
    """In which handlers a participant and the definitions differ, a sentence each. Definitions as they are posted."""
    wanted: dict[Kind, dict[str, str]] = {Kind.ACTION: {}, Kind.COMPENSATION: {}}
    seen = False
    for definition in definitions:
        seen = True
        for step in definition.get("steps", ()):
            if step.get("participant") != participant.name:
                continue
            place = f"step {step.get('name')!r} of {definition.get('name')!r}"
            for kind in Kind:
                if step.get(kind.value):
                    wanted[kind].setdefault(step[kind.value], place)
    if not seen:
        return []
    sentences: list[str] = []
    for kind, had in ((Kind.ACTION, participant.actions), (Kind.COMPENSATION, participant.compensations)):
        lacking = sorted(set(wanted[kind]) - set(had))
        unused = sorted(set(had) - set(wanted[kind]))
        sentences += [
            f"{participant.name} lacks the {kind} {name!r}, needed by {wanted[kind][name]}" for name in lacking
        ]
        sentences += [f"no definition uses the {kind} {name!r} of {participant.name}" for name in unused]
    return sentences
