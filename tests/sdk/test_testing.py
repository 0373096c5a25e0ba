"""What a test of somebody else's saga relies on: plays with real handlers and real inboxes, and no waiting."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from amends import Command, DefinitionError, InboxError, Participant, Refused
from amends.database import open_engine
from amends.definition import Retry, Saga
from amends.inbox import SqlInbox
from amends.testing import (
    PlayParticipant,
    Trouble,
    cancel,
    delay_reply,
    duplicate_command,
    duplicate_reply,
    fail,
    lose_command,
    lose_reply,
    never_answers,
    play_saga,
    refuse,
)
from tests.sdk.shop import Shop, giving, raising

order = (
    Saga("place_order")
    .step("reserve", "inventory.reserve", compensation="release")
    .step("pay", "payment.charge", compensation="refund", retry=Retry(max_attempts=3, first="2s", jitter=0))
    .step("ship", "delivery.ship", compensation="recall", timeout="10s", retry=Retry(max_attempts=2, first="1s"))
)
others: dict[str, Any] = {"inventory": {"reserve": {"reservation": 7}}, "delivery": {}}


@pytest.fixture
async def shop(sqlite_url: str) -> AsyncIterator[Shop]:
    """The payment participant on SQLite; that the inbox is the same on PostgreSQL is other tests' business."""
    engine = open_engine(sqlite_url)
    shop = Shop(engine)
    await shop.create()
    yield shop
    await engine.dispose()


# --- one participant ----------------------------------------------------------------------------------------------


async def test_a_participant_is_played_without_a_coordinator(shop: Shop) -> None:
    async with PlayParticipant(shop.participant) as play:
        charged = await play.action("charge", {"total": 10})
        assert (charged.answer, charged.result) == ("succeeded", {"charge_id": "c-saga-1"})
        assert (await play.compensate("refund", of=charged)).undone == "undone"
    assert await shop.amounts("saga-1") == [10, -10]


async def test_a_redelivery_gets_the_stored_reply_and_has_no_effect(shop: Shop) -> None:
    async with PlayParticipant(shop.participant) as play:
        charged = await play.action("charge")
        assert await play.again(charged) == charged
        assert (await play.again(charged, attempt=2)).result == charged.result
    assert await shop.amounts("saga-1") == [10]


async def test_an_action_after_its_compensation_is_fenced(shop: Shop) -> None:
    async with PlayParticipant(shop.participant) as play:
        assert (await play.compensate("refund", step="charge")).undone == "nothing_to_undo"
        assert (await play.action("charge")).answer == "fenced"
    assert await shop.amounts("saga-1") == []


async def test_a_compensation_gets_the_stored_result_of_an_action_whose_reply_was_lost(shop: Shop) -> None:
    async with PlayParticipant(shop.participant) as play:
        await play.action("charge", saga_id="s9")
        await play.compensate("refund", step="charge", saga_id="s9")
    assert shop.refunded_with == [{"charge_id": "c-s9"}]


async def test_an_inquiry_fences_what_has_not_run(shop: Shop) -> None:
    async with PlayParticipant(shop.participant) as play:
        assert (await play.inquire("charge")).answer == "not_executed"
        assert (await play.action("charge")).answer == "fenced"


async def test_a_failed_attempt_is_repeated_only_under_a_new_number(shop: Shop) -> None:
    shop.charges.append(raising(RuntimeError("the till is stuck")))
    async with PlayParticipant(shop.participant) as play:
        failed = await play.action("charge")
        assert (failed.answer, failed.effect) == ("failed", "none")
        assert await play.again(failed) == failed
        assert (await play.again(failed, attempt=2)).answer == "succeeded"
    assert await shop.amounts("saga-1") == [10]


