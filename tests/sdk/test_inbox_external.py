"""What the inbox promises a handler whose effects are in another system: intent first, a lease, and no false proof."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from amends import Answer, Command, Effect, InboxUnavailable, Participant, Refused, Reply, Undone
from amends.database import open_engine
from amends.inbox import SqlInbox
from tests.sdk.shop import action, compensation


class Gate:
    """Holds a call of the other system until the test lets it through, with what it shall come to."""

    def __init__(self, outcome: Any = None) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()
        self.outcome = outcome

    async def __call__(self) -> Any:
        self.reached.set()
        await self.opened.wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Bank:
    """Another system, and the participant that calls it. `script` holds what the next calls come to."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.calls: list[str] = []
        self.results: list[Any] = []
        self.script: deque[Callable[[], Awaitable[Any]]] = deque()
        self.inbox = SqlInbox(engine)
        self.participant = Participant("payment", inbox=self.inbox)
        self.participant.action("charge", effects="external", lease_seconds=30)(self._charge)
        self.participant.compensation("refund", effects="external", lease_seconds=30)(self._refund)

    async def _charge(self, command: Command) -> Any:
        self.calls.append(command.id)
        return await self.script.popleft()() if self.script else {"charge_id": "c1"}

    async def _refund(self, command: Command, result: Any) -> Any:
        self.calls.append(command.id)
        self.results.append(result)
        return await self.script.popleft()() if self.script else None

    def gate(self, outcome: Any = None) -> Gate:
        gate = Gate(outcome)
        self.script.append(gate)
        return gate

    def comes_to(self, outcome: Any) -> None:
        gate = self.gate(outcome)
        gate.opened.set()

    async def end_leases(self) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(text("UPDATE amends_inbox SET lease_until = 0 WHERE lease_until IS NOT NULL"))

    async def begin(self, order: Command, outcome: Any = None) -> tuple[Gate, asyncio.Task[Reply]]:
        """A call that has reached the other system and hangs there."""
        gate = self.gate(outcome)
        answering = asyncio.create_task(self.participant.answer(order))
        await gate.reached.wait()
        return gate, answering


@pytest.fixture
async def bank(database_url: str) -> AsyncIterator[Bank]:
    engine = open_engine(database_url)
    bank = Bank(engine)
    await bank.inbox.create()
    yield bank
    await engine.dispose()


async def test_a_success_is_kept_and_not_repeated(bank: Bank) -> None:
    first = await bank.participant.answer(action())
    assert (first.answer, first.recorded_after_compensation) == (Answer.SUCCEEDED, False)
    assert await bank.participant.answer(action()) == first
    assert (await bank.participant.answer(compensation())).undone is Undone.UNDONE
    assert bank.results == [{"charge_id": "c1"}]
    assert bank.calls == ["s1/pay/0/action/0", "s1/pay/0/compensation/0"]


async def test_while_the_lease_lives_everyone_else_is_told_in_progress(bank: Bank) -> None:
    gate, answering = await bank.begin(action(), {"charge_id": "late"})
    for order in (action(), action(attempt=2), compensation(), action(inquire=True)):
        reply = await bank.participant.answer(order)
        assert (reply.answer, reply.attempt, reply.inquire) == (Answer.IN_PROGRESS, order.attempt, order.inquire)
    gate.opened.set()
    done = await answering
    assert done.result == {"charge_id": "late"}
    # None of these answers was stored, and no attempt was consumed.
    assert await bank.participant.answer(action()) == done
    assert len(bank.calls) == 1


async def test_after_the_lease_a_duplicate_runs_again_under_the_same_key(bank: Bank) -> None:
    gate, answering = await bank.begin(action())
    await bank.end_leases()
    second = await bank.participant.answer(action())
    assert second.answer is Answer.SUCCEEDED
    gate.opened.set()
    assert await answering == second  # what was kept first is what everybody hears
    assert bank.calls == ["s1/pay/0/action/0"] * 2


async def test_after_the_lease_a_compensation_fences_and_runs(bank: Bank) -> None:
    _, answering = await bank.begin(action())
    await bank.end_leases()
    undone = await bank.participant.answer(compensation())
    assert undone.undone is Undone.UNDONE
    assert bank.results == [None]
    assert (await bank.participant.answer(action(attempt=2))).answer is Answer.FENCED
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering


async def test_ec_10_a_success_that_comes_after_its_compensation_says_so(bank: Bank) -> None:
    gate, answering = await bank.begin(action(), {"charge_id": "zombie"})
    await bank.end_leases()
    await bank.participant.answer(compensation())
    gate.opened.set()
    late = await answering
    assert (late.answer, late.recorded_after_compensation) == (Answer.SUCCEEDED, True)
    assert await bank.participant.answer(action()) == late  # a redelivery hears the same
    again = await bank.participant.answer(compensation(epoch=1))
    assert again.undone is Undone.UNDONE
    assert bank.results == [None, {"charge_id": "zombie"}]


async def test_a_late_success_before_the_compensation_succeeded_is_an_ordinary_one(bank: Bank) -> None:
    gate, answering = await bank.begin(action(), {"charge_id": "late"})
    await bank.end_leases()
    bank.comes_to(Refused("not now"))
    assert (await bank.participant.answer(compensation())).answer is Answer.REFUSED
    gate.opened.set()
    assert (await answering).recorded_after_compensation is False
    assert (await bank.participant.answer(compensation(attempt=2))).undone is Undone.UNDONE
    assert bank.results[-1] == {"charge_id": "late"}


