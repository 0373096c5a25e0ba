"""How long sagas are kept is up to their definition, else to the coordinator."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from coordinator.app import App
from coordinator.definitions import Definitions
from coordinator.retention import Retention
from coordinator.saga.state import SagaStatus
from coordinator.store.schema import definitions
from tests.engine.conftest import House, chain, final, start
from tests.waiting import eventually

embedded = pytest.mark.parametrize("house", ["embedded"], indirect=True)
brief: dict[str, Any] = {**chain, "name": "brief", "retention": "2h"}
fleeting: dict[str, Any] = {**chain, "name": "fleeting", "retention": "1s"}


async def run(app: App, document: dict[str, Any]) -> str:
    ended = await final(app, await start(app, await app.definitions.register(document, "test")))
    assert ended.status is SagaStatus.COMPLETED

    async def all_sent() -> bool:
        return await app.stores.outbox.unsent(1) == 0

    await eventually(all_sent, "what was confirmed to be forgotten")
    return ended.id


def retention(app: App, kept: timedelta | None) -> Retention:
    unread = Definitions(app.stores.definitions, app.clock.now)
    return Retention(app.stores.definitions, unread, app.stores.settled, kept)


async def test_a_definition_says_how_long_and_who_says_nothing_is_kept_as_long_as_all(house: House) -> None:
    app = await house.coordinator()
    await house.puppets(chain)
    ids = [await run(app, document) for document in (chain, brief, fleeting)]

    async def left() -> list[str]:
        found = await app.stores.sagas.load(ids)
        return [saga_id for saga_id in ids if saga_id in found]

    keeping, now = retention(app, timedelta(days=90)), app.clock.now()
    assert await keeping.prune(now + timedelta(minutes=59)) == 0  # an hour is the least, whatever is stated
    assert await keeping.prune(now + timedelta(minutes=61)) == 1
    assert await left() == ids[:2]
    assert await keeping.prune(now + timedelta(hours=3)) == 1
    assert await left() == ids[:1]
    assert await keeping.prune(now + timedelta(days=89)) == 0
    assert await retention(app, None).prune(now + timedelta(days=3650)) == 0
    assert await keeping.prune(now + timedelta(days=91)) == 1
    assert await left() == []


@embedded
async def test_what_a_definition_that_cannot_be_read_would_have_said_is_not_guessed(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    app = await house.coordinator()
    await house.puppets(chain)
    await run(app, chain)
    async with app.database.begin() as connection:
        await connection.execute(sa.update(definitions).values(document='{"name": "chain"}'))
    assert await retention(app, timedelta(days=1)).prune(app.clock.now() + timedelta(days=9)) == 0
    assert "Sagas of chain are kept" in caplog.text
