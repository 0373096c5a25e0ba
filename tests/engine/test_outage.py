"""A database that is away: what waits is kept, and goes on when it is back. That is no conflict, however long."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from coordinator import engine
from coordinator.errors import StoreUnavailable
from coordinator.saga.event import CancelRequested
from coordinator.saga.state import Saga, SagaStatus
from coordinator.store.database import Database
from coordinator.store.sagas import SagaStore
from coordinator.store.values import Unreadable
from tests.engine.conftest import House, chain, final, start


class AwayStore(SagaStore):
    """The store, whose database can't be reached for as many loads as a test says."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.away = 0

    async def load(self, ids: Iterable[str]) -> dict[str, Saga | Unreadable]:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        return await super().load(ids)


@pytest.mark.parametrize("house", ["embedded"], indirect=True)
async def test_an_outage_longer_than_any_conflict_loses_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "outage_pause_seconds", 0.0)
    monkeypatch.setattr("coordinator.store.stores.SagaStore", AwayStore)
    app = await house.coordinator()
    store = app.stores.sagas
    assert isinstance(store, AwayStore)
    saga_id = await start(app, await app.definitions.register({**chain, "grace": "50ms"}, "test"))
    store.away = 3 * engine.conflicts_max
    handled = await app.engine.handle(saga_id, CancelRequested(app.clock.now(), "ann", "never mind"))
    assert handled.saga.cause
    assert store.away == 0
    await house.puppets(chain)
    assert (await final(app, saga_id)).status is SagaStatus.COMPENSATED