async def test_entering_a_play_checks_the_inbox(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    try:
        with pytest.raises(InboxError, match="no table"):
            async with PlayParticipant(Participant("payment", inbox=SqlInbox(engine))):
                pass
    finally:
        await engine.dispose()


async def test_a_compensation_must_say_what_it_undoes(shop: Shop) -> None:
    async with PlayParticipant(shop.participant) as play:
        with pytest.raises(ValueError, match="which action"):
            await play.compensate("refund")


# --- a whole saga -------------------------------------------------------------------------------------------------


async def test_a_saga_without_trouble_completes(shop: Shop) -> None:
    saga = await play_saga(order, [shop.participant], {"sku": "lamp"}, stand_ins=others)
    saga.assert_completed()
    assert saga.steps == {"reserve": "succeeded", "pay": "succeeded", "ship": "succeeded"}
    assert saga.results["reserve"] == {"reservation": 7}
    assert saga.commands[1].data == {"input": {"sku": "lamp"}, "steps": {"reserve": {"reservation": 7}}}
    assert await shop.amounts(saga.id) == [10]


async def test_a_refusal_undoes_what_came_before_in_reverse_order(shop: Shop) -> None:
    saga = await play_saga(order, [shop.participant], stand_ins=others, trouble=[refuse("ship", "no courier")])
    saga.assert_compensated(["pay", "reserve"])
    assert saga.cause == "ship refused: no courier"
    assert await shop.amounts(saga.id) == [10, -10]


async def test_a_handler_refuses_by_itself(shop: Shop) -> None:
    shop.charges.append(raising(Refused("over the limit")))
    saga = await play_saga(order, [shop.participant], stand_ins=others)
    saga.assert_compensated(["reserve"])
    assert await shop.amounts(saga.id) == []


async def test_failures_are_retried_and_the_clock_jumps_over_the_waits(shop: Shop) -> None:
    began = time.monotonic()
    saga = await play_saga(order, [shop.participant], stand_ins=others, trouble=[fail("pay", times=2)])
    saga.assert_completed()
    assert saga.attempts["pay"] == 3
    assert saga.seconds == 6.0  # 2 s, then 4 s
    assert time.monotonic() - began < 6.0
    assert await shop.amounts(saga.id) == [10]


async def test_a_failure_after_the_work_leaves_nothing_in_the_transaction(shop: Shop) -> None:
    saga = await play_saga(
        order, [shop.participant], stand_ins=others, trouble=[fail("pay", times=3, after_the_work=True)]
    )
    saga.assert_compensated(["reserve"])
    assert len(shop.keys) == 3
    assert await shop.amounts(saga.id) == []


async def test_a_lost_reply_is_answered_from_the_inbox(shop: Shop) -> None:
    saga = await play_saga(order, [shop.participant], stand_ins=others, trouble=[lose_reply("pay")])
    saga.assert_completed()
    assert saga.attempts["pay"] == 2
    assert len(shop.keys) == 1
    assert await shop.amounts(saga.id) == [10]


async def test_a_step_that_never_answers_is_undone_because_it_may_have_happened() -> None:
    undone: list[str] = []

    def deliver(command: Command) -> None:
        undone.append(command.handler)

    saga = await play_saga(
        order, [], stand_ins={**others, "payment": {}, "delivery": deliver}, trouble=[never_answers("ship")]
    )
    saga.assert_compensated(["pay", "reserve"])
    assert saga.cause == "ship unknown: no reply within 10 s"
    assert undone == []  # the compensation met no action: the inbox answered, business code did not run


async def test_lost_commands_and_duplicates_have_one_effect(shop: Shop) -> None:
    trouble = [lose_command("pay"), duplicate_command("pay"), duplicate_reply("pay"), duplicate_reply("reserve")]
    saga = await play_saga(order, [shop.participant], stand_ins=others, trouble=trouble)
    saga.assert_completed()
    assert "which changes nothing" in saga.timeline
    assert await shop.amounts(saga.id) == [10]


async def test_a_reply_may_come_after_the_saga_has_given_up(shop: Shop) -> None:
    trouble = [delay_reply("pay", 3600, times=3)]
    saga = await play_saga(order, [shop.participant], stand_ins=others, trouble=trouble)
    saga.assert_compensated(["pay", "reserve"])
    assert await shop.amounts(saga.id) == [10, -10]


async def test_a_compensation_that_refuses_blocks_the_saga(shop: Shop) -> None:
    trouble = [refuse("ship"), refuse("pay", of="compensation")]
    saga = await play_saga(order, [shop.participant], stand_ins=others, trouble=trouble)
    saga.assert_blocked("pay")
    assert saga.waiting_on == "blocked: pay (refused)"
    assert any("pay" in incident for incident in saga.incidents)


@pytest.mark.parametrize(
    ("moment", "undone"),
    [
        (cancel(after="pay"), ["ship", "pay", "reserve"]),
        (cancel(during="pay"), ["pay", "reserve"]),
        (cancel(seconds=0), ["reserve"]),
    ],
    ids=["after", "during", "at a time"],
)
async def test_a_person_cancels(shop: Shop, moment: Any, undone: list[str]) -> None:
    saga = await play_saga(order, [shop.participant], stand_ins=others, trouble=[moment])
    saga.assert_compensated(undone)
    assert saga.cause == "cancelled: cancelled"
    assert await shop.net(saga.id) == 0


async def test_branches_may_be_undone_in_any_order() -> None:
    wide = Saga("wide").step("a", "p.a", compensation="undo", after=[]).step("b", "p.b", compensation="undo", after=[])
    wide.step("c", "p.c", compensation="undo", after=["a", "b"])
    saga = await play_saga(wide, [], stand_ins={"p": {}}, trouble=[refuse("c")])
    saga.assert_compensated({"a", "b"})


async def test_schemas_are_checked_as_the_coordinator_checks_them() -> None:
    number = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    strict = Saga("strict", input_schema=number).step(
        "a", "p.a", compensation="undo", input={"n": "${input.n}"}, input_schema=number, output_schema=number
    )
    with pytest.raises(ValueError, match="breaks its schema"):
        await play_saga(strict, [], {"n": "one"}, stand_ins={"p": {"a": {"n": 1}}})
    (await play_saga(strict, [], {"n": 1}, stand_ins={"p": {"a": {"n": 1}}})).assert_completed()
    broken = await play_saga(strict, [], {"n": 1}, stand_ins={"p": {"a": {"n": "one"}}})
    broken.assert_compensated(["a"])
    assert broken.cause is not None
    assert broken.cause.startswith("a fault")


async def test_a_command_that_may_not_be_sent_fails_its_step_cleanly() -> None:
    huge = Saga("huge").step("a", "p.a", compensation="undo", input_schema={"type": "string"})
    saga = await play_saga(huge, [], stand_ins={"p": {}})
    saga.assert_compensated([])
    assert saga.commands == ()


# --- tests that would prove nothing are told so -------------------------------------------------------------------


async def test_trouble_that_never_came_fails_the_assertion() -> None:
    saga = await play_saga(order, [], stand_ins={**others, "payment": {}}, trouble=[fail("pay", of="compensation")])
    assert saga.unmet == ("fail('pay', of=compensation)",)
    with pytest.raises(AssertionError, match="never met fail"):
        saga.assert_completed()


async def test_a_cancel_that_comes_too_late_is_no_cancel() -> None:
    saga = await play_saga(order, [], stand_ins={**others, "payment": {}}, trouble=[cancel(seconds=9999)])
    with pytest.raises(AssertionError, match="never met cancel"):
        saga.assert_completed()


async def test_wrong_expectations_fail_with_the_whole_story() -> None:
    saga = await play_saga(order, [], stand_ins={**others, "payment": {}}, trouble=[refuse("ship")])
    with pytest.raises(AssertionError, match=r"undid \['pay', 'reserve'\](.|\n)*the saga place_order starts"):
        saga.assert_compensated(["reserve", "pay"])
    with pytest.raises(AssertionError, match="not completed"):
        saga.assert_completed()
    with pytest.raises(AssertionError, match="not blocked"):
        saga.assert_blocked("pay")
    with pytest.raises(AssertionError, match="undid"):
        saga.assert_compensated({"pay"})


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        (refuse("nowhere"), "no step nowhere"),
        (cancel(after="nowhere"), "no step nowhere"),
    ],
    ids=["trouble", "cancel"],
)
async def test_trouble_at_a_step_that_is_not_there_is_refused(trouble: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        await play_saga(order, [], stand_ins={**others, "payment": {}}, trouble=[trouble])


async def test_who_is_missing_is_named(shop: Shop) -> None:
    with pytest.raises(ValueError, match="nobody plays delivery, inventory"):
        await play_saga(order, [shop.participant])
    with pytest.raises(ValueError, match="lacks the action 'pay_out'"):
        await play_saga(Saga("s").step("a", "payment.pay_out", compensation="refund"), [shop.participant])
    with pytest.raises(ValueError, match="there twice"):
        await play_saga(order, [shop.participant], stand_ins={**others, "payment": {}})


async def test_a_definition_with_faults_is_refused_with_all_of_them() -> None:
    with pytest.raises(DefinitionError) as refused:
        await play_saga({"name": "s", "steps": [{"name": "a", "participant": "p", "action": "a"}]}, [])
    assert [fault["rule"] for fault in refused.value.faults] == ["no-way-back"]


async def test_a_life_without_end_is_cut_short() -> None:
    with pytest.raises(ValueError, match="not at rest after 3 turns"):
        await play_saga(order, [], stand_ins={**others, "payment": {}}, trouble=[never_answers("pay")], turns_max=3)


@pytest.mark.parametrize(("moments", "why"), [({}, "one moment"), ({"seconds": 1, "after": "a"}, "one moment")])
def test_a_cancel_has_one_moment(moments: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        cancel(**moments)


def test_no_trouble_is_not_trouble() -> None:
    with pytest.raises(ValueError, match="no trouble"):
        fail("pay", times=0)


async def test_trouble_may_be_used_for_several_plays() -> None:
    trouble: list[Trouble] = [fail("pay", times=2)]
    for _ in range(2):
        saga = await play_saga(order, [], stand_ins={**others, "payment": {}}, trouble=trouble)
        assert saga.attempts["pay"] == 3


async def test_stand_ins_are_functions_too() -> None:
    async def pay(command: Command) -> dict[str, Any]:
        return {"charged": command.data["steps"]["reserve"]["reservation"]}

    def deliver(command: Command) -> None:
        raise Refused("closed today")

    saga = await play_saga(order, [], stand_ins={**others, "payment": {"charge": pay}, "delivery": deliver})
    saga.assert_compensated(["pay", "reserve"])
    assert saga.results["pay"] == {"charged": 7}


async def test_an_effect_outside_the_database_counts_as_unknown_when_it_fails(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    inbox = SqlInbox(engine)
    await inbox.create()
    mail = Participant("mail", inbox=inbox)
    sent: list[str] = []

    @mail.action("send", effects="external")
    async def send(command: Command) -> None:
        sent.append(command.id)

    @mail.compensation("apologise")
    async def apologise(tx: AsyncConnection) -> None:
        await tx.execute(sa.text("SELECT 1"))

    letter = Saga("letter").step("send", "mail.send", compensation="apologise", retry=Retry(max_attempts=1))
    try:
        saga = await play_saga(letter, [mail], trouble=[fail("send", after_the_work=True)])
        saga.assert_compensated(["send"])
        assert len(sent) == 1
    finally:
        await engine.dispose()


def test_importing_it_loads_no_coordinator() -> None:
    script = "import json, sys, amends.testing; print(json.dumps(sorted(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    assert "amends.testing" in loaded
    assert [name for name in loaded if name.partition(".")[0] in ("coordinator", "sqlalchemy", "jmespath")] == []


async def test_a_shop_that_returns_what_cannot_travel_fails(shop: Shop) -> None:
    shop.charges.extend([giving(object())] * 3)
    saga = await play_saga(order, [shop.participant], stand_ins=others)
    saga.assert_compensated(["reserve"])
    assert saga.cause is not None
    assert saga.cause.startswith("pay failed")
