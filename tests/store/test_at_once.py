"""A batch as one statement: nothing else is said to the database, unless something in it isn't as it should be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from coordinator.store.database import Database
from coordinator.store.outbox import OutboxStore
from coordinator.store.reader import SagaReader
from coordinator.store.sagas import SagaStore
from coordinator.store.straight import Straight
from coordinator.store.values import Created, KeyReused, Repeated
from tests.store.made import command, later, moved, new, noon, saga


@pytest.fixture
def said(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the engine's connections say to the database; `straight` is a statement that is a whole transaction."""
    statements: list[str] = []
    run = Straight.run

    async def noted(self: Straight, statement: Any, parameters: Any) -> Any:
        statements.append("straight")
        return await run(self, statement, parameters)

    monkeypatch.setattr(Straight, "run", noted)

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement.split()[0])

    sa.event.listen(database._writer.sync_engine, "before_cursor_execute", note)
    yield statements
    sa.event.remove(database._writer.sync_engine, "before_cursor_execute", note)


async def test_a_batch_of_starts_is_one_statement(
    store: SagaStore, reader: SagaReader, relay_side: OutboxStore, database: Database, said: list[str]
) -> None:
    sagas = [saga(tags=("blue", "new", "blue")) for _ in range(50)]
    batch = [new(one, command(one), caller="ann", key=one.id, body_hash="h", newest=True) for one in sagas]

    assert await store.create(batch) == [Created(one.id) for one in sagas]

    if database.straight:
        assert said == ["straight"]
    assert set(await store.load([one.id for one in sagas])) == {one.id for one in sagas}
    assert len(await reader.history(sagas[7].id)) == 1
    assert await reader.started("ann", sagas[7].id) == (sagas[7].id, "h")
    assert len(await relay_side.claim("a", now=noon, lease_until=later(9), limit=100)) == 50


async def test_one_start_that_came_before_does_not_harm_the_others(store: SagaStore, reader: SagaReader) -> None:
    first, other = saga(), saga()
    await store.create([new(first, caller="ann", key="k", body_hash="h")])
    batch = [
        new(saga(), caller="ann", key="k", body_hash="h"),
        new(saga(), caller="ann", key="k", body_hash="else"),
        new(other, command(other), caller="bob", key="k", body_hash="h"),
    ]
    answers = [Repeated(first.id), KeyReused(first.id), Created(other.id)]
    assert await store.create(batch) == answers
    assert await store.create(batch) == answers  # as after a commit of which nobody knows whether it took place
    assert len(await reader.history(other.id)) == 1


async def test_a_batch_of_moves_is_one_statement(
    store: SagaStore, reader: SagaReader, database: Database, said: list[str]
) -> None:
    sagas = [saga() for _ in range(50)]
    await store.create([new(one) for one in sagas])
    del said[:]

    committed = await store.commit([moved(one, command(one)) for one in sagas], now=noon)

    assert (len(committed.moved), committed.stale) == (50, frozenset())
    if database.straight:
        assert said == ["straight"]
    found = await store.load([one.id for one in sagas])
    assert {one.revision for one in found.values()} == {2}  # type: ignore[union-attr]
    assert [len(await reader.history(one.id)) for one in sagas[:3]] == [2, 2, 2]
    assert len((await reader.unsent([one.id for one in sagas[:3]])).keys()) == 3


async def test_one_that_somebody_else_moved_does_not_harm_the_others(store: SagaStore, reader: SagaReader) -> None:
    sagas = [saga() for _ in range(4)]
    await store.create([new(one) for one in sagas])
    await store.commit([moved(sagas[1])], now=noon)

    committed = await store.commit([moved(one, command(one)) for one in sagas], now=noon)

    assert committed.stale == {sagas[1].id}
    assert committed.moved == {one.id for one in sagas} - {sagas[1].id}
    assert [len(await reader.history(one.id)) for one in sagas] == [2, 2, 2, 2]
    assert set(await reader.unsent([one.id for one in sagas])) == committed.moved


async def test_what_fails_for_another_reason_is_said(store: SagaStore) -> None:
    """A status that no database knows is refused by both, and is nobody's conflict."""
    wrong = saga(status="never")
    with pytest.raises(sa.exc.IntegrityError):
        await store.create([new(wrong)])
