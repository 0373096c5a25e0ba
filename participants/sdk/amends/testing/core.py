"""The play itself, on the coordinator's rules. The only module of the SDK that loads the coordinator; `play_saga` loads
it when a test asks for a play.

Effects become commands, and replies become events, by the same functions as in production. What production puts
between them (database, outbox, broker) is left out: a command is delivered the moment it is decided, a reply is heard
at the same moment unless trouble delays it, and when nothing is left to be heard the clock jumps to the next wake-up.
"""

from __future__ import annotations

import heapq
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from amends.errors import DefinitionError, PayloadError
from amends.handler import Handler
from amends.message import Command, Kind, Reply, decode, encode_item, frame
from amends.participant import Participant
from amends.testing.played import PlayedSaga
from amends.testing.trouble import Cancel, Trouble, What, ever
from coordinator.errors import InvalidDefinition
from coordinator.saga.decision import Incident, SendCommand
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.event import CancelRequested, Event, Failure, Started, Unsendable, Woke
from coordinator.saga.explain import waiting_on
from coordinator.saga.registration import read_definition
from coordinator.saga.state import Saga, StepStatus, wake_at
from coordinator.saga.transition import decide
from coordinator.schema import check_schema, violation
from coordinator.wire import command_of, replied

shown_chars_max = 100


def read(document: Mapping[str, Any]) -> SagaDefinition:
    """The definition, as the coordinator reads it. Raises DefinitionError with every fault."""
    try:
        return read_definition(document, schema_fault=check_schema)
    except InvalidDefinition as error:
        raise DefinitionError(
            [{"rule": one.rule, "step": one.step, "message": one.message, "hint": one.hint} for one in error.faults]
        ) from error


@dataclass(order=True)
class _Arrival:
    """Something that will happen. A cancel comes before what arrives at the same moment."""

    at: datetime
    rank: int
    number: int
    what: Reply | Cancel = field(compare=False)


