"""Commands that look at what a coordinator stands on: doctor, verify. They read the settings and the database."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import typer

from coordinator.cli.profiles import Output
from coordinator.cli.telling import (
    Form,
    fail,
    refused_code,
    table,
    tell,
    unavailable_code,
    unknown_code,
    usage_code,
)

Found = TypeVar("Found")


def add_to(app: typer.Typer) -> None:
    app.command()(doctor)
    app.command()(verify)


def doctor(
    url: Annotated[
        str | None, typer.Option(help="where its coordinator is (AMENDS_URL; else where the settings say)")
    ] = None,
    output: Output = Form.TEXT,
) -> None:
    """Look at settings, database, broker, clocks, disk, outbox, workers, telemetry …, and say what to do.

    Exit code 1 if anything fails; a warning is none.
    """
    from coordinator.cli.doctoring import examine
    from coordinator.cli.running import settings_or_end

    settings = settings_or_end()
    found = asyncio.run(examine(settings, url or os.environ.get("AMENDS_URL")))
    document = {
        "ok": not any(check.state == "fail" for check in found.checks),
        "settings": found.settings,
        "checks": [check.document() for check in found.checks],
    }
    tell(document, output, _doctor_lines)
    if not document["ok"]:
        raise typer.Exit(refused_code)


def verify(
    saga: Annotated[str | None, typer.Argument(metavar="SAGA", help="its id")] = None,
    everything: Annotated[bool, typer.Option("--all", help="all sagas, the newest first")] = False,
    limit: Annotated[int, typer.Option(min=1, help="with --all: no more than so many")] = 10_000,
    output: Output = Form.TEXT,
) -> None:
    """Replay the history of a saga, or of --all, through the rules, and compare with what is stored.

    It reads the database that the settings name. Exit code 1 if anything differs.
    """
    if (saga is None) != everything:
        fail("name a saga, or say --all", usage_code, output)
    from coordinator.cli.running import settings_or_end

    document = _reading(_verify(settings_or_end().database_url, saga, limit), output)
    tell(document, output, _verify_lines)
    if document["unsound"]:
        raise typer.Exit(refused_code)


async def _verify(database_url: str, saga_id: str | None, limit: int) -> dict[str, Any]:
    from coordinator.cli.verifying import Tally, Verifier
    from coordinator.store.database import Database
    from coordinator.store.stored import sqlite_file

    path = sqlite_file(database_url)
    if path is not None and not path.is_file():
        fail(f"there is no database {path}", usage_code)
    tally = Tally()
    async with Database.open(database_url, application_name="amends verify") as database:
        if not await database.check_schema():
            fail("the database's schema is not this release's: run `amends db upgrade`", refused_code)
        verifier = Verifier(database)
        if saga_id is not None:
            verdict = await verifier.verify(saga_id)
            if verdict is None:
                fail(f"there is no saga {saga_id}", unknown_code)
            tally.count(verdict)
        else:
            async for found in verifier.ids(limit):
                verdict = await verifier.verify(found)
                if verdict is not None:  # else it was pruned meanwhile
                    tally.count(verdict)
    return tally.document()


def _reading(work: Coroutine[Any, Any, Found], form: Form) -> Found:
    """Run what reads the database, and turn its errors into sentences and exit codes."""
    from sqlalchemy.exc import DBAPIError

    from coordinator.errors import StoreUnavailable, UnsupportedDatabase

    try:
        return asyncio.run(work)
    except UnsupportedDatabase as error:
        fail(str(error), usage_code, form)
    except DBAPIError as error:
        fail(f"the database can't be opened: {error.orig}", usage_code, form)
    except StoreUnavailable as error:
        fail(f"the database can't be reached: {error}", unavailable_code, form)


def _doctor_lines(document: dict[str, Any]) -> list[str]:
    lines = table([("", "check", "what is so"), *((c["state"], c["name"], c["message"]) for c in document["checks"])])
    advice = [f"{check['name']}: {check['advice']}" for check in document["checks"] if check["advice"]]
    return [*lines, *(["", "What to do:", *(f"  {line}" for line in advice)] if advice else [])]


def _verify_lines(document: dict[str, Any]) -> list[str]:
    lines = [f"{document['checked']} replayed, {document['sound']} as stored, {document['unsound']} not"]
    for verdict in document["sagas"]:
        lines.append(f"saga {verdict['saga_id']} at {verdict['revision']}: {verdict['fault'] or 'differs'}")
        lines += [
            f"  {one['where']}: stored {one['stored']}, replayed {one['replayed']}" for one in verdict["differences"]
        ]
    return lines
