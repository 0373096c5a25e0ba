"""The serving loop over the broker in process: what is acknowledged, when, and what a worker survives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from amends import Address, Answer, BrokerClosed, Command, Confirm, InboxError, LocalBroker, Participant, ServingLimits
from amends.broker import Consumer
from amends.database import open_engine
from amends.held import Commands, Hand, Held
from amends.message import encode_item, frame, holding_max
from tests.sdk.coordinator import Coordinator, sagas, serving
from tests.sdk.shop import Shop, action, command, compensation


@pytest.fixture
async def coordinator() -> AsyncIterator[Coordinator]:
    broker = LocalBroker()
    await broker.declare("payment")
    yield Coordinator(broker, await broker.subscribe("replies", None, prefetch=100))
    await broker.close()


async def test_a_list_is_answered_and_then_acknowledged(shop: Shop, coordinator: Coordinator) -> None:
    async with serving(shop, coordinator.broker):
        sent = coordinator.send(*(action(saga_id=f"s{number}") for number in range(20)))
        replies = await coordinator.hear(20)
        assert await sent is Confirm.CONFIRMED
    assert {reply.answer for reply in replies} == {Answer.SUCCEEDED}
    assert len(set(sagas(replies))) == 20
    assert [await shop.net(f"s{number}") for number in range(20)] == [10] * 20


async def test_a_long_handler_delays_no_neighbour_but_its_acknowledgement(shop: Shop, coordinator: Coordinator) -> None:
    gate, reached = asyncio.Event(), asyncio.Event()

    @shop.participant.action("call", effects="external")
    async def call() -> None:
        reached.set()
        await gate.wait()

    async with serving(shop, coordinator.broker):
        sent = coordinator.send(action(saga_id="long", handler="call"), action(saga_id="short"))
        assert sagas(await coordinator.hear(1)) == ["short"]
        await reached.wait()
        assert not sent.done()
        gate.set()
        assert sagas(await coordinator.hear(1)) == ["long"]
        assert await sent is Confirm.CONFIRMED


async def test_who_serves_forgets_by_itself_and_goes_on_when_that_fails(
    shop: Shop, coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("amends.participant.forget_every_seconds", 0.01)
    await shop.participant.answer(action(saga_id="old"))
    await change(shop, "UPDATE amends_inbox SET updated_at = 0")
    async with serving(shop, coordinator.broker):
        async with asyncio.timeout(20):
            while await rows(shop):  # noqa: ASYNC110 — the loop gives no signal
                await asyncio.sleep(0.01)
            await change(shop, "ALTER TABLE amends_inbox RENAME TO elsewhere")
            while "could not forget" not in caplog.text:  # noqa: ASYNC110 — nor the log
                await asyncio.sleep(0.01)
            await change(shop, "ALTER TABLE elsewhere RENAME TO amends_inbox")
        coordinator.send(action(saga_id="new"))
        assert sagas(await coordinator.hear(1)) == ["new"]


async def rows(shop: Shop) -> int:
    async with shop.engine.connect() as connection:
        return int(await connection.scalar(text("SELECT count(*) FROM amends_inbox")) or 0)


async def change(shop: Shop, statement: str) -> None:
    async with shop.engine.begin() as connection:
        await connection.execute(text(statement))


async def test_commands_of_one_step_never_run_side_by_side(shop: Shop, coordinator: Coordinator) -> None:
    @shop.participant.action("call", effects="external")
    async def call() -> None:
        await asyncio.sleep(0)

    async with serving(shop, coordinator.broker):
        coordinator.send(*(action(attempt=attempt, handler="call") for attempt in range(1, 6)), compensation())
        replies = await coordinator.hear(6)
    assert {reply.answer for reply in replies} == {Answer.SUCCEEDED}  # none met another in progress


async def test_an_unconfirmed_reply_keeps_its_command_and_is_repeated(shop: Shop) -> None:
    broker = Deaf()
    await broker.declare("payment")
    async with serving(shop, broker):
        hearer = Coordinator(broker, await broker.subscribe("replies", None, prefetch=10))
        sent = hearer.send(action())
        await broker.refused.wait()
        assert not sent.done()
        broker.deaf = False
        assert sagas(await hearer.hear(1)) == ["s1"]
        assert await sent is Confirm.CONFIRMED
    await broker.close()


class Deaf(LocalBroker):
    """A broker that nacks every reply for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.deaf = True
        self.refused = asyncio.Event()

    async def publish(self, address: Address, body: bytes, *, transient: bool = False) -> Confirm:
        if self.deaf and address.lane == "replies" and not transient:
            self.refused.set()
            return Confirm.NACKED
        return await super().publish(address, body, transient=transient)


