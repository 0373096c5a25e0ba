"""Failures become incidents: one per cause, counted once, analysed when it is worth it, over when it is quiet."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from coordinator.store.database import Database
from coordinator.store.incident_reader import IncidentReader, standing_max
from coordinator.store.incidents import IncidentStore, kept, merged_max
from coordinator.store.observed import Facet, FailedStep, IncidentFilter, IncidentRow, IncidentStatus, Standing
from coordinator.store.schema_diagnosis import facets, failed_steps, incidents
from tests.store.made import count, later, noon
from tests.store.observed import failure


@pytest.fixture
def store(database: Database) -> IncidentStore:
    return IncidentStore(database)


@pytest.fixture
def look(database: Database) -> IncidentReader:
    return IncidentReader(database)


async def one(store: IncidentStore, *failures: FailedStep, seconds: float = 0) -> str:
    """Record failures that belong together; their incident."""
    (incident_id,) = await store.record(failures, now=later(seconds))
    return incident_id


async def seen(look: IncidentReader, incident_id: str) -> IncidentRow:
    found = await look.get(incident_id)
    assert found is not None
    return found


async def reported(database: Database, incident_id: str, failures: int) -> None:
    values = {"reported_failures": failures, "due_at": None, "cls": "downstream_timeout"}
    async with database.begin() as connection:
        await connection.execute(sa.update(incidents).values(values).where(incidents.c.id == incident_id))


async def test_failures_of_a_family_are_one_incident_with_a_facet_per_fingerprint(
    store: IncidentStore, look: IncidentReader
) -> None:
    first, second = failure("a"), failure("b", at=later(2), fingerprint="f2", template="refused", code="")
    incident_id = await one(store, first, second, seconds=3)
    assert await store.record([failure("c", at=later(1))], now=later(4)) == {incident_id}
    assert await look.get(incident_id) == IncidentRow(
        id=incident_id,
        family="payment:downstream_timeout",
        status=IncidentStatus.OPEN,
        opened_at=later(3),
        first_at=noon,
        last_at=later(2),
        failures=3,
        due_at=later(8),
    )
    step, error = "place-order.charge", ("action", "no answer from <host> in <n> s", "ConnectTimeout", "http 504")
    assert await look.facets(incident_id) == [
        Facet(incident_id, "f1" * 20, step, *error, 2, noon, later(1), "a"),
        Facet(incident_id, "f2", step, "action", "refused", "ConnectTimeout", "", 1, later(2), later(2), "b"),
    ]
    newest = await look.failures(incident_id, limit=2)
    assert newest == [replace(second, incident_id=incident_id), failure("c", at=later(1), incident_id=incident_id)]
    assert await look.failures_of("a") == [replace(first, incident_id=incident_id)]
    assert await look.get("nobody") is None


async def test_a_failure_reported_twice_counts_once(store: IncidentStore, look: IncidentReader) -> None:
    incident_id = await one(store, failure("a"), failure("a", code="another"))
    again = [failure("a"), failure("b"), failure("a", kind="compensation")]
    assert await store.record(again, now=noon) == {incident_id}
    assert await store.record(again, now=noon) == frozenset()
    assert await store.record([failure("a", family="another")], now=noon) == frozenset()
    assert (await seen(look, incident_id)).failures == 3
    assert (await look.facets(incident_id))[0].count == 3


async def test_those_who_record_at_once_open_one_incident_and_lose_no_count(
    database: Database, store: IncidentStore, look: IncidentReader
) -> None:
    async def record(first: int) -> None:
        # Each overlaps with the next by half, as two coordinators do that saw the same.
        batch = [failure(f"s{n:04}", fingerprint=f"f{n % 3}") for n in range(first, first + 50)]
        await store.record(batch, now=noon)

    other = IncidentStore(database)
    work = [record(25 * n) for n in range(8)]
    work += [_times(other, 10)]
    await asyncio.gather(*work)
    (incident,) = (await look.page()).items
    assert incident.failures == 225 == await count(database, failed_steps)
    assert sum(facet.count for facet in await look.facets(incident.id)) == 225


async def _times(store: IncidentStore, times: int) -> None:
    for n in range(times):
        await store.record([failure(f"s{n:04}")], now=noon)


async def test_ten_thousand_failures_for_one_reason_are_one_incident(
    database: Database, store: IncidentStore, look: IncidentReader
) -> None:
    statements = 0

    def note(*_: object) -> None:
        nonlocal statements
        statements += 1

    sa.event.listen(database._writer.sync_engine, "before_cursor_execute", note)
    for first in range(0, 10_000, 500):
        await store.record([failure(f"s{n:05}") for n in range(first, first + 500)], now=noon)
    assert statements <= 20 * 7
    (incident,) = (await look.page()).items
    assert incident.failures == 10_000
    assert (await count(database, failed_steps), await count(database, facets)) == (10_000, 1)


async def test_after_ten_quiet_minutes_a_family_is_another_incident(store: IncidentStore, look: IncidentReader) -> None:
    first = await one(store, failure("a"))
    assert await one(store, failure("b", at=later(600)), seconds=600) == first
    second = await one(store, failure("c", at=later(1200.1)), seconds=1201)
    assert second != first
    ended = await seen(look, first)
    assert (ended.status, ended.closed_at, ended.due_at) == (IncidentStatus.CLOSED, later(1201), later(1201))
    assert (await seen(look, second)).failures == 1


async def test_what_is_quiet_is_closed_and_reported_a_last_time(
    database: Database, store: IncidentStore, look: IncidentReader
) -> None:
    quiet, loud = await one(store, failure("a")), await one(store, failure("b", at=later(1), family="another"))
    await reported(database, quiet, 1)
    assert await store.close_quiet(later(600)) == []
    assert await store.close_quiet(later(600.5)) == [quiet]
    assert await store.close_quiet(later(600.5)) == []
    assert (await seen(look, loud)).status is IncidentStatus.OPEN
    assert quiet in await store.due(later(600.5), limit=10, lease_seconds=30)


async def test_an_incident_is_due_five_seconds_after_it_opened_then_when_it_has_grown_tenfold(
    database: Database, store: IncidentStore
) -> None:
    incident_id = await one(store, failure("0"))
    assert await store.due(later(4.9), limit=10, lease_seconds=30) == []
    assert await store.due(later(5), limit=10, lease_seconds=30) == [incident_id]
    assert await store.due(later(34.9), limit=10, lease_seconds=30) == []
    assert await store.due(later(35), limit=10, lease_seconds=30) == [incident_id]
    await reported(database, incident_id, 1)
    await store.record([failure(f"{n}") for n in range(1, 9)], now=later(40))
    assert await store.due(later(40), limit=10, lease_seconds=30) == []
    await store.record([failure("9")], now=later(41))
    assert await store.due(later(41), limit=10, lease_seconds=30) == [incident_id]
    await store.record([failure(f"{n}") for n in range(10, 20)], now=later(42))
    assert await store.due(later(42), limit=10, lease_seconds=30) == []  # somebody is at it


async def test_no_two_claim_the_same_incident(database: Database, store: IncidentStore) -> None:
    await store.record([failure(f"{n}", family=f"{n:02}") for n in range(20)], now=noon)
    stores = [store, IncidentStore(database)]
    claims = await asyncio.gather(*(each.due(later(9), limit=7, lease_seconds=9) for each in stores * 2))
    claimed = [incident_id for claim in claims for incident_id in claim]
    assert len(claimed) == len(set(claimed))
    assert await store.ask(claimed[0], now=later(10))
    assert claimed[0] in await store.due(later(10), limit=50, lease_seconds=9)
    assert not await store.ask("nobody", now=later(10))


async def test_incidents_of_one_cause_become_one(
    database: Database, store: IncidentStore, look: IncidentReader
) -> None:
    into = await one(store, failure("a", at=later(5)))
    other = await one(store, failure("b", family="x"), failure("c", at=later(9), family="x", fingerprint="f2"))
    third = await one(store, failure("d", family="y", at=later(6)))
    assert await store.merge(other, [third], now=later(10))
    assert await store.merge(into, [other], now=later(11))
    whole = await seen(look, into)
    assert (whole.failures, whole.first_at, whole.last_at, whole.due_at) == (4, noon, later(9), later(11))
    part = await seen(look, third)
    assert (part.status, part.merged_into, part.due_at) == (IncidentStatus.MERGED, into, None)
    assert [(facet.fingerprint, facet.count) for facet in await look.facets(into)] == [("f1" * 20, 3), ("f2", 1)]
    assert len(await look.failures(into)) == 4
    assert await look.facets(other) == []
    assert not await store.ask(other, now=noon)
    # What comes later of their families goes where they went.
    late = [failure("e", family="x", at=later(20)), failure("f", family="y", at=later(20))]
    assert await store.record([*late, failure("g", at=later(20))], now=later(20)) == {into}
    assert (await seen(look, into)).failures == 7


async def test_a_family_is_on_its_own_again_when_what_it_became_part_of_is_over(
    store: IncidentStore, look: IncidentReader
) -> None:
    into, other = await one(store, failure("a")), await one(store, failure("b", family="x"))
    assert await store.merge(into, [other], now=noon)
    again = await one(store, failure("c", family="x", at=later(700)), seconds=700)
    assert again not in (into, other)
    assert (await seen(look, into)).status is IncidentStatus.CLOSED
    assert await one(store, failure("d", family="x", at=later(701)), seconds=701) == again


async def test_only_open_incidents_are_merged_and_all_of_them_or_none(
    store: IncidentStore, look: IncidentReader
) -> None:
    into, other = await one(store, failure("a")), await one(store, failure("b", family="x"))
    assert not await store.merge(into, [other, "nobody"], now=noon)
    assert not await store.merge("nobody", [other], now=noon)
    assert (await seen(look, other)).status is IncidentStatus.OPEN
    assert await store.merge(into, [other], now=noon)
    assert not await store.merge(into, [other], now=noon)
    for others in ([into], [f"{n}" for n in range(merged_max + 1)]):
        with pytest.raises(ValueError, match="never itself"):
            await store.merge(into, others, now=noon)


async def test_merging_and_recording_at_once_loses_nothing(
    database: Database, store: IncidentStore, look: IncidentReader
) -> None:
    into, other = await one(store, failure("a")), await one(store, failure("b", family="x"))
    more = (store.record([failure(f"x{n}", family="x")], now=noon) for n in range(20))
    await asyncio.gather(*more, IncidentStore(database).merge(into, [other], now=noon))
    assert (await seen(look, into)).failures == 22
    assert len(await look.failures(into)) == 22
    assert sum(facet.count for facet in await look.facets(into)) == 22


async def test_incidents_are_listed_newest_first_and_by_what_they_are_about(
    database: Database, store: IncidentStore, look: IncidentReader
) -> None:
    ids = [await one(store, failure(f"{n}", family=f"{n}", at=later(n)), seconds=n) for n in range(5)]
    elsewhere = failure("e", family="e", participant="stock", definition="return-order", step="restock")
    other = await one(store, elsewhere, seconds=6)
    await reported(database, other, 1)
    pages = [await look.page(limit=4)]
    assert pages[0].cursor is not None
    pages.append(await look.page(limit=4, cursor=pages[0].cursor))
    assert [item.id for page in pages for item in page.items] == [other, *reversed(ids)]
    assert pages[1].cursor is None
    for chosen in (
        IncidentFilter(participant="stock"),
        IncidentFilter(definition="return-order"),
        IncidentFilter(step="return-order.restock", status=IncidentStatus.OPEN),
        IncidentFilter(cls="downstream_timeout"),
    ):
        assert [item.id for item in (await look.page(chosen)).items] == [other]
    assert (await look.page(IncidentFilter(status=IncidentStatus.CLOSED))).items == ()
    assert (await look.page(IncidentFilter(participant="payment", step="return-order.restock"))).items == ()


async def test_the_past_is_what_is_over_and_was_explained(
    database: Database, store: IncidentStore, look: IncidentReader
) -> None:
    ids = [await one(store, failure(f"{n}", family=f"{n}", fingerprint="f"), seconds=n) for n in range(3)]
    many = [failure(f"m{n}", family="2", fingerprint=f"f{n % 12:02}", template=f"t{n % 12}") for n in range(30)]
    await store.record(many, now=noon)
    assert await look.past() == []
    for incident_id in ids[1:]:
        await reported(database, incident_id, 1)
    await store.close_quiet(later(9999))
    newest, older = await look.past()
    assert (newest.incident.id, older.incident.id) == (ids[2], ids[1])
    assert (newest.verified, newest.true_class) == (None, None)
    assert [facet.count for facet in newest.facets] == [3] * 6 + [2] * 4  # the ten most frequent
    assert [facet.fingerprint for facet in older.facets] == ["f"]
    assert await store.resolve(ids[1], by="ann", resolution="a new certificate", now=later(10_000))
    (_, older) = await look.past(limit=2)
    said = older.incident
    assert (said.resolution, said.resolved_by, said.resolved_at) == ("a new certificate", "ann", later(10_000))
    assert not await store.resolve("nobody", by="ann", resolution="", now=noon)
    assert len(await look.past(limit=1)) == 1


async def test_what_no_database_can_hold_is_kept_legibly(store: IncidentStore, look: IncidentReader) -> None:
    wild = failure("a\x00", template="\ud800" + "x" * 9999, family="\x00" * 999, code="c" * 999, business_key="\x00")
    incident_id = await one(store, wild)
    assert await one(store, replace(wild, saga_id="b")) == incident_id
    (kept_b, kept_a) = await look.failures(incident_id)
    assert (kept_b.saga_id, kept_a.saga_id, kept_a.business_key) == ("b", "a\\x00", "\\x00")
    assert len(kept_a.template) <= 510
    assert len(kept_a.code) == 80


async def test_what_is_over_and_old_is_forgotten_and_what_is_open_never(
    database: Database, store: IncidentStore, look: IncidentReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coordinator.store.pruning.rows_max", 3)
    old = await one(store, *(failure(f"a{n}", family="x") for n in range(5)))
    merged = await one(store, failure("b", family="y"))
    steady = await one(store, failure("c"))
    assert await store.merge(steady, [merged], now=noon)
    much_later = noon + kept + timedelta(hours=1)
    async with database.begin() as connection:  # it never came to rest
        grown = sa.update(incidents).values(last_at=much_later).where(incidents.c.id == steady)
        await connection.execute(grown)
    assert await store.close_quiet(much_later) == [old]
    assert await store.prune(noon + kept) == 0
    assert [await store.prune(much_later) for _ in range(3)] == [3, 3, 0]
    assert await look.get(old) is None
    assert await look.facets(old) == []
    assert (await seen(look, merged)).merged_into == steady  # failures of its family still go there
    assert len(await look.failures(steady)) == 2


async def test_how_many_sagas_are_concerned_is_counted(database: Database, look: IncidentReader) -> None:
    values = (
        "INSERT INTO sagas (id, definition, version, status, direction, revision, trace_id, created_at, updated_at,"
        " finished_at, record, input) VALUES ('{0}', '{1}', 1, '{2}', 'forward', 1, '', 0, 0, {3}, '{{}}', 'null')"
    )
    rows = [("a", "x", "blocked", "NULL"), ("b", "x", "running", "NULL"), ("c", "x", "completed", "0")]
    rows += [("d", "y", "blocked", "NULL"), ("e", "y", "compensating", "NULL")]
    async with database.begin() as connection:
        for row in rows:
            await connection.exec_driver_sql(values.format(*row))
        for saga_id, step in (("a", "s"), ("a", "t"), ("d", "s")):
            text = (
                f"INSERT INTO steps (saga_id, name, status, record) VALUES ('{saga_id}', '{step}', 'blocked', '{{}}')"
            )
            await connection.exec_driver_sql(text)
    assert await look.standing({"x.s", "x.t"}, {"x"}) == Standing(stuck=1, at_risk=2)
    assert await look.standing({"x.s", "y.s"}, {"x", "y"}) == Standing(stuck=2, at_risk=4)
    assert await look.standing((), ()) == Standing(0, 0)
    assert standing_max >= 10_000
