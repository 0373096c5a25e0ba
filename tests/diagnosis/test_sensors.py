"""What happens around the sagas is sensed: workers, versions, definitions, pauses, broker, database, backlogs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from amends.broker import Address, Confirm
from amends.message import Heartbeat, Holding, encode_item, frame
from coordinator.app import App
from coordinator.diagnosis import sensors
from coordinator.errors import StoreUnavailable
from coordinator.saga.state import SagaStatus
from coordinator.store.fleet import FleetStore
from coordinator.store.observed import Occurrence, OccurrenceKind
from coordinator.store.values import HoldScope, Worker
from tests.diagnosis.conftest import House, diagnosis
from tests.engine.conftest import chain, final, start
from tests.engine.faulty import FaultyBroker
from tests.waiting import eventually

embedded = pytest.mark.parametrize("house", ["embedded"], indirect=True)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "look_seconds", 0.05)


async def looked(app: App, *, slowly: bool = False) -> None:
    """The coordinator has looked around since now; slowly: at everything, backlogs as well."""
    sensing = diagnosis(app).sensors
    enough = sensing._looks + 1 + (sensors.backlog_every if slowly else 1)  # one may be under way

    async def done() -> bool:
        return sensing._looks >= enough

    await eventually(done, "a look around")


async def occurred(app: App, kind: OccurrenceKind) -> Occurrence:
    """The first occurrence of a kind, once it is written."""

    async def written() -> Occurrence | None:
        now = app.clock.now()
        found = await app.stores.occurrences.between(now - timedelta(hours=1), now + timedelta(hours=1))
        return next((one for one in found if one.kind is kind), None)

    return await eventually(written, f"an occurrence: {kind}")


async def beat(house: House, worker: str, **facts: Any) -> None:
    told = {"participant": "payment", "interval_seconds": 0.3, "worker_version": "1", **facts}
    heartbeat = Heartbeat.model_validate({"worker": worker, **told})
    body = frame("heartbeats", [encode_item(heartbeat)])
    await house.broker.publish(Address("replies", "payment"), body, transient=True)


async def known(app: App, count: int) -> None:
    """So many workers are known, and have been looked at."""

    async def there() -> bool:
        return len(await app.stores.fleet.workers(app.clock.now())) == count

    await eventually(there, f"{count} workers")
    await looked(app)


async def test_a_worker_that_dies_is_lost_with_what_it_held(house: House) -> None:
    app = await house.coordinator()
    command = "0195-saga/charge/0/action/0/1"
    await beat(house, "w1", holding=[Holding(command=command, seconds=2.0)], in_flight=1, host="h7")
    await known(app, 1)
    lost = await occurred(app, OccurrenceKind.WORKER_LOST)
    assert (lost.subject, lost.facts["holding"], lost.facts["host"]) == ("worker payment/w1", command, "h7")
    assert diagnosis(app).sensors.silence("payment", command, None) == "lost"
    await beat(house, "w1", interval_seconds=60)
    assert (await occurred(app, OccurrenceKind.WORKER_BACK)).subject == "worker payment/w1"


@embedded
async def test_a_deploy_and_a_setting_are_seen_when_the_first_worker_brings_them(house: House) -> None:
    app = await house.coordinator()
    await beat(house, "w1", settings={"pool": "5"}, interval_seconds=60)
    await known(app, 1)
    await beat(house, "w2", settings={"pool": "1"}, interval_seconds=60, worker_version="2")
    await known(app, 2)
    assert (await occurred(app, OccurrenceKind.VERSION_SEEN)).subject == "worker_version payment@2"
    changed = await occurred(app, OccurrenceKind.SETTING_CHANGED)
    assert (changed.subject, changed.facts["before"], changed.facts["after"]) == ("setting payment.pool", "5", "1")


@embedded
async def test_two_coordinators_write_one_row(house: House) -> None:
    one, other = await house.coordinator(), await house.coordinator()
    await beat(house, "w1", interval_seconds=60)
    await known(one, 1)
    await known(other, 1)
    await beat(house, "w2", interval_seconds=60, worker_version="2")
    await known(one, 2)
    await known(other, 2)
    now = one.clock.now()
    found = await one.stores.occurrences.between(now - timedelta(hours=1), now + timedelta(hours=1))
    assert [occurrence.kind for occurrence in found] == ["version_seen"]


@embedded
async def test_a_definition_says_what_it_changed(house: House) -> None:
    app = await house.coordinator()
    await app.definitions.register(chain, "test")
    steps = [{**chain["steps"][0], "timeout": "2s", "retry": {"max_attempts": 9}}, *chain["steps"][1:2]]
    await app.definitions.register({**chain, "steps": steps}, "test")
    await looked(app, slowly=True)
    now = app.clock.now()
    first, second = await app.stores.occurrences.between(now - timedelta(hours=1), now + timedelta(hours=1))
    assert (first.subject, first.facts) == ("definition_version chain@1", {"version": 1})
    assert second.facts == {
        "version": 2,
        "reserve.timeout": "30 -> 2",
        "reserve.retry.max_attempts": "4 -> 9",
        "ship": "there -> absent",
    }


@embedded
async def test_a_pause_and_its_end_are_told(house: House) -> None:
    app = await house.coordinator()
    now = app.clock.now
    await app.stores.fleet.hold(HoldScope.PARTICIPANT, "payment", by="ann", reason="maintenance", now=now())
    await app.stores.fleet.release(HoldScope.PARTICIPANT, "payment", by="ann", now=now())
    paused = await occurred(app, OccurrenceKind.PAUSED)
    assert (paused.subject, paused.facts["by"]) == ("participant payment", "ann")
    assert (await occurred(app, OccurrenceKind.RESUMED)).subject == "participant payment"


@embedded
async def test_a_broker_that_goes_and_comes_is_told_and_nobody_is_lost_meanwhile(house: House) -> None:
    house.broker = FaultyBroker(lambda address, body: None)
    app = await house.coordinator()
    await beat(house, "w1", interval_seconds=1.0)
    await known(app, 1)
    house.broker.away = True
    assert (await occurred(app, OccurrenceKind.BROKER_LOST)).subject == "broker broker"

    async def silent() -> bool:
        return not any(worker.live for worker in await app.stores.fleet.workers(app.clock.now()))

    await eventually(silent, "a worker that was not heard for too long")
    house.broker.away = False
    await looked(app)
    await occurred(app, OccurrenceKind.BROKER_BACK)
    now = app.clock.now()
    found = await app.stores.occurrences.between(now - timedelta(hours=1), now + timedelta(hours=1))
    assert {one.kind for one in found} <= {OccurrenceKind.BROKER_LOST, OccurrenceKind.BROKER_BACK}


@embedded
async def test_a_participant_to_whom_nothing_can_be_published_is_told(house: House) -> None:
    house.broker = FaultyBroker(lambda address, body: Confirm.NACKED if address.participant == "inventory" else None)
    app = await house.coordinator()
    await start(app, await app.definitions.register(chain, "test"))
    failed = await occurred(app, OccurrenceKind.PUBLISH_FAILED)
    assert (failed.subject, failed.facts["error"]) == ("participant inventory", "nacked")


class AwayFleet(FleetStore):
    """The store of workers, whose database can't be reached for as many looks as a test says."""

    away = 0

    async def workers(self, now: Any, *, participant: str | None = None) -> list[Worker]:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        return await super().workers(now, participant=participant)


