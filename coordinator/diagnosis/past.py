"""The incidents that are over, as candidates for "this was here before"; read once a minute, asked for each case."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from coordinator.diagnosis.case import PastIncident
from coordinator.store.incident_reader import IncidentReader
from coordinator.store.observed import IncidentRow, PastRow

fresh = timedelta(minutes=1)
past_max = 300


class PastIncidents:
    """The newest that are over and were explained. What a person said of one goes before what its report said."""

    def __init__(self, incidents: IncidentReader, now: Callable[[], datetime]) -> None:
        self._incidents, self._now = incidents, now
        self._read_at: datetime | None = None
        self._past: Sequence[PastIncident] = ()

    async def before(self, incident: IncidentRow | None) -> list[PastIncident]:
        """Those other than this one. Raises StoreUnavailable."""
        at = self._now()
        if self._read_at is None or at - self._read_at > fresh:
            self._past = [_past(row) for row in await self._incidents.past(limit=past_max)]
            self._read_at = at
        return [past for past in self._past if incident is None or past.incident_id != incident.id]


def _past(row: PastRow) -> PastIncident:
    incident = row.incident
    return PastIncident(
        incident_id=incident.id,
        at=incident.first_at,
        family=incident.family,
        fingerprints=frozenset(facet.fingerprint for facet in row.facets),
        steps=frozenset(facet.step for facet in row.facets),
        templates=tuple(facet.template for facet in row.facets),
        cls=row.true_class or incident.cls or "unknown",
        culprit=_culprit(row) or incident.culprit or "",
        headline=incident.headline,
        resolution=incident.resolution,
        verified=bool(row.verified) or row.true_class is not None,
    )


def _culprit(row: PastRow) -> str | None:
    if row.true_culprit is None:
        return None
    culprit = json.loads(row.true_culprit)
    return f"{culprit['kind']} {culprit['name']}"
