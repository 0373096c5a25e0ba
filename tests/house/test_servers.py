"""The servers the tests run on: fresh for each test, and gone with the process that started them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest
from aio_pika import Message, connect
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.servers import ephemeral_postgres
from tests.servers.postgres import installed_postgres

needs_binaries = pytest.mark.skipif(installed_postgres() is None, reason="no PostgreSQL binaries are installed here")


async def test_a_fresh_database_is_empty_and_can_be_written(database_url: str) -> None:
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE t (a INTEGER)"))
        await connection.execute(text("INSERT INTO t VALUES (1)"))
        assert (await connection.execute(text("SELECT count(*) FROM t"))).scalar_one() == 1
    await engine.dispose()


@pytest.mark.parametrize("time", ["first", "again"])
async def test_a_fresh_virtual_host_has_no_queue_of_another_test(fresh_rabbitmq_url: str, time: str) -> None:
    async with await connect(fresh_rabbitmq_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("parcels", durable=True, arguments={"x-queue-type": "quorum"})
        assert queue.declaration_result.message_count == 0, time
        await channel.default_exchange.publish(Message(b"left behind"), "parcels")


@pytest.mark.postgres
async def test_a_killed_server_comes_back_with_its_data_under_the_same_url() -> None:
    with ephemeral_postgres() as server:
        await _execute(server.url, "CREATE TABLE kept (a INTEGER)")
        server.kill()
        with pytest.raises(OSError, match=r"refused|failed"):
            await _execute(server.url, "SELECT 1")
        server.start()
        await _execute(server.url, "SELECT a FROM kept")


@needs_binaries
@pytest.mark.postgres
def test_a_server_ends_with_the_process_that_started_it_even_when_that_is_killed() -> None:
    program = (
        "import sys; from tests.servers import EphemeralPostgres; server = EphemeralPostgres();"
        "print((server.directory / 'data' / 'postmaster.pid').read_text().split()[0], server.directory, flush=True);"
        "sys.stdin.read()"
    )
    root = Path(__file__).parents[2]
    owner = subprocess.Popen([sys.executable, "-c", program], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with owner:
        assert owner.stdout is not None
        pid, directory = owner.stdout.readline().decode().split()
        owner.kill()
    give_up_at = time.monotonic() + 20.0
    while (_is_alive(int(pid)) or Path(directory).exists()) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert not _is_alive(int(pid))
    assert not Path(directory).exists()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", "", 1))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
