"""Where PostgreSQL and SQLite differ, and how to open either so that it keeps an inbox's promises.

A plain SQLAlchemy engine on SQLite begins a transaction only at its first write, so two of them may read the same row
and the second silently overwrites the first. `open_engine` begins each one as a writer; `SqlInbox` accepts no other.
"""

from __future__ import annotations

import os
import sqlite3
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import asyncpg
from sqlalchemy import (
    ColumnElement,
    Insert,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    event,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection, ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.types import TypeEngine

from amends.errors import InboxError

connect_seconds = 5
statement_seconds = 15
busy_seconds = 10

# SQLSTATEs after which the same transaction, begun anew, may well succeed: serialization, deadlock, lock not
# available, shutting down, too many connections, idle in transaction. Class 08 (connection) belongs to them.
transient_states = frozenset({"40001", "40P01", "55P03", "57P01", "57P02", "57P03", "53300", "25P03"})
transient_sqlite = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED"})  # and their extended codes


def open_engine(url: str, *, connections: int = 16) -> AsyncEngine:
    """An engine for `postgresql+asyncpg://…` or `sqlite+aiosqlite:///path`, set up so that no update is lost.

    `connections` bounds the pool: a participant needs one for each command it works on at once. Raises InboxError
    for any other kind of URL, and for SQLite in memory (its connections can't be isolated from each other).
    """
    parts = make_url(url)
    if parts.drivername in ("postgresql", "postgresql+asyncpg"):
        return _open_postgres(parts.set(drivername="postgresql+asyncpg"), connections)
    if parts.drivername in ("sqlite", "sqlite+aiosqlite"):
        if parts.database in (None, "", ":memory:"):
            raise InboxError("SQLite in memory can't keep an inbox: give it a file, sqlite+aiosqlite:///path")
        return _open_sqlite(str(parts.set(drivername="sqlite+aiosqlite").render_as_string(False)), connections)
    raise InboxError(f"{parts.drivername}: use postgresql+asyncpg:// or sqlite+aiosqlite://")


def encrypted(parts: URL) -> tuple[URL, dict[str, Any]]:
    """A URL without what it says of TLS, and the driver's arguments for that.

    It is stated as to any client of PostgreSQL: `sslmode`, `sslrootcert`, `sslcert`, … Where a certificate is to be
    verified and nobody says by whom, the system's authorities are believed; the driver would refuse.
    """
    stated = {name: str(value) for name, value in parts.query.items() if name.startswith("ssl")}
    if not stated:
        return parts, {}
    if "ssl" in stated:  # the driver's own word for it
        stated["sslmode"] = stated.pop("ssl")
    without = parts.set(query={name: value for name, value in parts.query.items() if not name.startswith("ssl")})
    named = "sslrootcert" in stated or "PGSSLROOTCERT" in os.environ or _own_root().exists()
    if stated.get("sslmode") in ("verify-ca", "verify-full") and not named:
        context = ssl.create_default_context()
        context.check_hostname = stated["sslmode"] == "verify-full"
        if "sslcert" in stated:
            context.load_cert_chain(stated["sslcert"], stated.get("sslkey"), stated.get("sslpassword"))
        return without, {"ssl": context}
    return without, {"dsn": f"postgresql://?{urlencode(stated)}"}


def _own_root() -> Path:
    """Where the driver looks for the certificate of an authority by itself."""
    try:
        return Path.home() / ".postgresql" / "root.crt"
    except RuntimeError:  # a container may run under a number that has no home
        return Path("/nonexistent")


def _open_postgres(parts: URL, connections: int) -> AsyncEngine:
    url, tls = encrypted(parts)
    settings = {
        "application_name": "amends",
        "statement_timeout": str(statement_seconds * 1000),
        "lock_timeout": "5000",
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
    }
    engine = create_async_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=connect_seconds,
        isolation_level="READ COMMITTED",
        connect_args={
            "timeout": connect_seconds,
            "command_timeout": statement_seconds + 5,
            "server_settings": settings,
            **tls,
        },
    )
    notice_ends(engine)
    return engine


def notice_ends(engine: AsyncEngine) -> None:
    """Of connections that the server has ended: they are replaced, or errors say that they are lost."""
    event.listen(engine.sync_engine, "checkout", _check_still_open)
    event.listen(engine.sync_engine, "handle_error", _tell_of_an_end, retval=True)


def _check_still_open(connection: Any, _record: Any, _borrowed: Any) -> None:
    """Before a connection of the pool is used: one that the server has ended is replaced, and so are all like it.

    The driver knows, without a word on the wire. Asking the server would take three round trips, each time.
    """
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError


def _tell_of_an_end(context: ExceptionContext) -> BaseException | None:
    """For `handle_error`: the server has said that it ends a connection, and its end has not arrived yet.

    Until then the driver calls the connection open and refuses every statement, by an error that SQLAlchemy does not
    know.
    """
    if not isinstance(context.original_exception, asyncpg.InternalClientError):
        return None
    context.is_disconnect = True
    return DBAPIError(context.statement, None, context.original_exception, connection_invalidated=True)


