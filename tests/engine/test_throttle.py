"""A throttled participant is sent no more than its rate; what waits is safe, in order, and times out for nobody."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import combinations

import pytest

from amends.broker import Address, Broker, Confirm
from amends.local import LocalBroker
from amends.message import Command, decode
from coordinator.app import App
from coordinator.config import Settings
from coordinator.pace import Pace
from coordinator.saga.state import SagaStatus
from coordinator.store.values import HoldScope
from tests.engine.conftest import House, chain, final, saga, start
from tests.waiting import eventually


class Sent:
    """When each command for inventory left, by the event loop's time."""

    def __init__(self, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at: list[float] = []
        publish = broker.publish

        async def noted(address: Address, body: bytes, *, transient: bool = False) -> Confirm:
            if address == Address("commands", "inventory"):
                commands = [item for item in decode(body) if isinstance(item, Command)]
                self.at += [asyncio.get_running_loop().time()] * len(commands)
            return await publish(address, body, transient=transient)

        monkeypatch.setattr(broker, "publish", noted)

    def fits(self, rate_per_second: float, burst: float) -> bool:
        """Whether in no stretch of time more left than the rate allows."""
        numbered = list(enumerate(self.at))
        return all(
            last - first + 1 <= (until - since) * rate_per_second + burst + 1e-6
            for (first, since), (last, until) in combinations(numbered, 2)
        )


async def throttle(app: App, rate_per_second: float) -> str:
    held = app.stores.fleet.hold(
        HoldScope.PARTICIPANT, "inventory", by="ann", reason="r", now=app.clock.now(), rate_per_second=rate_per_second
    )
    hold = await held
    await app.fleet.refresh()
    return hold.id


async def test_no_more_leaves_than_the_rate_allows_and_all_of_it_in_the_end(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await house.coordinator()
    puppets = await house.puppets(chain)
    sent = Sent(app.broker, monkeypatch)
    await throttle(app, 20.0)
    definition = await app.definitions.register(chain, "test")

    ids = await asyncio.gather(*(start(app, definition, n) for n in range(60)))
    ended = [await final(app, saga_id) for saga_id in ids]

    assert {one.status for one in ended} == {SagaStatus.COMPLETED}
    assert {run.attempt for one in ended for run in one.steps.values()} == {1}
    assert len(sent.at) == len(puppets["inventory"].heard) == 60
    # The bucket holds five; half a second's worth more may be together when a busy machine lets the relay wait.
    assert sent.fits(20.0, burst=5.0 + 10.0)


async def test_what_waits_keeps_its_order_its_attempts_and_its_place_in_the_database(house: House) -> None:
    app = await house.coordinator()
    puppets = await house.puppets(chain)
    hold_id = await throttle(app, 0.01)
    document = {**chain, "steps": [{**chain["steps"][0], "timeout": 0.2}, *chain["steps"][1:]]}
    definition = await app.definitions.register(document, "test")
    ids = [await start(app, definition, n) for n in range(12)]
    await final(app, ids[0])

    async def looked_at() -> bool:
        history = await app.stores.reader.history(ids[-1])
        return any("not sent yet" in note for entry in history for note in entry.notes)

    await eventually(looked_at, "the clock of a command that waits to be looked at")
    (backlog,) = await app.stores.outbox.pending()
    assert (backlog.waiting, backlog.parked) == (11, 0)
    assert {(await saga(app, saga_id)).step("reserve").attempt for saga_id in ids} == {1}

    await app.stores.fleet.end(hold_id, by="ann", now=app.clock.now())
    await app.fleet.refresh()
    for saga_id in ids:
        assert (await final(app, saga_id)).status is SagaStatus.COMPLETED
    assert [command.saga_id for command in puppets["inventory"].heard] == ids


async def test_others_are_not_slowed_down_with_it(house: House) -> None:
    app = await house.coordinator()
    document = {**chain, "steps": [{**step, "after": []} for step in chain["steps"]]}
    puppets = await house.puppets(document)
    await throttle(app, 0.01)
    definition = await app.definitions.register(document, "test")
    for n in range(10):
        await start(app, definition, n)

    async def heard() -> bool:
        return [len(puppets[name].heard) for name in ("payment", "delivery", "inventory")] == [10, 10, 1]

    await eventually(heard, "the others to hear all of theirs")


async def test_what_a_lane_has_in_memory_when_it_is_slowed_down_goes_back(sqlite_url: str) -> None:
    """A row that waits there longer than its lease would be sent by another relay too."""
    async with AsyncExitStack() as stack:
        house = House(Settings(database_url=sqlite_url), LocalBroker(), stack)
        app = await house.coordinator()
        definition = await app.definitions.register(chain, "test")
        for n in range(100):  # as nobody confirms, 64 are in flight and the rest waits in memory
            await start(app, definition, n)
        await throttle(app, 0.01)
        inventory = await house.puppet("inventory")

        async def free() -> bool:
            at = app.clock.now()
            rows = await app.stores.outbox.claim("me", now=at, lease_until=at + timedelta(seconds=60), limit=100)
            claimed.update(row.id for row in rows)
            return len(claimed) >= 35

        claimed: set[str] = set()
        await eventually(free, "what was in memory to be free for others")
        assert len(inventory.heard) <= 65
        assert not claimed & {f"{command.id}/{command.attempt}" for command in inventory.heard}


def test_a_pace_gives_what_its_rate_allows() -> None:
    pace = Pace()
    assert pace.allowance(2.0, 10.0) == 1
    pace.spend(1)
    assert (pace.allowance(2.0, 10.25), pace.seconds_to_next(2.0)) == (0, 0.25)
    assert pace.room(2.0, 10.25, ahead_seconds=1.0) == 2
    assert pace.allowance(2.0, 10.5) == 1
    assert pace.allowance(2.0, 99.0) == 1  # what nobody asked for is not saved up
    assert pace.allowance(100.0, 199.0) == 25
    assert pace.allowance(100.0, 198.0) == 25  # a clock that goes back takes nothing away
    pace.spend(25)
    assert pace.seconds_to_next(100.0) == 0.01
    pace.spend(999)  # there was no rate then
    assert pace.room(100.0, 198.0, ahead_seconds=1.0) == 100
