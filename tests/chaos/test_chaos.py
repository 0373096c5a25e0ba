"""A small storm within the tests: two coordinators and five workers, one of each killed, and nothing is lost."""

from __future__ import annotations

import pytest

from tests.chaos.run import Ground, Weather, run
from tests.servers import Servers
from tests.servers.desk import Visitor


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_sixty_orders_survive_the_death_of_a_coordinator_and_of_a_worker(
    postgres_url: str, fresh_rabbitmq_url: str, servers: Servers | Visitor
) -> None:
    ground = Ground(postgres_url, fresh_rabbitmq_url, servers.rabbitmq_management_url)
    weather = Weather(orders=60, seconds=90.0, seed=7, open_max=20, workers_each=1, kill_every_seconds=1.5, kills_max=2)
    summary = await run(ground, weather, tell=print)
    assert summary.violations == [], summary.counter_example
    assert summary.sagas == 60
    assert summary.kills == {"coordinator": 1, "worker": 1}
