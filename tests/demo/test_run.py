"""A service run by itself, as in production: on RabbitMQ and PostgreSQL, until SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from amends import Address, Answer, Confirm, Kind, Reply
from amends.message import Heartbeat, decode, encode_item, frame
from amends.rabbitmq import RabbitBroker
from participants.knobs import Knobs
from participants.run import _knobs, _options, open_database
from tests.demo.commands import a_command

root = Path(__file__).parents[2]


async def _start(*arguments: str) -> asyncio.subprocess.Process:
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'participants' / 'sdk'}"}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "participants.payment",
        *arguments,
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_a_service_answers_over_rabbitmq_and_ends_gracefully_on_sigterm(
    fresh_rabbitmq_url: str, fresh_postgres_url: str, tmp_path: Path
) -> None:
    url = fresh_postgres_url.replace("+asyncpg", "", 1)
    alive = tmp_path / "alive"
    process = await _start("--broker", fresh_rabbitmq_url, "--database", url, "--alive-file", str(alive))
    broker = await RabbitBroker.connect(fresh_rabbitmq_url, name="test")
    engine = open_database(fresh_postgres_url, connections=1)
    try:
        async with asyncio.timeout(40):
            replies = await broker.subscribe("replies", None, prefetch=10)
            await broker.declare("payment")
            order = {"order_id": 1, "customer": "ada", "amount_cents": 59_00}
            command = a_command("payment", Kind.ACTION, "charge", order, saga_id="a-saga")
            sent = await broker.publish(Address("commands", "payment"), frame("commands", [encode_item(command)]))
            assert sent is Confirm.CONFIRMED
            heard: list[object] = []
            while not any(isinstance(item, Reply) for item in heard):
                deliveries = await replies.take(10)
                await replies.acknowledge(deliveries)
                heard += [item for delivery in deliveries for item in decode(delivery.body)]
            reply = next(item for item in heard if isinstance(item, Reply))
            assert reply.answer is Answer.SUCCEEDED
            assert time.time() - alive.stat().st_mtime < 60  # it is kept young for whoever asks whether this is alive
            process.send_signal(signal.SIGTERM)
            while not any(isinstance(item, Heartbeat) and item.stopping for item in heard):
                deliveries = await replies.take(10)
                await replies.acknowledge(deliveries)
                heard += [item for delivery in deliveries for item in decode(delivery.body)]
            assert await process.wait() == 0
        async with engine.connect() as connection:
            question = text("SELECT balance_cents FROM accounts WHERE name = 'shop'")
            assert await connection.scalar(question) == 59_00
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        await engine.dispose()
        await broker.close()


@pytest.mark.parametrize("database", ["mysql://localhost/shop", "postgresql://localhost:1/shop", "no url"])
async def test_a_database_that_cannot_be_used_ends_it_with_a_sentence(database: str) -> None:
    process = await _start("--broker", "amqp://localhost:1/", "--database", database)
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().startswith("payment: ")
    assert "Traceback" not in errors.decode()


def test_trouble_is_asked_for_by_options_or_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMENDS_REFUSE_RATE", "0.2")
    monkeypatch.setenv("AMENDS_PAYMENT_DATABASE_URL", "postgresql://there/payment")
    options = _options("payment", ["--fail-rate", "0.1", "--seed", "7", "--allow-dying", "graves"])
    assert options.database == "postgresql://there/payment"
    assert _knobs(options) == Knobs(fail_rate=0.1, refuse_rate=0.2, seed=7, dying=Path("graves"))
