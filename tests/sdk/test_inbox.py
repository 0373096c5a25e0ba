"""What the inbox promises a handler that works in its transaction: one test for each rule."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from amends import Answer, Effect, EffectUnknown, InboxUnavailable, Kind, Refused, Reply, Undone, calling
from amends.database import open_engine
from amends.inbox import SqlInbox
from amends.message import log_lines_max
from tests.sdk.shop import Shop, action, compensation, giving, raising

past = {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}


def told_to(reply: Reply, **asker: Any) -> Reply:
    """A stored reply as another attempt gets it: the handler did not run once more, nor call anybody."""
    return reply.model_copy(update={**asker, "duration_seconds": 0.0, "calls": ()})


async def test_ec_05_a_compensation_whose_action_never_came_undoes_nothing(shop: Shop) -> None:
    reply = await shop.participant.answer(compensation())
    assert (reply.answer, reply.undone) == (Answer.SUCCEEDED, Undone.NOTHING_TO_UNDO)
    assert shop.keys == []  # no business code
    again = await shop.participant.answer(compensation(attempt=2))
    assert (again.undone, again.attempt) == (Undone.NOTHING_TO_UNDO, 2)


@pytest.mark.parametrize("epoch", [0, 1])
async def test_ec_06_an_action_after_its_compensation_is_fenced_in_every_epoch(shop: Shop, epoch: int) -> None:
    await shop.participant.answer(compensation())
    for attempt in (1, 2):
        reply = await shop.participant.answer(action(attempt=attempt, epoch=epoch))
        assert (reply.answer, reply.attempt, reply.epoch) == (Answer.FENCED, attempt, epoch)
    assert await shop.amounts() == []


async def test_ec_06_a_compensation_of_a_later_epoch_fences_the_action_of_the_first(shop: Shop) -> None:
    assert (await shop.participant.answer(compensation(epoch=3))).undone is Undone.UNDONE
    assert (await shop.participant.answer(action())).answer is Answer.FENCED


async def test_ec_07_concurrent_action_and_compensation_leave_nothing(shop: Shop) -> None:
    for turn in range(10):
        saga = f"race-{turn}"
        orders = [action(saga_id=saga), compensation(saga_id=saga)]
        orders.extend(reversed(orders))
        replies = await asyncio.gather(*(shop.participant.answer(order) for order in orders))
        fenced = any(reply.answer is Answer.FENCED for reply in replies)
        undone = {reply.undone for reply in replies if reply.kind is Kind.COMPENSATION}
        assert undone == ({Undone.NOTHING_TO_UNDO} if fenced else {Undone.UNDONE})
        assert await shop.net(saga) == 0


async def test_ec_08_a_duplicate_does_nothing_and_gets_the_stored_reply(shop: Shop) -> None:
    first = await shop.participant.answer(action())
    assert (first.answer, first.result) == (Answer.SUCCEEDED, {"charge_id": "c-s1"})
    assert await shop.participant.answer(action()) == first
    second = await shop.participant.answer(action(attempt=2))
    assert second == told_to(first, attempt=2)
    assert await shop.amounts() == [10]


async def test_ec_08_duplicates_at_the_same_moment_have_one_effect(shop: Shop) -> None:
    replies = await asyncio.gather(*(shop.participant.answer(action()) for _ in range(8)))
    assert {reply.answer for reply in replies} == {Answer.SUCCEEDED}
    assert await shop.amounts() == [10]


async def test_ec_10_a_higher_epoch_compensates_again_under_a_key_of_its_own(shop: Shop) -> None:
    await shop.participant.answer(action())
    await shop.participant.answer(compensation())
    await shop.participant.answer(compensation(attempt=2))
    reply = await shop.participant.answer(compensation(epoch=1))
    assert (reply.undone, reply.epoch) == (Undone.UNDONE, 1)
    assert shop.keys == ["s1/pay/0/action/0", "s1/pay/0/compensation/0", "s1/pay/0/compensation/1"]


async def test_iterations_are_commands_of_their_own(shop: Shop) -> None:
    await shop.participant.answer(action())
    await shop.participant.answer(compensation())
    assert (await shop.participant.answer(action(iteration=1))).answer is Answer.SUCCEEDED
    assert await shop.amounts() == [10, -10, 10]


async def test_a_refusal_rolls_back_and_is_final_for_an_action(shop: Shop) -> None:
    shop.charges.append(raising(Refused("card declined", error_type="CardDeclined")))
    first = await shop.participant.answer(action())
    assert first.answer is Answer.REFUSED
    assert first.error is not None
    assert (first.error.type, first.error.message) == ("CardDeclined", "card declined")
    assert (await shop.participant.answer(action(attempt=2))).answer is Answer.REFUSED
    assert await shop.amounts() == []


async def test_a_failure_is_kept_so_that_its_attempt_can_never_succeed_later(shop: Shop) -> None:
    shop.charges.append(raising(RuntimeError("no route")))
    first = await shop.participant.answer(action(attempt=2))
    assert (first.answer, first.effect) == (Answer.FAILED, Effect.NONE)
    assert await shop.participant.answer(action(attempt=2)) == first
    late = await shop.participant.answer(action(attempt=1))
    assert late == told_to(first, attempt=1)
    assert await shop.amounts() == []
    assert (await shop.participant.answer(action(attempt=3))).answer is Answer.SUCCEEDED
    assert await shop.amounts() == [10]


@pytest.mark.parametrize("error", [RuntimeError("no"), Refused("no")])
async def test_a_compensation_that_meets_a_failure_fences_it(shop: Shop, error: Exception) -> None:
    shop.charges.append(raising(error))
    await shop.participant.answer(action())
    assert (await shop.participant.answer(compensation())).undone is Undone.NOTHING_TO_UNDO
    assert (await shop.participant.answer(action(attempt=2))).answer is Answer.FENCED
    assert await shop.amounts() == []


async def test_ec_54_a_handler_may_say_that_it_left_something(shop: Shop) -> None:
    shop.charges.append(raising(EffectUnknown("the printer jammed")))
    reply = await shop.participant.answer(action())
    assert (reply.answer, reply.effect) == (Answer.FAILED, Effect.UNKNOWN)
    assert await shop.participant.answer(action()) == reply
    shop.charges.append(raising(Refused("out of paper")))
    assert (await shop.participant.answer(action(attempt=2))).answer is Answer.REFUSED
    # The clean end of the second attempt doesn't erase what the first may have done.
    assert (await shop.participant.answer(compensation())).undone is Undone.UNDONE
    assert len(shop.refunded_with) == 1


async def test_a_compensation_that_failed_runs_again_and_never_turns_into_nothing(shop: Shop) -> None:
    shop.charges.append(raising(EffectUnknown()))
    await shop.participant.answer(action())
    shop.refunds.append(raising(RuntimeError("down")))
    failed = await shop.participant.answer(compensation())
    assert (failed.answer, failed.effect) == (Answer.FAILED, Effect.NONE)
    assert await shop.participant.answer(compensation()) == failed
    assert (await shop.participant.answer(compensation(attempt=2))).undone is Undone.UNDONE


async def test_a_compensation_told_of_a_success_runs_although_the_row_is_gone(shop: Shop) -> None:
    shop.refunds.append(raising(RuntimeError("down")))
    await shop.participant.answer(compensation(succeeded=True))
    # The first try left a fence; the second must not take it for a proof.
    assert (await shop.participant.answer(compensation(attempt=2))).undone is Undone.UNDONE
    other = await shop.participant.answer(compensation(saga_id="s2", result={"charge_id": "c"}))
    assert other.undone is Undone.UNDONE


async def test_a_refused_compensation_may_be_tried_again_by_a_person(shop: Shop) -> None:
    await shop.participant.answer(action())
    shop.refunds.append(raising(Refused("account closed")))
    assert (await shop.participant.answer(compensation())).answer is Answer.REFUSED
    assert (await shop.participant.answer(compensation())).answer is Answer.REFUSED
    assert (await shop.participant.answer(compensation(attempt=2))).undone is Undone.UNDONE
    assert await shop.net() == 0


async def test_ec_18_a_null_result_is_replaced_by_the_one_the_inbox_kept(shop: Shop) -> None:
    await shop.participant.answer(action())
    await shop.participant.answer(compensation(result=None))
    assert shop.refunded_with == [{"charge_id": "c-s1"}]


async def test_inquire_tells_what_was_done(shop: Shop) -> None:
    done = await shop.participant.answer(action())
    told = await shop.participant.answer(action(inquire=True, attempt=7))
    assert told == told_to(done, inquire=True, attempt=7)


async def test_inquire_fences_an_action_that_never_came(shop: Shop) -> None:
    for _ in range(2):
        assert (await shop.participant.answer(action(inquire=True))).answer is Answer.NOT_EXECUTED
    assert (await shop.participant.answer(action())).answer is Answer.FENCED
    assert (await shop.participant.answer(compensation())).undone is Undone.NOTHING_TO_UNDO


@pytest.mark.parametrize("error", [RuntimeError("no"), Refused("no")])
async def test_inquire_fences_an_action_that_failed_cleanly(shop: Shop, error: Exception) -> None:
    shop.charges.append(raising(error))
    await shop.participant.answer(action())
    assert (await shop.participant.answer(action(inquire=True))).answer is Answer.NOT_EXECUTED
    assert (await shop.participant.answer(action(attempt=2))).answer is Answer.FENCED


async def test_inquire_says_unknown_where_something_may_have_happened(shop: Shop) -> None:
    shop.charges.append(raising(EffectUnknown("jam", error_type="Jam")))
    await shop.participant.answer(action())
    for _ in range(2):
        reply = await shop.participant.answer(action(inquire=True))
        assert (reply.answer, reply.effect) == (Answer.FAILED, Effect.UNKNOWN)
        assert reply.error is not None
        assert reply.error.type == "Jam"


async def test_inquire_about_a_compensation_fences_nothing(shop: Shop) -> None:
    await shop.participant.answer(action())
    assert (await shop.participant.answer(compensation(inquire=True))).answer is Answer.NOT_EXECUTED
    done = await shop.participant.answer(compensation())
    assert done.undone is Undone.UNDONE
    assert await shop.participant.answer(compensation(inquire=True)) == told_to(done, inquire=True)


async def test_what_has_expired_does_nothing_and_leaves_no_trace(shop: Shop) -> None:
    for order in (action(**past), compensation(**past), action(inquire=True, **past)):
        assert (await shop.participant.answer(order)).answer is Answer.EXPIRED
    assert (await shop.participant.answer(action())).answer is Answer.SUCCEEDED  # nothing fenced it
    assert (await shop.participant.answer(action(**past))).answer is Answer.SUCCEEDED  # a stored reply is given
    assert (await shop.participant.answer(compensation(**past))).answer is Answer.EXPIRED
    assert await shop.amounts() == [10]


@pytest.mark.parametrize(
    "value", [{1, 2}, {"at": datetime(2026, 1, 1, tzinfo=UTC)}, float("nan"), "\x00", "x" * 300_000]
)
async def test_a_result_that_cannot_travel_fails_before_the_commit(shop: Shop, value: Any) -> None:
    shop.charges.append(giving(value))
    reply = await shop.participant.answer(action())
    assert (reply.answer, reply.effect) == (Answer.FAILED, Effect.NONE)
    assert reply.error is not None
    assert reply.error.type == "UnsendableResult"
    assert await shop.amounts() == []


async def test_a_handler_that_takes_too_long_is_rolled_back(shop: Shop) -> None:
    async def hang(_tx: AsyncConnection | None) -> None:
        await asyncio.Event().wait()

    shop.charges.append(hang)
    reply = await shop.participant.answer(action(timeout_seconds=0.05))
    assert (reply.answer, reply.effect) == (Answer.FAILED, Effect.NONE)
    assert reply.error is not None
    assert reply.error.type == "HandlerTimeout"
    assert await shop.participant.answer(action(timeout_seconds=0.05)) == reply
    assert await shop.amounts() == []


async def test_what_a_handler_did_before_it_took_too_long_is_known_although_its_transaction_is_lost(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    async def hang_up_on_the_bank(_tx: AsyncConnection | None) -> None:
        async with calling("mint"):
            pass
        logging.getLogger("shop").warning("calling the bank")
        async with calling("bank"):
            await asyncio.Event().wait()

    shop.charges.append(hang_up_on_the_bank)
    reply = await shop.participant.answer(action(timeout_seconds=0.05))
    assert reply.error is not None
    assert (reply.error.type, reply.error.code) == ("HandlerTimeout", "amends handler_timeout")
    assert reply.error.causes == ()  # the cancellation is how it was ended, not why
    assert reply.error.logs == ("WARNING shop: calling the bank",)
    assert reply.error.frames[0].endswith("hang_up_on_the_bank")
    assert [(call.dependency, call.error, call.code) for call in reply.calls] == [
        ("mint", "", ""),
        ("bank", "CancelledError", "amends cut_off"),
    ]
    assert reply.calls[1].seconds > 0.04
    assert reply.duration_seconds > 0.04


async def test_a_stored_reply_keeps_its_calls_for_the_attempt_that_made_them(shop: Shop) -> None:
    async def call(_tx: AsyncConnection | None) -> None:
        async with calling("bank"):
            pass

    shop.charges.append(call)
    first = await shop.participant.answer(action())
    assert [call.dependency for call in first.calls] == ["bank"]
    assert await shop.participant.answer(action()) == first
    assert (await shop.participant.answer(action(attempt=2))).calls == ()
    assert (await shop.participant.answer(action(inquire=True))).calls == ()


async def test_a_deadlocks_repetition_counts_the_calls_of_the_run_that_was_committed(shop: Shop) -> None:
    async def call_and_lose(_tx: AsyncConnection | None) -> None:
        async with calling("bank"):
            pass
        raise OperationalError("insert", {}, Locked()) from Locked("database is locked")

    async def call(_tx: AsyncConnection | None) -> None:
        async with calling("bank"):
            pass

    shop.charges.extend([call_and_lose, call])
    reply = await shop.participant.answer(action())
    assert (reply.answer, len(reply.calls)) == (Answer.SUCCEEDED, 1)
    assert await shop.amounts() == [10]


class Locked(sqlite3.OperationalError):
    """What SQLite's driver raises when somebody else writes."""

    sqlite_errorname = "SQLITE_BUSY"


