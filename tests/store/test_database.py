"""The database itself: nothing is lost silently, its errors have names, and time is its time."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from coordinator.errors import StoreUnavailable, UnsupportedDatabase
from coordinator.store.database import Database, DatabaseClock
from coordinator.store.dialect import Postgres, Sqlite, dialect_of
from coordinator.store.sagas import SagaStore
from tests.servers import OwnPostgres, ephemeral_postgres
from tests.servers.process import free_port
from tests.store.made import new

writers, rounds = 10, 10


# --- nothing is lost silently -----------------------------------------------------------------------------------------


async def _raise_a_counter(begin: Callable[[], AbstractAsyncContextManager[AsyncConnection]]) -> int:
    """Ten writers read a number, wait a moment and write it back one higher, ten times each."""

    async def write() -> None:
        for _ in range(rounds):
            async with begin() as connection:
                number = (await connection.execute(sa.text("SELECT number FROM counter"))).scalar_one()
                await asyncio.sleep(0)
                await connection.execute(sa.text("UPDATE counter SET number = :number"), {"number": number + 1})

    async with begin() as connection:
        await connection.execute(sa.text("CREATE TABLE counter (number INTEGER NOT NULL)"))
        await connection.execute(sa.text("INSERT INTO counter VALUES (0)"))
    await asyncio.gather(*(write() for _ in range(writers)))
    async with begin() as connection:
        return int((await connection.execute(sa.text("SELECT number FROM counter"))).scalar_one())


async def test_a_plain_sqlite_engine_loses_updates_and_says_nothing(tmp_path: Path) -> None:
    # This is why ours is set up as it is: the driver begins a transaction only at the first write, so that two may
    # read the same number, and both writes succeed.
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'plain.db'}", pool_size=writers)
    try:
        assert await _raise_a_counter(engine.begin) < writers * rounds
    finally:
        await engine.dispose()


async def test_ours_loses_none(sqlite_url: str) -> None:
    async with Database.open(sqlite_url) as database:
        assert await _raise_a_counter(database.begin) == writers * rounds


async def test_sqlite_is_durable_and_lets_readers_read(sqlite_url: str) -> None:
    async with Database.open(sqlite_url) as database, database.begin() as connection:
        pragmas = ("journal_mode", "synchronous", "busy_timeout")
        values = [(await connection.exec_driver_sql(f"PRAGMA {pragma}")).scalar_one() for pragma in pragmas]
        assert values == ["wal", 2, 5000]  # 2 is FULL: a commit survives a power cut
        async with database.reading() as reader:
            assert (await reader.execute(sa.text("SELECT 1"))).scalar_one() == 1


async def test_a_reader_sees_one_moment(database: Database) -> None:
    counted = sa.text("SELECT count(*) FROM sagas")
    async with database.reading() as connection:
        before = (await connection.execute(counted)).scalar_one()
        await SagaStore(database).create([new()])
        assert (await connection.execute(counted)).scalar_one() == before == 0
    async with database.reading() as connection:
        assert (await connection.execute(counted)).scalar_one() == 1


async def test_postgres_reads_can_not_write(fresh_postgres_url: str) -> None:
    async with Database.open(fresh_postgres_url) as database:
        with pytest.raises((sa.exc.DBAPIError, StoreUnavailable), match="read-only transaction"):
            async with database.reading() as connection:
                await connection.execute(sa.text("CREATE TABLE t (a int)"))


async def test_postgres_connections_are_bounded_in_time(fresh_postgres_url: str) -> None:
    async with Database.open(fresh_postgres_url, application_name="amends test") as database:
        async with database.begin() as connection:
            names = ["application_name", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]
            names += ["transaction_isolation", "plan_cache_mode", "tcp_keepalives_idle"]
            values = [(await connection.execute(sa.text(f"SHOW {name}"))).scalar_one() for name in names]
        assert values == ["amends test", "15s", "5s", "10s", "read committed", "force_generic_plan", "10"]
        async with database.reading() as connection:
            assert (await connection.execute(sa.text("SHOW application_name"))).scalar_one() == "amends test reader"
            assert (await connection.execute(sa.text("SHOW plan_cache_mode"))).scalar_one() == "auto"


# --- which databases --------------------------------------------------------------------------------------------------


def test_plain_urls_get_the_drivers_that_are_meant() -> None:
    plain = dialect_of("postgresql://u:p@h/d?sslmode=require").url
    assert plain.render_as_string(hide_password=False) == "postgresql+asyncpg://u:p@h/d?sslmode=require"
    assert dialect_of("postgres://h/d").url.drivername == "postgresql+asyncpg"
    assert dialect_of("sqlite:///a.db").url.drivername == "sqlite+aiosqlite"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("rubbish", "not a database URL"),
        ("mysql://h/d", "mysql is not supported"),
        ("postgresql+psycopg://h/d", "not supported"),
        ("sqlite://", "give a file"),
        ("sqlite:///:memory:", "give a file"),
    ],
)
def test_what_can_not_be_used_is_refused_with_a_reason(url: str, says: str) -> None:
    with pytest.raises(UnsupportedDatabase, match=says):
        Database.open(url)


# --- errors by name ---------------------------------------------------------------------------------------------------

driver: Any = AsyncAdapt_asyncpg_dbapi
postgres, sqlite = dialect_of("postgresql://h/d"), dialect_of("sqlite:///a.db")


def _postgres_error(state: str) -> sa.exc.DBAPIError:
    """An error as it reaches us from asyncpg, through SQLAlchemy."""
    original = asyncpg.PostgresError("boom")
    original.sqlstate = state
    adapted = driver.Error("boom", original)
    return sa.exc.DBAPIError("SELECT 1", {}, adapted)


def _sqlite_error(code: int) -> sa.exc.DBAPIError:
    original = sqlite3.OperationalError("boom")
    original.sqlite_errorcode = code
    return sa.exc.OperationalError("SELECT 1", {}, original)


passing_states = [*Postgres.passing_states, "08000", "08003", "08006", "08P01"]


@pytest.mark.parametrize("state", passing_states)
def test_a_state_of_postgres_that_passes(state: str) -> None:
    assert postgres.passes(_postgres_error(state))


def test_the_states_that_pass_are_those_that_were_chosen() -> None:
    chosen = "25006 25P03 40001 40P01 53100 53200 53300 55P03 57014 57P01 57P02 57P03"
    assert " ".join(sorted(Postgres.passing_states)) == chosen
    assert set(Postgres.passing_classes) == {"08"}
    assert {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL} == set(Sqlite.passing_codes)


@pytest.mark.parametrize("state", ["22021", "22P02", "23505", "23514", "42601", "42P01", "0A000", "54000", "XX000", ""])
def test_a_state_of_postgres_that_stays(state: str) -> None:
    assert not postgres.passes(_postgres_error(state))


@pytest.mark.parametrize(
    "code", [*Sqlite.passing_codes, sqlite3.SQLITE_BUSY_SNAPSHOT, sqlite3.SQLITE_LOCKED_SHAREDCACHE]
)
def test_a_code_of_sqlite_that_passes(code: int) -> None:
    assert sqlite.passes(_sqlite_error(code))


@pytest.mark.parametrize("code", [sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_CORRUPT])
def test_a_code_of_sqlite_that_stays(code: int) -> None:
    assert not sqlite.passes(_sqlite_error(code))


def test_what_comes_unwrapped_passes_too() -> None:
    unreachable = [ConnectionRefusedError(), ConnectionResetError(), TimeoutError(), OSError(), sa.exc.TimeoutError()]
    for dialect in (postgres, sqlite):
        assert [error for error in unreachable if not dialect.passes(error)] == []
        assert [error for error in (ValueError(), KeyError(), RuntimeError()) if dialect.passes(error)] == []
    starting_up = asyncpg.CannotConnectNowError("the database system is starting up")
    assert postgres.passes(starting_up)
    assert not postgres.passes(asyncpg.InvalidPasswordError("no"))


def test_a_lost_connection_passes() -> None:
    lost = sa.exc.DBAPIError("SELECT 1", {}, Exception("gone"), connection_invalidated=True)
    assert postgres.passes(lost)
    cached = driver.InvalidCachedStatementError("cached", asyncpg.InvalidCachedStatementError("cached"))
    assert postgres.passes(sa.exc.NotSupportedError("SELECT 1", {}, cached))


async def test_a_database_nobody_serves_is_unavailable() -> None:
    async with Database.open(f"postgresql://nobody@127.0.0.1:{free_port()}/none") as database:
        with pytest.raises(StoreUnavailable):
            await database.now()


async def test_a_locked_sqlite_file_is_unavailable(sqlite_url: str) -> None:
    path = sqlite_url.removeprefix("sqlite+aiosqlite:///")
    async with Database.open(sqlite_url) as database:
        async with database.begin() as connection:
            await connection.exec_driver_sql("CREATE TABLE t (a)")
            await connection.exec_driver_sql("PRAGMA busy_timeout=1")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            with pytest.raises(StoreUnavailable, match="locked"):
                async with database.begin() as connection:
                    await connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        finally:
            other.close()


async def test_other_errors_stay_what_they_are(database: Database) -> None:
    with pytest.raises(sa.exc.DBAPIError):
        async with database.begin() as connection:
            await connection.execute(sa.text("SELECT nonsense FROM nowhere"))
    with pytest.raises(KeyError):
        async with database.begin() as connection:
            raise KeyError


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[OwnPostgres]:
    with ephemeral_postgres() as server:
        yield server


@pytest.mark.postgres
async def test_a_restart_of_postgres_is_survived(own_postgres: OwnPostgres) -> None:
    async with Database.open(own_postgres.url) as database:
        async with database.begin() as connection:
            await connection.execute(sa.text("CREATE TABLE survivors (name text)"))

        async def interrupted() -> None:
            async with database.begin() as connection:
                await connection.execute(sa.text("INSERT INTO survivors VALUES ('lost')"))
                await asyncio.to_thread(own_postgres.kill)
                await connection.execute(sa.text("INSERT INTO survivors VALUES ('lost too')"))

        with pytest.raises(StoreUnavailable):
            await interrupted()
        with pytest.raises(StoreUnavailable):
            await database.now()
        await asyncio.to_thread(own_postgres.start)
        async with database.begin() as connection:
            await connection.execute(sa.text("INSERT INTO survivors VALUES ('kept')"))
        async with database.reading() as connection:
            assert (await connection.execute(sa.text("SELECT name FROM survivors"))).scalars().all() == ["kept"]


# --- time -------------------------------------------------------------------------------------------------------------


async def test_the_database_knows_the_time(database: Database) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=2)
    assert before <= await database.now() <= datetime.now(UTC) + timedelta(milliseconds=2)


async def test_ec52_the_clock_follows_the_database_and_never_goes_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = DatabaseClock(database)
    with pytest.raises(StoreUnavailable):
        clock.now()
    await clock.sync()
    assert abs(clock.now() - await database.now()) < timedelta(seconds=1)
    readings = [clock.now() for _ in range(100)]
    assert readings == sorted(readings)

    host = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: host() + 100)
    ahead = clock.now()
    assert ahead - readings[-1] >= timedelta(seconds=100)
    monkeypatch.setattr(time, "monotonic", lambda: host() + 99.5)
    assert clock.now() == ahead  # a little back: it stands still
    monkeypatch.setattr(time, "monotonic", lambda: host() + 10)
    assert clock.now() < ahead - timedelta(seconds=80)  # somebody has set the clock: it follows
