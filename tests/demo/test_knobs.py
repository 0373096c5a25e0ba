"""Trouble on demand: each knob does what it says, after the business writes, and leaves none of them behind."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from amends import Address, Answer, Confirm, Effect, LocalBroker, Reply
from amends.message import Command, Kind, decode, encode_item, frame
from coordinator.schema import violation
from participants.demo import definitions
from participants.knobs import Knob, Knobs, death_code
from participants.lossy import LossyBroker
from participants.payment import payment
from tests.demo.commands import a_command, counter

order = {"order_id": 1, "customer": "ada", "amount_cents": 59_00}
earned = "SELECT balance_cents FROM accounts WHERE name = 'shop'"


@pytest.mark.parametrize("name", ["the-step", "payment", "charge"])
async def test_an_order_asks_for_trouble_by_step_service_or_handler(sqlite_url: str, name: str) -> None:
    async with counter(payment, sqlite_url) as desk:
        reply = await desk.act("charge", {**order, "simulate": {name: "refuse"}})
        assert reply.answer is Answer.REFUSED
        assert await desk.ask(earned) == 0


async def test_a_failure_is_clean_and_comes_with_every_attempt(sqlite_url: str) -> None:
    async with counter(payment, sqlite_url) as desk:
        for attempt in (1, 2):
            reply = await desk.act("charge", {**order, "simulate": {"charge": "fail"}}, attempt=attempt)
            assert (reply.answer, reply.effect) == (Answer.FAILED, Effect.NONE)
        assert await desk.ask(earned) == 0


async def test_a_failure_once_is_gone_with_the_second_attempt(sqlite_url: str) -> None:
    async with counter(payment, sqlite_url) as desk:
        data = {**order, "simulate": {"charge": "fail_once"}}
        assert (await desk.act("charge", data)).answer is Answer.FAILED
        assert (await desk.act("charge", data, attempt=2)).answer is Answer.SUCCEEDED
        assert await desk.ask(earned) == 59_00


async def test_a_steps_name_means_its_action_and_a_compensation_is_named_by_itself(sqlite_url: str) -> None:
    async with counter(payment, sqlite_url) as desk:
        data = {**order, "simulate": {"the-step": "slow", "payment": "slow", "refund": "fail_once"}}
        await desk.act("charge", {**order})
        assert (await desk.undo("refund", data)).answer is Answer.FAILED
        assert (await desk.undo("refund", data, attempt=2)).answer is Answer.SUCCEEDED
        assert await desk.ask(earned) == 0


async def test_slowness_takes_the_time_it_was_given(sqlite_url: str) -> None:
    async with counter(payment, sqlite_url, Knobs(slow_seconds=0.2)) as desk:
        reply = await desk.act("charge", {**order, "simulate": {"charge": "slow"}})
        assert reply.answer is Answer.SUCCEEDED
        assert reply.duration_seconds >= 0.2


async def test_a_knob_that_does_not_exist_is_refused(sqlite_url: str) -> None:
    async with counter(payment, sqlite_url) as desk:
        reply = await desk.act("charge", {**order, "simulate": {"charge": "explode"}})
        assert reply.error is not None
        assert reply.error.type == "InvalidData"


async def test_nobody_dies_where_it_is_not_allowed(sqlite_url: str) -> None:
    async with counter(payment, sqlite_url) as desk:
        reply = await desk.act("charge", {**order, "simulate": {"charge": "die"}})
        assert reply.answer is Answer.FAILED


dying = """
import asyncio, sys
from pathlib import Path
from participants.knobs import Knobs
from participants.payment import payment
from tests.demo.commands import a_command, counter

async def main():
    async with counter(payment, sys.argv[1], Knobs(dying=Path(sys.argv[2]))) as desk:
        data = {"order_id": 1, "customer": "ada", "amount_cents": 5900, "simulate": {"charge": "die"}}
        print((await desk.act("charge", data, saga_id="a-saga")).answer)

