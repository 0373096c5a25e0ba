"""While too much waits no saga is started: who asks is told when to come back, and what was started is finished."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from coordinator import pressure
from coordinator.errors import StoreUnavailable
from coordinator.pressure import Pressure
from coordinator.store.outbox import OutboxStore
from tests.waiting import eventually
from tests.web.conftest import Site, chain, problem_of

rows_max = 5


@pytest.fixture
async def pressed(site: Site) -> tuple[Site, str]:
    """A site whose outbox holds five rows, and from which nothing leaves: all is paused. With that pause's address."""
    site.app.pressure._unsent_max = rows_max
    await site.define(chain)
    paused = await site.http.post("/v1/pauses", json={"scope": "all", "reason": "the test"})
    assert paused.status_code == 201, paused.text
    return site, paused.headers["location"]


async def start(site: Site, key: str) -> Any:
    return await site.http.post("/v1/sagas", json={"definition": "chain"}, headers={"Idempotency-Key": key})


async def test_at_the_bound_starts_are_sent_away_and_nothing_is_lost(pressed: tuple[Site, str]) -> None:
    site, pause = pressed
    first = [await start(site, f"{number}") for number in range(rows_max)]
    assert [response.status_code for response in first] == [202] * rows_max
    await site.app.pressure.look()

    refused = await start(site, "one-more")
    assert "wait to be sent" in problem_of(refused, 503, "overloaded")["detail"]
    assert 2 <= int(refused.headers["retry-after"]) <= 10
    again = await start(site, "0")
    assert (again.status_code, again.json()["id"]) == (202, first[0].json()["id"])  # it is there already

    await site.puppets(chain)
    assert (await site.http.request("DELETE", pause)).status_code == 200
    for response in first:
        assert (await site.end(response.json()["id"]))["status"] == "completed"
    await site.app.pressure.look()
    assert (await start(site, "one-more")).status_code == 202


async def test_a_coordinator_that_cannot_keep_up_with_starts_says_so(
    small_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await small_site.define(chain)
    monkeypatch.setattr(pressure, "starting_max", 0)
    problem = problem_of(await start(small_site, "a"), 503, "overloaded")
    assert "by this coordinator" in problem["detail"]


class AwayOutbox(OutboxStore):
    """The outbox of a database that is away when it is first asked."""

    asked = 0

    async def unsent(self, enough: int) -> int:
        self.asked += 1
        if self.asked == 1:
            raise StoreUnavailable("away")
        return await super().unsent(enough)


async def test_while_the_database_is_away_it_goes_on_looking(
    small_site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pressure, "look_seconds", 0.01)
    outbox = AwayOutbox(small_site.app.database)
    looking = Pressure(outbox, small_site.app.engine, rows_max)
    task = asyncio.ensure_future(looking.run())

    async def twice() -> bool:
        return outbox.asked > 2

    await eventually(twice, "another look")
    task.cancel()
    assert "Nobody knows what waits: away" in caplog.text
    assert looking.too_high() is None
