"""Replies for the coordinator that asked: it alone has them while it is there, and any other when it is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import aio_pika
import pytest

from amends.broker import Address, Broker, Confirm, Consumer
from amends.rabbitmq import RabbitBroker, topology
from coordinator.cli.granting import Rights
from tests.broker.letters import bodies, patience_seconds, payment, reply, take_all
from tests.broker.proxy import proxied
from tests.broker.test_users import Door, door

__all__ = ["door"]


async def test_a_reply_to_a_coordinator_that_is_not_there_is_unroutable(broker: Broker) -> None:
    await broker.subscribe("replies", None, prefetch=10)
    assert await broker.publish(Address("replies", "payment", to="nobody"), b"done") is Confirm.UNROUTABLE


@pytest.mark.parametrize("to", ["", "No", "a.b", "#", "x" * 33])
async def test_what_no_coordinator_is_called_is_never_published(broker: Broker, to: str) -> None:
    assert await broker.publish(Address("replies", "payment", to=to), b"done") is Confirm.PERMANENT


@pytest.fixture
async def other(fresh_rabbitmq_url: str) -> AsyncIterator[RabbitBroker]:
    opened = await RabbitBroker.connect(fresh_rabbitmq_url, name="other")
    yield opened
    await opened.close()


async def asked_by(broker: RabbitBroker, participant: Consumer) -> str | None:
    """Whom a participant is asked to reply to when this one sends it a command."""
    assert await broker.publish(payment, b"charge") is Confirm.CONFIRMED
    (command,) = await take_all(participant, 1)
    await participant.acknowledge([command])
    return command.reply_to


async def test_who_asked_has_the_reply(rabbit: RabbitBroker, other: RabbitBroker) -> None:
    participant = await other.subscribe("commands", "payment", prefetch=10)
    assert await asked_by(rabbit, participant) is None  # it hears no replies, so far
    heard = [await one.subscribe("replies", None, prefetch=10) for one in (rabbit, other)]
    names = [await asked_by(one, participant) for one in (rabbit, other)]
    assert len({*names, None}) == 3
    for consumer, name in zip(heard, names, strict=True):
        address = replace(reply, to=name)
        for body in (b"1", b"2"):
            assert await rabbit.publish(address, body) is Confirm.CONFIRMED
        deliveries = await take_all(consumer, 2)
        assert bodies(deliveries) == [b"1", b"2"]
        assert {delivery.address for delivery in deliveries} == {reply}


async def test_what_a_coordinator_left_reaches_the_others(rabbit: RabbitBroker, other: RabbitBroker) -> None:
    participant = await other.subscribe("commands", "payment", prefetch=10)
    gone = await rabbit.subscribe("replies", None, prefetch=10)
    name = await asked_by(rabbit, participant)
    assert await other.publish(replace(reply, to=name), b"held") is Confirm.CONFIRMED
    await take_all(gone, 1, limit=1)
    assert await other.publish(replace(reply, to=name), b"never taken") is Confirm.CONFIRMED
    await rabbit.close()
    assert await other.publish(replace(reply, to=name), b"too late") is Confirm.UNROUTABLE
    heard = await other.subscribe("replies", None, prefetch=10)
    deliveries = await take_all(heard, 2)
    assert sorted(bodies(deliveries)) == [b"held", b"never taken"]
    assert {delivery.address for delivery in deliveries} == {reply}
    await heard.dead_letter(deliveries[0], "nobody can read it")
    (dead,) = await take_all(await other.dead_letters(), 1)
    assert (dead.address, dead.reason) == (reply, "nobody can read it")


async def test_a_coordinator_that_can_not_say_so_leaves_all_the_same(fresh_rabbitmq_url: str) -> None:
    async with proxied(fresh_rabbitmq_url) as proxy:
        broker = await RabbitBroker.connect(proxy.url, name="test")
        await broker.subscribe("replies", None, prefetch=10)
        proxy.open.clear()
        async with asyncio.timeout(patience_seconds):
            await broker.close()


async def test_a_name_that_makes_no_sense_is_no_wish(rabbit: RabbitBroker, fresh_rabbitmq_url: str) -> None:
    participant = await rabbit.subscribe("commands", "payment", prefetch=10)
    connection = await aio_pika.connect(fresh_rabbitmq_url)
    commands = await (await connection.channel()).get_exchange(topology.commands, ensure=False)
    await commands.publish(aio_pika.Message(b"charge", reply_to="Who.Asks"), "payment")
    await connection.close()
    (command,) = await take_all(participant, 1)
    assert command.reply_to is None


async def test_with_least_rights_replies_come_back_as_well(door: Door) -> None:
    coordinator = await RabbitBroker.connect(door.url("coordinator"), name="coordinator")
    participant = await RabbitBroker.connect(door.url("payment"), name="payment")
    try:
        heard = await coordinator.subscribe("replies", None, prefetch=10)
        commands = await participant.subscribe("commands", "payment", prefetch=10)
        name = await asked_by(coordinator, commands)
        assert name
        assert await participant.publish(replace(reply, to=name), b"done") is Confirm.CONFIRMED
        assert bodies(await take_all(heard, 1)) == [b"done"]
        assert await participant.publish(Address("replies", "stock", to=name), b"forged") is Confirm.UNKNOWN
    finally:
        await participant.close()
        await coordinator.close()


async def test_a_coordinator_without_the_right_to_a_queue_asks_for_nothing(door: Door) -> None:
    """As one that was set up by an earlier release."""
    await door.grant("coordinator", Rights("^$", "^amends\\..*$", "^amends\\..*$", {}))
    coordinator = await RabbitBroker.connect(door.url("coordinator"), name="coordinator")
    participant = await RabbitBroker.connect(door.url("payment"), name="payment")
    try:
        heard = await coordinator.subscribe("replies", None, prefetch=10)
        commands = await participant.subscribe("commands", "payment", prefetch=10)
        assert await asked_by(coordinator, commands) is None
        assert await participant.publish(reply, b"done") is Confirm.CONFIRMED
        assert bodies(await take_all(heard, 1)) == [b"done"]
    finally:
        await participant.close()
        await coordinator.close()
