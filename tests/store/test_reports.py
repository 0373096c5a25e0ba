"""Reports by version, what people said of them, and what the model was asked and cost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from coordinator.store.database import Database
from coordinator.store.explained import FeedbackRow, ModelCall, ReportRow, Spent, Verdict
from coordinator.store.incident_reader import IncidentReader
from coordinator.store.incidents import IncidentStore
from coordinator.store.reports import ReportStore, calls_kept, kept
from tests.store.made import later, noon
from tests.store.observed import failure


@pytest.fixture
def reports(database: Database) -> ReportStore:
    return ReportStore(database)


@pytest.fixture
def store(database: Database) -> IncidentStore:
    return IncidentStore(database)


@pytest.fixture
def look(database: Database) -> IncidentReader:
    return IncidentReader(database)


@pytest.fixture
async def incident_id(store: IncidentStore) -> str:
    (opened,) = await store.record([failure("a")], now=noon)
    return opened


def report(incident_id: str, version: int = 1, **values: Any) -> ReportRow:
    made = ReportRow(
        incident_id=incident_id,
        version=version,
        at=later(10),
        source="deterministic",
        cls="downstream_timeout",
        culprit="dependency card-provider",
        confidence=0.9,
        headline="card-provider answers too late",
        digest="d1",
        failures=1,
        body='{"headline":"ünï"}',
    )
    return replace(made, **values)


async def test_a_report_comes_back_and_its_incident_shows_it(
    reports: ReportStore, look: IncidentReader, incident_id: str
) -> None:
    first, second = report(incident_id), report(incident_id, 2, source="model", headline="it is late", culprit=None)
    assert await reports.put(first)
    assert await reports.put(second, due_at=later(60))
    assert await reports.latest(incident_id) == second
    assert await reports.get(incident_id, 1) == first
    assert await reports.get(incident_id, 3) is None
    assert await reports.versions(incident_id) == [2, 1]
    incident = await look.get(incident_id)
    assert incident is not None
    assert (incident.cls, incident.culprit, incident.confidence) == ("downstream_timeout", None, 0.9)
    assert (incident.headline, incident.report_version, incident.reported_failures) == ("it is late", 2, 1)
    assert incident.due_at == later(60)


async def test_of_two_who_write_the_same_version_one_does(
    database: Database, reports: ReportStore, incident_id: str
) -> None:
    headlines = [f"{n}" for n in range(6)]
    stores = [reports, ReportStore(database)] * 3
    puts = (each.put(report(incident_id, headline=headline)) for each, headline in zip(stores, headlines, strict=True))
    assert sorted(await asyncio.gather(*puts)) == [False] * 5 + [True]
    assert not await reports.put(report("nobody"))
    assert await reports.latest("nobody") is None


async def test_what_came_while_a_case_was_analysed_is_analysed_again(
    reports: ReportStore, store: IncidentStore, incident_id: str
) -> None:
    assert await store.due(later(10), limit=9, lease_seconds=30) == [incident_id]
    await store.record([failure(f"{n}") for n in range(9)], now=later(11))
    assert await reports.put(report(incident_id))
    assert await store.due(later(12), limit=9, lease_seconds=30) == [incident_id]  # ten times as many
    await store.close_quiet(later(700))
    assert await reports.put(report(incident_id, 2, at=later(13), failures=10))
    assert await store.due(later(700), limit=9, lease_seconds=30) == [incident_id]  # a last report is to come
    assert await reports.put(report(incident_id, 3, at=later(701), failures=10))
    assert await store.due(later(9999), limit=9, lease_seconds=30) == []


async def test_an_incident_that_became_part_of_another_is_not_analysed_again(
    reports: ReportStore, store: IncidentStore, incident_id: str
) -> None:
    (into,) = await store.record([failure("b", family="x")], now=noon)
    assert await store.merge(into, [incident_id], now=later(1))
    await reports.put(report(incident_id, at=noon), due_at=later(2))
    assert await store.due(later(9999), limit=9, lease_seconds=30) == [into]


async def test_a_report_on_the_same_evidence_is_found(reports: ReportStore, incident_id: str) -> None:
    await reports.put(report(incident_id))
    await reports.put(report(incident_id, 2, source="model", at=later(11)))
    await reports.put(report(incident_id, 3, digest="d2", at=later(12)))
    found = [await reports.cached("d1"), await reports.cached("d1", source="deterministic"), await reports.cached("d3")]
    assert [row and row.version for row in found] == [2, 1, None]
    assert await reports.cached("d2", source="model") is None


async def test_what_a_person_says_is_kept_and_the_past_knows_it(
    reports: ReportStore, store: IncidentStore, look: IncidentReader, incident_id: str
) -> None:
    await reports.put(report(incident_id))
    assert await reports.said(incident_id) is None
    wrong = FeedbackRow(
        incident_id, 1, "ann", later(20), Verdict.WRONG, "bad_deploy", '{"kind": "worker_version"}', "rolled back"
    )
    assert await reports.say(wrong)
    assert await reports.said(incident_id) == wrong
    await store.close_quiet(later(9999))
    (past,) = await look.past()
    assert (past.verified, past.true_class, past.true_culprit) == (False, "bad_deploy", '{"kind": "worker_version"}')
    assert (past.incident.resolution, past.incident.resolved_by) == ("rolled back", "ann")
    right = FeedbackRow(incident_id, 1, "bob", later(30), Verdict.CORRECT)
    assert await reports.say(right)
    assert await reports.said(incident_id) == right
    (past,) = await look.past()
    assert (past.verified, past.true_class, past.incident.resolution) == (True, None, "rolled back")
    assert await reports.say(replace(right, verdict=None))
    assert (await look.past())[0].verified is None
    assert not await reports.say(replace(right, incident_id="nobody"))


async def test_what_no_database_can_hold_is_kept_legibly(reports: ReportStore, incident_id: str) -> None:
    assert await reports.put(report(incident_id, headline="\x00" * 999, body='{"a":"\x00\ud800"}', digest="\x00"))
    kept_report = await reports.latest(incident_id)
    assert kept_report is not None
    assert kept_report.body == '{"a":"\\ud800"}'
    assert kept_report.digest == "\\x00"


async def test_of_many_who_would_ask_the_model_one_does(
    database: Database, reports: ReportStore, incident_id: str
) -> None:
    async def claim(seconds: float, each: ReportStore = reports) -> bool:
        return await each.claim_call(incident_id, "d1", now=later(seconds), lease_seconds=30)

    claims = await asyncio.gather(*(claim(n / 10, each) for n, each in enumerate([reports, ReportStore(database)] * 5)))
    assert sorted(claims) == [False] * 9 + [True]
    assert not await claim(29)
    assert await reports.claim_call(incident_id, "d2", now=noon, lease_seconds=30)
    assert await claim(31)
    assert not await claim(32)


async def test_what_the_model_cost_is_summed(reports: ReportStore, incident_id: str) -> None:
    call = ModelCall(noon, "small", "schema", "ok", 900, 100, 12.5)
    assert await reports.spent(noon) == Spent(0, 0, 0)
    await reports.called(replace(call, at=later(-1)))
    await reports.called(call)
    await reports.called(replace(call, incident_id=incident_id, outcome="\x00" * 999))
    assert await reports.spent(noon) == Spent(2, 1800, 200)
    assert await reports.spent(noon, incident_id=incident_id) == Spent(1, 900, 100)


async def test_what_is_old_is_forgotten_unless_its_incident_is_open(
    reports: ReportStore, store: IncidentStore, incident_id: str
) -> None:
    await reports.put(report(incident_id))
    await reports.say(FeedbackRow(incident_id, 1, "ann", noon, Verdict.CORRECT))
    await reports.called(ModelCall(noon, "small", "schema", "ok", 1, 1, 1.0))
    await reports.claim_call(incident_id, "d1", now=noon, lease_seconds=30)
    two_days, a_month = noon + calls_kept + timedelta(minutes=1), noon + kept + timedelta(minutes=1)
    assert [await reports.prune(two_days), await reports.prune(two_days)] == [2, 0]
    assert await reports.spent(later(-9)) == Spent(0, 0, 0)
    assert await reports.prune(a_month) == 0
    await store.close_quiet(a_month)
    assert await reports.prune(a_month) == 1
    assert await reports.said(incident_id) is not None
    while await store.prune(a_month):
        pass
    assert await reports.prune(a_month) == 1
    assert await reports.said(incident_id) is None
