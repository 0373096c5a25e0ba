"""Incidents are explained as they come due, sagas when somebody asks."""

from __future__ import annotations

import asyncio

from coordinator.diagnosis.report import Certainty
from tests.diagnosis.conftest import House, diagnosis, failures, incidents
from tests.diagnosis.test_watch import failing, impatient
from tests.engine.conftest import final, start


async def test_an_incident_is_explained_and_each_of_its_sagas_by_itself(house: House) -> None:
    app = await house.coordinator()
    await house.puppets(impatient, failing("charge"))
    definition = await app.definitions.register(impatient, "test")
    one, other = await asyncio.gather(start(app, definition, {"n": 1}), start(app, definition, {"n": 2}))
    await asyncio.gather(final(app, one), final(app, other))
    (failed,) = await failures(app, one)
    report = await diagnosis(app).reporter.refresh(failed.incident_id or "")
    assert (report.incident_id, report.version, report.symptom_step) == (failed.incident_id, 1, "chain.charge")
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
        assert own is await diagnosis(app).reporter.explain(saga_id)
