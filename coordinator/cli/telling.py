"""How the commands speak: JSON for machines, lines for people, and errors with an exit code saying whose they are."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from amends.errors import CoordinatorUnavailable, DefinitionError, ProblemError

Answer = TypeVar("Answer")

refused_code = 1  # the coordinator said no
usage_code = 2  # the command line makes no sense
unavailable_code = 3  # nobody answered, or the wait was over


class Form(StrEnum):
    TEXT = "text"
    JSON = "json"


Output = Annotated[Form, typer.Option("-o", "--output", help="how to answer")]
Url = Annotated[str, typer.Option("--url", envvar="AMENDS_URL", help="where the coordinator is")]
url_default = "http://127.0.0.1:8274"


def tell(value: Any, output: Form, lines: Callable[[Any], Sequence[str]]) -> None:
    """Print an answer: the API's JSON, or these lines."""
    if output is Form.JSON:
        print(json.dumps(value, indent=2, ensure_ascii=not _speaks_unicode()))
        return
    for line in lines(value):
        print(plain(line))


def _speaks_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


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


def run(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Run a command's work to its end, and turn its errors into sentences and exit codes."""
    try:
        return asyncio.run(work)
    except DefinitionError as error:
        for fault in error.faults:
            step = f" (step {fault['step']})" if fault.get("step") else ""
            _complain(f"{fault.get('rule')}{step}: {fault.get('message')}; {fault.get('hint')}")
        fail("the definition was refused", refused_code)
    except ProblemError as error:
        for item in error.errors:
            _complain(f"{item.get('pointer') or item.get('parameter') or ''} {item.get('detail')}".strip())
        allowed = f"; possible now: {', '.join(error.allowed) or 'nothing'}" if error.allowed is not None else ""
        fail(f"{error.title}: {error.detail}{allowed}" if error.title else str(error), refused_code)
    except CoordinatorUnavailable as error:
        fail(f"{error}. Is it running? `amends dev` starts one.", unavailable_code)
    except TimeoutError as error:
        fail(str(error), unavailable_code)


def fail(sentence: str, code: int) -> NoReturn:
    _complain(f"amends: {sentence}")
    raise typer.Exit(code)


def _complain(sentence: str) -> None:
    print(plain(sentence), file=sys.stderr)


def text_of(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    return "-" if found is None else str(found)
