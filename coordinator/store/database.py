"""The database: connections for those who write and for those who look, its clock, and its errors by name."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from coordinator.errors import StoreUnavailable
from coordinator.store import schema
from coordinator.store.dialect import Dialect, dialect_of, epoch
from coordinator.store.straight import Straight


@contextmanager
def errors_by_name(dialect: Dialect) -> Iterator[None]:
    """Turns an error that passes into StoreUnavailable, and leaves every other as it is."""
    try:
        yield
    except Exception as error:
        if dialect.passes(error):
            raise StoreUnavailable(str(error).partition("\n")[0] or type(error).__name__) from error
        raise


class Database:
    """Two pools: whoever looks at many sagas never keeps the engine from its connections. Where the database has them,
    also connections for statements of one's own, `straight`."""

    def __init__(self, dialect: Dialect, writer: AsyncEngine, reader: AsyncEngine, straight: Straight | None) -> None:
        self.dialect = dialect
        self.straight = straight
        self._writer = writer
        self._reader = reader
        self._loader = dialect.loader(writer, reader)

    @classmethod
    def open(
        cls,
        url: str,
        *,
        writer_connections: int = 4,
        reader_connections: int = 4,
        application_name: str = "amends",
    ) -> Database:
        """`postgresql://…` or `sqlite:///file`. Connects on first use. Raises UnsupportedDatabase."""
        dialect = dialect_of(url)
        writer = dialect.writer(connections=writer_connections, application_name=application_name)
        reader = dialect.reader(connections=reader_connections, application_name=f"{application_name} reader")
        return cls(dialect, writer, reader, dialect.straight(application_name=application_name))

    async def close(self) -> None:
        if self.straight:
            await self.straight.close()
        await self._writer.dispose()
        await self._reader.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write; it commits at the end of the block. Raises StoreUnavailable for what passes.

        When the commit itself fails, nobody knows whether it took place: repeat it with the same identities.
        """
        with errors_by_name(self.dialect):
            async with self._writer.begin() as connection:
                yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one moment of the database and writes nothing. Raises StoreUnavailable."""
        with errors_by_name(self.dialect):
            async with self._reader.begin() as connection:
                yield connection

    @asynccontextmanager
    async def loading(self) -> AsyncIterator[AsyncConnection]:
        """Like `reading`, for the engine: it keeps no reader waiting, and each statement sees the newest."""
        with errors_by_name(self.dialect):
            async with self._loader.begin() as connection:
                yield connection

    async def alone(self, statement: Any, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """What a statement returns that is a transaction of its own, each row in its columns' order. Parameters are
        those that `Rows.bind` makes. Raises StoreUnavailable for what passes."""
        with errors_by_name(self.dialect):
            if self.straight:
                return await self.straight.run(statement, parameters)
            async with (self._loader if statement.is_select else self._writer).begin() as connection:
                result = await connection.execute(statement, parameters)
                return result.all() if result.returns_rows else ()

    async def now(self) -> datetime:
        """What the database's clock says."""
        async with self.reading() as connection:
            micros = (await connection.execute(sa.select(self.dialect.now))).scalar_one()
        return epoch + timedelta(microseconds=int(micros))

    async def check_schema(self) -> bool:
        """Whether the tables are those this version of the coordinator was written for."""
        async with self.reading() as connection:
            if not await connection.run_sync(lambda sync: sa.inspect(sync).has_table("alembic_version")):
                return False
            versions = await connection.execute(sa.text("SELECT version_num FROM alembic_version"))
            return list(versions.scalars()) == [schema.revision]


class DatabaseClock:
    """The database's time, for all who measure leases and waits: no two hosts' clocks are ever compared.

    `now` is cheap: the host's monotonic clock, and how far the database's was ahead of it when last asked. Whoever
    runs it calls `sync` every ten seconds or so.
    """

    noise = timedelta(seconds=1)  # what two looks may differ by without anybody having set a clock

    def __init__(self, database: Database) -> None:
        self._database = database
        self._started: datetime | None = None  # the database's time when our monotonic clock stood at zero
        self._last = epoch

    async def sync(self) -> None:
        """Ask the database. Raises StoreUnavailable; then the clock goes on as before."""
        before = time.monotonic()
        at = await self._database.now()
        self._started = at - timedelta(seconds=(before + time.monotonic()) / 2)

    def now(self) -> datetime:
        """Aware UTC. Small corrections never make it go back; when somebody sets the database's clock, it follows."""
        if self._started is None:
            raise StoreUnavailable("the database's clock has not been asked yet")
        at = self._started + timedelta(seconds=time.monotonic())
        if at < self._last <= at + self.noise:
            return self._last
        self._last = at
        return at