@pytest.mark.parametrize("way", ["commit", "rollback"])
async def test_a_handler_cannot_end_its_transaction(shop: Shop, way: str) -> None:
    async def end(tx: AsyncConnection | None) -> None:
        await getattr(tx, way)()

    shop.charges.append(end)
    reply = await shop.participant.answer(action())
    assert (reply.answer, reply.effect) == (Answer.FAILED, Effect.NONE)
    assert reply.error is not None
    assert reply.error.type == "HandlerEndedTransaction"
    assert await shop.amounts() == []
    assert (await shop.participant.answer(action(attempt=2))).answer is Answer.SUCCEEDED


async def test_a_database_error_of_the_handler_is_its_failure(shop: Shop) -> None:
    async def clash(tx: AsyncConnection | None) -> None:
        assert tx is not None
        await tx.execute(text("INSERT INTO ledger (id, saga_id, amount) VALUES (7, 's1', 1), (7, 's1', 1)"))

    shop.charges.append(clash)
    reply = await shop.participant.answer(action())
    assert (reply.answer, reply.effect) == (Answer.FAILED, Effect.NONE)
    assert reply.error is not None
    assert reply.error.type == IntegrityError.__name__
    assert await shop.amounts() == []


async def test_a_constraint_checked_only_at_commit_is_a_failure_that_is_kept(shop: Shop) -> None:
    async with shop.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE parent (id INTEGER PRIMARY KEY)"))
        await connection.execute(
            text("CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)")
        )

    async def orphan(tx: AsyncConnection | None) -> None:
        assert tx is not None
        await tx.execute(text("INSERT INTO child VALUES (1)"))

    shop.charges.append(orphan)
    reply = await shop.participant.answer(action())
    assert (reply.answer, reply.effect) == (Answer.FAILED, Effect.NONE)
    assert await shop.participant.answer(action()) == reply
    assert await shop.amounts() == []


