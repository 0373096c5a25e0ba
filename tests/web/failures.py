"""Failures for the API to tell of: real ones, of a payment that can't be reached, and rows made as others would."""

from __future__ import annotations

import copy
import json
from datetime import datetime
from typing import Any, Protocol

from amends.message import Answer, Command, Kind, Reply
from coordinator.app import App
from coordinator.diagnosis.diagnosis import Diagnosis
from coordinator.diagnosis.explaining import row_of
from coordinator.store.explained import RemedyRow, RemedyState
from coordinator.store.ids import new_id
from tests.diagnosis.reported import report
from tests.engine.puppet import answer
from tests.store.observed import failure
from tests.web.conftest import Site, chain

brittle: dict[str, Any] = copy.deepcopy(chain)
brittle["steps"][1]["retry"] = {"max_attempts": 2, "first": "10ms"}


def unreachable(command: Command) -> Reply:
    """Payment can't connect to its provider; everything else succeeds."""
    if (command.step, command.kind) == ("charge", Kind.ACTION):
        error = {"type": "ConnectTimeout", "message": "connecting to [card](https://evil.example):443 timed out"}
        return answer(command, Answer.FAILED, effect="none", error=error)
    return answer(command)


class Composed(Protocol):
    """Whatever has a coordinator in it."""

    app: App


def diagnosis_of(site: Composed) -> Diagnosis:
    found = site.app.diagnosis
    assert found is not None
    return found


async def failed_saga(site: Site) -> str:
    """A saga that was undone because payment can't be reached, and what the coordinator noticed of it written down."""
    await site.define(brittle)
    await site.puppets(brittle, unreachable)
    saga_id = await site.begin()
    assert (await site.end(saga_id))["status"] == "compensated"
    await diagnosis_of(site).watch.flush()
    return saga_id


async def incident(site: Composed, *, sagas: int = 1, family: str = "payment:timeout", step: str = "charge") -> str:
    """An incident of so many sagas; its id."""
    now = site.app.clock.now()
    ids = [new_id(now) for _ in range(sagas)]
    failures = [failure(saga_id, family=family, step=step, at=now) for saga_id in ids]
    (incident_id,) = await diagnosis_of(site).incidents.record(failures, now=now, debounce_seconds=3600)
    return incident_id


async def reported(site: Composed, incident_id: str, version: int = 1, **more: Any) -> None:
    """A report of it."""
    made = report(**{"incident_id": incident_id, "saga_id": None, "version": version, **more})
    assert await diagnosis_of(site).reports.put(row_of(made, digest=f"d{version}", failures=1), due_at=None)


async def remedy(site: Composed, incident_id: str, state: RemedyState = RemedyState.PROPOSED, **more: Any) -> str:
    now: datetime = site.app.clock.now()
    row = RemedyRow(
        id=new_id(now),
        incident_id=incident_id,
        report_version=1,
        kind="open_circuit",
        scope="participant payment",
        target=json.dumps({"participant": "payment", "seconds": 60}),
        tier="A",
        state=state,
        evidence=json.dumps(["E01-k3q"]),
        reason="card-provider answers nobody",
        proposed_at=now,
        **more,
    )
    return (await diagnosis_of(site).remedies.propose(row)).id
