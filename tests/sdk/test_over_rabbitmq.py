"""The serving loop over a real RabbitMQ: the same promises, with a broker that can lose its connections."""

from __future__ import annotations

import asyncio

from amends import Answer, Confirm
from amends.message import encode_item, frame
from amends.rabbitmq import RabbitBroker
from tests.sdk.coordinator import Coordinator, sagas, serving
from tests.sdk.shop import Shop, action, compensation


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
