"""The relay's side: a row is with one relay at a time, and with the next when that one is gone."""

from __future__ import annotations

import asyncio

import pytest

from coordinator.saga.state import Pause
from coordinator.store.outbox import OutboxStore
from coordinator.store.sagas import SagaStore
from coordinator.store.values import Backlog, CommandKind, OutboxRow
from tests.store.made import command, later, moved, new, noon, saga


async def claim(
    relay_side: OutboxStore, token: str, at: float = 0, until: float = 30, limit: int = 1000
) -> list[OutboxRow]:
    return await relay_side.claim(token, now=later(at), lease_until=later(until), limit=limit)


async def test_a_row_is_claimed_as_it_was_kept(store: SagaStore, relay_side: OutboxStore) -> None:
    kept = saga()
    row = command(kept)
    await store.create([new(kept, row)])
    (claimed,) = await claim(relay_side, "a")
    assert claimed == OutboxRow(
        f"{kept.id}/charge/0/action/0/1", kept.id, "place-order", "payment", CommandKind.ACTION, row.body, noon, tries=1
    )


async def test_two_relays_never_get_the_same_row(store: SagaStore, relay_side: OutboxStore) -> None:
    many = [saga() for _ in range(300)]
    await store.create([new(one, command(one)) for one in many])
    claims = await asyncio.gather(*(claim(relay_side, f"relay {n}", limit=40) for n in range(10)))
    claimed = [row.id for rows in claims for row in rows]
    assert len(claimed) == len(set(claimed))
    claimed += [row.id for row in await claim(relay_side, "last")]
    assert sorted(claimed) == sorted(command(one).id for one in many)
    assert await claim(relay_side, "late") == []


async def test_the_oldest_go_first(store: SagaStore, relay_side: OutboxStore) -> None:
    many = [saga(later(n)) for n in (5, 1, 4, 2, 3)]
    await store.create([new(one, command(one)) for one in many])
    first = await claim(relay_side, "a", at=10, limit=2)
    rest = await claim(relay_side, "a", at=10)
    assert [row.created_at for row in [*first, *rest]] == [later(n) for n in (1, 2, 3, 4, 5)]


async def test_ec41_a_lease_that_ran_out_is_taken_over_and_its_row_may_have_been_sent(
    store: SagaStore, relay_side: OutboxStore
) -> None:
    kept = saga()
    await store.create([new(kept, command(kept))])
    (row,) = await claim(relay_side, "crashed", until=30)
    assert await claim(relay_side, "heir", at=29.999) == []
    (taken,) = await claim(relay_side, "heir", at=30, until=60)
    assert (taken.id, taken.tries) == (row.id, 2)
    assert await relay_side.release([row.id], "crashed", available_at=noon, maybe_sent=False) == 0
    assert await relay_side.park({row.id: "late"}, "crashed") == 0
    assert await relay_side.release([row.id], "heir", available_at=noon, maybe_sent=False) == 1
    committed = await store.commit([moved(kept, void_unsent=True)], now=noon)
    assert committed.voided == {}  # taken back, and not certain never to have left
    assert await store.unsent([kept.id]) == {}


async def test_a_released_row_waits_until_it_is_available(store: SagaStore, relay_side: OutboxStore) -> None:
    kept = saga()
    await store.create([new(kept, command(kept))])
    (row,) = await claim(relay_side, "a")
    await relay_side.release([row.id], "a", available_at=later(5), maybe_sent=False, error="unroutable\x00\ud800")
    assert await claim(relay_side, "a", at=4) == []
    assert [again.id for again in await claim(relay_side, "a", at=5)] == [row.id]


async def test_confirmed_rows_are_forgotten(store: SagaStore, relay_side: OutboxStore) -> None:
    kept = saga()
    rows = [command(kept, step) for step in ("a", "b")]
    await store.create([new(kept, *rows)])
    await claim(relay_side, "a")
    await relay_side.forget([rows[0].id, rows[0].id, "unknown/x"])
    assert await store.unsent([kept.id]) == {kept.id: {rows[1].key}}


