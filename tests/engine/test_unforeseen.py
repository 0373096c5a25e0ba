"""A failure that nobody foresaw ends the process, which is seen; it is never passed over."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

import pytest

from coordinator.store.fleet import FleetStore
from coordinator.store.values import Beat
from tests.engine.conftest import House
from tests.engine.puppet import Puppet


class BrokenFleetStore(FleetStore):
    """The store, with a fault in it."""

    async def beat(self, batch: Sequence[Beat], *, now: datetime) -> None:
        raise ZeroDivisionError("nobody foresaw this")


@pytest.mark.parametrize("house", ["embedded"], indirect=True)
async def test_a_batch_of_replies_that_fails_unforeseen_ends_the_loop(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coordinator.store.stores.FleetStore", BrokenFleetStore)
    app = await house.coordinator()
    await Puppet(house.broker, "inventory").beat()
    async with asyncio.timeout(10):
        failure = await app.supervisor.failure
    assert failure.name == "replies"
    assert app.supervisor.dead() == ["replies"]
    await app.stop(close_broker=False)
