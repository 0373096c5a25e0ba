"""Whose replies are believed: a saga is moved only by its step's participant, which proves that it got the command."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from amends import Participant
from amends.broker import Address
from amends.local import LocalBroker
from amends.message import Answer, Command, Heartbeat, Reply, encode_item, frame
from amends.serving import ServingLimits
from coordinator.app import App
from coordinator.config import Settings
from coordinator.errors import RedriveRefused
from coordinator.saga.event import CommandId, Kind
from coordinator.saga.state import SagaStatus
from coordinator.store.values import DeadLetter, DeadLetterFilter
from coordinator.trust import Trust
from tests.engine.conftest import House, final, start
from tests.engine.puppet import Puppet, answer
from tests.waiting import eventually

one: dict[str, Any] = {
    "name": "one",
    "steps": [{"name": "charge", "participant": "payment", "action": "charge", "compensation": "refund"}],
}
secret = "s" * 32


async def letters(app: App, count: int) -> list[DeadLetter]:
    """The dead letters, once there are so many."""

    async def there() -> list[DeadLetter] | None:
        found = list((await app.stores.dead_letters.page(DeadLetterFilter(), limit=50)).items)
        return found if len(found) >= count else None

    return await eventually(there, f"{count} dead letters")


async def house_with(stack: AsyncExitStack, **settings: Any) -> House:
    broker = LocalBroker()
    stack.push_async_callback(broker.close)
    return House(Settings.model_validate(settings), broker, stack)


async def test_a_reply_without_its_commands_token_changes_nothing(sqlite_url: str) -> None:
    async with AsyncExitStack() as stack:
        house = await house_with(stack, database_url=sqlite_url, reply_secret=secret)
        app = await house.coordinator()
        definition = await app.definitions.register(one, "test")
        heard: asyncio.Queue[Command] = asyncio.Queue()

        def silent(command: Command) -> Reply | None:
            heard.put_nowait(command)
            return None

        payment = await house.puppet("payment", silent)
        saga_id = await start(app, definition)
        other_id = await start(app, definition)
        commands = {command.saga_id: command for command in (await heard.get(), await heard.get())}
        mine, other = commands[saga_id], commands[other_id]

        await payment.say(answer(mine, Answer.REFUSED))
        await payment.say(answer(mine, Answer.REFUSED, reply_token=other.reply_token))
        without, foreign = sorted(await letters(app, 2), key=lambda letter: letter.reason)
        assert without.reason == "not believed: it has no token"
        assert foreign.reason == "not believed: its token is not that of payment's command"
        for letter in (without, foreign):
            with pytest.raises(RedriveRefused, match="not believed"):
                await app.dead_letters.redrive(letter.id, "ann", "because")

        await payment.say(answer(mine, reply_token=mine.reply_token))
        assert (await final(app, saga_id)).status is SagaStatus.COMPLETED


async def test_the_sdk_gives_back_what_the_command_came_with(sqlite_url: str) -> None:
    async with AsyncExitStack() as stack:
        house = await house_with(stack, database_url=sqlite_url, reply_secret=secret)
        payment = Participant("payment", inbox=None)

        @payment.action("charge")
        async def charge() -> None:
            return None

        @payment.compensation("refund")
        async def refund() -> None:
            return None

        app = await house.coordinator()
        definition = await app.definitions.register(one, "test")
        async with asyncio.TaskGroup() as group:
            group.create_task(payment.serve(house.broker, limits=ServingLimits(heartbeat_seconds=60)))
            saga = await final(app, await start(app, definition))
            payment.stop()
        assert saga.status is SagaStatus.COMPLETED


async def test_nobody_answers_for_another_participants_step(house: House) -> None:
    app = await house.coordinator()
    definition = await app.definitions.register(one, "test")
    heard: asyncio.Queue[Command] = asyncio.Queue()

    def silent(command: Command) -> Reply | None:
        heard.put_nowait(command)
        return None

    payment, stock = await house.puppet("payment", silent), await house.puppet("stock")
    saga_id = await start(app, definition)
    command = await heard.get()
    await stock.say(answer(command, Answer.REFUSED, participant="stock"))
    await stock.say(answer(command, Answer.REFUSED, participant="stock", step="no-such-step"))
    for letter in await letters(app, 2):
        assert letter.reason == "not believed: its step is not one of stock's"
        with pytest.raises(RedriveRefused, match="not believed"):
            await app.dead_letters.redrive(letter.id, "ann", "because")
    await payment.say(answer(command))
    assert (await final(app, saga_id)).status is SagaStatus.COMPLETED


def test_an_older_secret_is_good_for_what_it_signed_and_signs_no_more() -> None:
    command = CommandId("charge", 0, Kind.ACTION, 0)
    old, both, new = (Trust(secrets=secrets) for secrets in (["old"], ["new", "old"], ["new"]))
    signed = old.token("s1", command, "payment")
    assert both.doubt_token("s1", command, "payment", signed) is None
    assert new.doubt_token("s1", command, "payment", signed)
    assert both.token("s1", command, "payment") == new.token("s1", command, "payment") != signed
    assert Trust().token("s1", command, "payment") is None
    assert Trust().doubt_token("s1", command, "payment", "anything") is None


@pytest.mark.parametrize(
    ("saga_id", "command", "participant"),
    [
        ("s2", CommandId("charge", 0, Kind.ACTION, 0), "payment"),
        ("s1", CommandId("ship", 0, Kind.ACTION, 0), "payment"),
        ("s1", CommandId("charge", 1, Kind.ACTION, 0), "payment"),
        ("s1", CommandId("charge", 0, Kind.COMPENSATION, 0), "payment"),
        ("s1", CommandId("charge", 0, Kind.COMPENSATION, 1), "payment"),
        ("s1", CommandId("charge", 0, Kind.ACTION, 0), "stock"),
    ],
)
def test_a_token_is_of_no_use_for_any_other_command(saga_id: str, command: CommandId, participant: str) -> None:
    trust = Trust(secrets=[secret])
    token = trust.token("s1", CommandId("charge", 0, Kind.ACTION, 0), "payment")
    assert trust.doubt_token(saga_id, command, participant, token)


async def test_a_heartbeat_of_somebody_else_is_not_believed(fresh_rabbitmq_url: str, sqlite_url: str) -> None:
    """The tests' own user is not the participant's; it may write to the queue, and is told from it all the same."""
    async with AsyncExitStack() as stack:
        house = await house_with(
            stack,
            database_url=sqlite_url,
            broker_url=fresh_rabbitmq_url,
            broker_participant_user="amends-{participant}",
        )
        app = await house.coordinator()
        puppet = Puppet(app.broker, "payment")
        heartbeat = Heartbeat(participant="payment", worker="w", interval_seconds=60)
        await app.broker.publish(Address("replies", "payment"), frame("heartbeats", [encode_item(heartbeat)]))
        identity = {"saga_id": "s1", "step": "charge", "kind": "action", "attempt": 1}
        await puppet.say(Reply.model_validate({**identity, "participant": "payment", "answer": "succeeded"}))
        (letter,) = await letters(app, 1)
        assert letter.reason.startswith("not believed: payment is the user amends-payment, and it came from ")
        assert await app.stores.fleet.workers(app.clock.now()) == []
