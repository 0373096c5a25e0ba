"""Commands about the contract: what may travel on the broker and over HTTP, as files for other languages and tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The contract as files.", no_args_is_help=True)


@app.callback()
def contract() -> None:
    """The contract as files."""


@app.command()
def export(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="the folder to write into")] = Path("docs/contract"),
) -> None:
    """Write asyncapi.json, openapi.json and the JSON Schemas of everything that travels."""
    from coordinator.web.contract import files

    for name, text in files().items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        print(path)
