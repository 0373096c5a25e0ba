"""The relay forgets a command only when the broker has confirmed it, and one participant's trouble is its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from amends.broker import Address, Confirm
from amends.message import Command, decode
from coordinator.app import App
from coordinator.config import Settings
from coordinator.saga.state import SagaStatus
from tests.engine.conftest import House, all_final, chain, final, saga, start
from tests.engine.faulty import FaultyBroker
from tests.waiting import eventually


@pytest.fixture
async def houses(sqlite_url: str) -> AsyncIterator[Callable[[FaultyBroker], House]]:
    """Makes an embedded house with a given broker."""
    async with AsyncExitStack() as stack:

        def house(broker: FaultyBroker) -> House:
            stack.push_async_callback(broker.close)
            return House(Settings(database_url=sqlite_url), broker, stack)

        yield house


Houses = Callable[[FaultyBroker], House]


async def waiting(app: App) -> dict[str, int]:
    """How many commands wait in the outbox, by participant."""
    return {backlog.participant: backlog.waiting for backlog in await app.stores.outbox.pending()}


@pytest.mark.parametrize("fault", [Confirm.NACKED, Confirm.UNROUTABLE, Confirm.UNKNOWN, Confirm.UNSENT])
async def test_what_is_not_confirmed_is_published_again(houses: Houses, fault: Confirm) -> None:
    """A mark before the confirm would lose the command for good; the attempt is not spent either."""
    failing = Counter[str]()

    def fails_twice(address: Address, body: bytes) -> Confirm | None:
        failing[address.participant] += 1
        return fault if failing[address.participant] <= 2 else None

    house = houses(FaultyBroker(fails_twice))
    app = await house.coordinator()
    await house.puppets(chain)
    ended = await final(app, await start(app, await app.definitions.register(chain, "test")))
    assert ended.status is SagaStatus.COMPLETED
    assert {run.attempt for run in ended.steps.values()} == {1}
    assert failing == {"inventory": 3, "payment": 3, "delivery": 3}


async def test_an_unconfirmed_command_stays_in_the_outbox_however_long(houses: Houses) -> None:
    broker = FaultyBroker(lambda address, body: Confirm.UNKNOWN)
    house = houses(broker)
    app = await house.coordinator()
    saga_id = await start(app, await app.definitions.register(chain, "test"))

    async def tried() -> bool:
        return len(broker.asked) >= 4

    await eventually(tried, "four tries")
    assert await waiting(app) == {"inventory": 1}
    assert (await app.stores.sagas.unsent([saga_id])) == {saga_id: {"reserve/0/action/0/1"}}


async def test_a_publish_that_got_through_unheard_is_repeated_under_the_same_identity(houses: Houses) -> None:
    once = Counter[str]()

    def unheard_once(address: Address, body: bytes) -> Confirm | None:
        once[address.participant] += 1
        return Confirm.UNKNOWN if once[address.participant] == 1 else None

    house = houses(FaultyBroker(unheard_once, lost=False))
    app = await house.coordinator()
    puppets = await house.puppets(chain)
    ended = await final(app, await start(app, await app.definitions.register(chain, "test")))
    assert ended.status is SagaStatus.COMPLETED

    async def repeated() -> bool:
        return len(puppets["delivery"].heard) == 2

    await eventually(repeated, "the repetition")
    for puppet in puppets.values():
        assert len({(command.id, command.attempt) for command in puppet.heard}) == 1


async def test_nothing_is_tried_while_the_broker_is_away_and_starts_are_taken(houses: Houses) -> None:
    broker = FaultyBroker(lambda address, body: None)
    house = houses(broker)
    app = await house.coordinator()
    await house.puppets(chain)
    broker.away = True
    definition = await app.definitions.register(chain, "test")
    ids = [await start(app, definition) for _ in range(10)]
    assert await waiting(app) == {"inventory": 10}
    broker.away = False
    ended = await all_final(app, ids)
    assert {one.status for one in ended} == {SagaStatus.COMPLETED}
    assert broker.asked == []


async def test_a_command_that_can_never_be_published_is_parked_and_harms_only_itself(houses: Houses) -> None:
    def refuses_the_poison(address: Address, body: bytes) -> Confirm | None:
        poisoned = any(isinstance(item, Command) and item.data["input"] == "poison" for item in decode(body))
        return Confirm.PERMANENT if poisoned else None

    house = houses(FaultyBroker(refuses_the_poison))
    app = await house.coordinator()
    await house.puppets(chain)
    definition = await app.definitions.register(chain, "test")
    ids = await asyncio.gather(*(start(app, definition, "poison" if n == 3 else n) for n in range(10)))
    for n, saga_id in enumerate(ids):
        if n != 3:
            assert (await final(app, saga_id)).status is SagaStatus.COMPLETED

    async def parked() -> bool:
        return [row.row.saga_id for row in await app.stores.outbox.parked()] == [ids[3]]

    await eventually(parked, "the poisoned command to be parked")
    assert (await saga(app, ids[3])).step("reserve").attempt == 1


async def test_one_participant_that_is_full_holds_up_nobody_else(houses: Houses) -> None:
    broker = FaultyBroker(lambda address, body: Confirm.NACKED if address.participant == "delivery" else None)
    house = houses(broker)
    app = await house.coordinator()
    puppets = await house.puppets(chain)
    definition = await app.definitions.register(chain, "test")
    for n in range(30):
        await start(app, definition, n)

    async def charged() -> bool:
        return len(puppets["payment"].heard) == 30

    await eventually(charged, "thirty charges")

    async def stuck() -> bool:
        return (await waiting(app)).get("delivery") == 30

    await eventually(stuck, "thirty shipments in the outbox")


async def test_what_a_stopped_relay_did_not_publish_the_next_one_finds_at_once(houses: Houses) -> None:
    broker = FaultyBroker(lambda address, body: Confirm.UNKNOWN)
    house = houses(broker)
    app = await house.coordinator()
    saga_id = await start(app, await app.definitions.register(chain, "test"))
    await house.stop(app)
    broker.fault = lambda address, body: None
    second = await house.coordinator()
    await house.puppets(chain)
    assert (await final(second, saga_id)).status is SagaStatus.COMPLETED
