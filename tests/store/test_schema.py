"""The tables: what the migrations make is what the code says, and the database knows the same words as the code."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from coordinator.saga.state import FINAL, Direction, SagaStatus, StepStatus
from coordinator.store import migration, schema, schema_access, schema_diagnosis
from coordinator.store.database import Database
from coordinator.store.dialect import dialect_of
from coordinator.store.explained import RemedyState, Verdict
from coordinator.store.migration import config_for, migrate, migrations_directory
from coordinator.store.observed import IncidentStatus, OccurrenceKind, Tallied
from coordinator.store.values import CommandKind, DeadLetterStatus, HoldScope
from tests.store.made import noon


def _differences(connection: sa.Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, schema_diagnosis.metadata))


async def _run(url: str, work: Any) -> Any:
    engine = dialect_of(url).migrator()
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()


async def test_the_migrations_make_the_tables_of_the_code(database_url: str) -> None:
    await migrate(database_url)
    assert await _run(database_url, _differences) == []
    await _run(database_url, lambda connection: command.downgrade(config_for(connection), "base"))
    tables = await _run(database_url, lambda connection: sa.inspect(connection).get_table_names())
    assert tables == ["alembic_version"]
    await migrate(database_url)
    assert await _run(database_url, _differences) == []


async def test_the_migrations_make_the_checks_of_the_code(database_url: str) -> None:
    await migrate(database_url)

    def checks(connection: sa.Connection) -> set[str]:
        inspector = sa.inspect(connection)
        names = (
            check["name"]
            for table in schema_diagnosis.metadata.tables
            for check in inspector.get_check_constraints(table)
        )
        return {str(name) for name in names}

    stated = {
        f"{table.name}_{str(check.name).removeprefix(f'{table.name}_')}"
        for table in schema_diagnosis.metadata.tables.values()
        for check in table.constraints
        if isinstance(check, sa.CheckConstraint)
    }
    assert await _run(database_url, checks) == stated


def _kept(connection: sa.Connection) -> dict[str, set[str]]:
    """The storage parameters of each table that has some."""
    rows = connection.execute(sa.text("SELECT relname, reloptions FROM pg_class WHERE relkind = 'r'"))
    return {str(name): set(parameters) for name, parameters in rows if parameters}


async def test_postgres_keeps_the_tables_as_the_code_says(fresh_postgres_url: str) -> None:
    await migrate(fresh_postgres_url)
    stated = {
        name: {f"{parameter}={value}" for parameter, value in table.dialect_options["postgresql"]["with"].items()}
        for name, table in schema_access.metadata.tables.items()
        if table.dialect_options["postgresql"]["with"]
    }
    assert await _run(fresh_postgres_url, _kept) == stated
    assert {"autovacuum_vacuum_scale_factor=0", "autovacuum_vacuum_threshold=1000"} < stated["outbox"]
    assert len(stated) > 10

    await _run(fresh_postgres_url, lambda connection: command.downgrade(config_for(connection), "0007"))
    before = await _run(fresh_postgres_url, _kept)
    assert {parameter for parameters in before.values() for parameter in parameters} == {"fillfactor=70"}
    assert before.keys() == stated.keys() - {"history", "idempotency"}


def test_the_code_names_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations_directory()))
    assert ScriptDirectory.from_config(config).get_current_head() == schema.revision


def test_migrations_are_found_where_they_are_installed_and_where_they_are_worked_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "__file__", str(tmp_path / "coordinator" / "store" / "migration.py"))
    installed, worked_on = tmp_path / "coordinator" / "migrations", tmp_path / "migrations"
    with pytest.raises(FileNotFoundError):
        migrations_directory()
    for place in (worked_on, installed):
        place.mkdir(parents=True)
        (place / "env.py").touch()
        assert migrations_directory() == place


async def test_whether_the_schema_is_there_is_known(database_url: str) -> None:
    async with Database.open(database_url) as database:
        assert not await database.check_schema()
        await migrate(database_url)
        assert await database.check_schema()
        async with database.begin() as connection:
            await connection.execute(sa.text("UPDATE alembic_version SET version_num = 'newer'"))
        assert not await database.check_schema()


async def test_those_who_migrate_at_once_wait_for_each_other(database_url: str) -> None:
    await asyncio.gather(*(migrate(database_url) for _ in range(4)))
    async with Database.open(database_url) as database:
        assert await database.check_schema()


# --- enums and checks -------------------------------------------------------------------------------------------------

_saga: dict[str, Any] = {
    "id": "s",
    "definition": "d",
    "version": 1,
    "status": "running",
    "direction": "forward",
    "revision": 0,
    "trace_id": "",
    "created_at": noon,
    "updated_at": noon,
    "record": "{}",
    "input": "null",
}
_step: dict[str, Any] = {"saga_id": "s", "name": "n", "status": "pending", "record": "{}"}
_row: dict[str, Any] = {
    "saga_id": "s",
    "key": "k",
    "definition": "d",
    "participant": "p",
    "kind": "action",
    "body": "{}",
    "created_at": noon,
    "available_at": noon,
    "maybe_sent": False,
    "tries": 0,
}
_letter: dict[str, Any] = {
    "id": "l",
    "at": noon,
    "source": "s",
    "reason": "r",
    "body": "b",
    "redelivered": 0,
    "status": "open",
}
_tally: dict[str, Any] = {
    **dict.fromkeys(("definition", "step", "kind", "participant", "worker", "worker_version", "error", "source"), ""),
    **dict.fromkeys(("version", "count", "seconds_sum", "wait_seconds_sum"), 1),
    **dict.fromkeys(("seconds_buckets", "wait_buckets"), "[]"),
    "key": "k",
    "minute": noon,
    "outcome": "failed",
}
_occurrence: dict[str, Any] = {"id": "o", "at": noon, "kind": "paused", "subject": "s", "facts": "{}"}
_incident: dict[str, Any] = {
    **dict.fromkeys(("failures", "report_version", "reported_failures"), 0),
    **dict.fromkeys(("opened_at", "first_at", "last_at"), noon),
    "id": "i",
    "family": "f",
    "status": "open",
    "headline": "",
}
_said: dict[str, Any] = {"incident_id": "i", "report_version": 1, "by": "ann", "at": noon}
_remedy: dict[str, Any] = {
    **dict.fromkeys(("id", "incident_id", "kind", "scope", "target", "tier", "evidence", "reason"), "r"),
    "report_version": 1,
    "proposed_at": noon,
    "automatic": False,
}
_hold: dict[str, Any] = {
    "id": "h",
    "scope": "participant",
    "name": "p",
    "since": noon,
    "held_by": "ann",
    "reason": "r",
}


async def _accepts(database: Database, table: sa.Table, values: dict[str, Any]) -> bool:
    try:
        async with database.begin() as connection:
            await connection.execute(table.insert(), values)
            await connection.execute(table.delete())
    except sa.exc.IntegrityError as error:
        if "check" in str(error).lower():
            return False
        raise
    return True


def _finished(status: StrEnum) -> dict[str, Any]:
    return {"finished_at": noon if status in FINAL else None}


def _resolved(status: StrEnum) -> dict[str, Any]:
    return {"resolved_at": None if status is DeadLetterStatus.OPEN else noon}


def _closed(status: StrEnum) -> dict[str, Any]:
    return {
        "closed_at": None if status is IncidentStatus.OPEN else noon,
        "merged_into": "another" if status is IncidentStatus.MERGED else None,
    }


def _named(scope: StrEnum) -> dict[str, Any]:
    return {"name": "" if scope is HoldScope.ALL else "p"}


async def test_the_database_knows_the_words_of_each_enum_and_no_other(database: Database) -> None:
    places: list[tuple[sa.Table, dict[str, Any], str, type[StrEnum], Any]] = [
        (schema.sagas, _saga, "status", SagaStatus, _finished),
        (schema.sagas, _saga, "direction", Direction, None),
        (schema.steps, _step, "status", StepStatus, None),
        (schema.outbox, _row, "kind", CommandKind, None),
        (schema.dead_letters, _letter, "status", DeadLetterStatus, _resolved),
        (schema.holds, _hold, "scope", HoldScope, _named),
        (schema_diagnosis.tallies, _tally, "outcome", Tallied, None),
        (schema_diagnosis.occurrences, _occurrence, "kind", OccurrenceKind, None),
        (schema_diagnosis.incidents, _incident, "status", IncidentStatus, _closed),
        (schema_diagnosis.feedback, _said, "verdict", Verdict, None),
        (schema_diagnosis.remedies, _remedy, "state", RemedyState, None),
    ]
    for table, values, column, words, beside in places:
        for word in words:
            row = {**values, column: word.value, **(beside(word) if beside else {})}
            assert await _accepts(database, table, row), (table.name, word)
        assert not await _accepts(database, table, {**values, column: "unheard-of"}), (table.name, column)


async def test_finished_and_final_go_together(database: Database) -> None:
    for status in SagaStatus:
        for finished_at in (None, noon):
            row = {**_saga, "status": status.value, "finished_at": finished_at}
            assert await _accepts(database, schema.sagas, row) is ((finished_at is not None) == (status in FINAL))


async def test_what_makes_no_sense_is_refused(database: Database) -> None:
    definition = {"name": "n", "document": "", "hash": "", "created_at": noon, "created_by": ""}
    nonsense: list[tuple[sa.Table, dict[str, Any]]] = [
        (schema.sagas, {**_saga, "revision": -1}),
        (schema.dead_letters, {**_letter, "resolved_at": noon}),
        (schema.dead_letters, {**_letter, "status": "redriven"}),
        (schema.holds, {**_hold, "name": ""}),
        (schema.holds, {**_hold, "scope": "all"}),
        (schema.holds, {**_hold, "until": noon}),
        (schema.definitions, {**definition, "version": 0}),
        (schema_diagnosis.incidents, {**_incident, "closed_at": noon}),
        (schema_diagnosis.incidents, {**_incident, "merged_into": "another"}),
        (schema_diagnosis.incidents, {**_incident, "status": "closed"}),
        (schema_diagnosis.incidents, {**_incident, "status": "merged", "closed_at": noon}),
    ]
    accepted = [(table.name, row) for table, row in nonsense if await _accepts(database, table, row)]
    assert accepted == []


async def test_the_database_keeps_one_open_incident_of_a_family_and_one_remedy_of_a_scope(database: Database) -> None:
    twice: list[tuple[sa.Table, dict[str, Any]]] = [
        (schema_diagnosis.incidents, _incident),
        (schema_diagnosis.remedies, {**_remedy, "state": "begun"}),
        (schema.holds, _hold),
        (schema.holds, {**_hold, "rate_per_second": 1.0}),
    ]
    for number, (table, row) in enumerate(twice):
        async with database.begin() as connection:
            await connection.execute(table.insert(), {**row, "id": f"{number}"})
        other = {**row, "id": f"{number} again", **({"incident_id": "another"} if "incident_id" in row else {})}
        with pytest.raises(sa.exc.IntegrityError, match=r"(?i)unique"):
            async with database.begin() as connection:
                await connection.execute(table.insert(), other)


async def test_downgrading_does_not_make_a_pause_of_a_throttle(database_url: str) -> None:
    await migrate(database_url)
    async with Database.open(database_url) as database:
        async with database.begin() as connection:
            await connection.execute(schema.holds.insert(), _hold)
            await connection.execute(schema.holds.insert(), {**_hold, "id": "t", "rate_per_second": 1.0})
        await _run(database_url, lambda connection: command.downgrade(config_for(connection), "0001"))
        async with database.begin() as connection:
            assert (await connection.execute(sa.select(schema.holds.c.id))).scalars().all() == ["h"]
    await migrate(database_url)
    assert await _run(database_url, _differences) == []