async def test_ec42_a_parked_row_blocks_nobody_and_can_be_tried_again(
    store: SagaStore, relay_side: OutboxStore
) -> None:
    kept = saga()
    bad, good = command(kept, "bad"), command(kept, "good")
    await store.create([new(kept, bad, good)])
    await claim(relay_side, "a")
    assert await relay_side.park({bad.id: "too large"}, "a") == 1
    await relay_side.release([good.id], "a", available_at=noon, maybe_sent=False)
    assert [row.id for row in await claim(relay_side, "b", at=99, until=199)] == [good.id]
    (parked,) = await relay_side.parked()
    assert (parked.row.id, parked.reason) == (bad.id, "too large")
    assert await relay_side.parked(participant="somebody else") == []
    assert await relay_side.unpark(bad.id, now=later(100))
    assert not await relay_side.unpark(bad.id, now=later(100))
    assert not await relay_side.unpark(good.id, now=later(100))
    assert [row.id for row in await claim(relay_side, "b", at=100)] == [bad.id]
    assert await relay_side.parked() == []


async def test_nothing_is_claimed_of_what_is_held_or_paused(store: SagaStore, relay_side: OutboxStore) -> None:
    plain, other = saga(), saga(definition="other")
    paused = saga(paused=Pause(noon, "ann", "why not"))
    rows = [command(plain), command(plain, "ship", participant="delivery"), command(other), command(paused)]
    await store.create([new(plain, rows[0], rows[1]), new(other, rows[2]), new(paused, rows[3])])

    async def claimed(*, participants: tuple[str, ...] = (), definitions: tuple[str, ...] = ()) -> set[str]:
        taken = await relay_side.claim(
            "a",
            now=noon,
            lease_until=later(30),
            limit=10,
            held_participants=participants,
            held_definitions=definitions,
        )
        await relay_side.release([row.id for row in taken], "a", available_at=noon, maybe_sent=False)
        return {row.id for row in taken}

    assert await claimed() == {rows[0].id, rows[1].id, rows[2].id}
    assert await claimed(participants=("payment", "nobody")) == {rows[1].id}
    assert await claimed(definitions=("place-order",)) == {rows[2].id}
    assert await claimed(participants=("payment",), definitions=("place-order", "other")) == set()


async def test_the_backlog_is_counted_per_participant(store: SagaStore, relay_side: OutboxStore) -> None:
    old, young = saga(), saga(later(60))
    parked, waiting = command(old, "a"), command(young, "b")
    ship = command(young, "ship", participant="delivery")
    await store.create([new(old, parked), new(young, waiting, ship)])
    await claim(relay_side, "a", limit=1)
    await relay_side.park({parked.id: "too large"}, "a")
    assert await relay_side.pending() == [
        Backlog("delivery", waiting=1, parked=0, oldest=later(60)),
        Backlog("payment", waiting=1, parked=1, oldest=later(60)),
    ]
    await claim(relay_side, "a", at=60)
    await relay_side.park({ship.id: "too large"}, "a")
    assert (await relay_side.pending())[0] == Backlog("delivery", waiting=0, parked=1, oldest=None)


async def test_the_only_process_takes_over_at_once_what_its_forerunner_held(
    store: SagaStore, relay_side: OutboxStore
) -> None:
    kept, free = saga(), saga()
    await store.create([new(kept, command(kept))], lease_token="before", lease_until=later(30))
    await store.create([new(free, command(free))])
    assert await relay_side.orphan() == 1
    assert {row.id for row in await claim(relay_side, "after")} == {command(kept).id, command(free).id}
    await relay_side.release([command(kept).id, command(free).id], "after", available_at=noon, maybe_sent=False)
    committed = await store.commit([moved(kept, void_unsent=True), moved(free, void_unsent=True)], now=noon)
    assert set(committed.voided) == {free.id}  # the other may have left with the forerunner


async def test_a_lease_has_a_token_and_an_end(store: SagaStore) -> None:
    kept = saga()
    with pytest.raises(ValueError, match="both a token and an end"):
        await store.create([new(kept, command(kept))], lease_token="me")
