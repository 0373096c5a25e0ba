"""How this process logs: lines for people, or JSON objects for machines. A message can never forge a line.

What a log call gives as `extra` (action, saga_id, step, participant, …) stands beside the message, by its own name.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from opentelemetry import trace

message_chars_max = 16 * 1024
value_chars_max = 2 * 1024

_own = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}
# C0 and C1 controls, and the characters that end a line or turn its direction around: shown, not obeyed.
_controls = {
    code: f"\\u{code:04x}" if code > 0xFF else f"\\x{code:02x}"
    for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
_controls[0x09] = " "


def configure_logging(format: Literal["text", "json"], level: str, stream: TextIO | None = None) -> None:  # noqa: A002
    """Log to `stream` (standard output) from `level` on. May be called again; handlers of others stay.

    Raises ValueError for a level or a format there is not.
    """
    formatters = {"text": TextLines, "json": JsonLines}
    if format not in formatters:
        raise ValueError(f"a log format is text or json, not {format!r}")
    root = logging.getLogger()
    root.setLevel(level.upper())
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(formatters[format]())
    for earlier in [held for held in root.handlers if isinstance(held.formatter, TextLines | JsonLines)]:
        root.removeHandler(earlier)
    root.addHandler(handler)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, extras; trace_id and span_id where there are any."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            **dict(_facts(record)),
        }
        exception = _exception(self, record)
        if exception:
            line["exception"] = exception
        return json.dumps(line, ensure_ascii=True, default=str)


class TextLines(logging.Formatter):
    """Time, level, logger, message, and the extras as name=value. An exception follows, indented."""

    def format(self, record: logging.LogRecord) -> str:
        facts = "".join(f" {name}={value}" for name, value in _facts(record) if value is not None)
        line = f"{_time(record)} {record.levelname:<8} {record.name}: {_message(record)}{'  |' if facts else ''}{facts}"
        traceback = _exception(self, record).splitlines()
        return "\n".join([line.translate(_controls), *(f"    {text.translate(_controls)}" for text in traceback)])


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message(record: logging.LogRecord) -> str:
    return record.getMessage()[:message_chars_max]


def _facts(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    """The extras of a record, simple values as they are; the trace it belongs to."""
    given = {name: value for name, value in vars(record).items() if name not in _own}
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        given = {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}", **given}
    for name, value in given.items():
        simple = value is None or isinstance(value, bool | int | float)
        yield name, value if simple else str(value)[:value_chars_max]


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """The traceback of a record, if it has one."""
    parts = [formatter.formatException(record.exc_info)] if record.exc_info and record.exc_info[0] else []
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)[-message_chars_max:]