async def test_one_unreadable_item_harms_only_itself(shop: Shop, coordinator: Coordinator) -> None:
    graves = await coordinator.broker.dead_letters()
    good = encode_item(action())
    stray = encode_item(command(participant="delivery", saga_id="stray"))
    async with serving(shop, coordinator.broker):
        sent = coordinator.send_body(frame("commands", [good, '{"saga_id":"bad"}', stray]))
        assert sagas(await coordinator.hear(1)) == ["s1"]
        dead: list[tuple[str, str | None]] = []
        async with asyncio.timeout(10):
            while len(dead) < 2:
                taken = await graves.take(10)
                dead += [(delivery.body.decode(), delivery.reason) for delivery in taken]
                await graves.acknowledge(taken)
        assert await sent is Confirm.CONFIRMED
    bad, misled = sorted(dead, key=lambda letter: "stray" in letter[0])
    assert bad[0] == '{"version":1,"commands":[{"saga_id": "bad"}]}'
    assert "step" in str(bad[1])
    assert misled[1] == "a command for delivery reached payment"


@pytest.mark.parametrize("body", [b"not json", b'{"version":1,"commands":[]}', b'{"version":1,"commands":[7]}'])
async def test_an_unreadable_message_becomes_a_dead_letter(shop: Shop, coordinator: Coordinator, body: bytes) -> None:
    graves = await coordinator.broker.dead_letters()
    async with serving(shop, coordinator.broker):
        coordinator.send_body(body)
        async with asyncio.timeout(10):
            (dead,) = await graves.take(10)
        await graves.acknowledge([dead])
    assert (dead.body, bool(dead.reason)) == (body, True)


async def test_a_redelivered_list_is_handled_one_command_at_a_time(shop: Shop, coordinator: Coordinator) -> None:
    sent = coordinator.send(*(action(saga_id=f"s{number}", handler="call") for number in range(3)))
    dead_worker = await coordinator.broker.subscribe("commands", "payment", prefetch=1)
    await dead_worker.take(1)
    await dead_worker.close()
    gate, calls = asyncio.Event(), []

    @shop.participant.action("call", effects="external")
    async def call(command: Command) -> None:
        calls.append(command.saga_id)
        await gate.wait()

    async with serving(shop, coordinator.broker):
        coordinator.send(action(saga_id="neighbour"))
        coordinator.send(action(saga_id="neighbour", attempt=2))
        assert sagas(await coordinator.hear(2)) == ["neighbour"] * 2  # long enough for the others to begin
        assert calls == ["s0"]
        gate.set()
        assert sagas(await coordinator.hear(3)) == ["s0", "s1", "s2"]
        assert await sent is Confirm.CONFIRMED
    assert calls == ["s0", "s1", "s2"]


async def test_a_reply_that_can_never_be_published_harms_only_its_own_command(shop: Shop) -> None:
    broker = Picky()
    await broker.declare("payment")
    graves = await broker.dead_letters()
    hearer = Coordinator(broker, await broker.subscribe("replies", None, prefetch=10))
    bad = hearer.send(action(saga_id="poison"))
    good = hearer.send(*(action(saga_id=f"s{number}") for number in range(3)))
    async with serving(shop, broker):
        assert sagas(await hearer.hear(3)) == ["s0", "s1", "s2"]
        assert await good is Confirm.CONFIRMED
        async with asyncio.timeout(10):
            (dead,) = await graves.take(10)
        assert "poison" in dead.body.decode()
        assert dead.reason == "its reply can never be published"
        await graves.acknowledge([dead])
        assert await bad is Confirm.CONFIRMED
    await broker.close()


