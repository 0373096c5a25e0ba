"""Steps in hand: nobody works on one that somebody else is at, and none is lost because its next in line gave up."""

from __future__ import annotations

import asyncio

import pytest

from amends.held import KeyLocks


async def test_who_comes_first_is_served_first() -> None:
    locks, served = KeyLocks(), list[str]()

    async def work(name: str, key: str) -> None:
        async with locks.hold(key):
            assert not locks.is_free(key)
            served.append(name)
            await asyncio.sleep(0)

    locks.take("a")
    waiting = [asyncio.create_task(work(name, key)) for name, key in (("1", "a"), ("2", "a"), ("other", "b"))]
    await waiting[2]
    assert served == ["other"]
    locks.give_back("a")
    await asyncio.gather(*waiting)
    assert served == ["other", "1", "2"]
    assert locks.is_free("a")
    assert locks.is_free("b")


@pytest.mark.parametrize("given", [False, True], ids=["before its turn", "at its turn"])
async def test_who_gives_up_holds_nobody_up(*, given: bool) -> None:
    locks = KeyLocks()

    async def work() -> None:
        async with locks.hold("a"):
            pass

    locks.take("a")
    first, second = asyncio.create_task(work()), asyncio.create_task(work())
    await asyncio.sleep(0)  # both wait now
    if given:
        locks.give_back("a")
    first.cancel()
    if not given:
        locks.give_back("a")
    await second
    with pytest.raises(asyncio.CancelledError):
        await first
    assert locks.is_free("a")