def _open_sqlite(url: str, connections: int) -> AsyncEngine:
    engine = create_async_engine(url, pool_size=connections, max_overflow=0, pool_timeout=30)

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing; the listener below does
        cursor = connection.cursor()
        pragmas = ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={busy_seconds * 1000}", "foreign_keys=ON")
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


async def check_engine(engine: AsyncEngine) -> None:
    """Raise InboxError unless transactions of this engine exclude each other as an inbox needs it."""
    if engine.dialect.name == "postgresql":
        return
    if engine.dialect.name != "sqlite" or engine.dialect.driver != "aiosqlite":
        raise InboxError(f"{engine.dialect.name}+{engine.dialect.driver}: an inbox needs PostgreSQL or aiosqlite")
    if engine.url.database in (None, "", ":memory:"):
        raise InboxError("SQLite in memory can't keep an inbox: give it a file")
    statements: list[str] = []
    async with engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        if driver is None:
            raise InboxError("the SQLite driver gave no connection")
        await driver.set_trace_callback(statements.append)
        try:
            transaction = await connection.begin()
            await connection.exec_driver_sql("SELECT 1")
            await transaction.rollback()
        finally:
            await driver.set_trace_callback(None)
    if not any(statement.upper().startswith(("BEGIN IMMEDIATE", "BEGIN EXCLUSIVE")) for statement in statements):
        raise InboxError(
            "this SQLite engine begins its transactions too late and would lose updates silently: "
            "open it with amends.database.open_engine(url)"
        )


def clock(connection: AsyncConnection) -> ColumnElement[float]:
    """The database's clock in Unix seconds, now and not when the transaction began."""
    return clock_of(connection.dialect.name)


def clock_of(dialect: str) -> ColumnElement[float]:
    """As `clock`, for a statement that is made once."""
    if dialect == "postgresql":
        return literal_column("extract(epoch from clock_timestamp())::double precision")
    return literal_column("(julianday('now') - 2440587.5) * 86400.0")


def insert_once(connection: AsyncConnection, table: Table, row: dict[str, Any]) -> Insert:
    """Insert the row unless its key is there. Waits for whoever is about to insert or remove the same key."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table).values(row).on_conflict_do_nothing()
    return sqlite.insert(table).values(row).on_conflict_do_nothing()


def rows_as_parameter(dialect: str, columns: Mapping[str, TypeEngine[Any]]) -> Select[Any]:
    """Many rows as one parameter, "rows": a JSON array of arrays, in the columns' order. The statement that selects
    from it is the same for one row and for many."""
    given = bindparam("rows", type_=Text())
    if dialect == "postgresql":
        each = func.json_array_elements(cast(given, postgresql.JSON)).table_valued("value", name="each")
        found = [
            cast(each.c.value.op("->>")(literal_column(str(place))), kind).label(name)
            for place, (name, kind) in enumerate(columns.items())
        ]
    else:
        each = func.json_each(given).table_valued("value", name="each")
        found = [
            func.json_extract(each.c.value, literal_column(f"'$[{place}]'"), type_=kind).label(name)
            for place, (name, kind) in enumerate(columns.items())
        ]
    # A word such as WHERE has to stand between what is selected and ON CONFLICT.
    return select(*found).where(true())


def insert_from(
    dialect: str,
    table: Table,
    columns: Sequence[str],
    rows: Select[Any],
    fixed: Sequence[ColumnElement[Any]],
) -> Any:
    """Insert these rows, with the same further values for each: an INSERT that knows ON CONFLICT."""
    insert = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    return insert.from_select(list(columns), rows.add_columns(*fixed))


def is_transient(error: BaseException) -> bool:
    """Whether the whole transaction may succeed if it is begun anew: a deadlock, a lock, a lost connection."""
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, DBAPIError):
            if current.connection_invalidated:
                return True
            state = str(getattr(current.orig, "sqlstate", None) or "")
            if state in transient_states or state.startswith("08"):
                return True
        if isinstance(current, sqlite3.Error):
            name = str(getattr(current, "sqlite_errorname", ""))
            if any(name == known or name.startswith(f"{known}_") for known in transient_sqlite):
                return True
        if isinstance(current, PoolTimeout):
            return True
        current = current.__cause__
    return False


def is_refusal(error: BaseException) -> bool:
    """Whether a COMMIT failed on a constraint checked at its end, and would again."""
    if not isinstance(error, DBAPIError):
        return False
    state = str(getattr(error.orig, "sqlstate", None) or "")
    return state.startswith("23") or (
        isinstance(error.orig, sqlite3.IntegrityError) and error.orig.sqlite_errorname.startswith("SQLITE_CONSTRAINT")
    )
