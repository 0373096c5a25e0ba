"""What a saga's trace shows: each attempt from its dispatch to its reply, each wait in the outbox, and the whole.

    saga order                               the root, emitted when the saga is final
      charge payment.charge                  an attempt; its repetition links to it
        publish amends.commands              from the commit to the broker's confirm
        process payment.charge               the participant's own, by the command's traceparent
      ask charge payment.charge              an inquiry; links to the attempt it is about
      undo charge payment.refund             an attempt of a compensation; links to the action it undoes
      late reply                             a reply that no attempt was waiting for any more; links to its attempt

Spans are made when they are over, from a decision and the saga before it alone, under ids that were derived when the
command was sent. So no span is ever open, and it doesn't matter which coordinator sees its end.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from opentelemetry.trace import SpanKind

from coordinator.saga.clocks import current_key
from coordinator.saga.decision import Decision
from coordinator.saga.definition import SagaDefinition, Step
from coordinator.saga.event import Answer, CommandId, Event, Failure, Kind, Replied, Unsendable, Voided, Woke
from coordinator.saga.state import ClockKind, Saga, SagaStatus, StepRun
from coordinator.saga.transition import decide
from coordinator.store.values import OutboxRow
from coordinator.telemetry import attempt_span_id, span_id
from coordinator.telemetry.span import Attribute, FinishedSpan, SpanLink
from coordinator.wire import parse_key

log = logging.getLogger(__name__)

commands_exchange = "amends.commands"
_traceparent = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_troubled = frozenset({Answer.REFUSED, Answer.FAILED, Answer.FENCED, Answer.EXPIRED})


class SagaTracing:
    """Looks on as the engine commits and the relay publishes, and emits the spans that are thereby over.

    A fault in here is logged and goes no further: no span is worth a saga.
    """

    def __init__(
        self, emit: Callable[[FinishedSpan], None], *, messaging_system: str, public_url: str | None = None
    ) -> None:
        """`public_url` is where the dashboard is: with one, every span says where its saga's page is."""
        self._emit = emit
        self._messaging_system = messaging_system
        self._pages = f"{public_url.rstrip('/')}/sagas/" if public_url else None

    def observe(self, definition: SagaDefinition, before: Saga, decision: Decision) -> None:
        """An observer of the engine."""
        try:
            for span in spans_of(definition, before, decision):
                self._emit(self._paged(span, before.id))
        except Exception:
            log.exception("Saga %s could not be traced", before.id, extra={"action": "tracing.failed"})

    def confirmed(self, rows: Sequence[OutboxRow], at: datetime) -> None:
        """Told by the relay of one list of commands that the broker has confirmed."""
        try:
            for row in rows:
                span = publish_span(row, at, self._messaging_system, len(rows))
                if span:
                    self._emit(self._paged(span, row.saga_id))
        except Exception:
            log.exception("Publishing could not be traced", extra={"action": "tracing.failed"})

    def _paged(self, span: FinishedSpan, saga_id: str) -> FinishedSpan:
        if self._pages is None:
            return span
        return replace(span, attributes={**span.attributes, "saga.url": f"{self._pages}{saga_id}"})


def trace_of(definition: SagaDefinition, newborn: Saga, history: Iterable[Event]) -> Iterator[FinishedSpan]:
    """The trace of a saga as its history tells it, without what only the relay and the participants saw."""
    saga = newborn
    for event in history:
        decision = decide(definition, saga, event)
        yield from spans_of(definition, saga, decision)
        saga = decision.saga


def spans_of(definition: SagaDefinition, before: Saga, decision: Decision) -> Iterator[FinishedSpan]:
    """The spans that are over with this decision."""
    after, event = decision.saga, decision.event
    if not after.trace_id:
        return
    for name, run in after.steps.items():
        earlier = before.steps.get(name)
        if earlier is None or earlier is run:
            continue
        key = awaited(earlier)
        if key is not None and key != awaited(run):
            yield _Attempt(after, definition.by_name[name], earlier, key).span(event)
    if isinstance(event, Replied) and not _is_awaited(before.step(event.command.step), event):
        yield _late_reply(after, event)
    if after.final and not before.final:
        yield _root(after)


def awaited(run: StepRun) -> str | None:
    """The outbox key of the sending whose reply this step waits for; None while it waits for none."""
    if run.sent_at is None:
        return None
    if run.inquiry:
        return current_key(run) if run.inquiry.tries and run.clock else None
    waits = run.clock is not None and run.clock.kind in (ClockKind.TIMEOUT, ClockKind.GRACE)
    # A pause may hold back the next sending of an attempt that is in progress at the participant: it goes on.
    return current_key(run) if waits or run.deferred else None


