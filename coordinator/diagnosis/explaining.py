"""A case is gathered and analysed: for an incident, whose report is kept, or for one saga, to whoever asks."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from coordinator.diagnosis.analyser import analyse
from coordinator.diagnosis.case import Case, SagaSeen
from coordinator.diagnosis.collector import Collector
from coordinator.diagnosis.report import Report
from coordinator.diagnosis.weaving import clash, digest_of, woven
from coordinator.errors import UnknownIncident
from coordinator.saga.state import SagaStatus
from coordinator.store.explained import ReportRow
from coordinator.store.incident_reader import IncidentReader
from coordinator.store.observed import IncidentStatus
from coordinator.store.reports import ReportStore

told_max = 200  # reports of sagas that are remembered
told_for = timedelta(seconds=15)  # of a saga, or an incident, that is not over: things change around it
nonces_max = 3
aside_rows_min = 500  # a case with more counts than this is analysed in a thread: the engine needs the time

_troubled = frozenset({"failed", "refused", "unknown", "fenced", "expired", "unsent"})


@dataclass(frozen=True, slots=True)
class Explained:
    """An incident's report, as it is kept. `changed`: it says something else than the one before, or is the first."""

    report: Report
    row: ReportRow
    changed: bool
    at: datetime  # when the case was gathered
    failures: int  # how many there were then
    first_at: datetime  # when the first of them was


@dataclass(frozen=True, slots=True)
class _Told:
    report: Report | None
    revision: int
    report_version: int
    until: datetime | None  # None: for good


class Explainer:
    """Explains on demand. `aside`: large cases are analysed in a thread."""

    def __init__(
        self,
        collector: Collector,
        incidents: IncidentReader,
        reports: ReportStore,
        *,
        now: Callable[[], datetime],
        aside: bool = True,
    ) -> None:
        self._collector, self._incidents, self._reports = collector, incidents, reports
        self._now, self._aside = now, aside
        self._told: OrderedDict[str, _Told] = OrderedDict()

    async def incident(self, incident_id: str) -> Explained:
        """Explain an incident by everything that is known now. Raises UnknownIncident, StoreUnavailable."""
        case, report = await self._explain(lambda: self._collector.incident(incident_id))
        if case.incident is None:
            raise UnknownIncident(incident_id)
        before = await self._reports.latest(incident_id)
        digest = digest_of(report)
        changed = before is None or before.digest != digest
        version = 1 if before is None else before.version + changed
        if before is not None and not changed:
            report = Report.model_validate_json(before.body)  # in the words it was told in
        else:
            report = report.model_copy(update={"incident_id": incident_id, "version": version})
        row = row_of(report, digest=digest, failures=case.incident.failures)
        return Explained(report, row, changed, case.at, case.incident.failures, case.incident.first_at)

    async def saga(self, saga_id: str) -> Report | None:
        """Why a saga failed, or fails, or is stuck. None: nothing of it did. Raises UnknownSaga, StoreUnavailable."""
        told = await self._remembered(saga_id)
        if told is not None:
            return told.report
        case, own = await self._explain(lambda: self._collector.saga(saga_id))
        report: Report | None = own.model_copy(update={"saga_id": saga_id})
        kept = await self._kept(case)
        for _ in range(nonces_max):
            if kept is None or not clash(kept, own):
                break
            case, own = await self._explain(lambda: self._collector.saga(saga_id))
        if kept is not None and not clash(kept, own):
            report = woven(kept, own.model_copy(update={"saga_id": saga_id}))
        if case.focus is None or not _in_trouble(case, case.focus):
            report = None
        self._remember(saga_id, case, kept, report)
        return report

    async def _explain(self, gather: Callable[[], Awaitable[Case]]) -> tuple[Case, Report]:
        began = time.perf_counter()
        case = await gather()
        if self._aside and len(case.tallies) + len(case.calls) > aside_rows_min:
            report = await asyncio.to_thread(analyse, case)
        else:
            report = analyse(case)
        milliseconds = round((time.perf_counter() - began) * 1000, 1)
        quality = report.quality.model_copy(update={"milliseconds": milliseconds})
        return case, report.model_copy(update={"quality": quality})

    async def _kept(self, case: Case) -> Report | None:
        """The report of the case's incident, if there is one yet."""
        if case.incident is None:
            return None
        row = await self._reports.latest(case.incident.id)
        return Report.model_validate_json(row.body) if row else None

    # -- what was told -----------------------------------------------------------------------------------------------

    async def _remembered(self, saga_id: str) -> _Told | None:
        told = self._told.get(saga_id)
        if told is None or (told.until is not None and self._now() >= told.until):
            return None
        revision, report_version = await self._collector.standing(saga_id)
        return told if (told.revision, told.report_version) == (revision, report_version) else None

    def _remember(self, saga_id: str, case: Case, kept: Report | None, report: Report | None) -> None:
        if case.focus is None:
            return
        saga, incident = case.focus.saga, case.incident
        over = saga.final and (incident is None or incident.status is not IncidentStatus.OPEN)
        until = None if over else case.at + told_for
        self._told[saga_id] = _Told(report, saga.revision, kept.version if kept else 0, until)
        self._told.move_to_end(saga_id)
        while len(self._told) > told_max:
            self._told.popitem(last=False)


def row_of(report: Report, *, digest: str, failures: int) -> ReportRow:
    """A report as it is kept."""
    verdict = report.verdict
    return ReportRow(
        incident_id=report.incident_id or "",
        version=report.version,
        at=report.created_at,
        source=report.source,
        cls=verdict.cls.value,
        culprit=str(verdict.culprit) if verdict.culprit else None,
        confidence=verdict.confidence,
        headline=report.headline,
        digest=digest,
        failures=failures,
        body=report.model_dump_json(),
    )


def _in_trouble(case: Case, seen: SagaSeen) -> bool:
    """Whether there is anything to explain: it failed, an attempt of it did, or it waits where nobody answers."""
    saga = seen.saga
    if saga.status not in (SagaStatus.COMPLETED, SagaStatus.RUNNING):
        return True
    if any(one.saga_id == saga.id for one in case.failures):
        return True
    unanswered = any(run.clock is not None and run.clock.extensions for run in saga.steps.values())
    return unanswered or any(attempt.outcome in _troubled for attempt in seen.attempts)
