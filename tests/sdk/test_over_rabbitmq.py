"""The serving loop over a real RabbitMQ: the same promises, with a broker that can lose its connections."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import aio_pika
import pytest

from amends import Answer, Confirm
from amends.message import encode_item, frame
from amends.rabbitmq import RabbitBroker, topology
from coordinator.cli.granting import Administration, Rights, participant_rights
from tests.sdk.coordinator import Coordinator, sagas, serving
from tests.sdk.shop import Shop, action, compensation
from tests.servers import Servers
from tests.servers.desk import Visitor


async def test_commands_are_answered_and_one_bad_item_is_buried_alone(shop: Shop, fresh_rabbitmq_url: str) -> None:
    broker = await RabbitBroker.connect(fresh_rabbitmq_url, name="test")
    await broker.declare("payment")
    hearer = Coordinator(broker, await broker.subscribe("replies", None, prefetch=100))
    graves = await broker.dead_letters()
    async with serving(shop, broker):
        orders = [encode_item(action(saga_id=f"s{number}")) for number in range(20)]
        assert await hearer.send_body(frame("commands", [*orders, '{"saga_id":"bad"}'])) is Confirm.CONFIRMED
        assert len(set(sagas(await hearer.hear(20)))) == 20
        async with asyncio.timeout(20):
            (dead,) = await graves.take(10)
        await graves.acknowledge([dead])
        assert "bad" in dead.body.decode()
        assert "step" in str(dead.reason)
        await hearer.send(compensation(saga_id="s0"))
        assert [reply.answer for reply in await hearer.hear(1)] == [Answer.SUCCEEDED]
    assert (await hearer.last_words()).worker == shop.participant.worker.id
    assert await shop.net("s0") == 0
    await broker.close()


async def test_what_a_stopped_worker_left_is_taken_by_the_next(shop: Shop, fresh_rabbitmq_url: str) -> None:
    broker = await RabbitBroker.connect(fresh_rabbitmq_url, name="test")
    await broker.declare("payment")
    hearer = Coordinator(broker, await broker.subscribe("replies", None, prefetch=100))
    dead_worker = await broker.subscribe("commands", "payment", prefetch=1)
    await hearer.send(*(action(saga_id=f"s{number}") for number in range(5)))
    await dead_worker.take(1)
    await dead_worker.close()
    async with serving(shop, broker):
        assert len(await hearer.hear(5)) == 5
    assert [await shop.net(f"s{number}") for number in range(5)] == [10] * 5
    await broker.close()


async def hearing(url: str) -> Coordinator:
    broker = await RabbitBroker.connect(url, name="test")
    await broker.declare("payment")
    return Coordinator(broker, await broker.subscribe("replies", None, prefetch=100))


async def test_each_coordinator_hears_of_its_own_commands_alone(shop: Shop, fresh_rabbitmq_url: str) -> None:
    broker = await RabbitBroker.connect(fresh_rabbitmq_url, name="test")
    ours, theirs = await hearing(fresh_rabbitmq_url), await hearing(fresh_rabbitmq_url)
    asked = {
        coordinator: [f"{name}{number}" for number in range(20)]
        for name, coordinator in zip("ot", (ours, theirs), strict=True)
    }
    for coordinator, ids in asked.items():
        await coordinator.send(*(action(saga_id=saga_id) for saga_id in ids))
    async with serving(shop, broker):
        for coordinator, ids in asked.items():
            assert sorted(sagas(await coordinator.hear(20))) == sorted(ids)
    for coordinator in asked:
        await coordinator.broker.close()
    await broker.close()


async def test_whose_coordinator_is_gone_is_answered_to_another(shop: Shop, fresh_rabbitmq_url: str) -> None:
    broker = await RabbitBroker.connect(fresh_rabbitmq_url, name="test")
    gone = await hearing(fresh_rabbitmq_url)
    await gone.send(*(action(saga_id=f"s{number}") for number in range(5)))
    commands = await broker.subscribe("commands", "payment", prefetch=1)
    async with asyncio.timeout(20):
        (command,) = await commands.take(1)
    await commands.close()
    await gone.broker.close()
    connection = await aio_pika.connect(fresh_rabbitmq_url)
    await (await connection.channel()).queue_delete(topology.direct_queue(str(command.reply_to)).name)
    await connection.close()
    other = await hearing(fresh_rabbitmq_url)
    async with serving(shop, broker):
        assert len(await other.hear(5)) == 5
    await other.broker.close()
    await broker.close()


async def test_a_worker_that_may_not_reach_one_coordinator_replies_to_all(
    shop: Shop, fresh_rabbitmq_url: str, servers: Servers | Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    """As one whose rights are of an earlier release: it is refused once, and then goes the other way for a while."""
    parts = urlsplit(fresh_rabbitmq_url)
    administration = Administration(servers.rabbitmq_management_url, parts.path.removeprefix("/"))
    rights = participant_rights("payment")
    narrow = {topology.replies: r"^(reply|heartbeat)\.payment$"}
    user = f"payment-{parts.path.removeprefix('/')}"
    await administration.grant(user, Rights(rights.configure, rights.write, rights.read, narrow), "secret")
    try:
        hearer = await hearing(fresh_rabbitmq_url)
        url = parts._replace(netloc=f"{user}:secret@{parts.hostname}:{parts.port}").geturl()
        broker = await RabbitBroker.connect(url, name="payment")
        async with serving(shop, broker):
            for number in range(3):
                await hearer.send(action(saga_id=f"s{number}"))
                assert sagas(await hearer.hear(1)) == [f"s{number}"]
        await broker.close()
        await hearer.broker.close()
    finally:
        await administration.revoke(user)
        await administration.close()
    assert [
        vars(record)["confirm"] for record in caplog.records if getattr(record, "action", "") == "answers.not_direct"
    ] == [Confirm.UNKNOWN.value]