def _answers(reply: Replied, key: str) -> bool:
    """Whether this is a reply to that sending. An answer to any try of an inquiry is one to the last."""
    own = f"{reply.command}/{reply.attempt}"
    return key.startswith(f"{own}/") if reply.inquire else key == own


def _is_awaited(run: StepRun, reply: Replied) -> bool:
    key = awaited(run)
    return key is not None and _answers(reply, key)


@dataclass(frozen=True, slots=True)
class _End:
    """How a sending ended: in a word, with what went wrong, and what else is known."""

    outcome: str
    error: str | None = None
    facts: tuple[tuple[str, Attribute], ...] = ()


class _Attempt:
    """A sending that is over: an attempt of an action or a compensation, or an inquiry."""

    def __init__(self, saga: Saga, step: Step, run: StepRun, key: str) -> None:
        self.saga, self.step, self.run, self.key = saga, step, run, key
        self.command, self.attempt = parse_key(key)
        self.inquiry = run.inquiry

    def span(self, event: Event) -> FinishedSpan:
        end = self._end(event)
        undo = self.command.kind is Kind.COMPENSATION
        handler = (self.step.compensation or "") if undo else self.step.action
        prefix = "ask " if self.inquiry else "undo " if undo else ""
        sent_at = self.run.sent_at or event.at
        asked: dict[str, Attribute] = {}
        if self.inquiry:
            asked = {"saga.inquiry": self.inquiry.tries, "saga.inquiry_purpose": self.inquiry.purpose.value}
        return FinishedSpan(
            self.saga.trace_id,
            attempt_span_id(self.saga.id, self.key, sent_at),
            span_id(self.saga.id),
            f"{prefix}{self.step.name} {self.step.participant}.{handler}",
            start=sent_at,
            end=event.at,
            kind=SpanKind.CLIENT,
            attributes={
                **_identity(self.saga),
                **_command(self.command, self.attempt),
                "saga.participant": self.step.participant,
                "saga.handler": handler,
                **asked,
                "saga.outcome": end.outcome,
                **dict(end.facts),
            },
            links=tuple(self._links()),
            error=end.error,
        )

    def _end(self, event: Event) -> _End:
        clock = self.run.clock
        match event:
            case Replied() if event.command.step != self.step.name:
                return _End("abandoned")  # another step's answer turned the saga
            case Replied() if _answers(event, self.key):
                return self._replied(event)
            case Replied():
                return _End("superseded")  # an earlier attempt was answered, which settled the step
            case Unsendable():
                return _End("unsendable", _said(event.failure), (("error.type", event.failure.type),))
            case Voided():
                return _End("voided")  # it never left the outbox
            case Woke() if clock is not None and clock.due <= event.at:
                return _End("timeout", "no reply in time", (("error.type", "timeout"),))
            case _:
                return _End("abandoned")

    def _replied(self, reply: Replied) -> _End:
        facts: dict[str, Attribute | None] = {
            "saga.effect": reply.effect.value if reply.effect else None,
            "saga.undone": reply.undone.value if reply.undone else None,
            "saga.worker": reply.worker or None,
            "saga.worker_version": reply.worker_version or None,
            "saga.handler_seconds": round(reply.duration_seconds, 3) if reply.duration_seconds else None,
            "error.type": reply.failure.type if reply.failure else None,
        }
        error = None
        if reply.fault:
            error = f"the result breaks its schema: {reply.fault}"
        elif reply.answer in _troubled and not self.inquiry:  # a question that was answered is no failure
            error = _said(reply.failure) if reply.failure else reply.answer.value
        known = tuple((name, value) for name, value in facts.items() if value is not None)
        return _End(reply.answer.value, error, known)

    def _links(self) -> Iterator[SpanLink]:
        """To what this repeats, undoes or asks about. Attempts are counted through all iterations and epochs: where it
        is not certain in which one another was sent, there is no link rather than one that leads nowhere."""
        run = self.run
        acted = run.attempt > 0 and (run.iteration == 0 or run.attempt > run.budget_from)
        action = span_id(self.saga.id, f"{CommandId(self.step.name, run.iteration)}/{run.attempt}")
        if self.inquiry:
            if acted:
                yield SpanLink(action, "asks about")
            return
        if self.command.kind is Kind.COMPENSATION:
            first, since = self.command.epoch == 0, run.undo_budget_from
        else:
            first, since = self.command.iteration == 0, run.budget_from
        if self.attempt > 1 and (first or self.attempt - 1 > since):
            yield SpanLink(span_id(self.saga.id, f"{self.command}/{self.attempt - 1}"), "repeats")
        if self.command.kind is Kind.COMPENSATION and acted:
            yield SpanLink(action, "undoes")