async def test_a_transaction_cancelled_at_shutdown_is_rolled_back_in_silence(shop: Shop) -> None:
    began = asyncio.Event()

    async def hang(_tx: AsyncConnection | None) -> None:
        began.set()
        await asyncio.Event().wait()

    shop.charges.append(hang)
    answering = asyncio.create_task(shop.participant.answer(action()))
    await began.wait()
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert (await shop.participant.answer(action())).answer is Answer.SUCCEEDED
    assert await shop.amounts() == [10]


async def test_a_cancellation_that_nobody_asked_for_is_a_failure(shop: Shop) -> None:
    async def stray(_tx: AsyncConnection | None) -> None:
        raise asyncio.CancelledError

    shop.charges.append(stray)
    reply = await shop.participant.answer(action())
    assert (reply.answer, reply.effect) == (Answer.FAILED, Effect.NONE)


async def test_the_last_log_lines_come_with_a_failure(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def talk(_tx: AsyncConnection | None) -> None:
        for number in range(log_lines_max + 5):
            logging.getLogger("shop").info("line %d %s", number, "x" * 1000)
        raise RuntimeError("\x00" + "y" * 10_000)

    shop.charges.append(talk)
    reply = await shop.participant.answer(action())
    assert reply.error is not None
    assert len(reply.error.logs) == log_lines_max
    assert reply.error.logs[-1].startswith("INFO shop: line 54 ")
    assert max(map(len, reply.error.logs)) == 500
    assert len(reply.error.message) == 8192


async def test_without_a_database_there_is_silence(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> None:
    nowhere = open_engine("postgresql://nobody@127.0.0.1:1/nothing")
    closed = Shop(nowhere)
    with pytest.raises(InboxUnavailable):
        await closed.participant.answer(action())
    await nowhere.dispose()


async def test_forget_keeps_what_may_still_be_asked_for(shop: Shop) -> None:
    for number in range(3):
        await shop.participant.answer(action(saga_id=f"s{number}"))
    async with shop.engine.begin() as connection:
        await connection.execute(text("UPDATE amends_inbox SET updated_at = 0 WHERE saga_id <> 's2'"))
    assert await shop.inbox.forget() == 2
    assert (await shop.participant.answer(action(saga_id="s2"))).answer is Answer.SUCCEEDED
    assert await shop.amounts("s2") == [10]
    with pytest.raises(ValueError, match="younger command"):
        SqlInbox(shop.engine, kept_seconds=timedelta(hours=1).total_seconds())


async def test_create_may_be_called_again(shop: Shop) -> None:
    await shop.inbox.create()
    await SqlInbox(shop.engine).check()
