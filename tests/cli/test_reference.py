"""docs/cli.md says what the commands say of themselves."""

from __future__ import annotations

import re

import typer

from coordinator.cli import app, telling
from tests.cli.reference import begins, commands, page, reference

listed = {
    "dev", "serve", "demo", "start", "list", "show", "explain", "retry", "skip", "settle", "waive", "cancel", "close",
    "pause", "resume", "pauses", "definitions list", "participants", "outbox", "dead-letters list", "dead-letters show",
    "dead-letters redrive", "dead-letters discard", "bulk show", "db upgrade", "doctor", "verify", "profile set",
}  # fmt: skip


def test_every_command_is_described_as_it_describes_itself() -> None:
    written = page.read_text("utf-8").partition(begins)[2].strip()
    assert written == reference().strip(), "run python -m tests.cli.reference"


def test_what_an_operator_needs_is_there() -> None:
    names = {name.removeprefix("amends ") for name, _ in commands(typer.main.get_command(app), "amends")}
    assert listed - names == set()


def test_every_option_says_what_it_is_for() -> None:
    silent = [
        f"{name} {one.opts[0]}"
        for name, command in commands(typer.main.get_command(app), "amends")
        for one in command.params
        if one.param_type_name == "option" and not one.help
    ]
    assert silent == []


def test_every_exit_code_is_in_the_table() -> None:
    codes = {value for name, value in vars(telling).items() if name.endswith("_code") and isinstance(value, int)}
    table = page.read_text("utf-8").partition("## Exit codes")[2].partition("## ")[0]
    assert codes < {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
