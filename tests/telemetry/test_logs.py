"""What a process logs, for people and for machines, and that no message can pretend to be more than one line."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider

from coordinator.telemetry.logs import configure_logging, value_chars_max

log = logging.getLogger("coordinator.engine")


@pytest.fixture(autouse=True)
def root_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def test_a_json_line_has_the_message_and_what_was_given_beside_it(stream: io.StringIO) -> None:
    configure_logging("json", "INFO", stream)
    log.warning("Saga %s: stuck", "s1", extra={"action": "incident.blocked", "saga_id": "s1", "step": None, "tries": 2})
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "WARNING",
        "logger": "coordinator.engine",
        "message": "Saga s1: stuck",
        "action": "incident.blocked",
        "saga_id": "s1",
        "step": None,
        "tries": 2,
    }


def test_a_text_line_can_be_read(stream: io.StringIO) -> None:
    configure_logging("text", "info", stream)
    log.warning("Saga %s: stuck", "s1", extra={"action": "incident.blocked", "saga_id": "s1", "step": None})
    _, _, rest = stream.getvalue().partition(" ")
    assert rest == "WARNING  coordinator.engine: Saga s1: stuck  | action=incident.blocked saga_id=s1\n"


def test_a_line_knows_the_trace_it_belongs_to(stream: io.StringIO) -> None:
    configure_logging("json", "INFO", stream)
    with TracerProvider().get_tracer("test").start_as_current_span("work") as span:
        log.info("inside")
        log.info("of another", extra={"trace_id": "abc"})
    inside, other = (json.loads(line) for line in stream.getvalue().splitlines())
    assert inside["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert inside["span_id"] == f"{span.get_span_context().span_id:016x}"
    assert other["trace_id"] == "abc"


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_message_can_not_forge_a_line(stream: io.StringIO, format: str) -> None:  # noqa: A002
    evil = "card\n2026-01-01 CRITICAL all is lost\r\x1b[2J\x00\x9b31m\u2028next\u202egnp"
    configure_logging("text" if format == "text" else "json", "INFO", stream)
    log.error("Failed: %s", evil, extra={"step": evil})
    try:
        raise ValueError(evil)
    except ValueError:
        log.exception("Failed")
    lines = stream.getvalue().split("\n")
    assert not set(stream.getvalue()) & {"\r", "\x1b", "\x00", "\x9b", "\u2028", "\u202e"}
    assert not [line for line in lines if line.startswith("2026-01-01 CRITICAL")]
    if format == "json":
        shown = [json.loads(line) for line in lines if line]
        assert [line["message"] for line in shown] == [f"Failed: {evil}", "Failed"]
        assert shown[1]["exception"].startswith("Traceback")
    else:
        assert "card\\x0a2026-01-01" in lines[0]
        assert all(line.startswith("    ") for line in lines[2:] if line)


def test_values_are_bounded_and_never_break_a_line(stream: io.StringIO) -> None:
    configure_logging("json", "INFO", stream)
    log.info("x" * 100_000, extra={"step": "y" * 100_000, "thing": object(), "several": ("a", 1)})
    line = json.loads(stream.getvalue())
    assert len(line["message"]) == 16 * 1024
    assert len(line["step"]) == value_chars_max
    assert line["thing"].startswith("<object")
    assert line["several"] == "('a', 1)"


def test_it_can_be_configured_again_and_leaves_the_handlers_of_others(stream: io.StringIO) -> None:
    other = logging.NullHandler()
    root = logging.getLogger()
    root.addHandler(other)
    configure_logging("text", "INFO", io.StringIO())
    configure_logging("json", "WARNING", stream)
    log.info("not said")
    log.warning("said once")
    assert len(stream.getvalue().splitlines()) == 1
    assert other in root.handlers


@pytest.mark.parametrize(("format", "level"), [("xml", "INFO"), ("text", "LOUD")])
def test_what_there_is_not_is_refused(format: str, level: str) -> None:  # noqa: A002
    with pytest.raises(ValueError, match=r"xml|LOUD"):
        configure_logging(format, level)  # type: ignore[arg-type]
