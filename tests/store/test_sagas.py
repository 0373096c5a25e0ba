"""The engine's side: what is kept comes back as it was, all or nothing, and only if nobody moved it first."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from coordinator.saga.event import Failure, Kind, Undone
from coordinator.saga.state import (
    Cause,
    CauseKind,
    Clock,
    ClockKind,
    Direction,
    EffectLeft,
    LeftBecause,
    Pause,
    Saga,
    SagaStatus,
    StepRun,
    StepStatus,
)
from coordinator.store import schema
from coordinator.store.database import Database
from coordinator.store.outbox import OutboxStore
from coordinator.store.reader import SagaReader
from coordinator.store.sagas import SagaStore
from coordinator.store.values import Committed, Created, HistoryEntry, KeyReused, Repeated, Unreadable
from tests.store.made import command, count, entry, later, moved, new, noon, saga

hostile: Any = {
    "text": "naïve \u2028 \U0001f600 'quoted' \"twice\" \\ ${x} %s :name",
    "large": 2**63 - 1,
    "small": -(2**63),
    "exact": 0.1,
    "tiny": 5e-324,
    "none": None,
    "empty": {"list": [], "object": {}, "text": ""},
    "true": True,
    "NaN": "NaN",
    "nul": "\x00 and \ud800",
}


def a_saga_with_everything() -> Saga:
    clock = Clock(ClockKind.TIMEOUT, noon, later(30.000001), frozen_seconds=0.1, extensions=2)
    charge = StepRun(
        "charge",
        StepStatus.SUCCEEDED,
        iteration=1,
        attempt=3,
        unclean=True,
        happened=True,
        data=hostile,
        result=hostile,
        failure=Failure("Declined", "no", ("a line", "another")),
    )
    ship = StepRun("ship", StepStatus.DISPATCHED, attempt=1, clock=clock)
    undone = StepRun("reserve", StepStatus.COMPENSATED, undone=Undone.NOTHING_TO_UNDO, undo_attempt=1, epoch=1)
    return saga(
        input=hostile,
        status=SagaStatus.BLOCKED,
        direction=Direction.BACKWARD,
        steps={run.name: run for run in (charge, ship, undone)},
        deadline=Clock(ClockKind.DEADLINE, noon, later(3600)),
        cause=Cause(CauseKind.CANCELLED, "charge", "why not", "ann"),
        effects_left=(EffectLeft("charge", LeftBecause.WAIVED, "so be it", certain=False),),
        strays=4,
        business_key="order-1",
        tags=("vip", "eu"),
    )


async def test_a_saga_comes_back_exactly_as_it_was_created(store: SagaStore, reader: SagaReader) -> None:
    kept = a_saga_with_everything()
    facts = HistoryEntry(1, noon + timedelta(microseconds=1), "Replied", {"result": hostile}, ("ünï", "two"))
    assert await store.create([replace(new(kept), entries=(facts,))]) == [Created(kept.id)]
    assert await store.load([kept.id, "not-there"]) == {kept.id: kept}
    assert await reader.history(kept.id) == [facts]


@pytest.mark.parametrize("result", [0, False, "", [], {}, None, 0.0, "null"])
async def test_an_empty_result_is_not_a_missing_one(store: SagaStore, result: Any) -> None:
    kept = saga(input=result, steps={"charge": StepRun("charge", StepStatus.SUCCEEDED, result=result)})
    await store.create([new(kept)])
    loaded = (await store.load([kept.id]))[kept.id]
    assert isinstance(loaded, Saga)
    assert (loaded, type(loaded.input)) == (kept, type(result))
    assert type(loaded.step("charge").result) is type(result)


async def test_a_commit_keeps_what_moved_and_leaves_the_rest(store: SagaStore, reader: SagaReader) -> None:
    before = a_saga_with_everything()
    await store.create([new(before, command(before))])
    change = moved(before, command(before, "ship"), waiting_on="reply", waiting_for="payment")
    committed = await store.commit([change], now=later(5))
    assert committed == Committed(frozenset({before.id}), frozenset())
    assert await store.load([before.id]) == {before.id: change.saga}
    assert await store.unsent([before.id, "other"]) == {before.id: {"charge/0/action/0/1", "ship/0/action/0/1"}}
    assert [kept.seq for kept in await reader.history(before.id)] == [1, 2]
    detail = await reader.get(before.id)
    assert detail is not None
    assert not isinstance(detail, Unreadable)
    assert (detail.waiting_on, detail.waiting_for, detail.updated_at) == ("reply", "payment", later(5))
    assert detail.wake_at == later(30.000001)


async def test_ec44_of_two_commits_on_one_revision_one_is_stale_and_leaves_nothing(
    store: SagaStore, database: Database
) -> None:
    kept, other = saga(), saga()
    await store.create([new(kept), new(other)])
    first = moved(kept, command(kept, "first"))
    second = moved(kept, command(kept, "second"), status=StepStatus.FAILED)
    assert (await store.commit([first], now=noon)).moved == {kept.id}
    committed = await store.commit([second, moved(other)], now=noon)
    assert committed == Committed(frozenset({other.id}), frozenset({kept.id}))
    assert await store.load([kept.id]) == {kept.id: first.saga}
    assert await store.unsent([kept.id]) == {kept.id: {"first/0/action/0/1"}}
    assert await count(database, schema.history) == 4


async def test_of_fifty_commits_at_once_on_one_revision_one_moves_it(store: SagaStore, database: Database) -> None:
    kept = saga()
    await store.create([new(kept)])
    commits = (store.commit([moved(kept, command(kept, f"s{n}"))], now=noon) for n in range(50))
    results = await asyncio.gather(*commits)
    assert sum(kept.id in result.moved for result in results) == 1
    assert sum(kept.id in result.stale for result in results) == 49
    assert await count(database, schema.outbox) == 1
    assert await count(database, schema.history) == 2


async def test_batches_that_meet_in_opposite_orders_both_go_through(store: SagaStore) -> None:
    many = [saga() for _ in range(40)]
    await store.create([new(one) for one in many])
    for _ in range(5):
        forth = [moved(one) for one in many]
        back = [moved(one) for one in reversed(many)]
        one, two = await asyncio.gather(store.commit(forth, now=noon), store.commit(back, now=noon))
        assert one.moved | two.moved == {each.id for each in many}
        assert one.moved & two.moved == set()
        many = [change.saga for change in forth]


async def test_a_failure_in_the_middle_leaves_nothing(store: SagaStore, database: Database) -> None:
    good, bad = saga(), saga()
    await store.create([new(good), new(bad)])
    twice = replace(moved(bad, command(bad)), entries=(entry(bad, seq=1),))  # this number is taken
    with pytest.raises(sa.exc.IntegrityError):
        await store.commit([moved(good, command(good)), twice], now=noon, forget=["anything/x"])
    assert await store.load([good.id, bad.id]) == {good.id: good, bad.id: bad}
    assert await count(database, schema.outbox) == 0
    assert await count(database, schema.steps) == 0


async def test_a_saga_comes_once_in_a_batch(store: SagaStore) -> None:
    kept = saga()
    with pytest.raises(ValueError, match="two changes of one saga"):
        await store.commit([moved(kept), moved(kept)], now=noon)


async def test_nothing_to_do_is_done(store: SagaStore) -> None:
    assert await store.create([]) == []
    assert await store.load([]) == {}
    assert await store.unsent([]) == {}
    assert await store.commit([], now=noon) == Committed(frozenset(), frozenset())


# --- starting ---------------------------------------------------------------------------------------------------------


async def test_ec49_fifty_starts_at_once_with_one_key_make_one_saga(store: SagaStore, database: Database) -> None:
    starts = (store.create([new(caller="ann", key="k", body_hash="h")]) for _ in range(50))
    answers = [answer for batch in await asyncio.gather(*starts) for answer in batch]
    assert len({answer.saga_id for answer in answers}) == 1
    assert sum(isinstance(answer, Created) for answer in answers) == 1
    assert sum(isinstance(answer, Repeated) for answer in answers) == 49
    assert await count(database, schema.sagas) == 1
    assert await count(database, schema.history) == 1


async def test_a_batch_may_hold_the_same_key_twice(store: SagaStore, database: Database) -> None:
    batch = [
        new(caller="ann", key="k", body_hash="h"),
        new(caller="ann", key="k", body_hash="h"),
        new(caller="ann", key="k", body_hash="another body"),
        new(caller="bob", key="k", body_hash="another body"),
        new(),
        new(),
    ]
    first, _, _, of_bob, one, two = (item.saga.id for item in batch)
    assert await store.create(batch) == [
        Created(first),
        Repeated(first),
        KeyReused(first),
        Created(of_bob),
        Created(one),
        Created(two),
    ]
    assert await count(database, schema.sagas) == 4
    again = [new(caller="ann", key="k", body_hash="h"), new(caller="bob", key="k", body_hash="h")]
    assert await store.create(again) == [Repeated(first), KeyReused(of_bob)]
    assert await count(database, schema.sagas) == 4


async def test_batches_with_the_same_keys_in_opposite_orders_both_go_through(
    store: SagaStore, database: Database
) -> None:
    def batch(keys: list[str]) -> list[Any]:
        return [new(caller="ann", key=key, body_hash="h") for key in keys]

    keys = [f"k{n}" for n in range(30)]
    answers = await asyncio.gather(*(store.create(batch(keys[:: 1 if n % 2 else -1])) for n in range(8)))
    assert sum(isinstance(answer, Created) for each in answers for answer in each) == 30
    assert await count(database, schema.sagas) == 30


async def test_repeating_a_batch_whose_commit_was_in_doubt_creates_nothing_twice(
    store: SagaStore, database: Database
) -> None:
    one, two = saga(tags=("vip",)), saga()
    batch = [new(one, command(one), caller="ann", key="k", body_hash="h"), new(two, command(two))]
    assert await store.create(batch) == await store.create(batch) == [Created(one.id), Created(two.id)]
    assert await count(database, schema.outbox) == 2
    assert await count(database, schema.history) == 2


# --- the outbox's part in it ------------------------------------------------------------------------------------------


async def test_commands_of_a_commit_are_held_by_the_committer(store: SagaStore, relay_side: OutboxStore) -> None:
    kept = saga()
    await store.create([new(kept, command(kept, "a"))], lease_token="me", lease_until=later(30))
    await store.commit([moved(kept, command(kept, "b"))], now=noon, lease_token="me", lease_until=later(40))
    assert await relay_side.claim("you", now=later(29), lease_until=later(60), limit=10) == []
    taken = await relay_side.claim("you", now=later(30), lease_until=later(60), limit=10)
    assert [row.key for row in taken] == ["a/0/action/0/1"]


async def test_a_commit_forgets_what_was_confirmed(store: SagaStore) -> None:
    kept = saga()
    rows = [command(kept, step) for step in ("a", "b", "c")]
    await store.create([new(kept, *rows)], lease_token="me", lease_until=later(30))
    await store.commit([moved(kept)], now=noon, forget=[rows[0].id, rows[2].id, "gone/already"])
    assert await store.unsent([kept.id]) == {kept.id: {rows[1].key}}
    await store.commit([], now=noon, forget=[rows[1].id])
    assert await store.unsent([kept.id]) == {}


async def test_a_command_that_is_sent_again_survives_the_forgetting_of_its_first_sending(store: SagaStore) -> None:
    kept = saga()
    row = command(kept)
    await store.create([new(kept, row)], lease_token="me", lease_until=later(30))
    await store.commit([moved(kept, row)], now=noon, forget=[row.id])
    assert await store.unsent([kept.id]) == {kept.id: {row.key}}


async def test_voiding_takes_back_what_nobody_holds_and_reports_what_never_left(
    store: SagaStore, relay_side: OutboxStore
) -> None:
    kept, other = saga(), saga()
    steps = ("fresh", "given-back", "perhaps", "held", "expired", "parked")
    free = [command(kept, step, participant=step) for step in steps]
    untouched = [command(kept, "fresh", kind=Kind.COMPENSATION, attempt=9), command(kept, "fresh", inquiry=1)]
    await store.create([new(kept, *free, *untouched), new(other, command(other))])

    async def hold(step: str, until: float) -> str:
        others = {row.participant for row in [*free, *untouched]} - {step}
        (row,) = await relay_side.claim("relay", now=noon, lease_until=later(until), limit=1, held_participants=others)
        return row.id

    given_back, perhaps = await hold("given-back", 99), await hold("perhaps", 99)
    await relay_side.release([given_back], "relay", available_at=later(50), maybe_sent=False)
    await relay_side.release([perhaps], "relay", available_at=later(50), maybe_sent=True)
    parked = await hold("parked", 99)
    await relay_side.park({parked: "too large"}, "relay")
    await hold("held", 10.000001)
    await hold("expired", 10)

    committed = await store.commit([moved(kept, void_unsent=True), moved(other)], now=later(10))
    never_left = {f"{step}/0/action/0/1" for step in ("fresh", "given-back", "parked")}
    assert set(committed.voided) == {kept.id}
    assert set(committed.voided[kept.id]) == never_left
    left = {"held/0/action/0/1", "fresh/0/compensation/0/9", "fresh/0/action/0/1/1"}
    assert await store.unsent([kept.id, other.id]) == {kept.id: left, other.id: {"charge/0/action/0/1"}}


async def test_what_turns_and_sends_in_one_change_does_not_void_what_it_sends(store: SagaStore) -> None:
    kept = saga()
    await store.create([new(kept, command(kept, "old"))])
    committed = await store.commit([moved(kept, command(kept, "fresh"), void_unsent=True)], now=noon)
    assert committed.voided == {kept.id: ("old/0/action/0/1",)}
    assert await store.unsent([kept.id]) == {kept.id: {"fresh/0/action/0/1"}}


async def test_a_stale_saga_voids_nothing(store: SagaStore) -> None:
    kept = saga()
    await store.create([new(kept, command(kept))])
    stale = replace(moved(kept, void_unsent=True), expected_revision=7)
    committed = await store.commit([stale], now=noon)
    assert committed == Committed(frozenset(), frozenset({kept.id}))
    assert await store.unsent([kept.id]) == {kept.id: {"charge/0/action/0/1"}}


# --- waking -----------------------------------------------------------------------------------------------------------


def waiting_until(seconds: float, **changes: Any) -> Saga:
    clock = Clock(ClockKind.BACKOFF, noon, later(seconds))
    return saga(steps={"charge": StepRun("charge", StepStatus.WAITING, clock=clock)}, **changes)


async def test_what_is_due_is_claimed_once_and_comes_again_after_a_crash(store: SagaStore) -> None:
    due, soon, not_yet = waiting_until(10), waiting_until(20), waiting_until(30)
    paused = waiting_until(5, paused=Pause(noon, "ann", "why not"))
    await store.create([new(each) for each in (due, soon, not_yet, paused, saga())])
    assert await store.due(later(9), 10) == []
    assert await store.due(later(20), 1, lease_seconds=15) == [due.id]
    assert await store.due(later(20), 10, lease_seconds=15) == [soon.id]
    assert await store.due(later(20), 10, lease_seconds=15) == []
    assert set(await store.due(later(35), 10, lease_seconds=15)) == {due.id, soon.id, not_yet.id}


async def test_nobody_gets_the_same_due_saga_as_somebody_else(store: SagaStore) -> None:
    many = [waiting_until(n / 1000) for n in range(200)]
    await store.create([new(each) for each in many])
    claims = await asyncio.gather(*(store.due(later(60), 30, lease_seconds=30) for _ in range(8)))
    claimed = [one for claim in claims for one in claim]
    assert len(claimed) == len(set(claimed))
    claimed += await store.due(later(60), 500, lease_seconds=30)
    assert sorted(claimed) == sorted(each.id for each in many)


async def test_moving_a_saga_moves_its_clock(store: SagaStore) -> None:
    kept = waiting_until(10)
    await store.create([new(kept)])
    await store.commit([moved(kept)], now=noon)
    assert await store.due(later(9999), 10) == []


async def test_ec47_a_corrupt_saga_is_quarantined_and_the_others_go_on(
    store: SagaStore, reader: SagaReader, database: Database
) -> None:
    corrupt, fine = waiting_until(10), waiting_until(10)
    await store.create([new(corrupt), new(fine)])
    async with database.begin() as connection:
        broken = sa.update(schema.sagas).where(schema.sagas.c.id == corrupt.id).values(record='{"status":"what?"}')
        await connection.execute(broken)
    loaded = await store.load([corrupt.id, fine.id])
    assert loaded[fine.id] == fine
    unreadable = loaded[corrupt.id]
    assert isinstance(unreadable, Unreadable)
    await store.quarantine({corrupt.id: unreadable.reason + "\x00" * 9999})
    assert await store.due(later(60), 10) == [fine.id]
    assert await reader.get(corrupt.id) == unreadable
    (first, second) = (await reader.page()).items
    assert {first.id: first.waiting_on, second.id: second.waiting_on} == {corrupt.id: "unreadable", fine.id: None}
