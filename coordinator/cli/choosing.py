"""Filters of sagas, the same wherever sagas are chosen: `amends list`, and verbs that are asked of many at once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from coordinator.cli.completing import definition_names
from coordinator.cli.reading import moment_of, seconds_of

_panel = "Which sagas"


def _option(*names: str, help: str, **more: Any) -> Any:  # noqa: A002  # typer's own word
    return Annotated[str | None, typer.Option(*names, help=help, rich_help_panel=_panel, **more)]


_filters: Mapping[str, Any] = {
    "status": _option("--status", help="running, compensating, blocked, completed, …; several with commas"),
    "definition": _option("--definition", help="of this definition", autocompletion=definition_names),
    "version": Annotated[
        int | None, typer.Option("--version", min=1, help="and of this version of it", rich_help_panel=_panel)
    ],
    "failed_step": _option("--failed-step", help="which this step turned, or blocks"),
    "current_step": _option("--current-step", help="which are at this step"),
    "participant": _option("--participant", help="which wait for this participant"),
    "waiting_on": _option("--waiting-on", help="reply, no_consumer, blocked, paused, backoff, …"),
    "stuck_for": _option("--stuck-for", help="to which nothing has happened for so long: 90s, 10m, 2h"),
    "tag": _option("--tag", help="with this tag"),
    "business_key": _option("--business-key", help="about this"),
    "incident": _option("--incident", help="of this incident"),
    "since": _option("--since", help="started since then: 2h ago, or 2030-01-31T12:00:00Z"),
    "until": _option("--until", help="started before then"),
    "q": _option("-q", "--query", help="whose id, business key or idempotency key begins so"),
}


def chooses(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose second parameter is what sagas are filtered by, under the API's names, as texts and numbers."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in _filters.items()
    ]

    @functools.wraps(command)
    def choosing(caller: Any, **given: Any) -> None:
        stated = {name: value for name in _filters if (value := given.pop(name)) is not None}
        command(caller, _as_asked(stated), **given)

    parameters = [own[0], *own[2:], *added]
    choosing.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return choosing


def _as_asked(stated: Mapping[str, Any]) -> dict[str, Any]:
    """The filters under the API's names."""
    asked = dict(stated)
    if "stuck_for" in asked:
        asked["stuck_for_seconds"] = round(seconds_of(asked.pop("stuck_for"), "stuck-for"))
    for name, there in (("since", "created_from"), ("until", "created_to")):
        if name in asked:
            asked[there] = moment_of(asked.pop(name), name)
    return asked


def as_filter(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The same as a body of the API has it: several statuses are a list there."""
    return {name: str(value).split(",") if name == "status" else value for name, value in chosen.items()}
