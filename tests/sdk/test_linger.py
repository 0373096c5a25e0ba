"""Who works in batches lets the next one grow for as long as the last one deserves. The clock jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest

from amends.linger import Linger, linger_seconds_max, times
from bench.diagnosis.loop import run


def _waited(
    work_seconds: float,
    apart_seconds: float,
    next_ones: Sequence[str] = ("b", "c"),
    last_ones: Sequence[str] = ("a", "b"),
) -> float:
    """How long the next batch was kept waiting that was there so long after the last one, which took so long."""

    async def both() -> float:
        linger, loop = Linger(), asyncio.get_running_loop()
        await linger.wait(["a"])
        assert loop.time() == 0.0, "the first waits for nobody"
        with linger.working(last_ones):
            await asyncio.sleep(work_seconds)
        await asyncio.sleep(apart_seconds)
        came = loop.time()
        await linger.wait(next_ones)
        return loop.time() - came

    return run(both())


@pytest.mark.parametrize(
    ("work_ms", "apart_ms", "waited_ms"),
    [
        (2, 0, 2 * times),
        (2, 1, 2 * times - 1),
        (2, 20, 0),  # it is alone
        (500, 0, linger_seconds_max * 1000),  # never longer, however slow a handler is
        (0, 0, 0),
    ],
)
def test_the_next_batch_waits_a_few_times_as_long_as_the_last_one_took(
    work_ms: float, apart_ms: float, waited_ms: float
) -> None:
    assert _waited(work_ms / 1000, apart_ms / 1000) * 1000 == pytest.approx(waited_ms)


@pytest.mark.parametrize("next_ones", [["a"], ["b", "a"]])
def test_a_saga_that_is_alone_waits_for_nobody(next_ones: Sequence[str]) -> None:
    assert _waited(0.002, 0, next_ones) == 0


@pytest.mark.parametrize("last_ones", [["a"], ["a", "a"]])
def test_after_a_saga_that_was_alone_nobody_waits(last_ones: Sequence[str]) -> None:
    assert _waited(0.002, 0, last_ones=last_ones) == 0


def test_work_that_failed_counts_as_work() -> None:
    async def failing() -> float:
        linger, loop = Linger(), asyncio.get_running_loop()
        with suppress(ValueError), linger.working(["a", "b"]):
            await asyncio.sleep(0.001)
            raise ValueError("no")
        ended = loop.time()
        await linger.wait(["c"])
        return loop.time() - ended

    assert run(failing()) == pytest.approx(0.001 * times)
