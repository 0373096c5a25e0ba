"""When the database itself stands in the way: a COMMIT nobody knows the end of, a deadlock, a connection cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from amends import Answer, InboxUnavailable
from amends.database import open_engine
from tests.sdk.shop import Shop, action


class BadCommits:
    """Makes COMMIT end in an error: before or after it took place, as often as asked."""

    def __init__(self, shop: Shop, *, times: int, done: bool) -> None:
        self.left = times
        self.done = done
        event.listen(shop.engine.sync_engine, "commit", self.commit)

    def commit(self, connection: Connection) -> None:
        if self.left > 0:
            self.left -= 1
            if self.done:
                connection.exec_driver_sql("COMMIT")
            raise ConnectionResetError("while waiting for the answer to COMMIT")


@pytest.mark.parametrize("done", [True, False], ids=["it took place", "it did not"])
async def test_after_an_error_from_commit_the_inbox_is_asked(shop: Shop, *, done: bool) -> None:
    commits = BadCommits(shop, times=1, done=done)
    reply = await shop.participant.answer(action())
    assert commits.left == 0
    assert (reply.answer, reply.result) == (Answer.SUCCEEDED, {"charge_id": "c-s1"})
    assert await shop.amounts() == [10]
    assert len(shop.keys) == (1 if done else 2)


@pytest.mark.parametrize("done", [True, False], ids=["it took place", "it did not"])
async def test_an_intent_whose_commit_is_in_doubt_calls_the_other_system_once(shop: Shop, *, done: bool) -> None:
    calls: list[str] = []

    @shop.participant.action("call", effects="external")
    async def call() -> None:
        calls.append("call")

    BadCommits(shop, times=1, done=done)
    assert (await shop.participant.answer(action(handler="call"))).answer is Answer.SUCCEEDED
    assert calls == ["call"]


async def test_where_the_inbox_cannot_be_asked_nothing_is_said(shop: Shop) -> None:
    commits = BadCommits(shop, times=1_000, done=False)
    with pytest.raises(InboxUnavailable):
        await shop.participant.answer(action())
    commits.left = 0
    assert await shop.amounts() == []
    assert (await shop.participant.answer(action())).answer is Answer.SUCCEEDED


@pytest.fixture
async def postgres_shop(fresh_postgres_url: str) -> AsyncIterator[Shop]:
    engine = open_engine(fresh_postgres_url)
    shop = Shop(engine)
    await shop.create()
    yield shop
    await engine.dispose()


async def test_a_deadlock_is_retried_and_never_answered(postgres_shop: Shop) -> None:
    shop = postgres_shop
    async with shop.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE stock (id INTEGER PRIMARY KEY, left_over INTEGER)"))
        await connection.execute(text("INSERT INTO stock VALUES (1, 9), (2, 9)"))
    both = asyncio.Barrier(2)
    first_time = [True, True]

    def taking(*ids: int) -> Any:
        async def deed(tx: AsyncConnection | None) -> None:
            assert tx is not None
            for number, item in enumerate(ids):
                await tx.execute(text("UPDATE stock SET left_over = left_over - 1 WHERE id = :id"), {"id": item})
                if number == 0 and first_time[ids[0] - 1]:
                    first_time[ids[0] - 1] = False
                    await both.wait()

        return deed

    # The one the database picks as victim runs again, and takes what is next: it must do the same.
    shop.charges.extend([taking(1, 2), taking(2, 1), taking(1, 2)])
    replies = await asyncio.gather(*(shop.participant.answer(action(saga_id=saga)) for saga in ("a", "b")))
    assert [reply.answer for reply in replies] == [Answer.SUCCEEDED] * 2
    assert len(shop.keys) == 3
    async with shop.engine.connect() as connection:
        assert list((await connection.execute(text("SELECT left_over FROM stock"))).scalars()) == [7, 7]


async def test_a_connection_cut_in_the_handler_is_a_new_transaction(postgres_shop: Shop) -> None:
    async def cut(tx: AsyncConnection | None) -> None:
        assert tx is not None
        await tx.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    postgres_shop.charges.append(cut)
    assert (await postgres_shop.participant.answer(action())).answer is Answer.SUCCEEDED
    assert await postgres_shop.amounts() == [10]


async def test_a_handler_that_swallows_a_database_error_cannot_claim_success(postgres_shop: Shop) -> None:
    async def careless(tx: AsyncConnection | None) -> None:
        assert tx is not None
        with pytest.raises(DBAPIError, match="division"):
            await tx.execute(text("SELECT 1 / 0"))

    postgres_shop.charges.append(careless)
    reply = await postgres_shop.participant.answer(action())
    assert reply.answer is Answer.FAILED
    assert await postgres_shop.participant.answer(action()) == reply
    assert await postgres_shop.amounts() == []
