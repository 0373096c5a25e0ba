"""How the commands speak: JSON for machines, lines for people, and errors with an exit code saying whose they are.

    0   it was done, or it is as it should be        4   there is no such thing
    1   the coordinator said no, or a check failed   5   the saga has ended, and not completed
    2   the command line or a setting makes no sense 6   the time given for waiting was over
    3   nobody answered

With `-o json` the answer is one document on standard output, and an error is one on standard error.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from enum import StrEnum
from typing import Any, NoReturn, TypeVar

import typer

from amends.errors import CoordinatorUnavailable, DefinitionError, ProblemError

Answer = TypeVar("Answer")

refused_code = 1
usage_code = 2
unavailable_code = 3
unknown_code = 4
not_completed_code = 5
too_late_code = 6

# A word of a status at a terminal: its colour says nothing that the word does not.
_colours = {
    **dict.fromkeys(("completed", "succeeded", "ok", "live", "done"), typer.colors.GREEN),
    **dict.fromkeys(("blocked", "failed", "refused", "fail", "parked", "dead"), typer.colors.RED),
    **dict.fromkeys(("compensating", "compensated", "closed", "waived", "warn", "paused"), typer.colors.YELLOW),
    **dict.fromkeys(("running", "dispatched", "waiting"), typer.colors.CYAN),
}


class Form(StrEnum):
    """How an answer is told."""

    TEXT = "text"
    JSON = "json"


def tell(value: Any, form: Form, lines: Callable[[Any], Sequence[str]]) -> None:
    """Print an answer: the API's JSON, or these lines."""
    if form is Form.JSON:
        print(json_text(value))
        return
    coloured = colours_wanted()
    for line in lines(value):
        print(_coloured(plain(line)) if coloured else plain(line))


def json_text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=not _speaks_unicode())


def _speaks_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def colours_wanted() -> bool:
    """Whether somebody looks at a terminal, and has not asked for none (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _coloured(line: str) -> str:
    """The line with words of a status in their colour: where they stand alone in a column, or first."""
    cells = line.split("  ")
    return "  ".join(typer.style(cell, fg=_colours[cell]) if cell in _colours else cell for cell in cells)


def plain(text: str) -> str:
    """Without what would move a terminal's cursor, colour it, or turn its text around: names come from anywhere."""
    return "".join(character if character.isprintable() else "?" for character in text)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows in columns."""
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = [(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return ["  ".join(row).rstrip() for row in padded]


def columns(items: Sequence[Mapping[str, Any]], names: Sequence[str], none: str) -> list[str]:
    """One line per item under these names, or what there is none of."""
    if not items:
        return [none]
    return table([names, *(tuple(text_of(item, name) for name in names) for item in items)])


def text_of(value: Mapping[str, Any], name: str) -> str:
    """What stands under a name, in one cell."""
    match value.get(name):
        case None:
            return "-"
        case bool(found):
            return "yes" if found else "no"
        case list(found):
            return ", ".join(str(item) for item in found) or "-"
        case found:
            return str(found)


def short(text: str, chars_max: int) -> str:
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"


def run(work: Coroutine[Any, Any, Answer], form: Form = Form.TEXT) -> Answer:
    """Run a command's work to its end, and turn its errors into sentences and exit codes."""
    try:
        return asyncio.run(work)
    except DefinitionError as error:
        fail("the definition was refused", refused_code, form, faults=error.faults, beside=_faults(error))
    except ProblemError as error:
        allowed = f"; possible now: {', '.join(error.allowed) or 'nothing'}" if error.allowed is not None else ""
        sentence = f"{error.title}: {error.detail}{allowed}" if error.title else str(error)
        problem = {"type": error.type, "status": error.status, "errors": error.errors, "allowed": error.allowed}
        beside = [f"{item.get('pointer') or item.get('parameter') or ''} {item.get('detail')}" for item in error.errors]
        fail(sentence, code_of(error), form, problem=problem, beside=beside)
    except CoordinatorUnavailable as error:
        fail(f"{error}. Is it running? `amends dev` starts one.", unavailable_code, form)
    except TimeoutError as error:
        fail(str(error), too_late_code, form)


def code_of(error: ProblemError) -> int:
    return unknown_code if error.status == 404 else refused_code


def _faults(error: DefinitionError) -> list[str]:
    found = []
    for fault in error.faults:
        step = f" (step {fault['step']})" if fault.get("step") else ""
        found.append(f"{fault.get('rule')}{step}: {fault.get('message')}; {fault.get('hint')}")
    return found


def fail(sentence: str, code: int, form: Form = Form.TEXT, *, beside: Sequence[str] = (), **facts: Any) -> NoReturn:
    """Say what is wrong, with what is known `beside` it, and end."""
    if form is Form.JSON:
        print(json_text({"error": sentence, "exit_code": code, **facts}), file=sys.stderr)
    else:
        for line in (*beside, f"amends: {sentence}"):
            print(plain(line.strip()), file=sys.stderr)
    raise typer.Exit(code)