class Picky(LocalBroker):
    """A broker that can never take a message about one saga."""

    async def publish(self, address: Address, body: bytes, *, transient: bool = False) -> Confirm:
        if address.lane == "replies" and b"poison" in body:
            return Confirm.PERMANENT
        return await super().publish(address, body, transient=transient)


async def test_when_a_subscription_ends_its_deliveries_are_the_brokers_again(coordinator: Coordinator) -> None:
    first, second = [await coordinator.broker.subscribe("commands", "payment", prefetch=1) for _ in range(2)]
    coordinator.send(action(saga_id="a"))
    coordinator.send(action(saga_id="b"))
    held = [Held(consumer, (await consumer.take(1))[0], items=1) for consumer in (first, second)]
    hand = Hand()
    for each in held:
        hand.take(each)
    hand.lose(first)
    assert [each.lost for each in held] == [True, False]


async def test_stopping_finishes_what_is_in_hand_and_says_goodbye(shop: Shop, coordinator: Coordinator) -> None:
    gate, reached = asyncio.Event(), asyncio.Event()

    async def long(_tx: AsyncConnection | None) -> None:
        reached.set()
        await gate.wait()

    async with serving(shop, coordinator.broker) as task:
        shop.charges.append(long)
        sent = coordinator.send(action())
        await reached.wait()
        shop.participant.stop()
        left = coordinator.send(action(saga_id="later"))
        gate.set()
        assert sagas(await coordinator.hear(1)) == ["s1"]
        assert await sent is Confirm.CONFIRMED
        await task
    assert not left.done()  # nobody took it
    assert (await coordinator.last_words()).stopping
    first = coordinator.heartbeats[0]
    assert (first.actions, first.compensations, first.stopping) == (("charge",), ("refund",), False)
    assert first.worker == shop.participant.worker.id


async def test_a_heartbeat_says_what_a_worker_holds_and_was_started_with(
    sqlite_url: str, coordinator: Coordinator
) -> None:
    gate, reached = asyncio.Event(), asyncio.Event()

    async def long(_tx: AsyncConnection | None) -> None:
        reached.set()
        await gate.wait()

    engine = open_engine(sqlite_url)
    shop = Shop(engine, concurrency=1, host="cashdesk-7", settings={"provider_timeout": "5s", "\x00odd": "x" * 500})
    await shop.create()
    shop.charges.append(long)
    async with serving(shop, coordinator.broker, ServingLimits(heartbeat_seconds=0.05)):
        sent = coordinator.send(action(saga_id="first"), action(saga_id="second", attempt=2))
        await reached.wait()
        held = await coordinator.next_heartbeat(lambda beat: len(beat.holding) == 2 and beat.in_flight == 1)
        gate.set()
        assert sagas(await coordinator.hear(2)) == ["first", "second"]
        await sent
        free = await coordinator.next_heartbeat(lambda beat: not beat.holding)
    await engine.dispose()
    assert [(holding.command, holding.working) for holding in held.holding] == [
        ("first/pay/0/action/0/1", True),
        ("second/pay/0/action/0/2", False),
    ]
    assert held.holding[0].seconds >= held.holding[1].seconds >= 0
    assert (held.in_flight, free.in_flight) == (1, 0)
    assert (held.host, held.settings) == ("cashdesk-7", {"provider_timeout": "5s", "\ufffdodd": "x" * 200})
    assert held.worker.startswith("cashdesk-7-")


async def test_a_heartbeat_names_no_more_than_it_may_carry() -> None:
    commands = Commands()
    for number in range(holding_max + 5):
        commands.take(action(saga_id=f"s{number}"))
    assert [holding.command.partition("/")[0] for holding in commands.holding()] == [
        f"s{number}" for number in range(holding_max)
    ]


def test_too_many_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 16"):
        Participant("payment", inbox=None, settings={f"setting-{number}": "on" for number in range(17)})


