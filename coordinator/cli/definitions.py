"""`amends definitions …`: register, list and show definitions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from amends.client import Client
from coordinator.cli.telling import Form, Output, Url, fail, run, table, tell, text_of, url_default, usage_code

app = typer.Typer(help="Register, list and show definitions.", no_args_is_help=True)


@app.command()
def register(
    file: Annotated[Path, typer.Argument(help="JSON, or YAML if its name ends in .yaml or .yml")],
    url: Url = url_default,
    output: Output = Form.TEXT,
) -> None:
    """Register a definition; a new version, unless it equals the newest."""
    document = _read(file)

    async def work() -> dict[str, Any]:
        async with Client(url) as client:
            return await client.define(document)

    tell(run(work()), output, _registration_lines)


@app.command("list")
def list_definitions(url: Url = url_default, output: Output = Form.TEXT) -> None:
    """List the newest version of every definition."""

    async def work() -> list[dict[str, Any]]:
        async with Client(url) as client:
            return [definition async for definition in client.definitions()]

    names = ("name", "version", "steps", "created_at", "created_by")
    tell(
        run(work()),
        output,
        lambda found: table([names, *(tuple(text_of(item, name) for name in names) for item in found)]),
    )


@app.command()
def show(
    name: str,
    version: Annotated[int | None, typer.Option(min=1, help="the newest, if not stated")] = None,
    url: Url = url_default,
    output: Output = Form.TEXT,
) -> None:
    """Show a definition."""

    async def work() -> dict[str, Any]:
        async with Client(url) as client:
            return await client.definition(name, version)

    tell(run(work()), output, _definition_lines)


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
    warnings = [f"warning: {warning['message']}; {warning['hint']}" for warning in registered["warnings"]]
    return [f"{registered['name']} version {registered['version']} {said}", *warnings]


def _definition_lines(definition: dict[str, Any]) -> list[str]:
    head = f"{definition['name']} version {definition['version']}, registered by {definition['created_by']}"
    return [head, *json.dumps(definition["document"], indent=2).splitlines()]
