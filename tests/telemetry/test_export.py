"""Where spans go, what happens when they can't, and that a process ends in time whatever the collector does."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from coordinator.building import build
from coordinator.config import Settings
from coordinator.telemetry import release
from coordinator.telemetry.export import Telemetry, configure
from coordinator.telemetry.span import FinishedSpan, SpanLink
from coordinator.tracing import SagaTracing
from tests.telemetry.receiver import Receiver

dawn = datetime(2026, 1, 1, tzinfo=UTC)
trace_id = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port at which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def span(name: str = "wait") -> FinishedSpan:
    return FinishedSpan(trace_id, "b7ad6b7169203331", None, name, dawn, dawn + timedelta(seconds=1))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_span_arrives_as_it_was_told(receiver: Receiver) -> None:
    telemetry = configure("shop", receiver.url, install=False)
    telemetry.emit(
        FinishedSpan(
            trace_id,
            "b7ad6b7169203331",
            "00f067aa0ba902b7",
            "charge payment.charge",
            dawn,
            dawn + timedelta(microseconds=1_500_001),
            SpanKind.CLIENT,
            {"saga.attempt": 2, "saga.tags": ("a", "b")},
            (SpanLink("53995c3f42cd8ad8", "repeats"),),
            error="CardDeclined: " + "x" * 1000,
        )
    )
    telemetry.shutdown()
    (received,) = receiver.spans
    assert (received.service, received.name, received.kind) == ("shop", "charge payment.charge", "client")
    assert (received.trace_id, received.parent_id) == (trace_id, "00f067aa0ba902b7")
    assert (received.start, received.end - received.start) == (int(dawn.timestamp()) * 10**9, 1_500_001_000)
    assert received.attributes == {"saga.attempt": 2, "saga.tags": ["a", "b"]}
    assert received.links == (("repeats", "53995c3f42cd8ad8"),)
    assert received.error == ("CardDeclined: " + "x" * 1000)[:500]


def test_without_an_endpoint_nothing_is_exported_and_no_thread_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[object] = []
    monkeypatch.setattr(trace, "set_tracer_provider", installed.append)
    before = threading.active_count()
    telemetry = configure("shop", None)
    telemetry.emit(span())
    telemetry.flush()
    telemetry.shutdown()
    assert (telemetry.enabled, threading.active_count(), installed) == (False, before, [])


async def test_an_app_without_an_endpoint_is_not_looked_at(sqlite_url: str) -> None:
    app = await build(Settings(database_url=sqlite_url))
    try:
        assert app.telemetry
        assert not app.telemetry.enabled
        lookers_on = [getattr(one, "__self__", None) for one in app.engine._observers]
        assert not any(isinstance(one, SagaTracing) for one in lookers_on)
        assert app.relay._tell_confirmed == []
    finally:
        await app.broker.close()
        await app.database.close()


@pytest.mark.parametrize(("name", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")])
def test_the_standard_switches_turn_it_off(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert not configure("shop", "http://127.0.0.1:4318").enabled


def test_the_standard_variables_are_honoured(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "another")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{receiver.url}/v1/traces")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=checkout")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    telemetry = configure("shop", None, install=False)
    telemetry.emit(span())
    telemetry.shutdown()
    assert [received.service for received in receiver.spans] == ["another"]
    assert (receiver.headers[0]["x-team"], receiver.headers[0]["content-encoding"]) == ("checkout", "gzip")
    assert telemetry.provider.resource.attributes["service.version"] == release()


def test_spans_of_this_process_go_the_same_way(receiver: Receiver) -> None:
    telemetry = configure("shop", receiver.url, install=False)
    with telemetry.provider.get_tracer("amends").start_as_current_span("process payment.charge"):
        pass
    telemetry.shutdown()
    assert [received.name for received in receiver.spans] == ["process payment.charge"]


def test_a_collector_that_is_away_holds_nothing_up(closed_port: int, caplog: pytest.LogCaptureFixture) -> None:
    telemetry = configure("shop", f"http://127.0.0.1:{closed_port}", install=False)
    for _ in range(5_000):  # more than the queue holds
        telemetry.emit(span())
    began = time.monotonic()
    telemetry.shutdown()
    assert time.monotonic() - began < 2.5
    assert warnings(caplog) == ["Queue full, dropping Span.", "The collector did not take the last spans in time"]


def test_a_collector_that_hangs_holds_nothing_up(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        telemetry = configure("shop", f"http://127.0.0.1:{deaf.getsockname()[1]}", install=False)
        telemetry.emit(span())
        began = time.monotonic()
        telemetry.shutdown()
        assert time.monotonic() - began < 2.5
    assert warnings(caplog) == ["The collector did not take the last spans in time"]


def test_an_outage_of_the_collector_is_told_once_and_so_is_its_end(
    receiver: Receiver, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    receiver.status = 400
    for _ in range(3):
        telemetry.emit(span("lost"))
        telemetry.flush()
    (told,) = warnings(caplog)
    assert told.startswith("Spans can't be exported and are dropped until they can: ")
    assert told.endswith("code: 400, reason: Bad Request")
    receiver.status = 200
    for _ in range(3):
        telemetry.emit(span("kept"))
        telemetry.flush()
    assert [received.name for received in receiver.spans] == ["kept"] * 3
    assert [record.message for record in caplog.records].count("Spans are exported again") == 1


def test_a_provider_that_is_there_is_left(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[object] = []
    monkeypatch.setattr(trace, "set_tracer_provider", installed.append)
    monkeypatch.setattr(trace, "get_tracer_provider", trace.NoOpTracerProvider)
    configure("shop", receiver.url).shutdown()
    assert installed == []
    monkeypatch.setattr(trace, "get_tracer_provider", trace.ProxyTracerProvider)
    telemetry = configure("shop", receiver.url)
    telemetry.shutdown()
    assert installed == [telemetry.provider]
