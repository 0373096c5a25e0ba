"""`amends definitions …`: register, list and show definitions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from amends.client import Client
from coordinator.cli.calling import Caller, asks
from coordinator.cli.completing import definition_names
from coordinator.cli.telling import columns, fail, usage_code

app = typer.Typer(help="Register, list and show definitions.", no_args_is_help=True)


@app.command()
@asks
def register(
    caller: Caller, file: Annotated[Path, typer.Argument(help="JSON, or YAML if its name ends in .yaml or .yml")]
) -> None:
    """Register a definition; a new version, unless it equals the newest."""
    document = _read(file)
    caller.tell(caller.ask(lambda client: client.define(document)), _registration_lines)


@app.command()
@asks
def validate(
    caller: Caller, file: Annotated[Path, typer.Argument(help="JSON, or YAML if its name ends in .yaml or .yml")]
) -> None:
    """Check a definition without registering it."""
    document = _read(file)

    async def work(client: Client) -> dict[str, Any]:
        return await client.request("POST", "/v1/definitions/validate", body=document)

    caller.tell(caller.ask(work), lambda checked: [f"{checked['name']} would be accepted", *_warnings(checked)])


@app.command("list")
@asks
def list_definitions(caller: Caller) -> None:
    """List the newest version of every definition."""

    async def work(client: Client) -> list[dict[str, Any]]:
        return [definition async for definition in client.definitions()]

    names = ("name", "version", "steps", "created_at", "created_by")
    caller.tell(caller.ask(work), lambda found: columns(found, names, "no definition"))


@app.command()
@asks
def show(
    caller: Caller,
    name: Annotated[str, typer.Argument(autocompletion=definition_names)],
    version: Annotated[int | None, typer.Option(min=1, help="the newest, if not stated")] = None,
) -> None:
    """Show a definition."""
    caller.tell(caller.ask(lambda client: client.definition(name, version)), _definition_lines)


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix in (".yaml", ".yml"):
            import yaml  # only where a file is written in it

            try:
                document = yaml.safe_load(text)
            except yaml.YAMLError as error:
                fail(f"{file} is not YAML: {error}", usage_code)
        else:
            document = json.loads(text)
    except OSError as error:
        fail(f"{file}: {error.strerror}", usage_code)
    except ValueError as error:
        fail(f"{file} is not JSON: {error}", usage_code)
    if not isinstance(document, dict):
        fail(f"{file} holds no definition: it must be an object", usage_code)
    return document


def _registration_lines(registered: dict[str, Any]) -> list[str]:
    said = "registered" if registered["created"] else "is unchanged"
    return [f"{registered['name']} version {registered['version']} {said}", *_warnings(registered)]


def _warnings(checked: dict[str, Any]) -> list[str]:
    return [f"warning: {warning['message']}; {warning['hint']}" for warning in checked["warnings"]]


def _definition_lines(definition: dict[str, Any]) -> list[str]:
    head = f"{definition['name']} version {definition['version']}, registered by {definition['created_by']}"
    return [head, *json.dumps(definition["document"], indent=2).splitlines()]