asyncio.run(main())
"""


@pytest.mark.crash
async def test_a_worker_dies_once_in_the_middle_of_the_transaction_and_the_next_does_the_work(
    sqlite_url: str, tmp_path: Path
) -> None:
    async def work() -> tuple[int | None, bytes]:
        arguments = ("-c", dying, sqlite_url, str(tmp_path / "died"))
        process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        return process.returncode, output.strip()

    assert await work() == (death_code, b"")
    async with counter(payment, sqlite_url) as desk:
        assert await desk.ask(earned) == 0
    assert await work() == (0, b"succeeded")
    async with counter(payment, sqlite_url) as desk:
        assert await desk.ask(earned) == 59_00


def _command(**facts: Any) -> Command:
    given = {"saga_id": "a-saga", "step": "charge-card", "data": None, **facts}
    return a_command("payment", Kind.ACTION, "charge", given.pop("data"), **given)


def test_chance_is_the_same_for_the_same_seed_and_about_the_rate_asked_for() -> None:
    knobs = Knobs(fail_rate=0.2, seed=7)
    drawn = [knobs._drawn(_command(saga_id=f"s{number}")) for number in range(1000)]
    assert drawn == [knobs._drawn(_command(saga_id=f"s{number}")) for number in range(1000)]
    assert drawn != [Knobs(fail_rate=0.2, seed=8)._drawn(_command(saga_id=f"s{number}")) for number in range(1000)]
    assert 150 < drawn.count(Knob.FAIL) < 250
    assert set(drawn) == {Knob.FAIL, None}


async def test_only_the_first_reply_of_a_command_that_asks_for_it_is_lost() -> None:
    lost: list[Reply] = []
    broker = LossyBroker(LocalBroker(), lost.append)
    coordinator = await broker.subscribe("replies", None, prefetch=10)
    worker = await broker.subscribe("commands", "payment", prefetch=10)
    flagged = _command(data={"simulate": {"charge-card": "lose_reply"}})
    plain = _command(saga_id="another")

    async def say(*commands: Command) -> Confirm:
        replies = [
            Reply(**command.model_dump(include=set(_identity)), participant="payment", answer=Answer.SUCCEEDED)
            for command in commands
        ]
        return await broker.publish(Address("replies", "payment"), frame("replies", map(encode_item, replies)))

    async def heard() -> list[str]:
        deliveries = await coordinator.take(10)
        await coordinator.acknowledge(deliveries)
        return [item.saga_id for one in deliveries for item in decode(one.body) if isinstance(item, Reply)]

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        body = frame("commands", map(encode_item, [flagged, plain]))
        sent = group.create_task(broker.publish(Address("commands", "payment"), body))
        await worker.acknowledge(await worker.take(10))
        assert await sent is Confirm.CONFIRMED
        answered = group.create_task(say(flagged, plain))
        assert await heard() == ["another"]
        assert await answered is Confirm.CONFIRMED
        again = group.create_task(say(flagged))
        assert await heard() == ["a-saga"]
        assert await again is Confirm.CONFIRMED
    assert [reply.saga_id for reply in lost] == ["a-saga"]
    await broker.close()


_identity = ("saga_id", "step", "iteration", "kind", "epoch", "attempt")


def test_the_form_of_an_order_offers_trouble_for_every_step() -> None:
    for document in definitions():
        order_schema = document["input_schema"]
        offered = order_schema["properties"]["simulate"]["properties"]
        assert list(offered) == [step["name"] for step in document["steps"]]
        known = {knob.value for knob in Knob}
        of_the_card = {Knob.PROVIDER_DOWN.value, Knob.PROVIDER_SLOW.value}
        for step, offer in offered.items():
            assert set(offer["enum"]) == (known if step == "charge-card" else known - of_the_card)
        assert [violation(order_schema, example) for example in order_schema["examples"]] == [None, None]
