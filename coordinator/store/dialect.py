"""The true differences between PostgreSQL and SQLite, and nothing else. How PostgreSQL keeps each table is said in
`storage`; no other file names a database."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import Dialect as Driver
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.types import TypeEngine

from amends.database import encrypted, notice_ends
from coordinator.errors import UnsupportedDatabase
from coordinator.store.connecting import prepare_sqlite
from coordinator.store.encoding import encode
from coordinator.store.straight import Straight

straight_max = 4  # statements of their own at a time, each on a connection that is kept
epoch = datetime(1970, 1, 1, tzinfo=UTC)


def micros(at: datetime) -> int:
    """An aware time as microseconds since 1970 in UTC, exactly."""
    return (at - epoch) // timedelta(microseconds=1)


def storable(text: str, chars_max: int) -> str:
    """Text from outside that both databases can hold: no NUL, no lone surrogates, not longer than that."""
    if len(text) > chars_max:
        text = text[: chars_max - 1] + "…"
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


# --- column types -----------------------------------------------------------------------------------------------------


class Moment(sa.TypeDecorator[datetime]):
    """A time, kept as microseconds since 1970 in UTC: exact, and the same arithmetic on both databases."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Driver) -> int | None:
        return None if value is None else micros(value)

    def process_result_value(self, value: int | None, dialect: Driver) -> datetime | None:
        return None if value is None else epoch + timedelta(microseconds=value)


# Identifiers are compared byte by byte: an id's order is its order in time, whatever language the server speaks.
Key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> sa.Index:
    condition = sa.text(where)
    return sa.Index(name, *columns, unique=unique, postgresql_where=condition, sqlite_where=condition)


# --- rows as a parameter ----------------------------------------------------------------------------------------------


