"""A transaction that touches nothing but the inbox: a few statements that are made once, each of many rows.

No handler takes part in it, so on PostgreSQL it goes straight to the driver: what SQLAlchemy does around a statement
costs more than all else that an inbox does for a dozen commands. The pool stays SQLAlchemy's, and so do the errors.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import Any, Protocol

import asyncpg
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncTransaction

# For the name of a database's dialect. Its one parameter is "rows": see `amends.database.rows_as_parameter`.
Statement = Callable[[str], Any]

_postgres = URL.create("postgresql+asyncpg").get_dialect()()


class Rows(Protocol):
    """The transaction while it is open."""

    async def run(self, statement: Statement, rows: str) -> Sequence[Sequence[Any]]:
        """Run it with these rows; what it gives back, in the order of its columns."""
        ...

    async def commit(self) -> None: ...
    async def rollback(self) -> None: ...


@asynccontextmanager
async def rows_on(connection: AsyncConnection) -> AsyncIterator[Rows]:
    """Begin such a transaction on this connection. Whatever leaves it open ends the connection with it."""
    driver = _driver(connection)
    if driver is None:
        yield _Told(connection, await connection.begin())
        return
    ended = False
    try:
        rows = _Straight(driver)
        await rows.begin()
        yield rows
        ended = not driver.is_in_transaction()
    finally:
        if not ended:  # the pool knows nothing of this transaction: nobody shall get it
            await connection.invalidate()


def _driver(connection: AsyncConnection) -> asyncpg.Connection | None:
    """The driver's own connection, where its statements mean the same as SQLAlchemy's would."""
    sync = connection.sync_connection
    if sync is None or sync.dialect.driver != "asyncpg" or sync.get_execution_options().get("schema_translate_map"):
        return None
    return sync.connection.driver_connection  # it has just been lent, so that asking for it waits for nothing


class _Told:
    """By SQLAlchemy, on any database."""

    def __init__(self, connection: AsyncConnection, transaction: AsyncTransaction) -> None:
        self._connection = connection
        self.commit, self.rollback = transaction.commit, transaction.rollback

    async def run(self, statement: Statement, rows: str) -> Sequence[Sequence[Any]]:
        result = await self._connection.execute(statement(self._connection.dialect.name), {"rows": rows})
        return result.all() if result.returns_rows else ()


class _Straight:
    """By asyncpg, on PostgreSQL."""

    def __init__(self, driver: asyncpg.Connection) -> None:
        self._driver = driver

    async def begin(self) -> None:
        await self._execute("BEGIN ISOLATION LEVEL READ COMMITTED")

    async def run(self, statement: Statement, rows: str) -> Sequence[Sequence[Any]]:
        with self._told():
            return list(await self._driver.fetch(_text(statement), rows))

    async def commit(self) -> None:
        await self._execute("COMMIT")

    async def rollback(self) -> None:
        await self._execute("ROLLBACK")

    async def _execute(self, text: str) -> None:
        with self._told():
            await self._driver.execute(text)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The driver's errors as SQLAlchemy tells them."""
        try:
            yield
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            lost = self._driver.is_closed()
            raise DBAPIError(None, None, error, connection_invalidated=lost) from error
        except (
            asyncpg.InternalClientError
        ) as error:  # the server has said that it ends the connection, and not yet done so
            raise DBAPIError(None, None, error, connection_invalidated=True) from error


@cache
def _text(statement: Statement) -> str:
    return str(statement("postgresql").compile(dialect=_postgres))
