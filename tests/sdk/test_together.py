"""Commands that share a transaction: each gets the answer that it would have got by itself, and none waits for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from amends import Answer, Command, Confirm, Effect, Kind, LocalBroker, Participant, Refused, Undone
from amends.database import open_engine
from amends.inbox import SqlInbox
from amends.message import Reply
from amends.record import inbox
from amends.sharing import together_max
from tests.sdk.coordinator import Coordinator, quick
from tests.sdk.shop import action, command, compensation
from tests.waiting import eventually

past = {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}


class Till:
    """The participant `payment` with handlers that need no transaction. `refusing` and `failing` are sagas' ids."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.participant = Participant("payment", inbox=SqlInbox(engine), version="1")
        self.refusing: set[str] = set()
        self.failing: set[str] = set()
        self.slow: set[str] = set()
        self.charged: list[str] = []
        self.refunded_with: dict[str, Any] = {}
        self.transactions = 0
        event.listen(engine.sync_engine, "checkout", self._count)
        self.participant.action("charge")(self._charge)
        self.participant.compensation("refund")(self._refund)

    def _count(self, *_: object) -> None:
        self.transactions += 1

    async def _charge(self, command: Command) -> dict[str, str]:
        self.charged.append(command.saga_id)
        if command.saga_id in self.slow:
            await asyncio.sleep(0.3)
        if command.saga_id in self.refusing:
            raise Refused("no money")
        if command.saga_id in self.failing:
            raise OSError("the till is stuck")
        return {"charge_id": f"c-{command.saga_id}"}

    async def _refund(self, command: Command, result: Any) -> None:
        self.refunded_with[command.saga_id] = result

    async def together(self, *commands: Command) -> list[Reply] | None:
        return await self.participant.answer_together([(command, None) for command in commands])

    async def rows(self) -> dict[tuple[str, str], str]:
        async with self.engine.connect() as connection:
            return {(row.saga_id, row.kind): row.state for row in await connection.execute(select(inbox))}


@pytest.fixture
async def till(database_url: str) -> AsyncIterator[Till]:
    engine = open_engine(database_url)
    await SqlInbox(engine).create()
    yield Till(engine)
    await engine.dispose()


@pytest.fixture
async def coordinator() -> AsyncIterator[Coordinator]:
    broker = LocalBroker()
    await broker.declare("payment")
    yield Coordinator(broker, await broker.subscribe("replies", None, prefetch=100))
    await broker.close()


def charges(count: int) -> list[Command]:
    return [action(saga_id=f"s{number}") for number in range(count)]


async def test_many_commands_are_answered_in_one_transaction(till: Till) -> None:
    await till.together(*charges(2))  # whatever is looked at once has been
    till.transactions, some = 0, [action(saga_id=f"t{number}") for number in range(together_max)]

    replies = await till.together(*some)

    assert replies is not None
    assert [reply.saga_id for reply in replies] == [one.saga_id for one in some]
    assert {reply.answer for reply in replies} == {Answer.SUCCEEDED}
    assert replies[3].result == {"charge_id": "c-t3"}
    assert till.transactions == 1
    assert len(await till.rows()) == together_max + 2


async def test_each_keeps_its_own_outcome_and_a_duplicate_gets_it_again(till: Till) -> None:
    till.refusing, till.failing = {"s1"}, {"s2"}
    first = await till.together(*charges(4))
    assert first is not None
    assert [reply.answer for reply in first] == [*(Answer.SUCCEEDED, Answer.REFUSED, Answer.FAILED, Answer.SUCCEEDED)]
    assert first[2].effect is Effect.NONE
    assert await till.rows() == {
        ("s0", "action"): "succeeded",
        ("s1", "action"): "refused",
        ("s2", "action"): "failed",
        ("s3", "action"): "succeeded",
    }

    again = await till.together(*charges(4), action(saga_id="s9"))
    assert again is not None
    assert again[:4] == first
    by_itself = [await till.participant.answer(one) for one in charges(4)]
    assert by_itself == first
    assert till.charged == ["s0", "s1", "s2", "s3", "s9"]


async def test_only_the_next_attempt_of_what_failed_runs(till: Till) -> None:
    till.failing = {"s0", "s1"}
    await till.together(*charges(2))
    till.failing, till.charged = set(), []
    replies = await till.together(action(saga_id="s0", attempt=1), action(saga_id="s1", attempt=2))
    assert replies is not None
    assert [reply.answer for reply in replies] == [Answer.FAILED, Answer.SUCCEEDED]
    assert till.charged == ["s1"]


