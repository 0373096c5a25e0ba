"""What Amends expects of a broker, in process and on RabbitMQ alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from amends.broker import Address, Broker, Confirm, delivery_limit_reason, returns_max
from amends.errors import BrokerClosed, BrokerError
from amends.message import message_bytes_max
from tests.broker.letters import Outbox, bodies, patience_seconds, payment, reply, take_all


@pytest.fixture
async def outbox(broker: Broker) -> AsyncIterator[Outbox]:
    opened = Outbox(broker)
    yield opened
    await opened.leave()


async def test_a_command_arrives_as_it_was_sent_and_its_publish_is_confirmed(broker: Broker, outbox: Outbox) -> None:
    consumer = await broker.subscribe("commands", "payment", prefetch=10)
    await outbox.send(payment, b"charge")
    [delivery] = await take_all(consumer, 1)
    assert (delivery.body, delivery.address) == (b"charge", payment)
    assert not delivery.redelivered
    assert delivery.reason is None
    assert delivery.published_at is not None
    assert abs(delivery.published_at - time.time()) < 60
    await consumer.acknowledge([delivery])
    assert await outbox.confirms() == [Confirm.CONFIRMED]


async def test_a_command_for_a_queue_nobody_declared_is_unroutable_and_the_sender_is_told(broker: Broker) -> None:
    assert await broker.publish(payment, b"charge") is Confirm.UNROUTABLE
    # It was not kept either: what is sent after the queue was declared comes alone.
    consumer = await broker.subscribe("commands", "payment", prefetch=10)
    sending = asyncio.create_task(broker.publish(payment, b"again"))
    deliveries = await take_all(consumer, 1)
    assert bodies(deliveries) == [b"again"]
    await consumer.acknowledge(deliveries)
    assert await sending is Confirm.CONFIRMED


async def test_a_declared_queue_keeps_commands_until_its_participant_comes(broker: Broker, outbox: Outbox) -> None:
    """EC-37: the participant is gone, its commands wait."""
    await broker.declare("payment")
    await broker.declare("payment")
    await outbox.send(payment, b"1", b"2")
    consumer = await broker.subscribe("commands", "payment", prefetch=10)
    deliveries = await take_all(consumer, 2)
    assert bodies(deliveries) == [b"1", b"2"]
    await consumer.acknowledge(deliveries)
    assert await outbox.confirms() == [Confirm.CONFIRMED] * 2


async def test_take_returns_what_waits_in_order_and_never_more_than_asked_for(broker: Broker, outbox: Outbox) -> None:
    await broker.declare("payment")
    sent = [str(number).encode() for number in range(10)]
    await outbox.send(payment, *sent)
    consumer = await broker.subscribe("commands", "payment", prefetch=100)
    first = await consumer.take(3)
    assert 1 <= len(first) <= 3
    rest = await take_all(consumer, 10 - len(first))
    assert bodies([*first, *rest]) == sent


async def test_a_consumer_never_holds_more_than_its_prefetch(broker: Broker, outbox: Outbox) -> None:
    consumer = await broker.subscribe("commands", "payment", prefetch=2)
    await outbox.send(payment, b"1", b"2", b"3", b"4")
    first, second = await take_all(consumer, 2)
    taking = asyncio.create_task(consumer.take(10))
    # Others go their way meanwhile, there and back.
    stock = await broker.subscribe("commands", "stock", prefetch=1)
    await outbox.send(Address("commands", "stock"), b"reserve")
    await stock.acknowledge(await take_all(stock, 1))
    assert not taking.done()
    await consumer.acknowledge([first])
    assert bodies(await taking) == [b"3"]
    await consumer.acknowledge([second])
    assert bodies(await take_all(consumer, 1)) == [b"4"]


async def test_what_a_consumer_held_comes_again_when_it_ends_and_is_marked(broker: Broker, outbox: Outbox) -> None:
    first = await broker.subscribe("commands", "payment", prefetch=10)
    await outbox.send(payment, b"1", b"2", b"3")
    done, *_ = await take_all(first, 3)
    await first.acknowledge([done])
    await first.close()
    second = await broker.subscribe("commands", "payment", prefetch=10)
    again = await take_all(second, 2)
    assert bodies(again) == [b"2", b"3"]
    assert all(delivery.redelivered for delivery in again)
    await second.acknowledge(again)
    assert await outbox.confirms() == [Confirm.CONFIRMED] * 3


async def test_acknowledging_out_of_order_acknowledges_exactly_those(broker: Broker, outbox: Outbox) -> None:
    first = await broker.subscribe("commands", "payment", prefetch=10)
    await outbox.send(payment, *[str(number).encode() for number in range(8)])
    held = await take_all(first, 8)
    await first.acknowledge([held[6], held[2]])
    await first.acknowledge([held[0], held[1], held[4]])
    await first.acknowledge([])
    await first.acknowledge([held[2]])  # twice is no error
    await first.close()
    second = await broker.subscribe("commands", "payment", prefetch=10)
    assert bodies(await take_all(second, 3)) == [b"3", b"5", b"7"]


async def test_acknowledgements_from_many_tasks_do_not_overtake_each_other(broker: Broker, outbox: Outbox) -> None:
    consumer = await broker.subscribe("commands", "payment", prefetch=50)
    await outbox.send(payment, *[b"x"] * 50)
    held = await take_all(consumer, 50)
    await asyncio.gather(*(consumer.acknowledge(held[start : start + 5]) for start in range(0, 50, 5)))
    assert await outbox.confirms() == [Confirm.CONFIRMED] * 50
    # The subscription is still alive: an acknowledgement out of order would have ended it.
    await outbox.send(payment, b"last")
    assert bodies(await take_all(consumer, 1)) == [b"last"]


async def test_a_delivery_of_an_earlier_subscription_acknowledges_nothing(broker: Broker, outbox: Outbox) -> None:
    first = await broker.subscribe("commands", "payment", prefetch=10)
    await outbox.send(payment, b"1")
    stale = await take_all(first, 1)
    await first.close()
    await first.acknowledge(stale)
    second = await broker.subscribe("commands", "payment", prefetch=10)
    fresh = await take_all(second, 1)
    await second.acknowledge(stale)
    await second.dead_letter(stale[0], "not mine any more")
    await second.close()
    third = await broker.subscribe("commands", "payment", prefetch=10)
    assert bodies(await take_all(third, 1)) == bodies(fresh) == [b"1"]


async def test_consumers_of_one_queue_share_its_commands(broker: Broker, outbox: Outbox) -> None:
    left = await broker.subscribe("commands", "payment", prefetch=1)
    right = await broker.subscribe("commands", "payment", prefetch=1)
    await outbox.send(payment, b"1", b"2")
    taken = await take_all(left, 1) + await take_all(right, 1)
    assert sorted(bodies(taken)) == [b"1", b"2"]


async def test_a_waiting_take_ends_when_the_consumer_is_closed(broker: Broker) -> None:
    consumer = await broker.subscribe("commands", "payment", prefetch=1)
    taking = asyncio.create_task(consumer.take(1))
    await asyncio.sleep(0)
    await consumer.close()
    await consumer.close()
    with pytest.raises(BrokerClosed):
        await taking
    with pytest.raises(BrokerClosed):
        await consumer.take(1)


async def test_replies_of_all_participants_are_consumed_together_and_say_from_whom(
    broker: Broker, outbox: Outbox
) -> None:
    await outbox.send(reply, b"charged")  # before anybody consumes: the reply queue is always there
    consumer = await broker.subscribe("replies", None, prefetch=10)
    await outbox.send(Address("replies", "stock"), b"reserved")
    deliveries = await take_all(consumer, 2)
    assert [(delivery.address.participant, delivery.body) for delivery in deliveries] == [
        ("payment", b"charged"),
        ("stock", b"reserved"),
    ]
    assert {delivery.address.lane for delivery in deliveries} == {"replies"}


async def test_a_heartbeat_is_answered_at_once_and_reaches_who_consumes_replies(broker: Broker) -> None:
    async with asyncio.timeout(patience_seconds):
        assert await broker.publish(reply, b"alive", transient=True) is Confirm.CONFIRMED
    consumer = await broker.subscribe("replies", None, prefetch=10)
    [delivery] = await take_all(consumer, 1)
    assert (delivery.body, delivery.address) == (b"alive", reply)
    await consumer.acknowledge([delivery])


@pytest.mark.parametrize("address", [payment, reply], ids=["command", "reply"])
async def test_a_dead_letter_keeps_its_address_and_the_reason(broker: Broker, outbox: Outbox, address: Address) -> None:
    participant = "payment" if address.lane == "commands" else None
    consumer = await broker.subscribe(address.lane, participant, prefetch=10)
    await outbox.send(address, b"\xff", b"fine")
    unreadable, fine = await take_all(consumer, 2)
    await consumer.dead_letter(unreadable, "not JSON: 'é'" + "x" * 10_000)
    await consumer.acknowledge([fine])
    graves = await broker.dead_letters()
    [dead] = await take_all(graves, 1)
    assert (dead.body, dead.address) == (b"\xff", address)
    assert dead.reason is not None
    assert dead.reason.startswith("not JSON: 'é'xxx")
    assert len(dead.reason) <= 2000
    with pytest.raises(BrokerError):
        await graves.dead_letter(dead, "again")
    await graves.acknowledge([dead])
    assert await outbox.confirms() == [Confirm.CONFIRMED] * 2


async def test_a_dead_letter_nobody_acknowledged_comes_again(broker: Broker, outbox: Outbox) -> None:
    consumer = await broker.subscribe("commands", "payment", prefetch=10)
    await outbox.send(payment, b"poison")
    [poison] = await take_all(consumer, 1)
    await consumer.dead_letter(poison, "unreadable")
    graves = await broker.dead_letters()
    await take_all(graves, 1)
    await graves.close()
    graves = await broker.dead_letters()
    [again] = await take_all(graves, 1)
    assert (again.body, again.reason, again.redelivered) == (b"poison", "unreadable", True)


async def test_what_is_handed_back_again_and_again_becomes_a_dead_letter(broker: Broker, outbox: Outbox) -> None:
    await broker.declare("payment")
    await outbox.send(payment, b"poison")
    for _ in range(returns_max + 1):
        consumer = await broker.subscribe("commands", "payment", prefetch=1)
        assert bodies(await take_all(consumer, 1)) == [b"poison"]
        await consumer.close()
    graves = await broker.dead_letters()
    [dead] = await take_all(graves, 1)
    assert (dead.body, dead.address, dead.reason) == (b"poison", payment, delivery_limit_reason)


@pytest.mark.parametrize(
    ("participant", "size"),
    [("payment", message_bytes_max + 1), ("x" * 300, 1), ("#", 1), ("a.b", 1), ("\ud800", 1), ("", 1)],
    ids=["too large", "too long", "wildcard", "two words", "surrogate", "empty"],
)
async def test_what_can_never_be_published_is_permanent(broker: Broker, participant: str, size: int) -> None:
    await broker.declare("payment")
    assert await broker.publish(Address("commands", participant), b"x" * size) is Confirm.PERMANENT


async def test_the_largest_message_arrives_whole(broker: Broker, outbox: Outbox) -> None:
    consumer = await broker.subscribe("commands", "payment", prefetch=1)
    await outbox.send(payment, b"x" * message_bytes_max)
    [delivery] = await take_all(consumer, 1)
    assert delivery.body == b"x" * message_bytes_max


async def test_two_with_the_same_body_in_flight_get_each_its_own_answer(broker: Broker, outbox: Outbox) -> None:
    consumer = await broker.subscribe("commands", "payment", prefetch=100)
    nobody = Address("commands", "nobody")
    for _ in range(30):
        await outbox.send(payment, b"same")
        await outbox.send(nobody, b"same")
    await consumer.acknowledge(await take_all(consumer, 30))
    assert await outbox.confirms() == [Confirm.CONFIRMED, Confirm.UNROUTABLE] * 30


async def test_a_cancelled_publish_harms_no_other(broker: Broker, outbox: Outbox) -> None:
    consumer = await broker.subscribe("commands", "payment", prefetch=100)
    publishing = asyncio.create_task(broker.publish(payment, b"left"))
    await asyncio.sleep(0)
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing
    await outbox.send(payment, b"next")
    deliveries = await take_all(consumer, 1)
    while deliveries[-1].body != b"next":  # whether the cancelled one was sent nobody knows
        deliveries += await take_all(consumer, 1)
    await consumer.acknowledge(deliveries)
    assert await outbox.confirms() == [Confirm.CONFIRMED]


async def test_a_closed_broker_sends_nothing_and_ends_its_consumers(broker: Broker) -> None:
    consumer = await broker.subscribe("commands", "payment", prefetch=1)
    taking = asyncio.create_task(consumer.take(1))
    await asyncio.sleep(0)
    assert broker.connected
    await broker.close()
    await broker.close()
    assert not broker.connected
    with pytest.raises(BrokerClosed):
        await taking
    assert await broker.publish(payment, b"late") is Confirm.UNSENT
    with pytest.raises(BrokerClosed):
        await broker.subscribe("commands", "payment", prefetch=1)
    with pytest.raises(BrokerClosed):
        await broker.dead_letters()


async def test_a_subscription_that_makes_no_sense_is_refused(broker: Broker) -> None:
    with pytest.raises(BrokerError):
        await broker.subscribe("commands", None, prefetch=1)
    with pytest.raises(BrokerError):
        await broker.subscribe("replies", "payment", prefetch=1)
    with pytest.raises(BrokerError):
        await broker.subscribe("commands", "payment", prefetch=0)
    with pytest.raises(BrokerError):
        await broker.declare("pay.ment")
