"""What only RabbitMQ can do to us while it runs: take a queue away, say no, cut a connection, fall silent."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import quote, urlsplit

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ProbableAuthenticationError

from amends.broker import Address, Confirm
from amends.errors import BrokerClosed, BrokerError
from amends.rabbitmq import RabbitBroker, publisher, topology
from amends.rabbitmq.link import deadline
from tests.broker.letters import bodies, patience_seconds, payment, reply, take_all
from tests.broker.proxy import proxied
from tests.servers import Servers
from tests.servers.desk import Visitor
from tests.servers.process import free_port

stock = Address("commands", "stock")

# Connection.Blocked with the reason "low on memory", and Connection.Unblocked, as they are on the wire.
connection_blocked = b"\x01\x00\x00\x00\x00\x00\x12\x00\x0a\x00\x3c\x0dlow on memory\xce"
connection_unblocked = b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x3d\xce"

Manage = Callable[[str, str, object], None]


@pytest.fixture
def manage(servers: Servers | Visitor, fresh_rabbitmq_url: str) -> Manage:
    """Call the management API: method, path with `{vhost}` in it, body."""
    parts = urlsplit(servers.rabbitmq_management_url)
    vhost = quote(urlsplit(fresh_rabbitmq_url).path.removeprefix("/"))
    credentials = b64encode(f"{parts.username}:{parts.password}".encode()).decode()

    def call(method: str, path: str, body: object) -> None:
        url = f"http://{parts.hostname}:{parts.port}/api{path.format(vhost=vhost)}"
        request = urllib.request.Request(url, method=method, data=json.dumps(body).encode())
        request.add_header("Authorization", f"Basic {credentials}")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=30.0):
            return

    return call


@asynccontextmanager
async def operator(url: str) -> AsyncIterator[AbstractChannel]:
    """A channel of somebody else, who does things to our broker."""
    connection = await aio_pika.connect(url)
    try:
        yield await connection.channel()
    finally:
        await connection.close()


async def publish_until_confirmed(broker: RabbitBroker, address: Address, body: bytes) -> list[Confirm]:
    """What a relay does: repeat. Returns the answers on the way."""
    answers: list[Confirm] = []
    async with asyncio.timeout(patience_seconds * 2):
        while (answer := await broker.publish(address, body)) is not Confirm.CONFIRMED:
            answers.append(answer)
            if answer is Confirm.UNROUTABLE:
                await broker.declare(address.participant)
            await asyncio.sleep(0.02)
    return answers


async def test_a_deleted_queue_ends_its_consumer_and_comes_back_with_the_next(
    rabbit: RabbitBroker, fresh_rabbitmq_url: str
) -> None:
    consumer = await rabbit.subscribe("commands", "payment", prefetch=10)
    taking = asyncio.create_task(consumer.take(1))
    async with operator(fresh_rabbitmq_url) as channel:
        await channel.queue_delete("amends.commands.payment")
    with pytest.raises(BrokerClosed):
        async with asyncio.timeout(patience_seconds):
            await taking
    assert await rabbit.publish(payment, b"1") is Confirm.UNROUTABLE
    await rabbit.declare("payment")
    assert await rabbit.publish(payment, b"2") is Confirm.CONFIRMED
    consumer = await rabbit.subscribe("commands", "payment", prefetch=10)
    assert bodies(await take_all(consumer, 1)) == [b"2"]


async def test_an_exchange_that_went_missing_makes_all_in_flight_unknown_and_is_declared_again(
    rabbit: RabbitBroker, fresh_rabbitmq_url: str
) -> None:
    """The broker closes the whole channel for one publish to nowhere and says nothing about the neighbours. What
    the library sends on that channel a moment later costs the connection, so that for some nothing was sent."""
    await rabbit.declare("payment")
    async with operator(fresh_rabbitmq_url) as channel:
        await channel.exchange_delete("amends.commands")
    answers = await asyncio.gather(*(rabbit.publish(address, b"x") for _ in range(20) for address in (payment, reply)))
    assert Confirm.UNKNOWN in answers
    assert set(answers) <= {Confirm.UNKNOWN, Confirm.CONFIRMED, Confirm.UNSENT}
    # Declared again before anything else is published.
    assert set(await publish_until_confirmed(rabbit, payment, b"x")) <= {Confirm.UNKNOWN, Confirm.UNSENT}


async def test_a_full_queue_says_no_and_others_take_on(rabbit: RabbitBroker, manage: Manage) -> None:
    await rabbit.declare("payment")
    await rabbit.declare("stock")
    policy = {"pattern": r"^amends\.commands\.payment$", "definition": {"max-length": 2}, "apply-to": "queues"}
    await asyncio.to_thread(manage, "PUT", "/policies/{vhost}/small", policy)
    async with asyncio.timeout(patience_seconds):
        while await rabbit.publish(payment, b"x") is not Confirm.NACKED:
            pass
    assert await rabbit.publish(stock, b"x") is Confirm.CONFIRMED
    consumer = await rabbit.subscribe("commands", "payment", prefetch=100)
    await consumer.acknowledge(await take_all(consumer, 2))
    await publish_until_confirmed(rabbit, payment, b"again")


async def test_a_misdirected_message_is_kept_though_its_sender_did_not_ask(
    rabbit: RabbitBroker, fresh_rabbitmq_url: str
) -> None:
    """The alternate exchange takes what no command of ours is addressed like; ours are returned to the sender."""
    async with operator(fresh_rabbitmq_url) as channel:
        commands = await channel.get_exchange("amends.commands", ensure=False)
        await commands.publish(aio_pika.Message(b"lost"), "payment.charge", mandatory=False)
    assert await rabbit.publish(payment, b"ours") is Confirm.UNROUTABLE
    graves = await rabbit.dead_letters()
    [dead] = await take_all(graves, 1)
    assert (dead.body, dead.reason, dead.address.participant) == (b"lost", "unroutable", "payment.charge")


async def test_a_queue_with_other_arguments_is_an_error_for_people(fresh_rabbitmq_url: str) -> None:
    async with operator(fresh_rabbitmq_url) as channel:
        await channel.declare_queue("amends.replies", durable=True)
    with pytest.raises(BrokerError, match=r"other arguments.*amends\.replies"):
        await RabbitBroker.connect(fresh_rabbitmq_url, name="test")


async def test_one_command_queue_with_other_arguments_harms_no_other(
    rabbit: RabbitBroker, fresh_rabbitmq_url: str
) -> None:
    async with operator(fresh_rabbitmq_url) as channel:
        await channel.declare_queue("amends.commands.payment", durable=True)
    with pytest.raises(BrokerError, match="other arguments"):
        await rabbit.declare("payment")
    with pytest.raises(BrokerError, match="other arguments"):
        await rabbit.subscribe("commands", "payment", prefetch=1)
    await rabbit.declare("stock")
    assert await rabbit.publish(stock, b"x") is Confirm.CONFIRMED


async def test_refused_credentials_are_an_error_for_people(fresh_rabbitmq_url: str) -> None:
    url = fresh_rabbitmq_url.replace(f":{urlsplit(fresh_rabbitmq_url).password}@", ":wrong@")
    with pytest.raises(BrokerError, match="refuses us"):
        await RabbitBroker.connect(url, name="test")
    with pytest.raises(BrokerError, match="refuses us"):
        await RabbitBroker.connect(f"{fresh_rabbitmq_url}-missing", name="test")


@pytest.mark.parametrize("failure", [ProbableAuthenticationError("refused"), None])
async def test_who_is_cancelled_while_the_library_cleans_up_ends(failure: Exception | None) -> None:
    """The library hands out a failure then, or none, and swallows the cancellation: a link would never be closed."""
    waits = asyncio.Event()

    async def refused() -> None:
        async with deadline(patience_seconds):
            try:
                waits.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if failure:
                    raise failure from None
        await asyncio.Event().wait()

    task = asyncio.create_task(refused())
    await waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_participant_with_least_privileges_works_and_can_still_bury(
    rabbit: RabbitBroker, fresh_rabbitmq_url: str, manage: Manage
) -> None:
    """It may read its queue and write replies; what it can't process is rejected, and RabbitMQ moves it."""
    await rabbit.declare("payment")
    parts = urlsplit(fresh_rabbitmq_url)
    user = f"payment-{parts.path.removeprefix('/')}"
    rights = {"configure": "^$", "write": r"^amends\.replies$", "read": r"^amends\.commands\.payment$"}
    await asyncio.to_thread(manage, "PUT", f"/users/{user}", {"password": "secret", "tags": ""})
    await asyncio.to_thread(manage, "PUT", f"/permissions/{{vhost}}/{user}", rights)
    url = parts._replace(netloc=f"{user}:secret@{parts.hostname}:{parts.port}").geturl()
    participant = await RabbitBroker.connect(url, name="payment")
    try:
        consumer = await participant.subscribe("commands", "payment", prefetch=10)
        for body in (b"fine", b"poison"):
            assert await rabbit.publish(payment, body) is Confirm.CONFIRMED
        fine, poison = await take_all(consumer, 2)
        await consumer.dead_letter(poison, "unreadable")
        assert await participant.publish(reply, b"charged") is Confirm.CONFIRMED
        assert await participant.publish(reply, b"alive", transient=True) is Confirm.CONFIRMED
        await consumer.acknowledge([fine])
        [dead] = await take_all(await rabbit.dead_letters(), 1)
        assert (dead.body, dead.address, dead.reason) == (b"poison", payment, "rejected")
        with pytest.raises(BrokerError, match="not allowed"):
            await participant.subscribe("commands", "stock", prefetch=10)
    finally:
        await participant.close()
        await asyncio.to_thread(manage, "DELETE", f"/users/{user}", None)


