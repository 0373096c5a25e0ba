"""What is paused and what is throttled, as a coordinator sees it between two looks at the database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from coordinator.fleet import Fleet
from coordinator.saga.event import Hold
from coordinator.store.database import Database
from coordinator.store.fleet import FleetStore
from coordinator.store.migration import migrate
from coordinator.store.values import HoldScope
from tests.store.made import later, noon


class Seen:
    """A fleet whose time is what the test says."""

    def __init__(self, store: FleetStore) -> None:
        self.store = store
        self.at: datetime = noon
        self.fleet = Fleet(store, lambda: self.at)

    async def hold(
        self, scope: HoldScope, name: str, *, ends_at: datetime | None = None, rate_per_second: float | None = None
    ) -> None:
        asked = self.store.hold(
            scope, name, by="a", reason="r", now=self.at, ends_at=ends_at, rate_per_second=rate_per_second
        )
        await asked
        await self.fleet.refresh()


@pytest.fixture
async def seen(tmp_path: Path) -> AsyncIterator[Seen]:
    url = f"sqlite:///{tmp_path / 'amends.db'}"
    await migrate(url)
    async with Database.open(url) as database:
        yield Seen(FleetStore(database))


async def test_a_pause_with_an_end_is_over_without_another_look(seen: Seen) -> None:
    await seen.hold(HoldScope.PARTICIPANT, "payment", ends_at=later(10))
    assert seen.fleet.is_held("any", "payment")
    assert seen.fleet.held(HoldScope.PARTICIPANT) == {"payment"}
    assert seen.fleet.holds("any", ["payment"]) == (Hold(noon, None, "payment"),)
    seen.at = later(10)
    for _ in range(2):
        assert not seen.fleet.is_held("any", "payment")
        assert seen.fleet.held(HoldScope.PARTICIPANT) == frozenset()
        assert seen.fleet.holds("any", ["payment"]) == (Hold(noon, later(10), "payment"),)  # clocks stood still
        await seen.fleet.refresh()


async def test_everything_is_paused_until_its_end(seen: Seen) -> None:
    await seen.hold(HoldScope.ALL, "", ends_at=later(10))
    assert seen.fleet.all_held
    seen.at = later(10)
    assert not seen.fleet.all_held


async def test_a_throttle_pauses_nothing_and_stops_no_clock(seen: Seen) -> None:
    await seen.hold(HoldScope.PARTICIPANT, "payment", rate_per_second=5.0, ends_at=later(10))
    await seen.hold(HoldScope.PARTICIPANT, "stock", rate_per_second=8.0)
    assert not seen.fleet.is_held("payment", "payment")
    assert not seen.fleet.all_held
    assert seen.fleet.held(HoldScope.PARTICIPANT) == frozenset()
    assert seen.fleet.holds("payment", ["payment"]) == ()
    assert seen.fleet.throttled == {"payment": 5.0, "stock": 8.0}
    seen.at = later(10)
    assert seen.fleet.throttled == {"stock": 8.0}


async def test_only_participants_are_throttled(seen: Seen) -> None:
    await seen.hold(HoldScope.PARTICIPANT, "payment")
    assert seen.fleet.throttled == {}
    for scope, name in ((HoldScope.ALL, ""), (HoldScope.DEFINITION, "order")):
        with pytest.raises(ValueError, match="only a participant"):
            await seen.hold(scope, name, rate_per_second=1.0)