class Rows(ABC):
    """Many rows in one parameter set, as a table to select from. The statement's text does not depend on their count.

    `columns` gives each column its type; `c` has the columns; `bind` makes the parameters.
    """

    def __init__(self, name: str, columns: Mapping[str, TypeEngine[Any]]) -> None:
        self.name = name
        self.columns = columns
        self.selectable = self._selectable()

    @property
    def c(self) -> Any:
        return self.selectable.c

    def only(self) -> sa.Select[Any]:
        """The rows as they are. An INSERT with ON CONFLICT can't tell its own words from a select's without WHERE."""
        return sa.select(*self.selectable.c).where(sa.true())

    @abstractmethod
    def _selectable(self) -> sa.FromClause: ...

    @abstractmethod
    def bind(self, records: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """Records in the columns' order as this statement's parameters. Times are aware datetimes."""

    def _plain(self, records: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        moments = [place for place, kind in enumerate(self.columns.values()) if isinstance(kind, Moment)]
        if not moments:
            return records
        plain = [list(record) for record in records]
        for record in plain:
            for place in moments:
                if record[place] is not None:
                    record[place] = micros(record[place])
        return plain

    def _stored(self) -> Iterable[tuple[str, TypeEngine[Any]]]:
        """The columns with the types their values have in the database."""
        for name, kind in self.columns.items():
            if isinstance(kind, Moment):
                yield name, sa.BigInteger()
            elif isinstance(kind, sa.String):
                yield name, sa.Text()
            else:
                yield name, kind


class _ArrayRows(Rows):
    """unnest($1::text[], $2::bigint[]): one array per column."""

    def _selectable(self) -> sa.FromClause:
        stored = list(self._stored())
        arrays = [sa.bindparam(f"{self.name}_{name}", type_=postgresql.ARRAY(kind)) for name, kind in stored]
        columns: list[Any] = [sa.column(name, kind) for name, kind in stored]
        return sa.func.unnest(*arrays).table_valued(*columns).render_derived(name=self.name)

    def bind(self, records: Sequence[Sequence[Any]]) -> dict[str, Any]:
        columns = list(zip(*self._plain(records), strict=True)) or [() for _ in self.columns]
        return {f"{self.name}_{name}": list(values) for name, values in zip(self.columns, columns, strict=True)}


class _JsonRows(Rows):
    """json_each(?): one JSON array of arrays."""

    def _selectable(self) -> sa.FromClause:
        parameter = sa.bindparam(f"{self.name}_rows", type_=sa.Text())
        each = sa.func.json_each(parameter).table_valued("value", name=f"{self.name}_each")
        columns = [
            sa.func.json_extract(each.c.value, sa.literal_column(f"'$[{place}]'"), type_=kind).label(name)
            for place, (name, kind) in enumerate(self._stored())
        ]
        return sa.select(*columns).subquery(self.name)

    def bind(self, records: Sequence[Sequence[Any]]) -> dict[str, Any]:
        return {f"{self.name}_rows": encode(self._plain(records))}


# --- the two databases ------------------------------------------------------------------------------------------------


class Dialect(ABC):
    """One of the two databases."""

    def __init__(self, url: URL) -> None:
        self.url = url

    @property
    @abstractmethod
    def now(self) -> sa.ColumnElement[int]:
        """The database's clock, in microseconds since 1970."""

    @abstractmethod
    def rows(self, name: str, columns: Mapping[str, TypeEngine[Any]]) -> Rows:
        """Rows given as parameters, to be selected from, joined or inserted."""

    @abstractmethod
    def insert(self, table: sa.Table) -> Any:
        """INSERT that knows ON CONFLICT."""

    @abstractmethod
    def writer(self, *, connections: int, application_name: str) -> AsyncEngine:
        """Connections whose transactions write."""

    @abstractmethod
    def loader(self, writer: AsyncEngine, reader: AsyncEngine) -> AsyncEngine:
        """Which of the two loads what is about to be changed, each statement seeing the newest."""

    @abstractmethod
    def reader(self, *, connections: int, application_name: str) -> AsyncEngine:
        """Connections whose transactions see one moment of the database and write nothing."""

    @abstractmethod
    def migrator(self) -> AsyncEngine:
        """One connection without limits on how long a statement may run."""

    @abstractmethod
    def lock_schema(self, connection: sa.Connection) -> None:
        """Let nobody else change the schema until this transaction ends."""

    @abstractmethod
    async def take_turn(self, connection: AsyncConnection, turn: str) -> None:
        """Wait until nobody else has this turn; it ends with the transaction."""

    changes_many_tables = False  # in one statement

    def straight(self, *, application_name: str) -> Straight | None:
        """Connections for statements that are whole transactions, if it has such."""
        return None

    @abstractmethod
    def passes(self, error: BaseException) -> bool:
        """Whether the whole transaction may be repeated: the error comes from the moment, not from the statement."""


def dialect_of(url: str) -> Dialect:
    """The dialect of a database URL. Raises UnsupportedDatabase."""
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError as error:
        raise UnsupportedDatabase("not a database URL; expected postgresql://… or sqlite:///…") from error
    if parsed.drivername in ("postgresql", "postgres", "postgresql+asyncpg"):
        return Postgres(parsed.set(drivername="postgresql+asyncpg"))
    if parsed.drivername in ("sqlite", "sqlite+aiosqlite"):
        if parsed.database in (None, "", ":memory:"):
            raise UnsupportedDatabase("SQLite in memory is one connection's alone; give a file: sqlite:///amends.db")
        return Sqlite(parsed.set(drivername="sqlite+aiosqlite"))
    raise UnsupportedDatabase(f"{parsed.drivername} is not supported; use postgresql+asyncpg or sqlite+aiosqlite")


class Postgres(Dialect):
    passing_states: Mapping[str, str] = {
        "25006": "read-only: a standby, or the primary until just now",
        "25P03": "idle in transaction for too long",
        "40001": "serialization failure",
        "40P01": "deadlock",
        "53100": "disk full",
        "53200": "out of memory",
        "53300": "too many connections",
        "55P03": "lock not available in time",
        "57014": "statement took too long",
        "57P01": "shut down by an administrator",
        "57P02": "crashed",
        "57P03": "starting up",
    }
    passing_classes: Mapping[str, str] = {"08": "connection"}

    changes_many_tables = True

    # Every statement of the coordinator finds its rows by key. A plan made while a table was empty would scan it,
    # and is kept for as long as the connection lives; so scans and hashes are ruled out, and the plan never changes.
    _pinned: Mapping[str, str] = {
        "plan_cache_mode": "force_generic_plan",
        "enable_seqscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
    }

    @property
    def now(self) -> sa.ColumnElement[int]:
        seconds = sa.extract("epoch", sa.func.clock_timestamp())
        return sa.cast(seconds * 1_000_000, sa.BigInteger)

    def rows(self, name: str, columns: Mapping[str, TypeEngine[Any]]) -> Rows:
        return _ArrayRows(name, columns)

    def insert(self, table: sa.Table) -> Any:
        return postgresql.insert(table)

    def writer(self, *, connections: int, application_name: str) -> AsyncEngine:
        return self._engine(connections, application_name, isolation="READ COMMITTED", settings=self._pinned)

    def reader(self, *, connections: int, application_name: str) -> AsyncEngine:
        engine = self._engine(connections, application_name, isolation="REPEATABLE READ", settings={})
        return engine.execution_options(postgresql_readonly=True)

    def loader(self, writer: AsyncEngine, reader: AsyncEngine) -> AsyncEngine:
        return writer.execution_options(isolation_level="AUTOCOMMIT")  # neither BEGIN nor COMMIT to wait for

    def straight(self, *, application_name: str) -> Straight | None:
        engine = self._engine(straight_max, application_name, isolation="AUTOCOMMIT", settings=self._pinned)
        return Straight(engine, at_once_max=straight_max)

    def migrator(self) -> AsyncEngine:
        # As long as the slowest migration of someone else's, whom this one waits for.
        settings = {"statement_timeout": "0", "lock_timeout": "600000", "idle_in_transaction_session_timeout": "0"}
        return self._engine(1, "amends migrate", isolation="READ COMMITTED", settings=settings, command_seconds=None)

    def _engine(
        self,
        connections: int,
        application_name: str,
        *,
        isolation: str,
        settings: Mapping[str, str],
        command_seconds: float | None = 10.0,
    ) -> AsyncEngine:
        server_settings = {
            "application_name": application_name,
            "statement_timeout": "15000",
            "lock_timeout": "5000",
            "idle_in_transaction_session_timeout": "10000",
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
            "jit": "off",
            **settings,
        }
        url, tls = encrypted(self.url)
        timeouts = {"timeout": 5, "command_timeout": command_seconds}
        engine = create_async_engine(
            url,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=5,
            pool_recycle=1800,
            isolation_level=isolation,
            connect_args={**timeouts, **tls, "server_settings": server_settings},
        )
        notice_ends(engine)
        return engine

    def lock_schema(self, connection: sa.Connection) -> None:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.literal(0x616D656E6473, sa.BigInteger))))

    async def take_turn(self, connection: AsyncConnection, turn: str) -> None:
        await connection.execute(
            sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(f"amends {turn}", 0)))
        )

    def passes(self, error: BaseException) -> bool:
        if isinstance(error, sa.exc.DBAPIError):
            if error.connection_invalidated or isinstance(error.orig, OSError):
                return True
            if isinstance(error.orig, AsyncAdapt_asyncpg_dbapi.InvalidCachedStatementError):
                return True  # the schema changed under a prepared statement, which has been forgotten by now
            state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None) or ""
        else:
            state = getattr(error, "sqlstate", None) or ""  # from connecting, which is not wrapped
        return state in self.passing_states or state[:2] in self.passing_classes or _unreachable(error)