async def test_a_broker_that_is_away_at_the_start_is_waited_for(fresh_rabbitmq_url: str) -> None:
    port = free_port()
    address = urlsplit(fresh_rabbitmq_url)
    url = address._replace(netloc=f"{address.username}:{address.password}@127.0.0.1:{port}").geturl()
    broker = await RabbitBroker.connect(url, name="test")
    try:
        assert not broker.connected
        started = time.monotonic()
        assert await broker.publish(payment, b"1") is Confirm.UNSENT
        assert time.monotonic() - started < 1.0
        await broker.declare("payment")
        subscribing = asyncio.create_task(broker.subscribe("commands", "payment", prefetch=1))
        async with proxied(fresh_rabbitmq_url, port):
            await publish_until_confirmed(broker, payment, b"2")
            async with asyncio.timeout(patience_seconds):
                consumer = await subscribing
            assert bodies(await take_all(consumer, 1)) == [b"2"]
    finally:
        await broker.close()


async def test_who_waits_for_a_broker_is_told_when_it_is_closed(fresh_rabbitmq_url: str) -> None:
    url = fresh_rabbitmq_url.replace(f":{urlsplit(fresh_rabbitmq_url).port}/", f":{free_port()}/")
    broker = await RabbitBroker.connect(url, name="test")
    subscribing = asyncio.create_task(broker.subscribe("commands", "payment", prefetch=1))
    await asyncio.sleep(0)
    await broker.close()
    with pytest.raises(BrokerClosed):
        await subscribing


