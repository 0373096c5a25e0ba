"""What was counted, and what happened, comes back as it was told, however often it was told."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from coordinator.store.database import Database
from coordinator.store.observed import CallTally, Occurrence, OccurrenceKind, Tallied
from coordinator.store.occurrences import OccurrenceStore, fact_chars_max
from coordinator.store.outcomes import OutcomeStore, kept
from tests.store.made import later, noon
from tests.store.observed import occurrence, place, tally

minute = noon.replace(second=0, microsecond=0)
call = CallTally(minute, "payment", "card-provider", "w1", "1.4.2", "http 504", 2, 20.0, (0, 0, 2))


@pytest.fixture
def outcomes(database: Database) -> OutcomeStore:
    return OutcomeStore(database)


@pytest.fixture
def occurrences(database: Database) -> OccurrenceStore:
    return OccurrenceStore(database)


async def test_totals_are_those_last_told_and_summed_over_all_who_count(outcomes: OutcomeStore) -> None:
    await outcomes.put([tally(count=1)], [call], source="one")
    await outcomes.put([tally(count=2), tally()], [call], source="one")  # of two of the same, the last counts
    again = [tally(count=4, seconds_sum=1.5, seconds_buckets=(0, 0, 4), wait_buckets=())]
    await outcomes.put(again, [replace(call, count=1, seconds_sum=1.0, seconds_buckets=(1,))], source="two")
    assert (await outcomes.tallies(minute, later(60))).items == (
        tally(count=7, seconds_sum=2.0, seconds_buckets=(1, 2, 4), wait_seconds_sum=0.5, wait_buckets=(3,)),
    )
    assert (await outcomes.calls(minute, later(60))).items == (
        replace(call, count=3, seconds_sum=21.0, seconds_buckets=(1, 0, 2)),
    )


async def test_what_differs_in_anything_is_counted_apart(outcomes: OutcomeStore) -> None:
    apart = [
        tally(),
        tally(outcome=Tallied.FAILED),
        tally(error="http 504"),
        tally(minute=later(60).replace(second=0, microsecond=0)),
        *(tally(place=replace(place, **change)) for change in ({"version": 2}, {"worker": "w2"}, {"kind": "x"})),
    ]
    await outcomes.put(apart, [call, replace(call, dependency="ledger")], source="one")
    assert set((await outcomes.tallies(minute, later(120))).items) == set(apart)
    assert len((await outcomes.calls(minute, later(120))).items) == 2


async def test_a_window_has_a_beginning_an_end_and_a_bound(outcomes: OutcomeStore) -> None:
    minutes = [minute.replace(minute=n) for n in range(10)]
    await outcomes.put([tally(minute=at) for at in minutes], [replace(call, minute=at) for at in minutes], source="one")
    window = await outcomes.tallies(minutes[2], minutes[5])
    assert ([item.minute for item in window.items], window.cut) == ([minutes[4], minutes[3], minutes[2]], False)
    newest = await outcomes.tallies(minutes[0], minutes[9], limit=2)
    assert ([item.minute for item in newest.items], newest.cut) == ([minutes[8], minutes[7]], True)
    calls = await outcomes.calls(minutes[0], minutes[9], limit=9)
    assert (len(calls.items), calls.cut) == (9, False)


async def test_those_who_count_at_once_do_not_hinder_each_other(outcomes: OutcomeStore) -> None:
    places = [tally(place=replace(place, worker=f"w{n}")) for n in range(40)]
    await asyncio.gather(*(outcomes.put(places[n:] + places[:n], [], source=f"{n % 4}") for n in range(12)))
    window = await outcomes.tallies(minute, later(60))
    assert [item.count for item in window.items] == [12] * 40


async def test_old_counts_are_forgotten_some_at_a_time(outcomes: OutcomeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.store.pruning.rows_max", 3)
    minutes = [minute.replace(minute=n) for n in range(6)]
    await outcomes.put([tally(minute=at) for at in minutes], [replace(call, minute=at) for at in minutes], source="one")
    assert [await outcomes.prune(minutes[5] + kept) for _ in range(3)] == [6, 4, 0]
    assert [item.minute for item in (await outcomes.tallies(minutes[0], later(600))).items] == [minutes[5]]


async def test_what_no_database_can_hold_is_kept_legibly(outcomes: OutcomeStore, occurrences: OccurrenceStore) -> None:
    wild = tally(error="\x00" * 999, place=replace(place, worker="\ud800"))
    await outcomes.put([wild], [replace(call, error="\x00")], source="\x00")
    (kept,) = (await outcomes.tallies(minute, later(60))).items
    assert kept.place.worker == "\\ud800"
    facts = {"a\x00": "b\x00" * 9999, "nan": float("nan"), "n": 1, "none": None}
    await occurrences.put([occurrence("\x00", subject="s" * 9999, facts=facts)])
    (told,) = await occurrences.between(noon, later(1))
    assert (told.id, len(told.subject)) == ("\\x00", 400)
    assert len(str(told.facts["a\\x00"])) < 4 * fact_chars_max
    assert (told.facts["nan"], told.facts["n"], told.facts["none"]) == ("nan", 1, None)


async def test_an_occurrence_is_kept_once_as_it_was_told_first(occurrences: OccurrenceStore) -> None:
    first, other = occurrence("a"), occurrence("b", kind=OccurrenceKind.WORKER_LOST, at=later(5), facts={})
    await occurrences.put([first, occurrence("a", facts={"version": "2"})])
    await asyncio.gather(*(occurrences.put([other, occurrence("a", at=later(9))]) for _ in range(4)))
    assert await occurrences.between(noon, later(10)) == [first, other]


async def test_of_many_occurrences_the_newest_are_told_in_their_order(occurrences: OccurrenceStore) -> None:
    told: list[Occurrence] = [occurrence(f"{n}", at=later(n)) for n in range(9)]
    await occurrences.put(told)
    assert await occurrences.between(later(1), later(8)) == told[1:8]
    assert await occurrences.between(later(0), later(8), limit=2) == told[6:8]
    assert await occurrences.prune(later(8) + kept) == 8
    assert await occurrences.between(later(0), later(99)) == told[8:]
