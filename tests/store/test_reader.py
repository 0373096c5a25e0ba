"""What people see: filters, pages that stay put while sagas arrive, counts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from coordinator.saga.state import Cause, CauseKind, Pause, Saga, SagaStatus, StepRun, StepStatus
from coordinator.store import reader as bounds
from coordinator.store.outbox import OutboxStore
from coordinator.store.reader import SagaReader
from coordinator.store.sagas import SagaStore
from coordinator.store.values import CommandKind, SagaDetail, SagaFilter, Unsent
from tests.store.made import command, later, moved, new, noon, saga


async def ids(reader: SagaReader, chosen: SagaFilter) -> set[str]:
    page = await reader.page(chosen, limit=200)
    assert page.cursor is None
    return {item.id for item in page.items}


async def test_a_saga_in_detail_shows_what_is_unsent_and_why(
    store: SagaStore, reader: SagaReader, relay_side: OutboxStore
) -> None:
    kept = saga()
    row = command(kept)
    await store.create([new(kept, row, waiting_on="reply", waiting_for="payment")])
    await relay_side.claim("a", now=noon, lease_until=later(30), limit=1)
    await relay_side.release([row.id], "a", available_at=later(5), maybe_sent=False, error="unroutable")
    unsent = Unsent(row.key, "payment", CommandKind.ACTION, noon, later(5), 1, "unroutable", None)
    assert await reader.get(kept.id) == SagaDetail(kept, noon, None, "reply", "payment", (unsent,))
    assert await reader.get("nobody") is None


async def test_which_of_many_have_ended_is_one_question(store: SagaStore, reader: SagaReader) -> None:
    runs, done = saga(), saga(later(1), status=SagaStatus.COMPLETED, finished_at=later(2))
    await store.create([new(runs), new(done)])
    assert await reader.ended([runs.id, done.id, "nobody"]) == {done.id}
    assert await reader.ended([]) == set()


async def test_history_comes_in_pages(store: SagaStore, reader: SagaReader) -> None:
    kept = saga(revision=0)
    await store.create([new(kept)])
    for revision in range(1, 6):
        kept_on = moved(saga(id=kept.id, revision=revision - 1))
        await store.commit([kept_on], now=noon)
    assert [each.seq for each in await reader.history(kept.id)] == [0, 1, 2, 3, 4, 5]
    assert [each.seq for each in await reader.history(kept.id, after_seq=2, limit=2)] == [3, 4]
    assert await reader.history("nobody") == []


async def test_each_filter_finds_what_it_names(store: SagaStore, reader: SagaReader) -> None:
    plain = saga(tags=("vip", "eu"), business_key="order-1")
    blocked = saga(
        definition="other",
        status=SagaStatus.BLOCKED,
        steps={"charge": StepRun("charge", StepStatus.BLOCKED), "ship": StepRun("ship", StepStatus.SUCCEEDED)},
        tags=("eu",),
    )
    done = saga(later(3600), status=SagaStatus.COMPLETED, finished_at=later(4000))
    await store.create([new(plain, waiting_on="reply", waiting_for="payment"), new(done)])
    await store.create([new(blocked, waiting_on="blocked", waiting_for="payment")])
    everything = {plain.id, blocked.id, done.id}
    expected: list[tuple[SagaFilter, set[str]]] = [
        (SagaFilter(), everything),
        (SagaFilter(definition="place-order"), {plain.id, done.id}),
        (SagaFilter(statuses=(SagaStatus.BLOCKED,)), {blocked.id}),
        (SagaFilter(definition="place-order", statuses=(SagaStatus.BLOCKED,)), set()),
        (SagaFilter(step="charge"), {blocked.id}),
        (SagaFilter(step="charge", step_statuses=(StepStatus.BLOCKED,)), {blocked.id}),
        (SagaFilter(step="ship", step_statuses=(StepStatus.BLOCKED,)), set()),
        (SagaFilter(tag="eu"), {plain.id, blocked.id}),
        (SagaFilter(tag="vip"), {plain.id}),
        (SagaFilter(business_key="order-1"), {plain.id}),
        (SagaFilter(waiting_on="reply"), {plain.id}),
        (SagaFilter(waiting_for="payment"), {plain.id, blocked.id}),
        (SagaFilter(waiting_on="blocked", waiting_for="payment", tag="eu"), {blocked.id}),
        (SagaFilter(created_from=noon), everything),
        (SagaFilter(created_from=noon + timedelta(microseconds=1)), {done.id}),
        (SagaFilter(created_to=noon), set()),
        (SagaFilter(created_to=noon + timedelta(microseconds=1)), {plain.id, blocked.id}),
        (SagaFilter(created_from=later(3600), created_to=later(3601)), {done.id}),
        (SagaFilter(created_from=noon - timedelta(days=365 * 60)), everything),  # before 1970
    ]
    found = [(chosen, await ids(reader, chosen)) for chosen, _ in expected]
    assert found == expected


async def test_a_line_of_a_list_says_where_a_saga_stands_and_why(store: SagaStore, reader: SagaReader) -> None:
    cause = Cause(CauseKind.REFUSED, "charge", "card declined")
    kept = saga(
        status=SagaStatus.BLOCKED, cause=cause, tags=("b", "a"), paused=Pause(later(1), "ann", "why"), business_key="k"
    )
    await store.create([new(kept, waiting_on="paused")])
    (line,) = (await reader.page()).items
    assert (line.id, line.status, line.cause, line.tags) == (kept.id, SagaStatus.BLOCKED, cause, ("b", "a"))
    assert (line.paused_at, line.waiting_on, line.business_key, line.created_at) == (later(1), "paused", "k", noon)


@pytest.mark.parametrize("tagged", [False, True])
async def test_pages_stay_put_while_sagas_arrive(store: SagaStore, reader: SagaReader, tagged: bool) -> None:
    there = [saga(later(n), tags=("vip",)) for n in range(25)]
    await store.create([new(one) for one in there])
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        page = await reader.page(SagaFilter(tag="vip" if tagged else None), limit=10, cursor=cursor)
        seen += [item.id for item in page.items]
        cursor = page.cursor
        await store.create([new(saga(later(1000), tags=("vip",))) for _ in range(7)])
    assert cursor is None
    assert seen == [one.id for one in reversed(there)]


async def test_a_page_that_is_just_full_is_the_last(store: SagaStore, reader: SagaReader) -> None:
    await store.create([new() for _ in range(10)])
    assert (await reader.page(limit=10)).cursor is None
    assert (await reader.page(limit=9)).cursor is not None


async def test_a_page_is_bounded_whatever_is_asked(store: SagaStore, reader: SagaReader) -> None:
    await store.create([new() for _ in range(bounds.page_max + 1)])
    assert len((await reader.page(limit=10**9)).items) == bounds.page_max
    assert len((await reader.page(limit=-1)).items) == 1


async def test_sagas_are_counted_by_status(
    store: SagaStore, reader: SagaReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def done(**values: Any) -> Saga:
        return saga(status=SagaStatus.COMPLETED, finished_at=noon, **values)

    await store.create([new(one) for one in (saga(), saga(), done(), done(definition="other"))])
    counts = await reader.counts()
    assert set(counts) == set(SagaStatus)
    assert {status: number for status, number in counts.items() if number} == {
        SagaStatus.RUNNING: 2,
        SagaStatus.COMPLETED: 2,
    }
    assert (await reader.counts("other"))[SagaStatus.COMPLETED] == 1
    monkeypatch.setattr(bounds, "count_max", 1)
    assert (await reader.counts())[SagaStatus.RUNNING] == 1
