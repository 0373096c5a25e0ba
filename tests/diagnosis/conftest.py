"""The diagnosis of coordinators that really run: the engine's house, with a quick way from a failure to its report."""

from __future__ import annotations

from coordinator.app import App
from coordinator.diagnosis.diagnosis import Diagnosis
from coordinator.store.observed import FailedStep, IncidentRow
from tests.engine.conftest import House as House
from tests.engine.conftest import house as house
from tests.waiting import eventually


def diagnosis(app: App) -> Diagnosis:
    assert app.diagnosis is not None
    return app.diagnosis


async def incidents(app: App) -> list[IncidentRow]:
    """What failed so far, as incidents, the newest first."""
    await diagnosis(app).watch.flush()
    return list((await app.stores.incident_reader.page()).items)


async def failures(app: App, saga_id: str) -> list[FailedStep]:
    """The failures of one saga, once there are any."""

    async def noted() -> list[FailedStep] | None:
        await diagnosis(app).watch.flush()
        return await app.stores.incident_reader.failures_of(saga_id) or None

    return await eventually(noted, f"a failure of saga {saga_id}")