async def test_compensations_meet_what_their_actions_left(till: Till) -> None:
    till.failing = {"s1"}
    await till.together(*charges(2))
    replies = await till.together(*(compensation(saga_id=f"s{number}") for number in range(3)))
    assert replies is not None
    assert [reply.undone for reply in replies] == [Undone.UNDONE, Undone.NOTHING_TO_UNDO, Undone.NOTHING_TO_UNDO]
    assert till.refunded_with == {"s0": {"charge_id": "c-s0"}}

    rows = await till.rows()
    assert (rows["s1", "action"], rows["s2", "action"]) == ("fenced", "fenced")
    fenced = await till.together(action(saga_id="s1", attempt=2), action(saga_id="s2", attempt=2))
    assert fenced is not None
    assert {reply.answer for reply in fenced} == {Answer.FENCED}
    assert till.charged == ["s0", "s1"]


async def test_what_must_leave_no_trace_leaves_none_and_takes_the_others_apart(till: Till) -> None:
    assert await till.together(action(saga_id="s0"), action(saga_id="s1", **past)) is None
    assert await till.rows() == {}
    assert (await till.participant.answer(action(saga_id="s1", **past))).answer is Answer.EXPIRED
    assert (await till.participant.answer(action(saga_id="s0"))).answer is Answer.SUCCEEDED


async def test_a_slow_handler_holds_nobody_up(till: Till, coordinator: Coordinator) -> None:
    till.slow = {"s3"}
    serving = asyncio.create_task(till.participant.serve(coordinator.broker, limits=quick))
    began = asyncio.get_running_loop().time()
    sent = coordinator.send(*charges(4))
    others = await coordinator.hear(3)
    waited = asyncio.get_running_loop().time() - began
    assert {reply.saga_id for reply in others} == {"s0", "s1", "s2"}
    (last,) = await coordinator.hear(1)
    assert (last.saga_id, last.answer) == ("s3", Answer.SUCCEEDED)
    assert waited < asyncio.get_running_loop().time() - began
    assert await sent is Confirm.CONFIRMED
    assert not till.participant.may_share(action(saga_id="s5"))  # what was slow is expected to be slow again
    till.participant.stop()
    await serving


async def test_the_shorter_of_two_deadlines_counts(till: Till) -> None:
    till.slow = {"t0"}
    hurried = {"timeout_seconds": 0.01}

    replies = await till.together(action(saga_id="t0", **hurried), action(saga_id="t1", **hurried))

    assert replies is not None
    late, good = replies
    assert (late.answer, late.effect, good.answer) == (Answer.FAILED, Effect.NONE, Answer.SUCCEEDED)
    assert late.error is not None
    assert late.error.code == "amends handler_timeout"
    alone = await till.participant.answer(action(saga_id="t0", attempt=2, **hurried))
    assert alone.error is not None
    assert (alone.effect, alone.error.code) == (Effect.NONE, "amends handler_timeout")


async def test_who_needs_the_transaction_or_a_lease_is_answered_alone(till: Till) -> None:
    @till.participant.action("transfer")
    async def transfer(tx: Any) -> None: ...

    @till.participant.action("call", effects="external")
    async def call() -> None: ...

    assert till.participant.may_share(action())
    for handler in ("transfer", "call"):
        assert not till.participant.may_share(action(handler=handler))
    assert not till.participant.may_share(command(Kind.ACTION, inquire=True))
    assert not Participant("payment", inbox=None).may_share(action())


async def test_a_database_that_fails_takes_them_apart(till: Till) -> None:
    async with till.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE amends_inbox RENAME TO elsewhere"))
    assert await till.together(*charges(3)) is None
    async with till.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE elsewhere RENAME TO amends_inbox"))
    assert await till.together(*charges(3)) is not None


async def test_what_nobody_foresaw_takes_them_apart_and_is_seen(
    till: Till, coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(till.participant, "answer_together", broken)
    serving = asyncio.create_task(till.participant.serve(coordinator.broker, limits=quick))
    sent = coordinator.send(*charges(3), *charges(1))
    replies = await coordinator.hear(4)
    assert sorted(reply.saga_id for reply in replies) == ["s0", "s0", "s1", "s2"]
    assert await sent is Confirm.CONFIRMED
    assert "Answering 3 commands failed" in caplog.text
    till.participant.stop()
    await serving
    assert sorted(till.charged) == ["s0", "s1", "s2"]


async def test_most_outcomes_stay_on_the_page_of_their_claims(fresh_postgres_url: str) -> None:
    engine = open_engine(fresh_postgres_url)
    await SqlInbox(engine).create()
    till = Till(engine)
    for batch in range(6):
        await till.together(*(action(saga_id=f"0198f0a1-7b1c-7e64-8c1d-{batch:04}{n:08}") for n in range(50)))
    await engine.dispose()  # a connection that ends tells what it counted
    counts = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'amends_inbox'"

    async def counted() -> tuple[int, int] | None:
        async with engine.connect() as connection:
            changed, stayed = (await connection.execute(text(counts))).one()
        return (changed, stayed) if changed == 300 else None

    _, stayed = await eventually(counted, "the counts of 300 commands")
    await engine.dispose()
    assert stayed >= 200