class Play:
    """One saga being played."""

    def __init__(
        self,
        definition: SagaDefinition,
        cast: Mapping[str, Participant],
        trouble: Sequence[Trouble | Cancel],
        *,
        saga_id: str | None = None,
        at: datetime | None = None,
    ) -> None:
        self._definition, self._cast = definition, cast
        # Each play counts its trouble down by itself, so that a test may keep one and use it again.
        self._troubles = [replace(one) for one in trouble if isinstance(one, Trouble)]
        self._cancels = [one for one in trouble if isinstance(one, Cancel)]
        self._refused: list[str] = []
        _check_places(definition, self._troubles, self._cancels)
        self._began = self._at = at or datetime.now(UTC)
        trace_id = secrets.token_hex(16)
        self._saga = Saga(
            saga_id or f"played-{trace_id[:12]}",
            definition.name,
            definition.version,
            None,
            self._began,
            trace_id=trace_id,
        )
        self._arrivals: list[_Arrival] = []
        self._arrived = 0
        self._commands: list[Command] = []
        self._replies: list[Reply] = []
        self._incidents: list[str] = []
        self._lines: list[str] = []

    async def to_rest(self, data: Any, turns_max: int) -> PlayedSaga:
        """Start it and go on until nothing would happen by itself. Raises ValueError if that takes too many turns."""
        if self._definition.input_schema is not None:
            broken = violation(self._definition.input_schema, data)
            if broken:
                raise ValueError(f"the saga's input breaks its schema: {broken}")
        self._saga = replace(self._saga, input=data)
        for one in self._cancels:
            if one.seconds is not None:
                self._expect(self._began + timedelta(seconds=one.seconds), one)
        await self._happen(Started(self._at), f"the saga {self._definition.name} starts")
        for _ in range(turns_max):
            if not await self._turn():
                return self._played()
        raise ValueError("\n".join([f"not at rest after {turns_max} turns", *self._lines[-50:]]))

    async def _turn(self) -> bool:
        """Let the next thing happen. False: there is none."""
        wake = wake_at(self._saga)
        if self._arrivals and (wake is None or self._arrivals[0].at <= wake):
            arrival = heapq.heappop(self._arrivals)
            self._at = max(self._at, arrival.at)
            if isinstance(arrival.what, Cancel):
                await self._cancel(arrival.what)
            else:
                await self._hear(arrival.what)
            return True
        if wake is None:
            return False
        self._at = max(self._at, wake)
        await self._happen(Woke(self._at), "a clock runs out")
        return True

    # -- what happens ------------------------------------------------------------------------------------------------

    async def _happen(self, event: Event, line: str) -> None:
        """Decide, tell, and deliver what is to be sent: first all that is decided, then the work, as in production."""
        self._tell(line)
        outgoing = list(self._decide(event))
        for command, text in outgoing:
            self._commands.append(command)
            await self._deliver(command, text)
        for one in self._cancels:
            due = one.after and self._saga.step(one.after).status is StepStatus.SUCCEEDED
            out = one.during and any(sent.step == one.during and sent.kind is Kind.ACTION for sent, _ in outgoing)
            if due or out:
                self._expect(self._at, one)
        self._cancels = [one for one in self._cancels if all(one is not arrival.what for arrival in self._arrivals)]

    def _decide(self, event: Event) -> Iterator[tuple[Command, str]]:
        """The commands that follow, encoded. One that can't be sent is decided upon at once."""
        decision = decide(self._definition, self._saga, event)
        self._saga = decision.saga
        for note in decision.notes:
            self._tell(f"  {note}", timed=False)
        if decision.refused:
            self._tell(f"  refused: {decision.refused}", timed=False)
            self._refused.append(decision.refused)
        for effect in decision.effects:
            if isinstance(effect, Incident):
                self._incidents.append(f"{effect.kind}: {effect.message}")
            elif isinstance(effect, SendCommand):
                yield from self._prepared(effect, event.at)

    def _prepared(self, effect: SendCommand, at: datetime) -> Iterator[tuple[Command, str]]:
        step = self._definition.by_name[effect.command.step]
        command = command_of(self._saga, effect, at)
        is_action = command.kind is Kind.ACTION and not command.inquire
        broken = violation(step.input_schema, effect.data) if is_action and step.input_schema is not None else None
        failure = Failure("InputSchema", broken) if broken else None
        text = ""
        if failure is None:
            try:
                text = encode_item(command)
            except PayloadError as error:
                if not is_action:
                    raise
                failure = Failure("Unsendable", str(error))
        if failure is None:
            yield command, text
        else:
            yield from self._decide(Unsendable(at, effect.command, failure))

    async def _hear(self, reply: Reply) -> None:
        self._replies.append(reply)
        event = replied(reply, self._at)
        step = self._definition.by_name[reply.step]
        if reply.kind is Kind.ACTION and reply.answer == "succeeded" and step.output_schema is not None:
            event = replace(event, fault=violation(step.output_schema, reply.result))
        await self._happen(event, _sentence(reply))

    async def _cancel(self, one: Cancel) -> None:
        await self._happen(CancelRequested(self._at, "test", one.reason), f"somebody cancels: {one.reason}")

    # -- the participants --------------------------------------------------------------------------------------------

    async def _deliver(self, command: Command, text: str) -> None:
        """Bring a command to its participant and its replies on their way, with the trouble that was asked for."""
        if self._strikes("lose_command", command):
            self._tell(f"  lost: the command {command.handler} of {command.step}", timed=False)
            return
        (arrived,) = decode(frame("commands", [text]))
        if not isinstance(arrived, Command):
            raise AssertionError(f"the coordinator would send what can't be read: {arrived}")
        times = 2 if self._strikes("duplicate_command", command) else 1
        for _ in range(times):
            await self._answer(arrived)

    async def _answer(self, command: Command) -> None:
        participant = self._cast[command.participant]
        handler = self._troubled(participant.handler_of(command), command)
        reply = await participant.inbox.answer(command, handler, participant.worker)
        (heard,) = decode(frame("replies", [encode_item(reply)]))
        if not isinstance(heard, Reply):
            raise AssertionError(f"{participant.name} answered what can't be read: {heard}")
        if self._strikes("lose_reply", command):
            self._tell(f"  lost: {_sentence(heard)}", timed=False)
            return
        delayed = self._strikes("delay_reply", command)
        due = self._at + timedelta(seconds=delayed.seconds if delayed else 0.0)
        for _ in range(2 if self._strikes("duplicate_reply", command) else 1):
            self._expect(due, heard)

    def _troubled(self, handler: Handler, command: Command) -> Handler:
        """The handler, or one that fails in its place. It counts as trouble only if the inbox lets it run."""
        trouble = None if command.inquire else self._next(command, "refuse") or self._next(command, "fail")
        if trouble is None or trouble.error is None:
            return handler
        struck, error = trouble, trouble.error

        async def function(**given: Any) -> None:
            struck.left -= 1
            if struck.after_the_work:
                await handler.function(**given)
            raise error

        if struck.after_the_work:
            return replace(handler, function=function)
        return replace(handler, function=function, wants=frozenset(), models={})

    def _next(self, command: Command, what: What) -> Trouble | None:
        for trouble in self._troubles:
            if trouble.what == what and trouble.left and (trouble.step, trouble.of) == (command.step, command.kind):
                return trouble
        return None

    def _strikes(self, what: What, command: Command) -> Trouble | None:
        trouble = self._next(command, what)
        if trouble:
            trouble.left -= 1
        return trouble

    # -- bookkeeping -------------------------------------------------------------------------------------------------

    def _expect(self, at: datetime, what: Reply | Cancel) -> None:
        self._arrived += 1
        heapq.heappush(self._arrivals, _Arrival(at, 0 if isinstance(what, Cancel) else 1, self._arrived, what))

    def _tell(self, line: str, *, timed: bool = True) -> None:
        seconds = (self._at - self._began).total_seconds()
        self._lines.append(f"{f'{seconds:.1f} s' if timed else '':>12}  {line}")

    def _played(self) -> PlayedSaga:
        saga, wait = self._saga, waiting_on(self._definition, self._saga)
        runs = {step.name: saga.step(step.name) for step in self._definition.steps}
        unmet = [_named(trouble) for trouble in self._troubles if trouble.missed]
        left = [f"{one.step}: {one.because}" + (f", {one.message}" if one.message else "") for one in saga.effects_left]
        self._tell(f"the saga is {saga.status}" + (f" ({saga.cause})" if saga.cause else ""))
        return PlayedSaga(
            id=saga.id,
            status=str(saga.status),
            cause=str(saga.cause) if saga.cause else None,
            steps={name: str(run.status) for name, run in runs.items()},
            results={name: run.result for name, run in runs.items() if run.happened},
            attempts={name: run.attempt for name, run in runs.items()},
            commands=tuple(self._commands),
            replies=tuple(self._replies),
            incidents=tuple(self._incidents),
            effects_left=tuple(left),
            waiting_on=f"{wait.kind}: {wait.step} ({wait.message})" if wait else None,
            seconds=(self._at - self._began).total_seconds(),
            unmet=(*unmet, *("cancel" for _ in self._cancels), *(f"cancel ({why})" for why in self._refused)),
            timeline="\n".join(self._lines),
        )


def _check_places(definition: SagaDefinition, troubles: Sequence[Trouble], cancels: Sequence[Cancel]) -> None:
    named = {one.step for one in troubles} | {name for one in cancels for name in (one.during, one.after) if name}
    strangers = sorted(named - set(definition.by_name))
    if strangers:
        raise ValueError(f"{definition.name} has no step {', '.join(strangers)}")
    for one in troubles:
        if one.of == "compensation" and definition.by_name[one.step].compensation is None:
            raise ValueError(f"the step {one.step} has no compensation")


def _named(trouble: Trouble) -> str:
    times = "" if trouble.times in (1, ever) else f", times={trouble.times}"
    return f"{trouble.what}({trouble.step!r}{times}{', of=compensation' if trouble.of == 'compensation' else ''})"


def _sentence(reply: Reply) -> str:
    asked = "asked about" if reply.inquire else "says of"
    said = reply.undone or reply.answer
    value = reply.error.message if reply.error else "" if reply.result is None else json.dumps(reply.result)
    text = f"{reply.participant} {asked} {reply.step} ({reply.kind}, attempt {reply.attempt}): {said} {value}".rstrip()
    return text if len(text) <= 2 * shown_chars_max else f"{text[: 2 * shown_chars_max]}…"
