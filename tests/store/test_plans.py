"""PostgreSQL finds what the hot statements need by an index, whatever has grown around it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.saga.state import SagaStatus
from coordinator.store.database import Database
from coordinator.store.dialect import epoch
from coordinator.store.migration import migrate
from coordinator.store.outbox import OutboxStore
from coordinator.store.reader import SagaReader
from coordinator.store.sagas import SagaStore
from coordinator.store.samples import SampleReader
from coordinator.store.settled import SettledSagas
from coordinator.store.values import SagaFilter
from tests.store.explaining import Work, misfits, sifted
from tests.store.made import command, later, moved, new, noon, saga

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

rows = 100_000

# A hundred thousand sagas, most of them finished long ago, five thousand of them still under way with a command each.
_filled = f"""
INSERT INTO sagas (id, definition, version, status, direction, revision, wake_at, waiting_on, waiting_for, failed_step,
                   business_key, trace_id, created_at, updated_at, finished_at, record, input)
SELECT '019ca945-0a7b-7000-8000-' || lpad(to_hex(n), 12, '0'),
       CASE n % 5000 WHEN 3 THEN 'rare' WHEN 4 THEN 'past' ELSE 'usual' END, 1,
       CASE WHEN n % 20 = 0 THEN 'running' WHEN n % 1001 = 1 THEN 'blocked' ELSE 'completed' END, 'forward', 1,
       CASE WHEN n % 20 = 0 THEN n END, CASE WHEN n % 20 = 0 THEN 'reply' END, CASE WHEN n % 20 = 0 THEN 'payment' END,
       CASE WHEN n % 1001 = 1 THEN 'charge' END,
       'order-' || n, '', n, n, CASE WHEN n % 20 <> 0 AND n % 1001 <> 1 THEN n END, '{{}}', 'null'
FROM generate_series(1, {rows}) AS n;
INSERT INTO steps SELECT id, 'charge', 'succeeded', '{{}}', NULL FROM sagas;
INSERT INTO history SELECT id, 1, 0, 'Started', '{{}}', '[]' FROM sagas;
INSERT INTO failed_steps (saga_id, step, kind, at, definition, version, participant, cause, error_type, code,
                          template, fingerprint, family, worker, worker_version, attempts, incident_id)
SELECT id, 'charge', 'action', created_at, definition, 1, 'payment', 'failed', '', '', '',
       'f' || created_at / 1000, 'payment:' || created_at / 1000, '', '', 1, 'i' || created_at / 1000
