"""What every command that asks a coordinator has in common: whom it asks, as whom, and how it answers.

`@asks` gives a command the options for it, and hands it a `Caller` in their place.
"""

from __future__ import annotations

import functools
import getpass
import inspect
import os
import unicodedata
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from amends.client import Client
from coordinator.cli import profiles
from coordinator.cli.telling import Form, run, tell, usage_code
from coordinator.cli.telling import fail as end

Answer = TypeVar("Answer")

tries = 4  # of one request: a coordinator that restarts is waited for a second or two, not for long
actor_chars_max = 100

_panel = "Whom to ask, and how to answer"
_options: dict[str, tuple[Any, Any]] = {
    "url": (
        Annotated[
            str | None, typer.Option("--url", help="where the coordinator is (AMENDS_URL)", rich_help_panel=_panel)
        ],
        None,
    ),
    "profile": (
        Annotated[
            str | None,
            typer.Option("--profile", help="or under which name you know it (AMENDS_PROFILE)", rich_help_panel=_panel),
        ],
        None,
    ),
    "api_key": (
        Annotated[
            str | None,
            typer.Option(
                "--api-key",
                help="who you are (AMENDS_KEY; else the profile's key)",
                rich_help_panel=_panel,
            ),
        ],
        None,
    ),
    "actor": (
        Annotated[
            str | None,
            typer.Option("--as", "--by", help="who asks (AMENDS_USER; else who is logged in)", rich_help_panel=_panel),
        ],
        None,
    ),
    "output": (
        Annotated[Form, typer.Option("-o", "--output", help="how to answer", rich_help_panel=_panel)],
        Form.TEXT,
    ),
}


@dataclass(frozen=True)
class Caller:
    """Who asks whom, and how the answer is told."""

    url: str
    actor: str
    form: Form
    key: str | None = field(default=None, repr=False)

    def ask(self, work: Callable[[Client], Coroutine[Any, Any, Answer]]) -> Answer:
        """What the coordinator answers to this. Ends the command when it refuses, or isn't there."""

        async def asking() -> Answer:
            async with self.client() as client:
                return await work(client)

        return run(asking(), self.form)

    def client(self) -> Client:
        return Client(self.url, api_key=self.key, actor=_plain_ascii(self.actor), tries=tries)

    def tell(self, value: Any, lines: Callable[[Any], Sequence[str]]) -> None:
        """Print the answer."""
        tell(value, self.form, lines)

    def fail(self, sentence: str, code: int = usage_code, **facts: Any) -> NoReturn:
        """End the command over what is wrong."""
        end(sentence, code, self.form, **facts)


def asks(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose first parameter is a `Caller`; those it doesn't take for itself become its options."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    stated = {parameter.name for parameter in own}
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in _options.items()
        if name not in stated
    ]

    @functools.wraps(command)
    def asking(**given: Any) -> None:
        url, profile, key, actor = (given.pop(name) for name in ("url", "profile", "api_key", "actor"))
        form = given["output"] if "output" in stated else given.pop("output")
        place, shown = profiles.place_of(url, profile)
        caller = Caller(place, who(actor), Form.JSON if form == Form.JSON else Form.TEXT, printable_key(key or shown))
        command(caller, **given)

    parameters = [*own, *added]
    asking.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    asking.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return asking


def printable_key(stated: str | None) -> str | None:
    """The key that was stated. Ends the command over one that can't stand in a header."""
    if stated and not (stated.isascii() and stated.isprintable() and " " not in stated):
        end("--api-key: a key is one word of ASCII", usage_code, Form.TEXT)
    return stated


def who(stated: str | None) -> str:
    """Who asks, as the history will have it."""
    if stated or (stated := os.environ.get("AMENDS_USER")):
        return _printable(stated)
    try:
        return _printable(getpass.getuser())
    except (KeyError, OSError, ImportError):
        return "somebody"  # a container may run under a number that has no name


def _printable(name: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in name)[:actor_chars_max]


def _plain_ascii(name: str) -> str:
    """The name as it may stand in a header: letters without their accents, and ? for what has none."""
    return unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().strip() or "?"
