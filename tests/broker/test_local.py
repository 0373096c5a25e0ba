"""What only the broker in process does: it confirms when the consumer has acknowledged, and its queues are small."""

from __future__ import annotations

import asyncio

from amends.broker import Confirm
from amends.local import LocalBroker
from tests.broker.letters import payment, reply, take_all


async def test_a_publish_waits_for_the_acknowledgement() -> None:
    broker = LocalBroker()
    consumer = await broker.subscribe("commands", "payment", prefetch=1)
    publishing = asyncio.create_task(broker.publish(payment, b"charge"))
    deliveries = await take_all(consumer, 1)
    assert not publishing.done()
    await consumer.acknowledge(deliveries)
    assert await publishing is Confirm.CONFIRMED


async def test_a_publish_of_what_is_dead_lettered_waits_for_who_keeps_the_dead_letters() -> None:
    broker = LocalBroker()
    consumer = await broker.subscribe("commands", "payment", prefetch=1)
    publishing = asyncio.create_task(broker.publish(payment, b"poison"))
    [delivery] = await take_all(consumer, 1)
    await consumer.dead_letter(delivery, "unreadable")
    graves = await broker.dead_letters()
    deliveries = await take_all(graves, 1)
    assert not publishing.done()
    await graves.acknowledge(deliveries)
    assert await publishing is Confirm.CONFIRMED


async def test_what_is_unanswered_when_the_broker_closes_is_unknown() -> None:
    broker = LocalBroker()
    consumer = await broker.subscribe("commands", "payment", prefetch=1)
    publishing = [asyncio.create_task(broker.publish(payment, body)) for body in (b"held", b"waiting")]
    deliveries = await take_all(consumer, 1)
    await broker.close()
    assert await asyncio.gather(*publishing) == [Confirm.UNKNOWN] * 2
    await consumer.acknowledge(deliveries)


async def test_a_full_queue_says_no_until_something_is_acknowledged() -> None:
    broker = LocalBroker(queue_messages_max=1)
    consumer = await broker.subscribe("commands", "payment", prefetch=1)
    first = asyncio.create_task(broker.publish(payment, b"1"))
    deliveries = await take_all(consumer, 1)
    assert await broker.publish(payment, b"2") is Confirm.NACKED
    await consumer.acknowledge(deliveries)
    assert await first is Confirm.CONFIRMED
    second = asyncio.create_task(broker.publish(payment, b"2"))
    await consumer.acknowledge(await take_all(consumer, 1))
    assert await second is Confirm.CONFIRMED


async def test_a_queue_is_bounded_in_bytes_too() -> None:
    broker = LocalBroker(queue_bytes_max=10)
    assert await broker.publish(reply, b"x" * 6, transient=True) is Confirm.CONFIRMED
    assert await broker.publish(reply, b"x" * 6, transient=True) is Confirm.NACKED


async def test_a_poison_that_the_dead_letters_have_no_room_for_stays_with_its_sender() -> None:
    broker = LocalBroker(queue_messages_max=1)
    consumer = await broker.subscribe("commands", "payment", prefetch=1)
    answers = []
    for body in (b"1", b"2"):
        publishing = asyncio.create_task(broker.publish(payment, body))
        [delivery] = await take_all(consumer, 1)
        await consumer.dead_letter(delivery, "unreadable")
        answers.append(publishing)
    assert await answers[1] is Confirm.NACKED
    assert not answers[0].done()
    await broker.close()
    assert await answers[0] is Confirm.UNKNOWN


async def test_events_are_heard_by_those_who_listen_and_refused_while_one_of_them_is_behind() -> None:
    broker = LocalBroker(queue_messages_max=1)
    heard = broker.listen("chain.*")

    assert await broker.announce("other.started", b"1", event_id="1") is Confirm.CONFIRMED
    assert await broker.announce("chain.started", b"2", event_id="2") is Confirm.CONFIRMED
    assert await broker.announce("chain.completed", b"3", event_id="3") is Confirm.NACKED
    assert heard.get_nowait() == b"2"
    assert await broker.announce("chain.completed", b"3", event_id="3") is Confirm.CONFIRMED
    assert await broker.announce("chain", b"4", event_id="4") is Confirm.PERMANENT
    await broker.close()
    assert await broker.announce("chain.closed", b"5", event_id="5") is Confirm.UNSENT