async def test_a_cut_connection_makes_what_is_in_flight_unknown_and_is_replaced(fresh_rabbitmq_url: str) -> None:
    async with proxied(fresh_rabbitmq_url) as proxy:
        broker = await RabbitBroker.connect(proxy.url, name="test")
        try:
            await broker.declare("payment")
            proxy.open.clear()
            publishing = [asyncio.create_task(broker.publish(payment, b"x")) for _ in range(20)]
            await proxy.held.wait()
            proxy.reset()
            proxy.open.set()
            answers = set(await asyncio.gather(*publishing))
            assert answers <= {Confirm.UNKNOWN, Confirm.UNSENT}
            started = time.monotonic()
            await publish_until_confirmed(broker, payment, b"x")
            assert time.monotonic() - started < 3.0
        finally:
            await broker.close()


async def test_cuts_at_random_moments_lose_nothing_that_was_confirmed(fresh_rabbitmq_url: str) -> None:
    async with proxied(fresh_rabbitmq_url) as proxy:
        broker = await RabbitBroker.connect(proxy.url, name="test")
        try:
            await broker.declare("payment")
            sent = [str(number).encode() for number in range(400)]
            window = asyncio.Semaphore(20)
            cutting = asyncio.Event()

            async def send(body: bytes) -> list[Confirm]:
                async with window:
                    if int(body) % 100 == 50:
                        proxy.reset()
                        cutting.set()
                    return await publish_until_confirmed(broker, payment, body)

            answers = [answer for each in await asyncio.gather(*map(send, sent)) for answer in each]
            assert cutting.is_set()
            assert set(answers) <= {Confirm.UNKNOWN, Confirm.UNSENT}
            assert Confirm.UNSENT in answers
            received: set[bytes] = set()
            consumer = await broker.subscribe("commands", "payment", prefetch=100)
            while received != set(sent):
                async with asyncio.timeout(patience_seconds):
                    deliveries = await consumer.take(100)
                received.update(bodies(deliveries))
                await consumer.acknowledge(deliveries)
        finally:
            await broker.close()


