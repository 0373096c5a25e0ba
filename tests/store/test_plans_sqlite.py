"""SQLite finds the sagas of a list, and the numbers of the overview, by an index too."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from coordinator.saga.state import SagaStatus
from coordinator.store.database import Database
from coordinator.store.migration import migrate
from coordinator.store.overview import OverviewReader
from coordinator.store.reader import SagaReader
from coordinator.store.values import SagaFilter
from tests.store.explaining import Work
from tests.store.made import later, noon, saga_id

_scan = re.compile(r"SCAN (?P<table>\w+)(?: USING (?:COVERING )?INDEX (?P<index>\w+))?")
_search = re.compile(r"(?:SCAN|SEARCH) (\w+) USING (?:COVERING )?INDEX (\w+)")
_ours = {"sagas", "steps", "history", "outbox", "failed_steps", "idempotency", "tallies", "dead_letters", "saga_tags"}


@pytest.fixture
async def database(sqlite_url: str) -> AsyncIterator[Database]:
    await migrate(sqlite_url)
    async with Database.open(sqlite_url) as opened:
        yield opened


async def plan_of(database: Database, work: Work) -> list[str]:
    """What SQLite says of the statements that the work sends."""
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        if statement.startswith("SELECT"):
            seen.append((statement, parameters))

    sa.event.listen(database._reader.sync_engine, "before_cursor_execute", note)
    await work()
    sa.event.remove(database._reader.sync_engine, "before_cursor_execute", note)
    lines = []
    async with database.reading() as connection:
        for statement, parameters in seen:
            rows = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            lines += [str(row.detail) for row in rows]
    return lines


def chosen(**values: Any) -> SagaFilter:
    return SagaFilter(**values)


@pytest.mark.parametrize(
    ("filter_", "index"),
    [
        (chosen(statuses=(SagaStatus.BLOCKED, SagaStatus.RUNNING)), "sagas_by_status"),
        (chosen(definition="rare"), "sagas_by_definition"),
        (chosen(business_key="order-7"), "sagas_by_business_key"),
        (chosen(waiting_on="reply", waiting_for="payment"), "sagas_waiting"),
        (chosen(waiting_on_any=("reply", "inquiry")), "sagas_waiting"),
        (chosen(failed_step="charge"), "sagas_failed"),
        (chosen(quiet_since=noon), "sagas_quiet"),
        (chosen(current_step="charge"), "sagas_quiet"),
        (chosen(waiting_for="payment"), "sagas_waiting"),
        (chosen(words="order-7"), "sagas_by_business_key"),
        (chosen(words="order-7"), "sqlite_autoindex_idempotency_1"),
        (chosen(words="019ca945"), "sqlite_autoindex_sagas_1"),
        (chosen(incident="i"), "failed_steps_by_incident"),
        (chosen(family="f"), "failed_steps_by_family"),
        (chosen(fingerprint="f"), "failed_steps_by_fingerprint"),
        (chosen(ids=(saga_id(),)), "sqlite_autoindex_sagas_1"),
        (chosen(tag="a"), "sqlite_autoindex_saga_tags_1"),
        (chosen(created_from=noon, created_to=later(60)), "sqlite_autoindex_sagas_1"),
        (chosen(waiting_on="reply", unsent_since=noon), "sagas_waiting"),
    ],
)
async def test_a_filter_finds_its_sagas_by_an_index(database: Database, filter_: SagaFilter, index: str) -> None:
    reader = SagaReader(database)
    for work in (lambda: reader.page(filter_), lambda: reader.count(filter_)):
        lines = await plan_of(database, work)
        assert [line for line in lines if (found := _scan.match(line)) and _reads_all(found)] == [], lines
        assert index in {found[2] for line in lines if (found := _search.search(line))}, lines


def _reads_all(scan: re.Match[str]) -> bool:
    """Whether a whole table of ours is read: of the outbox, only what it holds now."""
    return scan["table"] in _ours - {"outbox"} and scan["index"] is None


async def test_the_numbers_of_the_overview_are_found_by_indexes(database: Database) -> None:
    reader = OverviewReader(database)
    works: list[tuple[Work, set[str]]] = [
        (lambda: reader.stuck(noon), {"sagas_quiet"}),
        (lambda: reader.waits(["payment"]), {"sagas_waiting"}),
        (lambda: reader.awaited(["payment", "inventory"]), {"sagas_waiting"}),
        (reader.letters, {"dead_letters_by_status"}),
        (reader.backlog, {"outbox_available", "outbox_parked"}),
        (lambda: reader.minutes([(noon, later(60))]), {"sqlite_autoindex_sagas_1", "sagas_finished"}),
        (reader.durations, {"sagas_finished"}),
        (lambda: reader.ended(noon), {"tallies_by_minute"}),
        (lambda: reader.changed(noon), {"sagas_quiet", "sagas_finished"}),
    ]
    for work, indexes in works:
        lines = await plan_of(database, work)
        assert [line for line in lines if (found := _scan.match(line)) and _reads_all(found)] == [], lines
        assert indexes <= {found[2] for line in lines if (found := _search.search(line))}, lines
