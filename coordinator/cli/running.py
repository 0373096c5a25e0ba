"""Commands that run a coordinator: dev, serve, demo, db upgrade."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated, Any

import typer

from coordinator.cli.telling import fail, unavailable_code, usage_code

database = typer.Typer(help="The database's schema.", no_args_is_help=True)

Host = Annotated[str | None, typer.Option(help="the address to listen on (AMENDS_HOST)")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="the port; 0: any that is free (AMENDS_PORT)")]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure", help="listen on other addresses than this machine's own, though nobody is asked who they are"
    ),
]


def add_to(app: typer.Typer) -> None:
    app.command()(dev)
    app.command()(serve)
    app.command()(demo)
    app.add_typer(database, name="db")


def dev(
    host: Host = None,
    port: Port = None,
    insecure: Insecure = False,
    participants: Annotated[
        list[str] | None, typer.Option(metavar="MODULE:NAME", help="participants to run in this process, repeatable")
    ] = None,
    ephemeral: Annotated[
        bool, typer.Option("--ephemeral", help="keep nothing: an SQLite file of its own, gone when this ends")
    ] = False,
) -> None:
    """Run a coordinator in one process, with a banner that says where everything is.

    What it keeps stays, in .amends/amends.db unless AMENDS_DATABASE_URL says otherwise.
    """
    _run(host, port, insecure=insecure, banner=True, participants=participants or (), ephemeral=ephemeral)


def serve(host: Host = None, port: Port = None, insecure: Insecure = False) -> None:
    """Run a coordinator as its settings say, as one of many."""
    _run(host, port, insecure=insecure, banner=False)


def demo() -> None:
    """Run the coordinator with the demo's participants in one process."""
    from participants.demo import main

    raise typer.Exit(main())


@database.command()
def upgrade() -> None:
    """Bring the database's schema up to date. Several at once wait for each other."""
    from sqlalchemy.exc import DBAPIError

    from coordinator.building import prepared
    from coordinator.errors import StoreUnavailable, UnsupportedDatabase
    from coordinator.store.migration import migrate

    settings = settings_or_end()
    try:
        asyncio.run(migrate(prepared(settings.database_url)))
    except UnsupportedDatabase as error:
        fail(str(error), usage_code)
    except DBAPIError as error:
        fail(f"the database can't be opened: {error.orig}", usage_code)
    except StoreUnavailable as error:
        fail(f"the database can't be reached: {error}", unavailable_code)
    print("the schema is up to date")


def settings_or_end() -> Any:
    """The settings, or the end of the command over one that makes no sense."""
    from pydantic import ValidationError

    from coordinator.config import Settings

    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        fail(f"the setting {'.'.join(str(part) for part in first['loc'])}: {first['msg']}", usage_code)


def _run(
    host: str | None,
    port: int | None,
    *,
    insecure: bool,
    banner: bool,
    participants: Sequence[str] = (),
    ephemeral: bool = False,
) -> None:
    from tempfile import TemporaryDirectory

    from coordinator.cli.server import run

    settings = settings_or_end()
    stated: dict[str, object] = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    if participants and not settings.embedded_broker:
        fail("--participants run on the broker in this process; AMENDS_BROKER_URL names another", usage_code)
    with TemporaryDirectory(prefix="amends-") if ephemeral else nullcontext() as folder:
        if folder is not None:
            stated["database_url"] = f"sqlite:///{folder}/amends.db"
        settings = settings.model_copy(update=stated)
        code = run(settings, insecure=insecure, banner=banner, participants=participants, kept=not ephemeral)
    raise typer.Exit(code)
