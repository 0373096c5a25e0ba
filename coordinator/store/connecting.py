"""What a connection to SQLite goes through when it is opened."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Container

import aiosqlite


async def prepare_sqlite(connection: aiosqlite.Connection, busy_seconds: int, passing: Container[int]) -> None:
    """Let commits be durable and readers go on beside the writer. `passing` are errors of the moment."""
    await connection.execute(f"PRAGMA busy_timeout={busy_seconds * 1000}")
    await connection.execute("PRAGMA synchronous=FULL")
    # The first to open a new file changes its mode, for which SQLite won't wait while others do the same.
    give_up_at = time.monotonic() + busy_seconds
    while True:
        try:
            await connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in passing or time.monotonic() > give_up_at:
                raise
        await asyncio.sleep(0.01)