@embedded
async def test_a_database_that_was_away_is_told_when_it_is_back_and_sagas_went_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coordinator.store.stores.FleetStore", AwayFleet)
    app = await house.coordinator()
    assert isinstance(app.stores.fleet, AwayFleet)
    app.stores.fleet.away = 3
    await house.puppets(chain)
    ended = await final(app, await start(app, await app.definitions.register(chain, "test")))
    assert ended.status is SagaStatus.COMPLETED
    assert (await occurred(app, OccurrenceKind.DATABASE_LOST)).subject == "database coordinator"
    assert (await occurred(app, OccurrenceKind.DATABASE_BACK)).facts["lost_seconds"] is not None


@embedded
async def test_a_participant_that_does_not_keep_up_is_sampled(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "awaited_much", 2)
    app = await house.coordinator()
    inventory = await house.puppet("inventory", lambda command: None)
    definition = await app.definitions.register(chain, "test")
    for _ in range(5):
        await start(app, definition)

    async def heard() -> bool:
        return len(inventory.heard) == 5

    await eventually(heard, "five commands")
    sample = await occurred(app, OccurrenceKind.BACKLOG)
    assert sample.subject == "participant inventory"
    assert (sample.facts["awaited"], sample.facts["in_flight"], sample.facts["workers"]) == (5, 0, 1)
    assert (sample.facts["waiting"], sample.facts["oldest_seconds"]) == (0, 0.0)  # all are with the broker


@embedded
async def test_what_waits_for_the_database_is_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "waiting_max", 2)
    monkeypatch.setattr(sensors, "told_max", 3)
    app = await house.coordinator()
    sensing = diagnosis(app).sensors
    now = app.clock.now()
    many: Sequence[Occurrence] = [Occurrence(f"id{n}", now, OccurrenceKind.BACKLOG, "participant p") for n in range(5)]
    sensing._tell(many)
    sensing._tell(many[-1:])  # told already
    assert sensing.dropped == 3
    assert [one.id for one in sensing._waiting] == ["id3", "id4"]
