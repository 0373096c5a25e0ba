"""Duplicate actions against duplicate compensations against failing handlers: whatever the order, nothing is left over
and nothing is undone that was not done."""

from __future__ import annotations

import asyncio
import random

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from amends import Answer, Command, Effect, Kind, Refused, Reply, Undone
from tests.sdk.shop import Deed, Shop, action, compensation

rounds = 200
seed = 20261120


async def answer_later(shop: Shop, order: Command, steps: int) -> Reply:
    """Let the others go first, a little or a lot."""
    for _ in range(steps):
        await asyncio.sleep(0)
    return await shop.participant.answer(order)


def moody(dice: random.Random) -> Deed:
    """A handler that succeeds, fails or refuses, at a moment of its own."""
    mood = dice.random()
    naps = dice.randrange(4)

    async def deed(_tx: AsyncConnection | None) -> object:
        for _ in range(naps):
            await asyncio.sleep(0)
        if mood < 0.2:
            raise RuntimeError("down")
        if mood < 0.3:
            raise Refused("no")
        return {"mood": mood}

    return deed


async def settle(shop: Shop, saga: str) -> Reply:
    """What the coordinator does: compensate, attempt after attempt, until it hears that it is undone."""
    for attempt in range(3, 100):
        reply = await shop.participant.answer(compensation(saga_id=saga, attempt=attempt))
        if reply.answer is Answer.SUCCEEDED:
            return reply
    raise AssertionError("the compensation never succeeded")


@pytest.mark.slow
async def test_races_leave_no_effect_and_no_false_proof(shop: Shop) -> None:
    dice = random.Random(seed)
    for turn in range(rounds):
        saga = f"r{turn}"
        shop.charges.extend(moody(dice) for _ in range(6))
        shop.refunds.extend(moody(dice) for _ in range(6))
        orders = [action(saga_id=saga, attempt=dice.choice([1, 1, 2])) for _ in range(dice.randint(1, 4))]
        orders += [compensation(saga_id=saga, attempt=dice.choice([1, 1, 2])) for _ in range(dice.randint(0, 3))]
        dice.shuffle(orders)
        replies = await asyncio.gather(*(answer_later(shop, order, dice.randrange(6)) for order in orders))
        shop.charges.clear()
        shop.refunds.clear()
        amounts = await shop.amounts(saga)
        assert amounts in ([], [10], [10, -10]), (turn, amounts)
        check_proofs(turn, amounts, replies)
        settled = await settle(shop, saga)
        assert settled.undone is (Undone.UNDONE if amounts else Undone.NOTHING_TO_UNDO), turn
        assert await shop.amounts(saga) in ([], [10, -10]), turn
        for attempt in (1, 2, 9):
            await shop.participant.answer(action(saga_id=saga, attempt=attempt))
        assert await shop.net(saga) == 0, turn


def check_proofs(turn: int, amounts: list[int], replies: list[Reply]) -> None:
    """Each reply must be true of the ledger, whenever it was sent."""
    did = any(r.kind is Kind.ACTION and r.answer is Answer.SUCCEEDED for r in replies)
    undone = {r.undone for r in replies if r.kind is Kind.COMPENSATION and r.answer is Answer.SUCCEEDED}
    assert did == (10 in amounts), turn
    assert (Undone.UNDONE in undone) == (-10 in amounts), turn
    assert not (Undone.NOTHING_TO_UNDO in undone and amounts), turn
    assert all(r.effect is Effect.NONE for r in replies if r.answer is Answer.FAILED), turn
    # An earlier attempt that failed may later hear of a later one's success; the last one has one outcome for ever.
    last = max(r.attempt for r in replies if r.kind is Kind.ACTION)
    said = {r.answer for r in replies if r.kind is Kind.ACTION and r.attempt == last}
    assert len(said - {Answer.FENCED}) <= 1, (turn, said)
