"""A case holds what is known, in bounds, and names what it could not have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from coordinator.app import App
from coordinator.diagnosis import collector as collecting
from coordinator.diagnosis.case import failed_max, peers_max
from coordinator.diagnosis.collector import Collector, sampled
from coordinator.errors import UnknownSaga
from coordinator.saga.record import load_event
from coordinator.store.observed import Facet, FailedStep
from tests.diagnosis.conftest import House, diagnosis, failures, incidents
from tests.diagnosis.test_watch import failing, impatient
from tests.engine.conftest import final, start

noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
embedded = pytest.mark.parametrize("house", ["embedded"], indirect=True)


def failed(saga_id: str, fingerprint: str) -> FailedStep:
    texts = ("payment", "failed", "E", "", "t", fingerprint, "family", "w", "1")
    return FailedStep(saga_id, "charge", "action", noon, "chain", 1, *texts, attempts=1)


def facet(fingerprint: str, saga_id: str) -> Facet:
    return Facet("i", fingerprint, "chain.charge", "action", "t", "E", "", 1, noon, noon, saga_id)


def test_a_sample_takes_the_newest_and_the_oldest_of_each_kind_in_turn() -> None:
    newest_first = [failed(f"a{n}", "A") for n in range(9, 0, -1)] + [failed("b1", "B")]
    chosen = list(sampled(None, [facet("A", "a0"), facet("B", "b1"), facet("C", "c1")], newest_first))
    assert chosen[:5] == ["a9", "b1", "c1", "a0", "a8"]
    assert sorted(chosen) == [*(f"a{n}" for n in range(10)), "b1", "c1"]


def test_who_was_asked_for_goes_first_and_a_sample_is_bounded() -> None:
    many = [failed(f"a{n}", "A") for n in range(100)]
    chosen = list(sampled("a50", [], many))
    assert (chosen[0], len(chosen), len(set(chosen))) == ("a50", failed_max, failed_max)
    assert list(sampled("x", [], [])) == ["x"]


def collector(app: App) -> Collector:
    return diagnosis(app).reporter._explainer._collector


async def test_a_case_has_sagas_that_failed_and_those_that_went_well_around_them(house: House) -> None:
    app = await house.coordinator()
    script = failing("charge")
    puppets = await house.puppets(impatient)
    definition = await app.definitions.register(impatient, "test")
    well = [await start(app, definition, {"n": n}) for n in range(3)]
    for saga_id in well:
        await final(app, saga_id)
    puppets["payment"].script = script
    ill = [await start(app, definition, {"n": n}) for n in range(2)]
    for saga_id in ill:
        await final(app, saga_id)
    (incident,) = await incidents(app)
    case = await collector(app).incident(incident.id)
    assert {seen.saga.id for seen in case.failed} == set(ill)
    assert {seen.saga.id for seen in case.peers} == set(well)
    assert len(case.peers) <= peers_max
    assert case.missing == ()
    assert {one.place.step for one in case.tallies} == {"reserve", "charge", "ship"}
    assert {one.participant for one in case.workers} == {"inventory", "payment", "delivery"}
    (seen, *_) = case.failed
    assert [(one.command.step, one.number, one.outcome) for one in seen.attempts] == [
        ("reserve", 1, "succeeded"),
        ("charge", 1, "failed"),
        ("charge", 2, "failed"),
        ("reserve", 1, "succeeded"),
    ]
    assert [one.definition for one in case.failures] == ["chain", "chain"]
    assert case.since == incident.first_at - timedelta(minutes=30)
    other = await collector(app).incident(incident.id)
    assert other.nonce != case.nonce


@embedded
async def test_a_history_that_can_not_be_read_is_named_and_the_rest_is_there(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = await house.coordinator()
    await house.puppets(impatient, failing("charge"))
    definition = await app.definitions.register(impatient, "test")
    bad, good = [await start(app, definition) for _ in range(2)]
    for saga_id in (bad, good):
        await final(app, saga_id)
        await failures(app, saga_id)
    really = load_event

    def unreadable(name: str, facts: dict[str, object]) -> object:
        if name == "Replied" and broken:
            raise KeyError("of another release")
        return really(name, facts)

    broken = False
    monkeypatch.setattr("coordinator.diagnosis.collector.load_event", unreadable)
    case = await collector(app).saga(good)
    assert (case.focus and case.focus.saga.id, len(case.failed)) == (good, 2)
    broken = True
    (incident,) = await incidents(app)
    case = await collector(app).incident(incident.id)
    assert case.failed == ()
    assert set(case.missing) == {f"saga {bad}", f"saga {good}"}
    assert "can't be read" in caplog.text
    with pytest.raises(UnknownSaga):
        await collector(app).saga(good)


@embedded
async def test_a_long_history_is_read_of_the_saga_that_was_asked_for_or_where_all_are_long(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await house.coordinator()
    await house.puppets(impatient, failing("charge"))
    saga_id = await start(app, await app.definitions.register(impatient, "test"))
    await final(app, saga_id)
    await failures(app, saga_id)
    monkeypatch.setattr(collecting, "entries_of_a_saga_max", 2)
    (incident,) = await incidents(app)
    shortest = (await collector(app).incident(incident.id)).failed  # there is no shorter one to stand for it
    assert [seen.saga.id for seen in shortest] == [saga_id]
    monkeypatch.setattr(collecting, "entries_of_the_only_one_max", 2)
    assert (await collector(app).incident(incident.id)).failed == ()
    assert (await collector(app).saga(saga_id)).focus is not None