async def test_ec_54_an_error_of_the_other_system_is_unknown(bank: Bank) -> None:
    bank.comes_to(ConnectionError("reset"))
    reply = await bank.participant.answer(action())
    assert (reply.answer, reply.effect) == (Answer.FAILED, Effect.UNKNOWN)
    assert await bank.participant.answer(action()) == reply
    inquired = await bank.participant.answer(action(inquire=True, saga_id="other"))
    assert inquired.answer is Answer.NOT_EXECUTED
    assert (await bank.participant.answer(compensation())).undone is Undone.UNDONE


async def test_ec_03_a_clean_end_does_not_erase_an_earlier_unknown(bank: Bank) -> None:
    bank.comes_to(ConnectionError("reset"))
    await bank.participant.answer(action())
    bank.comes_to(Refused("card declined"))
    assert (await bank.participant.answer(action(attempt=2))).answer is Answer.REFUSED
    assert (await bank.participant.answer(compensation())).undone is Undone.UNDONE


async def test_a_refusal_proves_that_nothing_happened(bank: Bank) -> None:
    bank.comes_to(Refused("card declined"))
    assert (await bank.participant.answer(action())).answer is Answer.REFUSED
    assert (await bank.participant.answer(compensation())).undone is Undone.NOTHING_TO_UNDO


async def test_a_refusal_proves_nothing_about_a_run_of_the_same_attempt_that_vanished(bank: Bank) -> None:
    _, answering = await bank.begin(action())
    await bank.end_leases()
    bank.comes_to(Refused("card declined"))
    reply = await bank.participant.answer(action())
    assert (reply.answer, reply.effect) == (Answer.FAILED, Effect.UNKNOWN)
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert (await bank.participant.answer(compensation())).undone is Undone.UNDONE


async def test_a_worker_that_lacks_the_handler_proves_nothing_about_a_run_that_vanished(bank: Bank) -> None:
    _, answering = await bank.begin(action())
    await bank.end_leases()
    older = Participant("payment", inbox=bank.inbox, version="0")
    reply = await older.answer(action())
    assert (reply.answer, reply.effect) == (Answer.FAILED, Effect.UNKNOWN)
    assert (await older.answer(action(attempt=2))).effect is Effect.NONE
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert (await bank.participant.answer(compensation())).undone is Undone.UNDONE


async def test_whoever_lost_the_lease_cannot_state_a_failure(bank: Bank) -> None:
    first_gate, first = await bank.begin(action(), Refused("card declined"))
    await bank.end_leases()
    second_gate, second = await bank.begin(action(), {"charge_id": "c2"})
    first_gate.opened.set()
    assert (await first).answer is Answer.IN_PROGRESS
    second_gate.opened.set()
    assert (await second).result == {"charge_id": "c2"}


async def test_a_result_that_cannot_travel_is_an_effect_nobody_can_read(bank: Bank) -> None:
    bank.comes_to({1, 2})
    reply = await bank.participant.answer(action())
    assert (reply.answer, reply.effect) == (Answer.FAILED, Effect.UNKNOWN)
    assert reply.error is not None
    assert reply.error.type == "UnsendableResult"


async def test_inquire_after_the_lease_fences_and_says_unknown_until_the_success_comes(bank: Bank) -> None:
    gate, answering = await bank.begin(action(), {"charge_id": "late"})
    await bank.end_leases()
    for _ in range(2):
        reply = await bank.participant.answer(action(inquire=True))
        assert (reply.answer, reply.effect) == (Answer.FAILED, Effect.UNKNOWN)
        assert reply.error is not None
        assert reply.error.type == "LeaseExpired"
    assert (await bank.participant.answer(action())).answer is Answer.FENCED
    gate.opened.set()
    late = await answering
    assert (late.answer, late.recorded_after_compensation) == (Answer.SUCCEEDED, False)
    assert (await bank.participant.answer(action(inquire=True))).result == {"charge_id": "late"}


async def test_a_handler_ends_before_its_lease(database_url: str) -> None:
    engine = open_engine(database_url)
    inbox = SqlInbox(engine)
    await inbox.create()
    participant = Participant("payment", inbox=inbox)

    @participant.action("charge", effects="external", lease_seconds=1.0)
    async def charge() -> None:
        await asyncio.Event().wait()

    async with asyncio.timeout(10):
        reply = await participant.answer(action())
    assert (reply.answer, reply.effect) == (Answer.FAILED, Effect.UNKNOWN)
    assert reply.error is not None
    assert reply.error.type == "HandlerTimeout"
    assert reply.duration_seconds < 1.0
    await engine.dispose()


async def test_expired_orders_reach_nobody(bank: Bank) -> None:
    order = action(expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert (await bank.participant.answer(order)).answer is Answer.EXPIRED
    assert bank.calls == []


async def test_a_compensation_in_progress_is_not_started_twice(bank: Bank) -> None:
    await bank.participant.answer(action())
    gate, answering = await bank.begin(compensation())
    assert (await bank.participant.answer(compensation())).answer is Answer.IN_PROGRESS
    assert (await bank.participant.answer(compensation(inquire=True))).answer is Answer.IN_PROGRESS
    gate.opened.set()
    assert (await answering).undone is Undone.UNDONE
    assert len(bank.calls) == 2


async def test_without_a_database_the_other_system_is_never_called() -> None:
    engine = open_engine("postgresql://nobody@127.0.0.1:1/nothing")
    bank = Bank(engine)
    with pytest.raises(InboxUnavailable):
        await bank.participant.answer(action())
    assert bank.calls == []
    await engine.dispose()