class Sqlite(Dialect):
    passing_codes: Mapping[int, str] = {
        sqlite3.SQLITE_BUSY: "another process writes",
        sqlite3.SQLITE_LOCKED: "another connection of this process writes",
        sqlite3.SQLITE_FULL: "disk full",
    }

    @property
    def now(self) -> sa.ColumnElement[int]:
        days = sa.func.julianday("now", type_=sa.Float) - sa.literal_column("2440587.5")
        return sa.cast(sa.func.round(days * 86_400_000), sa.BigInteger) * 1000  # it knows milliseconds

    def rows(self, name: str, columns: Mapping[str, TypeEngine[Any]]) -> Rows:
        return _JsonRows(name, columns)

    def insert(self, table: sa.Table) -> Any:
        return sqlite.insert(table)

    def writer(self, *, connections: int, application_name: str) -> AsyncEngine:
        # One writer at a time is all that SQLite has; they queue here rather than at the file.
        return self._engine(1, begin="BEGIN IMMEDIATE", wait_seconds=30)

    def reader(self, *, connections: int, application_name: str) -> AsyncEngine:
        return self._engine(connections, begin="BEGIN DEFERRED", wait_seconds=5)

    def loader(self, writer: AsyncEngine, reader: AsyncEngine) -> AsyncEngine:
        return reader  # the writer's one connection would make those who look wait for those who write

    def migrator(self) -> AsyncEngine:
        return self._engine(1, begin="BEGIN IMMEDIATE", wait_seconds=5, busy_seconds=600)

    def _engine(self, connections: int, *, begin: str, wait_seconds: int, busy_seconds: int = 5) -> AsyncEngine:
        engine = create_async_engine(self.url, pool_size=connections, max_overflow=0, pool_timeout=wait_seconds)

        @sa.event.listens_for(engine.sync_engine, "connect")
        def prepare(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # the driver begins nothing; we do, below
            connection.run_async(lambda raw: prepare_sqlite(raw, busy_seconds, self.passing_codes))

        @sa.event.listens_for(engine.sync_engine, "begin")
        def open_transaction(connection: sa.Connection) -> None:
            connection.exec_driver_sql(begin)

        return engine

    def lock_schema(self, connection: sa.Connection) -> None:
        """BEGIN IMMEDIATE holds the only write lock there is."""

    async def take_turn(self, connection: AsyncConnection, turn: str) -> None:
        """A transaction that may write has the only turn there is."""

    def passes(self, error: BaseException) -> bool:
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        if isinstance(cause, sqlite3.Error):
            code = getattr(cause, "sqlite_errorcode", None)
            return code is not None and (code & 0xFF) in self.passing_codes
        return _unreachable(error)


def _unreachable(error: BaseException) -> bool:
    """Refused, reset, timed out: these reach us unwrapped. So does waiting too long for a connection of the pool."""
    return isinstance(error, OSError | TimeoutError | sa.exc.TimeoutError)
