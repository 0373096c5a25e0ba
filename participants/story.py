"""The telling of sagas as they happen: a line for each thing that becomes certain, in the order in which it does.

    ✓ it happened   ✗ it did not   ? nobody knows   ↩ it was undone   · for your ears only   ⚑ the end

It looks on at the engine and changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from amends import Reply
from coordinator.saga.decision import Decision, Incident, SendCommand
from coordinator.saga.definition import SagaDefinition, Step
from coordinator.saga.event import Answer, CommandId, Kind, Published, Replied, Started, Undone
from coordinator.saga.state import ClockKind, Direction, Saga, SagaStatus, StepRun, StepStatus

sagas_max = 10_000  # that are told side by side; beyond it the oldest is forgotten
_styles = {"✓": "green", "✗": "red", "?": "yellow", "↩": "cyan", "⚑": "bold", "!": "bold red", "·": "dim"}
_ends = {SagaStatus.COMPLETED: "bold green", SagaStatus.COMPENSATED: "bold cyan"}


@dataclass
class _Tale:
    """What is known of a saga that goes on."""

    created_at: datetime
    sent: dict[CommandId, datetime] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)  # steps with a reply that was dropped


class Telling:
    """An observer of the engine that tells every saga to a console. `titles` are headings by business key."""

    def __init__(self, console: Console, titles: Mapping[str, str]) -> None:
        self._console = console
        self._titles = titles
        self._tales: dict[str, _Tale] = {}
        self._ends: dict[str, asyncio.Future[Saga]] = {}

    async def end_of(self, saga_id: str) -> Saga:
        """Wait until a saga is final, or blocked; returns it."""
        return await self._end(saga_id)

    def observe(self, definition: SagaDefinition, before: Saga, decision: Decision) -> None:
        """One decision was committed: tell what it made certain."""
        event, after = decision.event, decision.saga
        if isinstance(event, Started):
            self._begin(definition, after)
        tale = self._tales.get(after.id)
        if tale is None:
            return
        if isinstance(event, Replied):
            self._tell_reply(tale, definition, before, after, event)
        else:
            self._tell_silence(tale, definition, before, after, event.at)
        if before.direction is Direction.FORWARD and after.direction is Direction.BACKWARD:
            self._say(tale, event.at, "↩", "turns back", about=f"because {after.cause}")
        for effect in decision.effects:
            if isinstance(effect, SendCommand):
                tale.sent[effect.command] = event.at
            if isinstance(effect, Incident):
                self._say(tale, event.at, "!", effect.step or "incident", about=effect.message)
        if isinstance(event, Published):
            tale.sent[event.command] = event.at
        if after.status is not before.status and (after.final or after.status is SagaStatus.BLOCKED):
            self._tell_end(tale, after, event.at)

    def lost(self, reply: Reply) -> None:
        """A reply was dropped on its way. The coordinator doesn't know."""
        tale = self._tales.get(reply.saga_id)
        if tale is not None:
            tale.lost.add(reply.step)
            self._say(tale, datetime.now(UTC), "·", reply.step, reply.participant, "did it, but its reply is lost")

    def _begin(self, definition: SagaDefinition, saga: Saga) -> None:
        self._tales[saga.id] = _Tale(saga.created_at)
        while len(self._tales) > sagas_max:
            del self._tales[next(iter(self._tales))]
        title = self._titles.get(saga.business_key or "", f"A saga of {definition.name}")
        self._console.print()
        self._console.print(Text.assemble((title, "bold"), (f"   {saga.id}", "dim")), soft_wrap=True)

    def _tell_reply(self, tale: _Tale, definition: SagaDefinition, before: Saga, after: Saga, reply: Replied) -> None:
        step, command = definition.by_name[reply.command.step], reply.command
        was, run = before.step(step.name), after.step(step.name)
        failure = reply.failure.message if reply.failure else reply.answer.value
        succeeded = reply.answer is Answer.SUCCEEDED
        if command.kind is Kind.COMPENSATION:
            if succeeded and run.status is StepStatus.COMPENSATED:
                mark, about = "↩", "nothing to undo" if reply.undone is Undone.NOTHING_TO_UNDO else ""
            elif not succeeded:
                mark, about = "✗", f"attempt {reply.attempt} to undo it: {failure}"
            else:
                return
        elif succeeded and run.happened and not was.happened:
            mark, about = "✓", f"by attempt {reply.attempt}" if reply.attempt > 1 else ""
            if step.name in tale.lost:
                about += ", which did nothing: the inbox told again what attempt 1 had done"
        elif reply.answer is Answer.REFUSED:
            mark, about = "✗", f"refused: {failure}"
        elif reply.answer is Answer.FAILED:
            mark, about = "✗", f"attempt {reply.attempt} failed: {failure}{_next(run, reply.at)}"
        else:
            return
        sent = tale.sent.pop(command, None)
        took = f"{(reply.at - sent).total_seconds() * 1000:.0f} ms" if sent else ""
        self._say(tale, reply.at, mark, step.name, _handler(step, command.kind), about, took)

    def _tell_silence(self, tale: _Tale, definition: SagaDefinition, before: Saga, after: Saga, at: datetime) -> None:
        """Say for which actions the wait for a reply has just ended without one."""
        for was in before.steps.values():
            run = after.step(was.name)
            waited = was.status is StepStatus.DISPATCHED and was.clock and was.clock.kind is ClockKind.TIMEOUT
            if waited and run.unclean and (run.status is not StepStatus.DISPATCHED or run.attempt != was.attempt):
                step = definition.by_name[was.name]
                about = f"no reply within {step.timeout_seconds:g} s: nobody knows whether it happened{_next(run, at)}"
                self._say(tale, at, "?", was.name, _handler(step, Kind.ACTION), about)

    def _tell_end(self, tale: _Tale, saga: Saga, at: datetime) -> None:
        left = [f"{effect.step} ({effect.because} {effect.message})" for effect in saga.effects_left]
        about = f"in {(at - saga.created_at).total_seconds():.2f} s"
        if left:
            about += f", effects left behind: {', '.join(left)}"
        elif saga.status is SagaStatus.COMPENSATED:
            about += ", no effect left behind"
        self._say(tale, at, "⚑", saga.status, about=about, style=_ends.get(saga.status, "bold red"))
        if saga.trace_id:
            self._console.print(Text(f"{'trace':>19} {saga.trace_id}", "dim"), soft_wrap=True)
        if saga.final:
            del self._tales[saga.id]
        end = self._end(saga.id)
        if not end.done():
            end.set_result(saga)

    def _end(self, saga_id: str) -> asyncio.Future[Saga]:
        if saga_id not in self._ends:
            self._ends[saga_id] = asyncio.get_running_loop().create_future()
            if len(self._ends) > sagas_max:
                del self._ends[next(iter(self._ends))]
        return self._ends[saga_id]

    def _say(
        self,
        tale: _Tale,
        at: datetime,
        mark: str,
        what: str,
        who: str = "",
        about: str = "",
        took: str = "",
        style: str = "",
    ) -> None:
        since = (at - tale.created_at).total_seconds()
        line = Text.assemble((f"  {since:7.3f} s ", "dim"), (f"{mark} {what:<16}", style or _styles[mark]))
        if who or took:
            line.append(f" {who:<20} {took:>7}", "dim")
        line.append(f"  {about}" if about else "")
        line.rstrip()
        self._console.print(line, soft_wrap=True)


def _handler(step: Step, kind: Kind) -> str:
    return f"{step.participant}.{step.action if kind is Kind.ACTION else step.compensation}"


def _next(run: StepRun, at: datetime) -> str:
    if run.status is StepStatus.WAITING and run.clock is not None:
        return f"; again in {(run.clock.due - at).total_seconds():.1f} s"
    return ""
