"""Statements that are whole transactions, handed to PostgreSQL's driver itself.

SQLAlchemy says what is to be said; who says it thousands of times a second can do without being walked through its
cursors, its compiler's cache and a greenlet each time: that is four fifths of what a small statement costs a process.
The connections are the pool's, kept from one statement to the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

Records = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class _Text:
    """A statement as the driver takes it. `constants` are the values that stand in the statement itself."""

    sql: str
    names: tuple[str, ...]
    constants: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Kept:
    connection: AsyncConnection
    driver: Any  # asyncpg's, of which one says only so much


class Straight:
    """Connections of this engine, which must commit by itself. As many statements at a time as its pool has room."""

    def __init__(self, engine: AsyncEngine, *, at_once_max: int) -> None:
        self._engine = engine
        self._idle: list[_Kept] = []
        self._room = asyncio.Semaphore(at_once_max)
        self._texts: dict[Any, _Text] = {}

    async def run(self, statement: Any, parameters: Mapping[str, Any]) -> Records:
        """What the statement returns. Parameters are values as the driver takes them. Raises the driver's errors; one
        that lost its connection as ConnectionError."""
        text = self._texts.get(statement) or self._written(statement)
        values = {**text.constants, **parameters}
        async with self._room, self._connected() as kept:
            found: Records = await kept.driver.fetch(text.sql, *[values[name] for name in text.names])
        return found

    async def close(self) -> None:
        """Give the connections back. What runs has to have ended."""
        while self._idle:
            await self._idle.pop().connection.close()
        await self._engine.dispose()

    def _written(self, statement: Any) -> _Text:
        compiled = statement.compile(dialect=self._engine.dialect)
        constants = {name: value for name, value in compiled.params.items() if value is not None}
        text = self._texts[statement] = _Text(str(compiled), tuple(compiled.positiontup), constants)
        return text

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[_Kept]:
        kept = await self._open()
        try:
            yield kept
        except asyncpg.PostgresError:
            self._idle.append(kept)  # the statement is undone, and the connection as good as before, if it is there
            raise
        except asyncpg.InterfaceError as error:
            closed = kept.driver.is_closed()
            await self._drop(kept)
            if closed:
                raise ConnectionError(str(error)) from error
            raise
        except (
            asyncpg.InternalClientError
        ) as error:  # the server has said that it ends the connection, and not yet done so
            await self._drop(kept)
            raise ConnectionError(str(error)) from error
        except BaseException:  # it was cut short: what the connection would say next is anybody's guess
            await self._drop(kept)
            raise
        self._idle.append(kept)

    async def _open(self) -> _Kept:
        """A connection that is there still, as far as the driver knows."""
        while self._idle:
            kept = self._idle.pop()
            if not kept.driver.is_closed():
                return kept
            await self._drop(kept)
        return await self._connect()

    async def _connect(self) -> _Kept:
        connection = await self._engine.connect()
        return _Kept(connection, (await connection.get_raw_connection()).driver_connection)

    async def _drop(self, kept: _Kept) -> None:
        kept.driver.terminate()
        await kept.connection.invalidate()
        await kept.connection.close()
