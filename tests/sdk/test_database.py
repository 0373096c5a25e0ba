"""Why an inbox takes no plain SQLite engine, and what it says instead."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from amends import InboxError
from amends.database import open_engine
from amends.inbox import SqlInbox


async def count_up(engine: AsyncEngine, times: int) -> None:
    """Read, then write what was read plus one, each time in a transaction."""
    done = 0
    while done < times:
        try:
            async with engine.begin() as connection:
                value = (await connection.execute(text("SELECT value FROM counter"))).scalar_one()
                await connection.execute(text("UPDATE counter SET value = :value"), {"value": value + 1})
            done += 1
        except OperationalError:  # locked: an error, at least, that a program can see
            await asyncio.sleep(0)


async def counted(engine: AsyncEngine) -> int:
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE counter (value INTEGER)"))
        await connection.execute(text("INSERT INTO counter VALUES (0)"))
    await asyncio.gather(*(count_up(engine, 20) for _ in range(4)))
    async with engine.connect() as connection:
        value: int = (await connection.execute(text("SELECT value FROM counter"))).scalar_one()
    await engine.dispose()
    return value


async def test_a_plain_sqlite_engine_loses_updates_and_ours_does_not(sqlite_url: str) -> None:
    assert await counted(create_async_engine(f"{sqlite_url}.plain")) < 80
    assert await counted(open_engine(sqlite_url)) == 80


async def test_an_inbox_refuses_an_engine_that_loses_updates(sqlite_url: str) -> None:
    plain = create_async_engine(sqlite_url)
    with pytest.raises(InboxError, match="open_engine"):
        await SqlInbox(plain).create()
    await plain.dispose()
    memory = create_async_engine("sqlite+aiosqlite:///:memory:")
    with pytest.raises(InboxError, match="memory"):
        await SqlInbox(memory).create()
    await memory.dispose()


async def test_an_inbox_without_its_table_says_how_to_get_it(database_url: str) -> None:
    engine = open_engine(database_url)
    with pytest.raises(InboxError, match="create"):
        await SqlInbox(engine).check()
    await engine.dispose()


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite+aiosqlite:///:memory:", "mysql://localhost/db", "postgresql+psycopg://h/d"]
)
def test_other_databases_are_refused_at_once(url: str) -> None:
    with pytest.raises(InboxError):
        open_engine(url)
