"""Sagas that ended long ago are forgotten with all that is theirs, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from coordinator.saga.state import Saga, SagaStatus
from coordinator.store import settled as settled_module
from coordinator.store.database import Database
from coordinator.store.dead_letters import DeadLetterStore
from coordinator.store.outbox import OutboxStore
from coordinator.store.sagas import SagaStore
from coordinator.store.schema import history, idempotency, outbox, saga_tags, sagas, steps
from coordinator.store.settled import SettledSagas
from coordinator.store.values import Created, DeadLetter, DeadLetterStatus
from tests.store.made import command, count, later, moved, new, noon, saga

an_hour = timedelta(hours=1)


@pytest.fixture
def settled(database: Database) -> SettledSagas:
    return SettledSagas(database)


async def ended(store: SagaStore, *, seconds: float = 60, **values: Any) -> Saga:
    """A saga with two tags and a key, which was started at noon and has ended so many seconds later."""
    begun = saga(tags=("old", "vip", "old"), **values)
    row = command(begun)
    await store.create([new(begun, row, caller="a", key=begun.id)])
    change = moved(begun)
    over = replace(change.saga, status=SagaStatus.COMPLETED, finished_at=later(seconds))
    await store.commit([replace(change, saga=over)], now=later(seconds), forget=[row.id])
    return over


async def test_what_ended_long_ago_is_gone_with_all_that_is_its_own(
    database: Database, store: SagaStore, settled: SettledSagas
) -> None:
    old = [await ended(store) for _ in range(3)]
    assert await settled.forget("place-order", noon + an_hour) == 3
    assert await settled.forget("place-order", noon + an_hour) == 0
    assert await store.load([one.id for one in old]) == {}
    assert [await count(database, table) for table in (sagas, steps, history, saga_tags, idempotency)] == [0] * 5
    again = saga()
    assert await store.create([new(again, caller="a", key=old[0].id)]) == [Created(again.id)]


async def test_what_is_young_or_anothers_or_has_not_ended_stays(store: SagaStore, settled: SettledSagas) -> None:
    late = await ended(store, seconds=7200)  # started long before, ended after
    another = await ended(store, definition="ship-order")
    running = saga()
    young = saga(noon + an_hour)
    await store.create([new(running), new(young)])
    assert await settled.forget("place-order", noon + an_hour) == 0
    assert set(await store.load([late.id, another.id, running.id, young.id])) == {
        late.id, another.id, running.id, young.id,
    }  # fmt: skip


async def test_what_still_has_something_to_send_or_a_letter_that_waits_for_somebody_stays(
    database: Database, store: SagaStore, settled: SettledSagas
) -> None:
    sending, buried = await ended(store), await ended(store)
    change = moved(sending, command(sending, "notify"))
    await store.commit([change], now=later(60))
    letters = DeadLetterStore(database)
    await letters.keep([DeadLetter("1", noon, "replies", "unreadable", "{}", saga_id=buried.id)])
    assert await settled.forget("place-order", noon + an_hour) == 0
    await OutboxStore(database).forget([row.id for row in change.outbox])
    await letters.resolve("1", DeadLetterStatus.DISCARDED, by="ann", why="w", now=noon)
    assert await settled.forget("place-order", noon + an_hour) == 2
    assert await count(database, outbox) == 0


async def test_it_goes_by_the_age_and_a_little_at_a_time(
    database: Database, store: SagaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settled_module, "sagas_max", 2)
    settled = SettledSagas(database)
    old = [(await ended(store)).id for _ in range(5)]
    assert await settled.forget("place-order", noon + an_hour) == 2
    assert set(await store.load(old)) == set(old[2:])
    assert [await settled.forget("place-order", noon + an_hour) for _ in range(3)] == [2, 1, 0]


async def test_a_record_that_cannot_be_read_any_more_is_forgotten_too(
    database: Database, store: SagaStore, settled: SettledSagas
) -> None:
    old = await ended(store)
    async with database.begin() as connection:
        await connection.execute(sa.update(sagas).where(sagas.c.id == old.id).values(record='{"tags": 7'))
    assert await settled.forget("place-order", noon + an_hour) == 1
    assert await count(database, sagas) == 0
