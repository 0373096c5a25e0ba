"""What a coordinator remembers of sagas spares it a look, and never deceives it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from coordinator import remembered
from coordinator.errors import Quarantined
from coordinator.remembered import Remembered
from coordinator.saga import transition
from coordinator.saga.event import Answer, CommandId, Replied
from coordinator.saga.state import Saga, SagaStatus
from coordinator.store.sagas import SagaStore
from tests.engine.conftest import House, chain, final, start
from tests.waiting import eventually

noon = datetime(2030, 1, 1, 12, tzinfo=UTC)


def saga(number: int, **facts: Any) -> Saga:
    return Saga(
        id=f"s{number}", definition="order", version=1, input=facts.pop("input", None), created_at=noon, **facts
    )


class Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def test_what_is_final_or_large_is_not_remembered() -> None:
    known = Remembered(Clock())
    known.keep(saga(1, input={"lines": [1, 2, 3]}))
    known.keep(saga(2, status=SagaStatus.COMPLETED, finished_at=noon))
    known.keep(saga(3, input="x" * remembered.saga_bytes_max))
    known.keep(saga(4, input=[[n] for n in range(remembered.saga_values_max)]))
    assert [known.get(f"s{number}") is not None for number in (1, 2, 3, 4)] == [True, False, False, False]
    known.keep(saga(1, status=SagaStatus.COMPLETED, finished_at=noon))
    assert known.get("s1") is None


def test_the_one_longest_unmoved_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "bytes_max", 5_000)
    known = Remembered(Clock())
    for number in (1, 2, 3, 4):
        known.keep(saga(number))
    known.keep(saga(1))
    known.keep(saga(5))
    assert [known.get(f"s{number}") is not None for number in (1, 2, 3, 4, 5)] == [True, False, True, True, True]


def test_where_others_move_the_same_sagas_nothing_is_remembered_for_a_while() -> None:
    clock = Clock()
    known = Remembered(clock)
    known.keep(saga(1))
    for turn in range(200):
        known.judge(stale=turn % 2 == 0)
    assert known.get("s1") is None
    known.keep(saga(1))
    assert known.get("s1") is None
    clock.at += remembered.rest_seconds
    known.keep(saga(1))
    assert known.get("s1") is not None
    for _ in range(1000):
        known.judge(stale=False)
    assert known.get("s1") is not None


async def test_no_reply_has_its_saga_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    load = SagaStore.load

    async def counted(self: SagaStore, ids: Iterable[str]) -> Any:
        ids = list(ids)
        loads.extend(ids)
        return await load(self, ids)

    monkeypatch.setattr(SagaStore, "load", counted)
    app = await house.coordinator()
    await house.puppets(chain)
    ids = [await start(app, await app.definitions.register(chain, "test")) for _ in range(3)]
    ends = [observed.status for observed in [await final(app, saga_id) for saga_id in ids]]
    assert ends == [SagaStatus.COMPLETED] * 3
    del loads[:]
    again = await start(app, await app.definitions.get("chain"))

    async def over() -> bool:
        return again in await app.stores.reader.ended([again])

    await eventually(over, "the saga to end")
    assert loads == []


async def test_news_of_another_coordinator_is_found_out(house: House) -> None:
    """What one remembers is old as soon as the other has moved the saga: it looks again, and nothing is lost."""
    one = await house.coordinator()
    other = await house.coordinator()
    definition = await one.definitions.register(chain, "test")
    saga_id = await start(one, definition)
    for app, step in ((one, "reserve"), (other, "charge"), (one, "ship")):
        await app.engine.handle(saga_id, _success(step))
    found = (await one.stores.sagas.load([saga_id]))[saga_id]
    assert isinstance(found, Saga)
    assert found.status is SagaStatus.COMPLETED
    handled = await other.engine.handle(saga_id, _success("ship"))  # which remembers it as it was a reply ago
    assert (handled.saga.status, handled.saga.strays) == (SagaStatus.COMPLETED, 1)


async def test_a_remembered_saga_that_cannot_be_decided_is_asked_for(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await house.coordinator()
    saga_id = await start(app, await app.definitions.register(chain, "test"))
    await app.engine.handle(saga_id, _success("reserve"))
    decided = transition.decide
    broken = 0

    def decide(definition: Any, before: Saga, event: Any) -> Any:
        nonlocal broken
        if isinstance(event, Replied) and not broken:
            broken += 1
            raise ZeroDivisionError("old news")
        return decided(definition, before, event)

    monkeypatch.setattr("coordinator.engine.decide", decide)
    first, second = await asyncio.gather(
        app.engine.handle(saga_id, _success("charge")), app.engine.handle(saga_id, _success("charge"))
    )
    assert (first.changed, broken) == (True, 1)
    assert second.saga.steps["charge"].happened

    def never(*_: object) -> Any:
        raise ZeroDivisionError("it is so")

    monkeypatch.setattr("coordinator.engine.decide", never)
    with pytest.raises(Quarantined):
        await app.engine.handle(saga_id, _success("ship"))


def _success(step: str) -> Replied:
    return Replied(noon + timedelta(seconds=1), CommandId(step), 1, Answer.SUCCEEDED)