FROM sagas WHERE created_at % 20 = 1;
INSERT INTO idempotency (caller, key, body_hash, saga_id, created_at)
SELECT '', 'key-' || created_at, '', id, 0 FROM sagas;
INSERT INTO saga_tags SELECT 'tag-' || created_at % 1000, id FROM sagas;
INSERT INTO outbox (saga_id, key, definition, participant, kind, body, created_at, available_at, maybe_sent, tries)
SELECT id, 'charge/0/action/0/1', definition, 'payment', 'action', '{{}}', created_at, created_at, false, 0
FROM sagas WHERE status = 'running';
INSERT INTO definitions (name, version, document, hash, created_at, created_by)
SELECT 'usual-' || n % 100, n / 100 + 1, '{{}}', '', 0, '' FROM generate_series(0, 4999) AS n;
ANALYZE
"""


@pytest.fixture
async def filled(fresh_postgres_url: str) -> AsyncIterator[Database]:
    await migrate(fresh_postgres_url)
    async with Database.open(fresh_postgres_url) as database:
        async with database.begin() as connection:
            for statement in _filled.split(";"):
                await connection.exec_driver_sql(statement)
        yield database


async def test_the_hot_statements_use_their_indexes(filled: Database) -> None:
    store, reader, relay_side = SagaStore(filled), SagaReader(filled), OutboxStore(filled)
    samples, settled = SampleReader(filled), SettledSagas(filled)
    long_ago = epoch + timedelta(microseconds=500)
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

    revision = iter(range(1, 9))

    async def commit_at_once() -> None:
        """As above, with nothing that needs statements of its own."""
        expected = next(revision)
        await store.commit([moved(replace(one, revision=expected)) for one in kept], now=noon)

    async def start() -> None:
        """At once; and step by step, as there is a newer version."""
        for of in (saga(), saga(definition="usual-7")):
            await store.create([new(of, caller="a", key=f"{of.definition}'s", newest=True)])

    engine_side: list[tuple[Work, set[str]]] = [
        (start, {"definitions_pkey", "idempotency_pkey", "sagas_pkey"}),
        (lambda: store.load(ids), {"sagas_pkey", "steps_pkey"}),
        (lambda: store.unsent(ids), {"outbox_pkey"}),
        (lambda: store.due(later(0), 100), {"sagas_due"}),
        (lambda: relay_side.claim("a", now=noon, lease_until=later(9), limit=100), {"outbox_available"}),
        (release, {"outbox_pkey"}),
        (commit_at_once, {"sagas_pkey"}),
        (lambda: settled.forget("past", later(9)), {"sagas_by_definition", "idempotency_by_saga", "history_pkey"}),
        (commit, {"sagas_pkey", "outbox_pkey"}),
    ]
    reading: list[tuple[Work, set[str]]] = [
        (lambda: read(SagaFilter(statuses=(SagaStatus.BLOCKED,))), {"sagas_by_status"}),
        (lambda: read(SagaFilter(definition="rare")), {"sagas_by_definition"}),
        (lambda: read(SagaFilter(business_key="order-77")), {"sagas_by_business_key"}),
        (lambda: read(SagaFilter(waiting_on="reply", waiting_for="payment")), {"sagas_waiting"}),
        (lambda: read(SagaFilter(tag="tag-7")), {"saga_tags_pkey"}),
        (lambda: read(SagaFilter(statuses=(SagaStatus.BLOCKED, SagaStatus.RUNNING))), {"sagas_by_status"}),
        (lambda: read(SagaFilter(failed_step="charge")), {"sagas_failed"}),
        (lambda: read(SagaFilter(current_step="charge")), {"steps_pkey"}),
        (lambda: read(SagaFilter(quiet_since=long_ago)), {"sagas_quiet"}),
        (lambda: read(SagaFilter(words="order-77")), {"sagas_by_business_key", "idempotency_pkey"}),
        (lambda: read(SagaFilter(words="key-99")), {"sagas_by_business_key", "idempotency_pkey"}),
        (lambda: read(SagaFilter(words="019ca945-0a7b-7000-8000-00000000000")), {"sagas_pkey"}),
        (lambda: read(SagaFilter(incident="i1")), {"failed_steps_by_incident"}),
        (lambda: read(SagaFilter(family="payment:1")), {"failed_steps_by_family"}),
        (lambda: read(SagaFilter(fingerprint="f1")), {"failed_steps_by_fingerprint"}),
        (lambda: read(SagaFilter(ids=tuple(ids))), {"sagas_pkey"}),
        (lambda: reader.count(SagaFilter(statuses=(SagaStatus.BLOCKED,))), {"sagas_by_status"}),
        (lambda: reader.unsent(ids[:5]), {"outbox_pkey"}),
        (lambda: read(SagaFilter(step="charge")), {"sagas_pkey", "steps_pkey"}),
        (lambda: reader.get(ids[0]), {"sagas_pkey", "steps_pkey", "outbox_pkey"}),
        (lambda: reader.history(ids[0]), {"history_pkey"}),
        (lambda: samples.sagas(ids[:20]), {"sagas_pkey", "steps_pkey"}),
        (lambda: samples.histories(ids[:20]), {"history_pkey"}),
        (lambda: samples.completed("rare", later(-9), later(9), limit=15), {"sagas_by_definition"}),
        (lambda: samples.awaited(["payment", "inventory"], limit=100), {"sagas_waiting"}),
    ]
    assert await misfits(filled, engine_side, engine_side=True) == []
    assert await misfits(filled, reading, engine_side=False) == []


async def test_a_definitions_sagas_of_one_status_are_told_apart_within_the_index(filled: Database) -> None:
    """However many others of that definition there are, and however many of that status."""
    reader = SagaReader(filled)

    async def read() -> None:
        assert (await reader.page(SagaFilter(definition="past", statuses=(SagaStatus.RUNNING,)))).items == ()

    assert await sifted(filled, read) == []
