"""How much anybody may ask: buckets that fill at a steady rate, and are not kept for ever."""

from __future__ import annotations

from coordinator.access import rates
from coordinator.access.rates import Rates
from coordinator.store.access import Role
from tests.access.conftest import as_, key_of
from tests.web.conftest import Site, problem_of


def test_a_burst_is_let_through_and_then_what_the_rate_allows() -> None:
    now = [0.0]
    buckets = Rates(2.0, burst=3, clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert buckets.take("b") == 0.0
    now[0] = 0.5
    assert [buckets.take("a"), buckets.take("a")] == [0.0, 0.5]
    assert Rates(0.0).take("a") == 0.0


def test_whoever_was_silent_longest_is_forgotten() -> None:
    buckets = Rates(1.0, clock=lambda: 0.0)
    for number in range(rates.callers_max + 10):
        buckets.take(str(number))
    assert len(buckets) == rates.callers_max


async def test_whoever_asks_too_often_is_told_when_to_ask_again(small_site: Site) -> None:
    small_site.door.rates = Rates(0.5, burst=2)
    async with as_(small_site, await key_of(small_site, Role.VIEWER)) as vera:
        assert [(await vera.get("/v1/pauses")).status_code for _ in range(2)] == [200, 200]
        refused = await vera.get("/v1/pauses")
        problem_of(refused, 429, "too-many-requests")
        assert 1 <= int(refused.headers["retry-after"]) <= 2
        assert (await vera.get("/livez")).status_code == 200
    async with as_(small_site, await key_of(small_site, Role.OPERATOR)) as olga:
        assert (await olga.get("/v1/pauses")).status_code == 200
