"""PostgreSQL finds what the hot statements need by an index, whatever has grown around it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from coordinator.saga.state import SagaStatus
from coordinator.store.database import Database
from coordinator.store.migration import migrate
from coordinator.store.outbox import OutboxStore
from coordinator.store.reader import SagaReader
from coordinator.store.sagas import SagaStore
from coordinator.store.values import SagaFilter
from tests.store.made import command, later, moved, new, noon, saga

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

rows = 100_000

# A hundred thousand sagas, most of them finished long ago, five thousand of them still under way with a command each.
_filled = f"""
INSERT INTO sagas (id, definition, version, status, direction, revision, wake_at, waiting_on, waiting_for, business_key,
                   trace_id, created_at, updated_at, finished_at, record, input)
SELECT '019ca945-0a7b-7000-8000-' || lpad(to_hex(n), 12, '0'), CASE n % 5000 WHEN 3 THEN 'rare' ELSE 'usual' END, 1,
       CASE WHEN n % 20 = 0 THEN 'running' WHEN n % 1001 = 1 THEN 'blocked' ELSE 'completed' END, 'forward', 1,
       CASE WHEN n % 20 = 0 THEN n END, CASE WHEN n % 20 = 0 THEN 'reply' END, CASE WHEN n % 20 = 0 THEN 'payment' END,
       'order-' || n, '', n, n, CASE WHEN n % 20 <> 0 AND n % 1001 <> 1 THEN n END, '{{}}', 'null'
FROM generate_series(1, {rows}) AS n;
INSERT INTO steps SELECT id, 'charge', 'succeeded', '{{}}', NULL FROM sagas;
INSERT INTO history SELECT id, 1, 0, 'Started', '{{}}', '[]' FROM sagas;
INSERT INTO saga_tags SELECT 'tag-' || created_at % 1000, id FROM sagas;
INSERT INTO outbox (saga_id, key, definition, participant, kind, body, created_at, available_at, maybe_sent, tries)
SELECT id, 'charge/0/action/0/1', definition, 'payment', 'action', '{{}}', created_at, created_at, false, 0
FROM sagas WHERE status = 'running';
ANALYZE
"""


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for part in plan.get("Plans", ()) for node in _nodes(part))]


@pytest.fixture
async def filled(fresh_postgres_url: str) -> AsyncIterator[Database]:
    await migrate(fresh_postgres_url)
    async with Database.open(fresh_postgres_url) as database:
        async with database.begin() as connection:
            for statement in _filled.split(";"):
                await connection.exec_driver_sql(statement)
        yield database


async def _plans(database: Database, work: Any, *, engine_side: bool) -> list[tuple[str, list[dict[str, Any]]]]:
    """The plans of the statements that the work sends, as its own connections would make them."""
    seen: list[tuple[str, Any]] = []
    pool = database._writer if engine_side else database._reader

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        seen.append((statement, parameters))

    sa.event.listen(pool.sync_engine, "before_cursor_execute", note)
    await work()
    sa.event.remove(pool.sync_engine, "before_cursor_execute", note)
    plans = []
    async with pool.connect() as connection:
        for statement, parameters in seen:
            explained = await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
            (plan,) = explained.scalar_one()
            plans.append((statement, _nodes(plan["Plan"])))
        await connection.rollback()
    return plans


def _scanned(plans: list[tuple[str, list[dict[str, Any]]]]) -> list[str]:
    """The statements that read a whole table of ours."""
    return [
        f"{node['Relation Name']} in: {statement}"
        for statement, nodes in plans
        for node in nodes
        if node["Node Type"] == "Seq Scan"
    ]


def _indexes(plans: list[tuple[str, list[dict[str, Any]]]]) -> set[str]:
    return {node["Index Name"] for _, nodes in plans for node in nodes if "Index Name" in node}


async def test_the_hot_statements_use_their_indexes(filled: Database) -> None:
    store, reader, relay_side = SagaStore(filled), SagaReader(filled), OutboxStore(filled)
    kept = [saga() for _ in range(50)]
    commands = [command(one) for one in kept]
    await store.create([new(one, row, caller="a", key=one.id) for one, row in zip(kept, commands, strict=True)])
    ids = [one.id for one in kept]

    async def commit() -> None:
        changes = [moved(one, command(one, "next"), void_unsent=True) for one in kept]
        await store.commit(changes, now=noon, forget=[row.id for row in commands])

    async def read(chosen: SagaFilter) -> None:
        assert (await reader.page(chosen)).items

    async def release() -> None:
        await relay_side.release([row.id for row in commands], "a", available_at=noon, maybe_sent=False)

    engine_side: list[tuple[Any, set[str]]] = [
        (lambda: store.load(ids), {"sagas_pkey", "steps_pkey"}),
        (lambda: store.unsent(ids), {"outbox_pkey"}),
        (lambda: store.due(later(0), 100), {"sagas_due"}),
        (lambda: relay_side.claim("a", now=noon, lease_until=later(9), limit=100), {"outbox_available"}),
        (release, {"outbox_pkey"}),
        (commit, {"sagas_pkey", "outbox_pkey"}),
    ]
    reading: list[tuple[Any, set[str]]] = [
        (lambda: read(SagaFilter(status=SagaStatus.BLOCKED)), {"sagas_by_status"}),
        (lambda: read(SagaFilter(definition="rare")), {"sagas_by_definition"}),
        (lambda: read(SagaFilter(business_key="order-77")), {"sagas_by_business_key"}),
        (lambda: read(SagaFilter(waiting_on="reply", waiting_for="payment")), {"sagas_waiting"}),
        (lambda: read(SagaFilter(tag="tag-7")), {"saga_tags_pkey"}),
        (lambda: read(SagaFilter(step="charge")), {"sagas_pkey", "steps_pkey"}),
        (lambda: reader.get(ids[0]), {"sagas_pkey", "steps_pkey", "outbox_pkey"}),
        (lambda: reader.history(ids[0]), {"history_pkey"}),
    ]
    scanned: list[str] = []
    missing: list[tuple[set[str], list[str]]] = []
    for works, on_engine_side in ((engine_side, True), (reading, False)):
        for work, expected in works:
            plans = await _plans(filled, work, engine_side=on_engine_side)
            assert plans
            scanned += _scanned(plans)
            if not expected <= _indexes(plans):
                missing.append((expected, [json.dumps(nodes[0])[:2000] for _, nodes in plans]))
    assert scanned == []
    assert missing == []
