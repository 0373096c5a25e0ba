"""What people write on a command line, as values: JSON, lengths of time, moments, reasons."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import typer

from coordinator.cli.telling import fail, usage_code

_length = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_seconds_of = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def json_of(text: str, name: str) -> Any:
    """JSON as it is written, or in a file (@file), or on standard input (-)."""
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        return json.loads(text)
    except OSError as error:
        fail(f"{text}: {error.strerror}", usage_code)
    except ValueError as error:
        fail(f"--{name} is not JSON: {error}", usage_code)


def seconds_of(text: str, name: str) -> float:
    """A length of time: 90, 90s, 10m, 2h, 1d."""
    found = _length.fullmatch(text.strip())
    if found is None:
        fail(f"--{name} {text}: a length of time is written 90s, 10m, 2h or 1d", usage_code)
    return float(found[1]) * _seconds_of[found[2] or "s"]


def moment_of(text: str, name: str) -> str:
    """A moment, as the API takes it: 2030-01-31T12:00:00Z, or how long ago it was, as 2h."""
    if _length.fullmatch(text.strip()):
        return (datetime.now(UTC) - timedelta(seconds=seconds_of(text, name))).isoformat()
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        fail(f"--{name} {text}: write a moment as 2030-01-31T12:00:00Z, or how long ago it was, as 2h", usage_code)
    return at.astimezone().isoformat()


def reason_of(reason: str | None) -> str:
    """Why, which is kept: asked for where it was not said and somebody is there to be asked."""
    if reason is None and sys.stdin.isatty():
        reason = str(typer.prompt("Why? It is kept in the history"))
    if not reason or not reason.strip():
        fail(
            "say why with --reason: this overrides what would happen by itself, and is kept in the history", usage_code
        )
    return reason
