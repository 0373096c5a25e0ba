"""Remedies: begun once whoever tries, one at a time in a scope, and counted."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from coordinator.store.database import Database
from coordinator.store.explained import RemedyRow, RemedyState
from coordinator.store.ids import new_id
from coordinator.store.incidents import IncidentStore
from coordinator.store.remedies import RemedyStore, kept
from tests.store.made import later, noon
from tests.store.observed import failure


@pytest.fixture
def remedies(database: Database) -> RemedyStore:
    return RemedyStore(database)


def remedy(seconds: float = 0, **values: Any) -> RemedyRow:
    made = RemedyRow(
        id=new_id(later(seconds)),
        incident_id="i",
        report_version=1,
        kind="open_circuit",
        scope="participant payment",
        target='{"participant":"payment"}',
        tier="A",
        state=RemedyState.PROPOSED,
        evidence='["E01-abc"]',
        reason="it answers nobody",
        proposed_at=later(seconds),
        ends_at=later(600),
    )
    return replace(made, **values)


async def test_a_remedy_comes_back_as_it_was_proposed(remedies: RemedyStore) -> None:
    first, second = remedy(1), remedy(2, kind="throttle", state=RemedyState.SHADOW, ends_at=None)
    assert [await remedies.propose(first), await remedies.propose(second)] == [first, second]
    assert await remedies.get(first.id) == first
    assert await remedies.get("nobody") is None
    assert await remedies.of_incident("i") == [second, first]
    assert await remedies.in_state(RemedyState.PROPOSED, RemedyState.BEGUN) == [first]


async def test_the_same_proposal_again_is_the_one_that_waits(database: Database, remedies: RemedyStore) -> None:
    proposals = [remedy(n) for n in range(8)]
    stores = [remedies, RemedyStore(database)] * 4
    answers = await asyncio.gather(*(each.propose(made) for each, made in zip(stores, proposals, strict=True)))
    assert len({answer.id for answer in answers}) == 1
    begun = await remedies.begin(answers[0].id, now=noon, automatic=True)
    assert await remedies.propose(remedy(9)) == begun
    await remedies.finish(answers[0].id, RemedyState.UNDONE, now=noon, outcome="no better")
    again = remedy(10)
    assert await remedies.propose(again) == again
    assert (await remedies.propose(replace(again, id=answers[0].id, scope="another"))).state is RemedyState.UNDONE
    with pytest.raises(ValueError, match="is proposed before it is begun"):
        await remedies.propose(remedy(state=RemedyState.BEGUN))


async def test_of_many_who_begin_a_remedy_one_does(database: Database, remedies: RemedyStore) -> None:
    made = await remedies.propose(remedy())
    stores = [remedies, RemedyStore(database)] * 4
    begun = await asyncio.gather(
        *(each.begin(made.id, now=later(1), automatic=True, measured_before=0.5) for each in stores)
    )
    (one,) = [row for row in begun if row is not None]
    assert one == replace(made, state=RemedyState.BEGUN, automatic=True, begun_at=later(1), measured_before=0.5)
    ended = await asyncio.gather(
        *(each.finish(made.id, RemedyState.HELPED, now=later(9), outcome="o", measured_after=0.1) for each in stores)
    )
    over = replace(one, state=RemedyState.HELPED, ended_at=later(9), outcome="o", measured_after=0.1)
    assert [row for row in ended if row is not None] == [over]
    assert await remedies.get(made.id) == over


async def test_one_remedy_at_a_time_is_under_way_in_a_scope(database: Database, remedies: RemedyStore) -> None:
    made = [await remedies.propose(remedy(incident_id=f"{n}")) for n in range(6)]
    elsewhere = await remedies.propose(remedy(incident_id="6", scope="participant stock"))
    stores = [remedies, RemedyStore(database)] * 3
    begun = await asyncio.gather(
        *(each.begin(row.id, now=noon, automatic=True) for each, row in zip(stores, made, strict=True))
    )
    (one,) = [row for row in begun if row is not None]
    assert await remedies.begin(elsewhere.id, now=noon, automatic=True) is not None
    await remedies.finish(one.id, RemedyState.ENDED, now=noon, outcome="its time was over", by="ann")
    (other, *_) = [row for row in made if row.id != one.id]
    begun_other = await remedies.begin(other.id, now=noon, automatic=True, ends_at=later(5))
    assert begun_other is not None
    assert begun_other.ends_at == later(5)


async def test_a_person_decides_what_waits_and_nothing_else(remedies: RemedyStore) -> None:
    asked = {"by": "ann", "reason": "r\x00"}
    made = await remedies.propose(remedy(tier="C"))
    shadow = await remedies.propose(remedy(kind="throttle", state=RemedyState.SHADOW))
    assert await remedies.begin(made.id, now=noon, automatic=False) is None  # nobody has approved it
    assert await remedies.begin(shadow.id, now=noon, automatic=True) is None  # it is not allowed
    approved = await remedies.approve(made.id, **asked, now=later(1))
    assert approved == replace(made, state=RemedyState.APPROVED, by="ann", reason="r\\x00", decided_at=later(1))
    assert await remedies.approve(made.id, **asked, now=later(2)) is None
    assert await remedies.begin(made.id, now=noon, automatic=True) is None  # it is a person's now
    assert await remedies.begin(made.id, now=later(3), automatic=False) is not None
    assert await remedies.reject(made.id, **asked, now=later(4)) is None
    rejected = await remedies.reject(shadow.id, **asked, now=later(4))
    assert rejected is not None
    assert (rejected.state, rejected.ended_at) == (RemedyState.REJECTED, later(4))
    assert await remedies.approve(shadow.id, **asked, now=later(5)) is None
    assert await remedies.finish(shadow.id, RemedyState.FAILED, now=noon, outcome="") is None
    with pytest.raises(ValueError, match="is not over"):
        await remedies.finish(made.id, RemedyState.PROPOSED, now=noon, outcome="")


async def test_what_was_begun_automatically_is_counted(remedies: RemedyStore) -> None:
    for n in range(4):
        made = await remedies.propose(remedy(incident_id=f"{n}", scope=f"s{n % 2}", tier="A"))
        if n == 3:
            await remedies.approve(made.id, by="ann", reason="r", now=noon)
        assert await remedies.begin(made.id, now=later(n), automatic=n < 3) is not None
        await remedies.finish(made.id, RemedyState.HELPED, now=later(n), outcome="")
    assert await remedies.automatic_since(noon) == 3
    assert await remedies.automatic_since(later(1)) == 2
    assert await remedies.automatic_since(noon, scope="s1") == 1
    assert await remedies.automatic_since(noon, kind="throttle") == 0


async def test_old_remedies_are_forgotten_unless_they_are_under_way_or_their_incident_is_open(
    database: Database, remedies: RemedyStore
) -> None:
    (incident_id,) = await IncidentStore(database).record([failure("a")], now=noon)
    made = [
        await remedies.propose(remedy(incident_id=owner, scope=owner)) for owner in (incident_id, "gone", "gone too")
    ]
    await remedies.begin(made[2].id, now=noon, automatic=True)
    assert await remedies.prune(noon + kept) == 0
    much_later = noon + kept + timedelta(seconds=1)
    assert [await remedies.prune(much_later), await remedies.prune(much_later)] == [1, 0]
    assert await remedies.get(made[1].id) is None
