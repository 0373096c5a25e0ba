"""The span of a handler: inside the trace of the saga that its command carries."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    NonRecordingSpan,
    NoOpTracerProvider,
    ProxyTracerProvider,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from amends.codes import quietly
from amends.failure import said_by, type_of
from amends.message import Command, error_chars_max

_propagator = TraceContextTextMapPropagator()
_published_at: ContextVar[float | None] = ContextVar("published_at", default=None)
_nowhere = (ProxyTracerProvider, NoOpTracerProvider)  # what there is where nobody has set up tracing


def arrived(published_at: float | None) -> None:
    """What this task works on next was published then: how long it waited is told of its handler."""
    _published_at.set(published_at)


class _Untraced(NonRecordingSpan):
    """Stands where nobody records spans: the command's own context, read only if somebody wants to hand it on."""

    def __init__(self, command: Command) -> None:
        super().__init__(INVALID_SPAN_CONTEXT)
        self._command = command

    def get_span_context(self) -> SpanContext:
        return trace.get_current_span(_context_of(self._command)).get_span_context()


def _context_of(command: Command) -> Context:
    """Empty but for the command's trace: whatever span happens to be current in this worker is not its parent."""
    carrier = {} if command.traceparent is None else {"traceparent": command.traceparent}
    return _propagator.extract(carrier, Context())


@contextmanager
def handler_span(command: Command) -> Iterator[Span]:
    """Open the span `process <participant>.<handler>` under the command's trace context, and link to it."""
    if isinstance(trace.get_tracer_provider(), _nowhere):
        untraced = _Untraced(command)
        token = attach(trace.set_span_in_context(untraced))
        try:
            yield untraced
        finally:
            detach(token)
        return
    context = _context_of(command)
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
    if not span.is_recording():
        return
    quietly(span.record_exception, error, None)
    span.set_status(Status(StatusCode.ERROR, f"{type_of(error)}: {said_by(error, error_chars_max)}"[:500]))


def traceparent_of(span: Span, command: Command) -> str | None:
    """What the reply carries: this span where it is recorded, else the command's own context."""
    if isinstance(span, _Untraced):
        return command.traceparent
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, trace.set_span_in_context(span, Context()))
    return carrier.get("traceparent", command.traceparent)