async def test_after_its_grace_a_worker_leaves_in_silence_and_the_command_comes_again(
    shop: Shop, coordinator: Coordinator
) -> None:
    reached = asyncio.Event()

    async def hang(_tx: AsyncConnection | None) -> None:
        reached.set()
        await asyncio.Event().wait()

    shop.charges.append(hang)
    async with serving(shop, coordinator.broker, ServingLimits(grace_seconds=0.05)) as task:
        sent = coordinator.send(action())
        await reached.wait()
        shop.participant.stop()
        await task
    assert await shop.amounts() == []
    async with serving(shop, coordinator.broker):
        assert [reply.answer for reply in await coordinator.hear(1)] == [Answer.SUCCEEDED]
        assert await sent is Confirm.CONFIRMED
    assert await shop.amounts() == [10]


async def test_a_subscription_that_ends_is_opened_again(shop: Shop) -> None:
    broker = Fickle()
    await broker.declare("payment")
    async with serving(shop, broker):
        hearer = Coordinator(broker, await broker.subscribe("replies", None, prefetch=10))
        first = hearer.send(action())
        await hearer.hear(1)
        assert await first is Confirm.CONFIRMED
        await broker.given[0].close()
        sent = hearer.send(action(saga_id="s2"))
        assert sagas(await hearer.hear(1)) == ["s2"]
        assert await sent is Confirm.CONFIRMED
        assert len(broker.given) == 2
    await broker.close()


async def test_what_was_in_hand_when_the_subscription_ended_is_answered_when_it_comes_again(shop: Shop) -> None:
    broker = Fickle()
    await broker.declare("payment")
    gate, reached = asyncio.Event(), asyncio.Event()

    async def long(_tx: AsyncConnection | None) -> None:
        reached.set()
        await gate.wait()

    shop.charges.append(long)
    async with serving(shop, broker):
        hearer = Coordinator(broker, await broker.subscribe("replies", None, prefetch=10))
        sent = hearer.send(action())
        await reached.wait()
        await broker.given[0].close()
        gate.set()
        twice = await hearer.hear(2)  # by the first, which no one could stop, and by who got it again
        assert twice[0] == twice[1]
        assert await sent is Confirm.CONFIRMED
    assert await shop.amounts() == [10]
    await broker.close()


class Fickle(LocalBroker):
    """A broker whose subscriptions the test can end."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Consumer] = []

    async def subscribe(self, lane: Any, participant: str | None, *, prefetch: int) -> Consumer:
        consumer = await super().subscribe(lane, participant, prefetch=prefetch)
        if lane == "commands":
            self.given.append(consumer)
        return consumer


async def test_a_broker_that_was_closed_ends_the_service_loudly(shop: Shop, coordinator: Coordinator) -> None:
    async with serving(shop, coordinator.broker) as task:
        coordinator.send(action())
        await coordinator.hear(1)
        await coordinator.broker.close()
        with pytest.raises(BrokerClosed):
            await task


async def test_an_inbox_that_cannot_work_is_an_error_at_the_start(coordinator: Coordinator, sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    with pytest.raises(InboxError, match="create"):
        await Shop(engine).participant.serve(coordinator.broker)
    await engine.dispose()


async def test_an_inbox_that_is_away_is_waited_for_in_silence(shop: Shop, coordinator: Coordinator) -> None:
    async with serving(shop, coordinator.broker):
        coordinator.send(action(saga_id="before"))
        await coordinator.hear(1)
        async with shop.engine.begin() as connection:
            await connection.execute(text("ALTER TABLE amends_inbox RENAME TO elsewhere"))
        sent = coordinator.send(action())
        await asyncio.sleep(0.3)  # some tries later, still nothing was said: silence has no signal
        assert not sent.done()
        async with shop.engine.begin() as connection:
            await connection.execute(text("ALTER TABLE elsewhere RENAME TO amends_inbox"))
        assert [reply.answer for reply in await coordinator.hear(1)] == [Answer.SUCCEEDED]
        assert await sent is Confirm.CONFIRMED
