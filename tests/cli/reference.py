"""The reference of docs/cli.md, out of the commands themselves: `python -m tests.cli.reference` writes it anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from coordinator.cli import app

page = Path(__file__).parents[2] / "docs" / "cli.md"
begins = "<!-- from here on: python -m tests.cli.reference -->\n"
filters = "Which sagas"  # the panel of options that wherever they are mean the same: told once, of amends list
shared = ("--url", "--profile", "--api-key", "--as", "-o")


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its whole name."""
    below = getattr(command, "commands", None)
    if not below or command.invoke_without_command:
        yield name, command
    for word, inner in sorted((below or {}).items()):
        yield from commands(inner, f"{name} {word}")


def section(name: str, command: Any) -> Iterator[str]:
    """One command: what it does, and what it takes."""
    shown = [one for one in command.params if one.name != "help" and not set(one.opts) & set(shared)]
    arguments = [one for one in shown if one.param_type_name == "argument"]
    options = [one for one in shown if one.param_type_name == "option"]
    filtered = any(one.rich_help_panel == filters for one in options) and name != "amends list"
    if filtered:
        options = [one for one in options if one.rich_help_panel != filters]
    words = [one.metavar or str(one.name).upper() for one in arguments]
    usage = [word if one.required else f"[{word}]" for word, one in zip(words, arguments, strict=True)]
    yield f"### {name}"
    yield ""
    yield f"`{' '.join([name, *usage, *(['[options]'] if options else [])])}`"
    yield ""
    yield from ("" if not line.strip() else line.strip() for line in (command.help or "").strip().splitlines())
    yield ""
    rows = [(word, one.help) for word, one in zip(words, arguments, strict=True) if one.help]
    rows += [(", ".join([*one.opts, *one.secondary_opts]), one.help) for one in options]
    if filtered:
        rows.append(("--status, --definition, …", "the filters of `amends list`"))
    if rows:
        yield "| | |"
        yield "|---|---|"
        yield from (f"| `{word}` | {(said or '').replace('|', '·')} |" for word, said in rows)
        yield ""


def reference() -> str:
    """All commands, as they are now."""
    found = [line for name, one in commands(typer.main.get_command(app), "amends") for line in section(name, one)]
    return "\n".join(found)


if __name__ == "__main__":
    head = page.read_text("utf-8").partition(begins)[0]
    page.write_text(head + begins + "\n" + reference(), "utf-8")
