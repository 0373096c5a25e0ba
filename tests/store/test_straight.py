"""Statements handed to PostgreSQL's driver itself: what goes wrong costs a kept connection at most."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa

from coordinator.errors import StoreUnavailable
from coordinator.store.database import Database
from coordinator.store.straight import Straight
from tests.broker.proxy import proxied, shutdown_of_postgres

number = sa.select(sa.bindparam("number", type_=sa.BigInteger).label("number"))
asleep = sa.select(sa.func.pg_sleep(30))
who = sa.select(sa.func.pg_backend_pid())


@pytest.fixture
async def database(fresh_postgres_url: str) -> AsyncIterator[Database]:
    async with Database.open(fresh_postgres_url) as database:
        yield database


async def _pid(database: Database) -> int:
    ((pid,),) = await database.alone(who, {})
    return int(pid)


async def test_a_connection_is_kept_from_one_statement_to_the_next(database: Database) -> None:
    assert [tuple(row) for row in await database.alone(number, {"number": 7})] == [(7,)]
    assert await _pid(database) == await _pid(database)


async def test_more_statements_than_connections_wait_for_each_other(database: Database) -> None:
    found = await asyncio.gather(*(database.alone(number, {"number": one}) for one in range(50)))
    assert [one for ((one,),) in found] == list(range(50))


async def test_what_the_database_refuses_costs_no_connection(database: Database) -> None:
    before = await _pid(database)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await database.alone(sa.select(sa.literal_column("1 / 0")), {})
    assert await _pid(database) == before


async def test_a_connection_that_the_server_ends_is_replaced(database: Database) -> None:
    """Between two statements, and in the middle of one, of which nobody then knows whether it took place."""
    ended = await _pid(database)
    async with database.begin() as connection:
        await connection.execute(sa.select(sa.func.pg_terminate_backend(ended)))
        await _until_gone(connection, ended)
    with suppress(StoreUnavailable):  # if the end has not come by yet
        assert await _pid(database) != ended
    assert await _pid(database) != ended

    ended = await _pid(database)
    sleeping = asyncio.create_task(database.alone(asleep, {}))
    async with database.begin() as connection:
        await _until_busy(connection, ended)
        await connection.execute(sa.select(sa.func.pg_terminate_backend(ended)))
    with pytest.raises(StoreUnavailable):
        await sleeping
    assert await _pid(database) != ended


async def test_a_connection_that_the_server_is_about_to_end_passes_and_is_not_used_again(
    fresh_postgres_url: str,
) -> None:
    async with proxied(fresh_postgres_url) as proxy, Database.open(proxy.url) as database:
        ending = await _pid(database)
        await proxy.say(shutdown_of_postgres)
        with pytest.raises(StoreUnavailable):
            await _pid(database)
        assert await _pid(database) != ending

        async with database.begin() as connection:
            await connection.execute(who)
        await proxy.say(shutdown_of_postgres)
        with pytest.raises(StoreUnavailable):
            async with database.begin() as connection:
                await connection.execute(who)


async def test_one_that_is_given_up_leaves_no_answer_for_the_next(database: Database) -> None:
    before = await _pid(database)
    sleeping = asyncio.create_task(database.alone(asleep, {}))
    async with database.begin() as connection:
        await _until_busy(connection, before)
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping
    assert await _pid(database) != before


async def test_a_mistake_of_ours_is_no_outage(database: Database) -> None:
    """The driver says it as it says that a connection is closed; this one is open."""
    assert database.straight
    straight = database.straight

    async def without_its_argument(*, closed: bool) -> None:
        async with straight._connected() as kept:
            if closed:
                kept.driver.terminate()
            await kept.driver.fetch("SELECT $1::bigint")

    with pytest.raises(asyncpg.InterfaceError):
        await without_its_argument(closed=False)
    with pytest.raises(ConnectionError):
        await without_its_argument(closed=True)
    assert [tuple(row) for row in await database.alone(number, {"number": 7})] == [(7,)]


async def test_sqlite_has_none(tmp_path: Any) -> None:
    async with Database.open(f"sqlite:///{tmp_path}/amends.db") as database:
        assert database.straight is None
        assert [tuple(row) for row in await database.alone(number, {"number": 7})] == [(7,)]


async def _until_busy(connection: Any, pid: int) -> None:
    busy = sa.text("SELECT 1 FROM pg_stat_activity WHERE pid = :pid AND wait_event = 'PgSleep'")
    async with asyncio.timeout(10):
        while not (await connection.execute(busy, {"pid": pid})).all():
            await connection.execute(sa.text("SELECT pg_stat_clear_snapshot()"))
            await asyncio.sleep(0.01)


async def test_closing_gives_the_connections_back(database: Database) -> None:
    assert isinstance(database.straight, Straight)
    pid = await _pid(database)
    await database.straight.close()
    async with database.begin() as connection, asyncio.timeout(10):
        await _until_gone(connection, pid)


async def _until_gone(connection: Any, pid: int) -> None:
    gone = sa.text("SELECT 1 FROM pg_stat_activity WHERE pid = :pid")
    while (await connection.execute(gone, {"pid": pid})).all():
        await connection.execute(sa.text("SELECT pg_stat_clear_snapshot()"))
        await asyncio.sleep(0.01)