def _late_reply(saga: Saga, reply: Replied) -> FinishedSpan:
    run = saga.step(reply.command.step)
    undo = reply.command.kind is Kind.COMPENSATION
    sent, counted_from_one = (run.undo_attempt, run.epoch == 0) if undo else (run.attempt, run.iteration == 0)
    known = counted_from_one and reply.command == CommandId(run.name, run.iteration, reply.command.kind, 0)
    links: tuple[SpanLink, ...] = ()
    if known and 1 <= reply.attempt <= sent:
        links = (SpanLink(span_id(saga.id, f"{reply.command}/{reply.attempt}"), "answers"),)
    return FinishedSpan(
        saga.trace_id,
        span_id(saga.id, f"reply/{saga.revision}"),
        span_id(saga.id),
        "late reply",
        start=reply.at,
        end=reply.at,
        attributes={
            **_identity(saga),
            **_command(reply.command, reply.attempt),
            "saga.outcome": reply.answer.value,
            "saga.worker": reply.worker,
        },
        links=links,
    )


def _root(saga: Saga) -> FinishedSpan:
    attributes: dict[str, Attribute] = {**_identity(saga), "saga.status": saga.status.value}
    if saga.cause:
        attributes |= {"saga.cause": str(saga.cause), "saga.cause_kind": saga.cause.kind.value}
        if saga.cause.step:
            attributes["saga.cause_step"] = saga.cause.step
    if saga.business_key:
        attributes["saga.business_key"] = saga.business_key
    if saga.tags:
        attributes["saga.tags"] = saga.tags
    if saga.effects_left:
        attributes["saga.effects_left"] = tuple(left.step for left in saga.effects_left)
    error = None if saga.status is SagaStatus.COMPLETED else str(saga.cause or saga.status)
    return FinishedSpan(
        saga.trace_id,
        span_id(saga.id),
        None,
        f"saga {saga.definition}",
        start=saga.created_at,
        end=saga.finished_at or saga.created_at,
        attributes=attributes,
        error=error,
    )


def publish_span(row: OutboxRow, at: datetime, messaging_system: str, list_items: int) -> FinishedSpan | None:
    """The wait of one command in the outbox, until it was confirmed as one of a list. None if it carries no trace."""
    context = _traceparent.fullmatch(str(json.loads(row.body).get("traceparent")))
    if context is None:
        return None
    command, attempt = parse_key(row.key)
    facts: dict[str, Attribute] = {"messaging.batch.message_count": list_items} if list_items > 1 else {}
    return FinishedSpan(
        context[1],
        # An attempt that is in progress is sent again: the same key, another row.
        span_id(row.saga_id, f"publish/{row.key}@{row.created_at.isoformat()}"),
        context[2],
        f"publish {commands_exchange}",
        start=row.created_at,
        end=at,
        kind=SpanKind.PRODUCER,
        attributes={
            "messaging.system": messaging_system,
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
            "messaging.destination.name": f"{commands_exchange}:{row.participant}",
            "messaging.rabbitmq.destination.routing_key": row.participant,
            "messaging.message.id": f"{row.saga_id}/{command}",
            "messaging.message.conversation_id": row.saga_id,
            "messaging.message.body.size": len(row.body.encode()),
            **facts,
            "saga.id": row.saga_id,
            "saga.name": row.definition,
            **_command(command, attempt),
            "saga.participant": row.participant,
            "saga.outbox_seconds": round(max(0.0, (at - row.created_at).total_seconds()), 3),
        },
    )


def _identity(saga: Saga) -> dict[str, Attribute]:
    return {"saga.id": saga.id, "saga.name": saga.definition, "saga.version": saga.version}


def _command(command: CommandId, attempt: int) -> dict[str, Attribute]:
    return {
        "saga.step": command.step,
        "saga.iteration": command.iteration,
        "saga.kind": command.kind.value,
        "saga.epoch": command.epoch,
        "saga.attempt": attempt,
    }


def _said(failure: Failure) -> str:
    return f"{failure.type}: {failure.message}" if failure.message else failure.type
