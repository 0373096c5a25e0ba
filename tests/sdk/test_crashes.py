"""Killed in the middle, then the command comes again: one effect, one truth."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from amends import Answer, Effect, Undone
from tests.sdk.shop import Shop, action, compensation

pytestmark = pytest.mark.crash
root = Path(__file__).parents[2]


async def kill_at(point: str, url: str) -> None:
    """Run a worker that dies at this point, and see that it did."""
    path = os.pathsep.join([str(root), str(root / "participants" / "sdk")])
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.sdk.dying", url, point), cwd=root, env={**os.environ, "PYTHONPATH": path}
    )
    assert await worker.wait() == -signal.SIGKILL


async def test_killed_before_commit_nothing_was_done(shop: Shop, database_url: str) -> None:
    await kill_at("action.in_transaction", database_url)
    assert await shop.amounts() == []
    assert (await shop.participant.answer(action())).answer is Answer.SUCCEEDED
    assert await shop.amounts() == [10]


async def test_killed_after_commit_the_stored_reply_is_sent(shop: Shop, database_url: str) -> None:
    await kill_at("action.after_commit", database_url)
    reply = await shop.participant.answer(action())
    assert (reply.answer, reply.result) == (Answer.SUCCEEDED, {"charge_id": "c-s1"})
    assert reply.worker != shop.participant.worker.id  # the dead worker's own words
    assert shop.keys == []
    assert await shop.amounts() == [10]


async def test_killed_before_a_compensation_commits_it_is_done_once(shop: Shop, database_url: str) -> None:
    await shop.participant.answer(action())
    await kill_at("compensation.in_transaction", database_url)
    assert (await shop.participant.answer(compensation())).undone is Undone.UNDONE
    assert await shop.amounts() == [10, -10]


async def test_killed_after_a_compensation_committed_it_is_not_repeated(shop: Shop, database_url: str) -> None:
    await shop.participant.answer(action())
    await kill_at("compensation.after_commit", database_url)
    assert (await shop.participant.answer(compensation())).undone is Undone.UNDONE
    assert await shop.amounts() == [10, -10]


async def test_killed_while_another_system_was_called_nobody_claims_that_nothing_happened(
    shop: Shop, database_url: str
) -> None:
    calls: list[str] = []

    @shop.participant.action("call", effects="external", lease_seconds=30)
    async def call() -> None:
        calls.append("call")

    order = action(handler="call")
    await kill_at("external.in_handler", database_url)
    assert (await shop.participant.answer(order)).answer is Answer.IN_PROGRESS
    assert calls == []
    async with shop.engine.begin() as connection:
        await connection.execute(text("UPDATE amends_inbox SET lease_until = 0"))
    asked = await shop.participant.answer(action(handler="call", inquire=True))
    assert (asked.answer, asked.effect) == (Answer.FAILED, Effect.UNKNOWN)
    assert (await shop.participant.answer(compensation())).undone is Undone.UNDONE
