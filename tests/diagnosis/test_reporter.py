"""Incidents are explained as they come due, sagas when somebody asks; one incident's trouble is its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from amends.message import Answer, Command, Effect, Reply
from coordinator.app import App
from coordinator.diagnosis import reporter as reporting
from coordinator.diagnosis.case import Case
from coordinator.diagnosis.cause import Entity, EntityKind, FaultClass
from coordinator.diagnosis.report import Certainty, Flag, Hypothesis, Report
from coordinator.diagnosis.reporter import Reporter
from coordinator.errors import StoreUnavailable, UnknownIncident, UnknownSaga
from coordinator.store.observed import IncidentRow, IncidentStatus
from tests.diagnosis.conftest import House, diagnosis, failures, incidents
from tests.diagnosis.test_watch import failing, impatient
from tests.engine.conftest import all_final, final, start
from tests.engine.puppet import answer
from tests.waiting import eventually

embedded = pytest.mark.parametrize("house", ["embedded"], indirect=True)


async def failed(house: House, app: App, *steps: str) -> list[str]:
    """One saga for each of these steps, that failed there; their ids."""
    failing_at: dict[str, str] = {}

    def script(command: Command) -> Reply:
        if failing_at.get(command.saga_id) != command.handler:
            return answer(command)
        error = {"type": "ProviderError", "message": f"no {command.handler}", "code": "http 503"}
        return answer(command, Answer.FAILED, effect=Effect.NONE, error=error)

    await house.puppets(impatient, lambda command: None if command.saga_id not in failing_at else script(command))
    definition = await app.definitions.register(impatient, "test")
    ids = []
    for step in steps:
        saga_id = await start(app, definition, {"step": step})
        failing_at[saga_id] = step
        ids.append(saga_id)
    return ids


async def one_incident(house: House) -> tuple[App, str, IncidentRow]:
    """A coordinator, a saga that failed, and its incident."""
    app = await house.coordinator()
    await house.puppets(impatient, failing("charge"))
    saga_id = await start(app, await app.definitions.register(impatient, "test"))
    await final(app, saga_id)
    (incident,) = await incidents(app)
    return app, saga_id, incident


async def test_an_incident_is_explained_and_each_of_its_sagas_by_itself(house: House) -> None:
    app = await house.coordinator()
    await house.puppets(impatient, failing("charge"))
    definition = await app.definitions.register(impatient, "test")
    one, other = await asyncio.gather(start(app, definition, {"n": 1}), start(app, definition, {"n": 2}))
    await all_final(app, [one, other])
    (failure,) = await failures(app, one)
    report = await diagnosis(app).reporter.refresh(failure.incident_id or "")
    assert (report.incident_id, report.version, report.symptom_step) == (failure.incident_id, 1, "chain.charge")
    assert report.blast_radius.sagas_failed == 2
    (incident,) = await incidents(app)
    assert (incident.report_version, incident.headline) == (1, report.headline)
    for saga_id in (one, other):
        own = await diagnosis(app).reporter.explain(saga_id)
        assert own is not None
        assert (own.saga_id, own.incident_id, own.headline) == (saga_id, incident.id, report.headline)
        effects = {effect.step: effect.certainty for effect in own.effects}
        assert effects["reserve"] is Certainty.UNDONE
        assert effects["charge"] is Certainty.NOT_APPLIED
        known = {item.id for item in own.evidence}
        assert {cited for effect in own.effects for cited in effect.evidence} <= known
        assert own is await diagnosis(app).reporter.explain(saga_id)  # asked again, it is remembered


async def test_a_failure_is_reported_by_itself_within_seconds(house: House) -> None:
    app = await house.coordinator()
    told: list[Report] = []
    stop = diagnosis(app).reporter.subscribe(lambda incident, report: told.append(report))
    await house.puppets(impatient, failing("charge"))
    await final(app, await start(app, await app.definitions.register(impatient, "test")))

    async def reported() -> Report | None:
        return told[0] if told else None

    report = await eventually(reported, "a report")
    assert report.symptom_step == "chain.charge"
    stop()
    assert diagnosis(app).reporter._subscribers == ()


@embedded
async def test_a_report_that_says_the_same_is_no_new_version(house: House) -> None:
    app, _, incident = await one_incident(house)
    explain = diagnosis(app).reporter.refresh
    first = await explain(incident.id)
    await app.stores.sagas.load([])
    again = await explain(incident.id)
    assert (first.version, again.version) == (1, 1)
    assert again.headline == first.headline


@embedded
async def test_a_saga_that_went_well_needs_no_explanation(house: House) -> None:
    app = await house.coordinator()
    await house.puppets(impatient)
    saga_id = await start(app, await app.definitions.register(impatient, "test"))
    await final(app, saga_id)
    assert await diagnosis(app).reporter.explain(saga_id) is None


@embedded
async def test_a_saga_that_is_still_trying_is_explained_by_itself(house: House) -> None:
    app = await house.coordinator()
    document = {**impatient, "steps": [{**step, "retry": {"first": "1h"}} for step in impatient["steps"]]}
    await house.puppets(document, failing("reserve"))
    saga_id = await start(app, await app.definitions.register(document, "test"))

    async def tried() -> Report | None:
        diagnosis(app).reporter._explainer._told.clear()
        return await diagnosis(app).reporter.explain(saga_id)

    report = await eventually(tried, "a failing attempt")
    assert (report.saga_id, report.incident_id, report.symptom_step) == (saga_id, None, "chain.reserve")


@embedded
async def test_nobody_is_explained_who_is_not_there(house: House) -> None:
    app = await house.coordinator()
    with pytest.raises(UnknownSaga):
        await diagnosis(app).reporter.explain("00000000-0000-7000-8000-000000000000")
    with pytest.raises(UnknownIncident):
        await diagnosis(app).reporter.refresh("00000000-0000-7000-8000-000000000000")


# --- one of one cause -------------------------------------------------------------------------------------------------


def blaming(culprit: Callable[[Case], str], confidence: float = 0.9) -> Callable[[Case], Report]:
    """An analyser that finds a dependency unavailable, the one it is told to."""
    from coordinator.diagnosis.analyser import analyse

    def blame(case: Case) -> Report:
        entity = Entity(kind=EntityKind.DEPENDENCY, name=culprit(case))
        found = Hypothesis(rank=1, cls=FaultClass.DOWNSTREAM_UNAVAILABLE, culprit=entity, confidence=confidence)
        return analyse(case).model_copy(update={"hypotheses": (found,), "flags": frozenset()})

    return blame


async def two_incidents(house: House) -> App:
    app = await house.coordinator()
    ids = await failed(house, app, "charge", "reserve")
    for saga_id in ids:
        await final(app, saga_id)
    assert len(await incidents(app)) == 2
    return app


@embedded
async def test_incidents_with_one_culprit_become_one(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.diagnosis.explaining.analyse", blaming(lambda case: "card-provider"))
    app = await two_incidents(house)
    newer, older = await incidents(app)
    for incident in (newer, older):
        await diagnosis(app).reporter.refresh(incident.id)
    merged, kept = await incidents(app)
    assert (merged.status, merged.merged_into) == (IncidentStatus.MERGED, older.id)
    assert (kept.id, kept.status, kept.failures) == (older.id, IncidentStatus.OPEN, 2)
    report = await diagnosis(app).reporter.refresh(older.id)
    assert report.blast_radius.sagas_failed == 2


@embedded
async def test_incidents_with_different_culprits_never_become_one(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def culprit(case: Case) -> str:
        return case.failures[0].participant

    monkeypatch.setattr("coordinator.diagnosis.explaining.analyse", blaming(culprit))
    app = await two_incidents(house)
    for incident in await incidents(app):
        await diagnosis(app).reporter.refresh(incident.id)
    assert [one.status for one in await incidents(app)] == [IncidentStatus.OPEN] * 2


@embedded
async def test_a_guess_merges_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.diagnosis.explaining.analyse", blaming(lambda case: "card-provider", 0.4))
    app = await two_incidents(house)
    for incident in await incidents(app):
        await diagnosis(app).reporter.refresh(incident.id)
    assert [one.status for one in await incidents(app)] == [IncidentStatus.OPEN] * 2


# --- trouble ----------------------------------------------------------------------------------------------------------


async def due_now(app: App) -> Reporter:
    """The reporter, with everything due."""
    for incident in await incidents(app):
        await app.stores.incidents.ask(incident.id, now=app.clock.now())
    return diagnosis(app).reporter


@embedded
async def test_an_incident_that_can_not_be_explained_hinders_no_other_and_is_tried_later(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from coordinator.diagnosis.analyser import analyse

    asked: list[str] = []

    def poisoned(case: Case) -> Report:
        assert case.incident is not None
        asked.append(case.incident.family)
        if case.failures[0].step == "charge":
            raise RuntimeError("poison")
        return analyse(case)

    app = await two_incidents(house)
    monkeypatch.setattr("coordinator.diagnosis.explaining.analyse", poisoned)
    explaining = await due_now(app)
    with caplog.at_level(logging.ERROR):
        while await explaining.step():
            pass
    assert sorted(one.report_version for one in await incidents(app)) == [0, 1]
    assert explaining.failures == 1
    assert [record.action for record in caplog.records if hasattr(record, "action")] == ["diagnosis.failed"]
    count = len(asked)
    await due_now(app)
    while await explaining.step():
        pass
    assert [family for family in asked[count:] if "charge" in family or "payment" in family] == []


@embedded
async def test_a_dead_database_stops_neither_the_loops_nor_a_saga(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away = True

    async def unavailable(*_: Any, **__: Any) -> Any:
        if away:
            raise StoreUnavailable("away")
        return []

    monkeypatch.setattr("coordinator.diagnosis.watch.flush_seconds", 0.01)
    monkeypatch.setattr(reporting, "poll_seconds", 0.01)
    app = await house.coordinator()
    monkeypatch.setattr(app.stores.outcomes, "put", unavailable)
    monkeypatch.setattr(app.stores.incidents, "due", unavailable)
    await house.puppets(impatient, failing("charge"))
    saga_id = await start(app, await app.definitions.register(impatient, "test"))
    assert (await final(app, saga_id)).final

    async def told() -> bool:
        texts = [record.getMessage() for record in caplog.records]
        return any("wait" in text for text in texts) and any("Incidents wait" in text for text in texts)

    await eventually(told, "a warning of each loop")
    assert app.supervisor.dead() == []
    away = False
    (failure,) = await failures(app, saga_id)
    assert failure.step == "charge"
    assert diagnosis(app).ended == {}


@embedded
async def test_what_is_noted_last_is_written_at_the_end(house: House) -> None:
    app, saga_id, _ = await one_incident(house)
    await house.stop(app)
    again = await house.coordinator()
    assert [one.step for one in await failures(again, saga_id)] == ["charge"]


# --- the model, and what may be done ----------------------------------------------------------------------------------


class Parrot:
    """A model that says what a test tells it to."""

    def __init__(self, headline: str = "In other words", *, disagrees: bool = False) -> None:
        self.headline, self.disagrees = headline, disagrees
        self.asked: list[bool] = []
        self.error: Exception | None = None

    async def narrate(self, report: Report, *, asked: bool = False) -> Report:
        self.asked.append(asked)
        if self.error:
            raise self.error
        said = {"headline": self.headline, "source": "model", "model": "parrot", "contested": self.disagrees}
        flags = report.flags | ({Flag.INJECTION_SUSPECTED} if self.disagrees else frozenset())
        return report.model_copy(update={**said, "flags": flags})


class Nurse:
    """Remembers what it was asked to consider."""

    def __init__(self) -> None:
        self.considered: list[tuple[str, str]] = []
        self.doubts: list[tuple[bool, bool]] = []
        self.error: Exception | None = None

    async def consider(self, incident: IncidentRow, report: Report) -> None:
        self.considered.append((incident.id, report.headline))
        self.doubts.append((report.contested, Flag.INJECTION_SUSPECTED in report.flags))
        if self.error:
            raise self.error


def staffed(app: App, parrot: Parrot, nurse: Nurse) -> Reporter:
    """The reporter, with a model and a healer."""
    explaining = diagnosis(app).reporter
    explaining._narrator, explaining._healer = parrot, nurse
    return explaining


@embedded
async def test_a_report_is_there_at_once_and_worded_after(house: House) -> None:
    app, _, incident = await one_incident(house)
    parrot, nurse = Parrot(), Nurse()
    told: list[int] = []
    explaining = staffed(app, parrot, nurse)
    explaining.subscribe(lambda _, report: told.append(report.version))
    await due_now(app)

    async def healed() -> bool:
        return bool(nurse.considered)

    await eventually(healed, "the healer to be asked")
    assert told == [1, 2]
    by_rules = await app.stores.reports.get(incident.id, 1)
    assert by_rules is not None
    assert nurse.considered == [(incident.id, by_rules.headline)]  # what is done follows from the rules alone
    assert nurse.doubts == [(False, False)]
    assert parrot.asked == [False]
    kept = await app.stores.reports.latest(incident.id)
    assert kept is not None
    assert (kept.source, kept.version) == ("model", 2)
    assert (await explaining.refresh(incident.id)).headline == "In other words"
    assert parrot.asked == [False]  # it says the same on the same evidence


@embedded
async def test_who_asks_waits_for_the_model(house: House) -> None:
    app, _, incident = await one_incident(house)
    parrot, nurse = Parrot(), Nurse()
    report = await staffed(app, parrot, nurse).refresh(incident.id)
    assert (report.headline, report.source, parrot.asked) == ("In other words", "model", [True])


@embedded
async def test_what_the_model_doubts_is_told_to_the_healer_with_the_verdict_of_the_rules(house: House) -> None:
    app, _, incident = await one_incident(house)
    nurse = Nurse()
    report = await staffed(app, Parrot(disagrees=True), nurse).refresh(incident.id)
    assert report.contested
    by_rules = await app.stores.reports.get(incident.id, 1)
    assert by_rules is not None
    assert nurse.considered == [(incident.id, by_rules.headline)]
    assert nurse.doubts == [(True, True)]


@embedded
async def test_a_model_that_never_answers_is_not_waited_for(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Mute(Parrot):
        async def narrate(self, report: Report, *, asked: bool = False) -> Report:
            await asyncio.Event().wait()
            raise AssertionError

    monkeypatch.setattr(reporting, "narrate_seconds_max", 0.05)
    app, _, incident = await one_incident(house)
    nurse = Nurse()
    report = await staffed(app, Mute(), nurse).refresh(incident.id)
    assert report.source == "deterministic"
    assert nurse.considered == [(incident.id, report.headline)]
    assert "in vain" in caplog.text


@embedded
async def test_trouble_with_the_model_or_the_healer_ends_nothing(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    app, _, _ = await one_incident(house)
    parrot, nurse = Parrot(), Nurse()
    parrot.error = RuntimeError("out of words")
    explaining = staffed(app, parrot, nurse)
    await due_now(app)

    async def failed_once() -> bool:
        return explaining.failures == 1

    await eventually(failed_once, "the model to fail")
    assert explaining._waiting == 0
    parrot.error, nurse.error = None, StoreUnavailable("away")
    (incident,) = await incidents(app)
    await explaining.refresh(incident.id)
    assert "Remedies wait" in caplog.text
    assert diagnosis(app).ended == {}


@embedded
async def test_reports_that_find_no_room_stay_as_they_are(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "waiting_max", 0)
    app, _, _ = await one_incident(house)
    parrot, nurse = Parrot(), Nurse()
    explaining = staffed(app, parrot, nurse)
    await due_now(app)

    async def healed() -> bool:
        return bool(nurse.considered)

    await eventually(healed, "the healer to be asked")
    assert (parrot.asked, explaining.unworded) == ([], 1)
    assert diagnosis(app).dropped()["unworded"] == 1


@embedded
async def test_an_incident_that_is_over_needs_no_remedy(house: House) -> None:
    app, _, incident = await one_incident(house)
    nurse = Nurse()
    explaining = staffed(app, Parrot(), nurse)
    await app.stores.incidents.close_quiet(app.clock.now() + timedelta(hours=1))
    await explaining.refresh(incident.id)
    assert nurse.considered == []
