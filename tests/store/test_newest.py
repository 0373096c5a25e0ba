"""A saga that is to be of its definition's newest version is kept only if it is, whoever registered what meanwhile."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from coordinator.store import schema
from coordinator.store.database import Database
from coordinator.store.definitions import DefinitionStore
from coordinator.store.sagas import SagaStore
from coordinator.store.values import Created, KeyReused, NewSaga, Outdated, Repeated
from tests.store.made import command, count, new, noon, saga

written = (
    schema.sagas,
    schema.steps,
    schema.history,
    schema.saga_tags,
    schema.outbox,
    schema.idempotency,
)


async def register(database: Database, *documents: str, name: str = "place-order") -> None:
    """As another coordinator does."""
    for document in documents:
        await DefinitionStore(database).register(name, document, document, by="ann", now=noon)


def start(version: int = 1, key: str | None = None, body_hash: str = "h", *, newest: bool = True) -> NewSaga:
    of = saga(version=version, tags=("blue",))
    return new(of, command(of), caller="ann", key=key, body_hash=body_hash, newest=newest)


async def rows(database: Database) -> dict[str, int]:
    return {table.name: await count(database, table) for table in written}


async def test_of_one_that_is_outdated_nothing_is_kept(store: SagaStore, database: Database) -> None:
    await register(database, "one")
    before = await rows(database)
    assert await store.create([first := start(1, "k")]) == [Created(first.saga.id)]
    kept = await rows(database)
    assert kept != before

    await register(database, "two")
    late = [start(1, "k2"), start(1)]

    assert await store.create(late) == [Outdated(one.saga.id) for one in late]
    assert await rows(database) == kept
    again = start(2, "k2")  # its key is free
    assert await store.create([again]) == [Created(again.saga.id)]


async def test_one_that_is_outdated_does_not_harm_the_others(store: SagaStore, database: Database) -> None:
    await register(database, "one", "two")
    await register(database, "one", "two", "three", name="another")
    batch = [start(2, "a"), start(1, "b"), start(1, "c", newest=False), start(2), start(1)]

    answers = await store.create(batch)

    kinds = [Created, Outdated, Created, Created, Outdated]
    assert answers == [kind(one.saga.id) for kind, one in zip(kinds, batch, strict=True)]
    kept = [one.saga.id for one, kind in zip(batch, kinds, strict=True) if kind is Created]
    assert set(await store.load([one.saga.id for one in batch])) == set(kept)
    assert await count(database, schema.idempotency) == 2
    assert await count(database, schema.outbox) == 3


async def test_a_version_that_was_named_is_started_whatever_the_newest_is(store: SagaStore, database: Database) -> None:
    await register(database, "one", "two", "three")
    pinned = [start(version, newest=False) for version in (1, 2, 3)]
    assert await store.create(pinned) == [Created(one.saga.id) for one in pinned]


async def test_a_request_that_came_before_is_a_repeated_one_whatever_the_newest_is(
    store: SagaStore, database: Database
) -> None:
    await register(database, "one")
    first = start(1, "k")
    await store.create([first])
    await register(database, "two")

    batch = [start(1, "k"), start(1, "k", "else"), start(2, "k")]

    assert await store.create(batch) == [
        Repeated(first.saga.id),
        KeyReused(first.saga.id),
        Repeated(first.saga.id),
    ]
    assert await count(database, schema.sagas) == 1


@pytest.mark.parametrize("key", ["k", None])
async def test_a_batch_whose_commit_nobody_knows_of_was_kept_though_there_is_a_newer_version_by_now(
    store: SagaStore, database: Database, key: str | None
) -> None:
    await register(database, "one")
    batch = [start(1, key)]
    answer = await store.create(batch)
    await register(database, "two")
    assert await store.create(batch) == answer == [Created(batch[0].saga.id)]
    assert await count(database, schema.history) == 1


async def test_a_key_that_an_outdated_one_and_another_share_is_the_other_ones(
    store: SagaStore, database: Database
) -> None:
    await register(database, "one", "two")
    batch = [start(1, "k"), start(2, "k")]
    late, timely = (one.saga.id for one in batch)
    assert await store.create(batch) == [Outdated(late), Created(timely)]
    async with database.reading() as connection:
        owners = (await connection.execute(sa.select(schema.idempotency.c.saga_id))).scalars().all()
    assert owners == [timely]
