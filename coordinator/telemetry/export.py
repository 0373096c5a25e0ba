"""Where spans go: to a collector over OTLP/HTTP if one is named, else nowhere, at no cost.

A collector that is away is told of once, not at every batch, and never holds up the end of a process.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from threading import Thread

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

from coordinator.telemetry import release
from coordinator.telemetry.span import FinishedSpan

log = logging.getLogger(__name__)

shutdown_seconds = 2.0
error_chars_max = 500

_epoch = datetime.fromtimestamp(0, UTC)
_sampled = TraceFlags(TraceFlags.SAMPLED)
# Where OpenTelemetry speaks of each batch it can't send and of its retries, and of a queue that is full.
_exporter_log = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")
_queue_log = logging.getLogger("opentelemetry.sdk._shared_internal")


class Telemetry:
    """Emits spans that are over, and provides tracers for those that run in this process."""

    def __init__(self, resource: Resource, exporter: SpanExporter | None = None) -> None:
        self._resource = resource
        self._scope = InstrumentationScope("amends.coordinator", release())
        self._exporter = _TellingExporter(exporter) if exporter else None
        self._processor = BatchSpanProcessor(self._exporter) if self._exporter else None
        # Its own end is at ours, not at the interpreter's, where it would wait for 30 s.
        self.provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        if self._processor:
            self.provider.add_span_processor(self._processor)

    @property
    def enabled(self) -> bool:
        """Whether spans go anywhere."""
        return self._processor is not None

    def emit(self, span: FinishedSpan) -> None:
        """Queue a span for export. Never waits: what finds no room in the queue is dropped."""
        if self._processor:
            self._processor.on_end(_readable(span, self._resource, self._scope))

    def flush(self) -> None:
        """Export what is queued, now, in this thread."""
        if self._processor:
            self._processor.force_flush()

    def shutdown(self, *, seconds: float = shutdown_seconds) -> None:
        """Export what is queued and end, in bounded time whatever the collector does. To be called from a thread."""
        if self._processor is None or self._exporter is None:
            return
        ending = Thread(target=self._processor.shutdown, name="telemetry ends", daemon=True)
        ending.start()
        ending.join(seconds * 0.75)
        if ending.is_alive():
            log.warning("The collector did not take the last spans in time", extra={"action": "telemetry.not_flushed"})
            self._exporter.shutdown()  # which ends its waiting between retries, and drops what is queued
            ending.join(seconds * 0.25)


class _TellingExporter(SpanExporter):
    """Says once that spans can't be exported, and once that they can be again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._failing = False
        self._ended = False
        self._ear = _Ear.of(_exporter_log)
        _queue_log.addFilter(self._hush_failing)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE if self._ended else self._exporter.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._failing and not self._ended:
            log.warning(
                "Spans can't be exported and are dropped until they can: %s",
                self._ear.last_words,
                extra={"action": "telemetry.export_failing"},
            )
        elif self._failing and not failed:
            log.info("Spans are exported again", extra={"action": "telemetry.export_recovered"})
        self._failing = failed
        return result

    def shutdown(self) -> None:
        if not self._ended:
            self._ended = True
            self._exporter.shutdown()
            _queue_log.removeFilter(self._hush_failing)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)

    def _hush_failing(self, record: logging.LogRecord) -> bool:
        """That the queue overflows is news only while the collector is there, and merely too slow."""
        return not self._failing


class _Ear(logging.Filter):
    """Keeps the last words of a logger to itself, for our one line about them. A process needs but one."""

    last_words = ""

    @classmethod
    def of(cls, logger: logging.Logger) -> _Ear:
        for there in logger.filters:
            if isinstance(there, cls):
                return there
        ear = cls()
        logger.addFilter(ear)
        return ear

    def filter(self, record: logging.LogRecord) -> bool:
        self.last_words = record.getMessage()
        return False


def configure(service_name: str, endpoint: str | None, *, install: bool = True) -> Telemetry:
    """Set up tracing for this process. Without an endpoint (and none in the environment) nothing is exported.

    `endpoint` is the collector's base URL, as in OTEL_EXPORTER_OTLP_ENDPOINT. The other standard OTEL_* variables are
    honoured by OpenTelemetry itself; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before `service_name`. With
    `install` the tracers of this process lead here as well, unless somebody has already set up others.
    """
    told = OTELResourceDetector().detect()
    resource = Resource.create({SERVICE_NAME: service_name, SERVICE_VERSION: release()}).merge(told)
    telemetry = Telemetry(resource, _exporter(endpoint))
    if install and telemetry.enabled and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(telemetry.provider)
    return telemetry


def _exporter(endpoint: str | None) -> SpanExporter | None:
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if disabled or os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return None
    traces = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    base = endpoint or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if not traces and not base:
        return None
    # A third of a second to import, which only those pay who export.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=traces or f"{str(base).rstrip('/')}/v1/traces")


def _readable(span: FinishedSpan, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    """The span as OpenTelemetry's exporters take it."""
    trace_id = int(span.trace_id, 16)

    def context(span_id: str) -> SpanContext:
        return SpanContext(trace_id, int(span_id, 16), is_remote=False, trace_flags=_sampled)

    return ReadableSpan(
        name=span.name,
        context=context(span.span_id),
        parent=context(span.parent_id) if span.parent_id else None,
        resource=resource,
        attributes=dict(span.attributes),
        links=[Link(context(link.span_id), {"saga.relation": link.relation}) for link in span.links],
        kind=span.kind,
        status=Status(StatusCode.UNSET)
        if span.error is None
        else Status(StatusCode.ERROR, span.error[:error_chars_max]),
        start_time=_nanoseconds(span.start),
        end_time=_nanoseconds(max(span.start, span.end)),
        instrumentation_scope=scope,
    )


def _nanoseconds(at: datetime) -> int:
    return (at - _epoch) // timedelta(microseconds=1) * 1000
