"""The span of a handler: inside the trace of the saga that its command carries."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from amends.codes import quietly
from amends.failure import said_by, type_of
from amends.message import Command, error_chars_max

_propagator = TraceContextTextMapPropagator()
_published_at: ContextVar[float | None] = ContextVar("published_at", default=None)


def arrived(published_at: float | None) -> None:
    """What this task works on next was published then: how long it waited is told of its handler."""
    _published_at.set(published_at)


@contextmanager
def handler_span(command: Command) -> Iterator[Span]:
    """Open the span `process <participant>.<handler>` under the command's trace context, and link to it."""
    # The context starts empty: whatever span happens to be current in this worker is not this command's parent.
    carrier = {} if command.traceparent is None else {"traceparent": command.traceparent}
    context = _propagator.extract(carrier, Context())
    parent = trace.get_current_span(context).get_span_context()
    with trace.get_tracer("amends").start_as_current_span(
        f"process {command.participant}.{command.handler}",
        context=context,
        kind=SpanKind.CONSUMER,
        links=[Link(parent)] if parent.is_valid else None,
        attributes={
            "messaging.system": "amends",
            "messaging.operation.type": "process",
            "messaging.operation.name": "process",
            "messaging.destination.name": command.participant,
            "messaging.message.id": command.id,
            "saga.id": command.saga_id,
            "saga.name": command.saga,
            "saga.step": command.step,
            "saga.iteration": command.iteration,
            "saga.kind": command.kind.value,
            "saga.epoch": command.epoch,
            "saga.attempt": command.attempt,
            "saga.participant": command.participant,
            "saga.handler": command.handler,
            **_waits(command),
        },
        record_exception=False,  # `mark_failed` does, for every end that isn't a success
        set_status_on_exception=False,
    ) as span:
        yield span


def _waits(command: Command) -> dict[str, float]:
    """How long a command waited: in the outbox, by the coordinator's clock; from then on until its handler's turn, by
    that and this one's, which may differ."""
    published_at = _published_at.get()
    if published_at is None:
        return {}
    outbox = published_at - command.issued_at.timestamp()
    return {
        "saga.outbox_seconds": round(max(0.0, outbox), 3),
        "saga.queue_seconds": round(max(0.0, time.time() - published_at), 3),
    }


def mark_failed(span: Span, error: BaseException) -> None:
    """The handler did not succeed, and why."""
    quietly(span.record_exception, error, None)
    span.set_status(Status(StatusCode.ERROR, f"{type_of(error)}: {said_by(error, error_chars_max)}"[:500]))


def traceparent_of(span: Span, command: Command) -> str | None:
    """What the reply carries: this span where it is recorded, else the command's own context."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, trace.set_span_in_context(span, Context()))
    return carrier.get("traceparent", command.traceparent)