async def test_a_black_hole_is_noticed_by_silence_and_left(
    fresh_rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for the heartbeat: three publishes without an answer, and there is a new connection."""
    monkeypatch.setattr(publisher, "publish_seconds_max", 0.5)
    async with proxied(fresh_rabbitmq_url) as proxy:
        broker = await RabbitBroker.connect(proxy.url, name="test")
        try:
            await broker.declare("payment")
            assert await broker.publish(payment, b"x") is Confirm.CONFIRMED
            proxy.open.clear()
            proxy.arrived.clear()
            for _ in range(publisher.misses_max):
                started = time.monotonic()
                assert await broker.publish(payment, b"x") is Confirm.UNKNOWN
                assert time.monotonic() - started < 1.0
            assert await broker.publish(payment, b"x") in (Confirm.UNSENT, Confirm.UNKNOWN)
            async with asyncio.timeout(patience_seconds):
                await proxy.arrived.wait()
            proxy.open.set()
            started = time.monotonic()
            await publish_until_confirmed(broker, payment, b"x")
            assert time.monotonic() - started < 10.0
        finally:
            await broker.close()


async def test_one_silent_publish_among_answered_ones_costs_no_connection(
    fresh_rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deadline that was missed tells nothing about the connection while others are answered."""
    async with proxied(fresh_rabbitmq_url) as proxy:
        broker = await RabbitBroker.connect(proxy.url, name="test")
        try:
            await publish_until_confirmed(broker, payment, b"x")
            for _ in range(publisher.misses_max * 2):
                monkeypatch.setattr(publisher, "publish_seconds_max", 0.0)
                assert await broker.publish(payment, b"x") in (Confirm.UNKNOWN, Confirm.UNSENT)
                monkeypatch.undo()
                assert await broker.publish(payment, b"x") is Confirm.CONFIRMED
            assert proxy.accepted == 2  # one to publish on, one to consume on
        finally:
            await broker.close()


async def test_a_broker_that_asks_for_a_pause_gets_one_and_keeps_its_connections(fresh_rabbitmq_url: str) -> None:
    """For want of memory or disk it blocks who publishes. What isn't sent then can't arrive later, unexpected."""
    async with proxied(fresh_rabbitmq_url) as proxy:
        broker = await RabbitBroker.connect(proxy.url, name="test")
        try:
            await publish_until_confirmed(broker, payment, b"x")
            await proxy.say(connection_blocked)
            async with asyncio.timeout(patience_seconds):
                while await broker.publish(payment, b"x") is not Confirm.UNSENT:
                    pass
            assert {await broker.publish(payment, b"x") for _ in range(publisher.misses_max * 2)} == {Confirm.UNSENT}
            assert not broker.connected
            await proxy.say(connection_unblocked)
            answers = await publish_until_confirmed(broker, payment, b"x")
            assert set(answers) <= {Confirm.UNSENT}
            assert proxy.accepted == 2
        finally:
            await broker.close()


async def test_what_was_held_on_a_lost_connection_comes_again_and_is_marked(fresh_rabbitmq_url: str) -> None:
    async with proxied(fresh_rabbitmq_url) as proxy:
        broker = await RabbitBroker.connect(proxy.url, name="test")
        try:
            consumer = await broker.subscribe("commands", "payment", prefetch=10)
            for body in (b"1", b"2"):
                assert await broker.publish(payment, body) is Confirm.CONFIRMED
            held = await take_all(consumer, 2)
            assert not any(delivery.redelivered for delivery in held)
            proxy.reset()
            with pytest.raises(BrokerClosed):
                async with asyncio.timeout(patience_seconds):
                    await consumer.take(1)
            await consumer.acknowledge(held)
            await consumer.dead_letter(held[0], "too late: nobody holds it here any more")
            async with asyncio.timeout(patience_seconds):
                consumer = await broker.subscribe("commands", "payment", prefetch=10)
            again = await take_all(consumer, 2)
            assert bodies(again) == [b"1", b"2"]
            assert all(delivery.redelivered for delivery in again)
        finally:
            await broker.close()


async def test_a_thousand_in_flight_are_each_confirmed(rabbit: RabbitBroker) -> None:
    await rabbit.declare("payment")
    answers = await asyncio.gather(*(rabbit.publish(payment, b"x" * 500) for _ in range(1000)))
    assert set(answers) == {Confirm.CONFIRMED}


async def test_every_queue_is_bounded() -> None:
    for queue in (*topology.queues, topology.command_queue("payment"), topology.direct_queue("0a1b")):
        assert isinstance(queue.arguments["x-max-length"], int)
