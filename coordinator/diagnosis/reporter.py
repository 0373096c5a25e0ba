"""The loop that explains: incidents that are due are gathered, analysed and told of, as often as there is news.

It stands beside the sagas' way: nothing waits for it. One incident's trouble is its own: it is logged, and tried again
later and later. A report is there within the second; what a model makes of its wording, and what may be done about it,
come after.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from coordinator.diagnosis.explaining import Explained, Explainer, row_of
from coordinator.diagnosis.incidents import may_merge, of_one_cause
from coordinator.diagnosis.report import Report
from coordinator.errors import CoordinatorError, StoreUnavailable
from coordinator.store.incident_reader import IncidentReader
from coordinator.store.incidents import IncidentStore
from coordinator.store.observed import IncidentFilter, IncidentRow, IncidentStatus
from coordinator.store.reports import ReportStore
from coordinator.supervisor import uncut

log = logging.getLogger(__name__)

poll_seconds = 1.0
due_max = 4  # incidents claimed at once
lease_seconds = 60.0  # an incident that was claimed and not reported is due again after this
quiet_every = 10  # polls between two looks for incidents that are over
open_max = 200  # open incidents of one class that are compared
narrating_max = 2  # reports that are with the model at once
waiting_max = 50  # reports that wait for it; beyond this they stay as they are
narrate_seconds_max = 60.0  # the narrator has a deadline of its own; this is for one that forgets it
backoff_seconds_max = 3600.0
poisoned_max = 1_000

# Some evidence comes late: a worker counts as lost after three of its intervals, a reply may yet come. So an incident
# is looked at again when it is this old.
looks_again = (timedelta(seconds=25), timedelta(minutes=3))


class Narrator(Protocol):
    """Words a report. What can't be worded comes back as it was."""

    async def narrate(self, report: Report, *, asked: bool = False) -> Report: ...


class Healer(Protocol):
    """Does what may be done about an incident without a person."""

    async def consider(self, incident: IncidentRow, report: Report) -> None: ...


Subscriber = Callable[[IncidentRow, Report], None]


class Reporter:
    """Explains incidents as they come due, and sagas when somebody asks."""

    def __init__(
        self,
        explainer: Explainer,
        incidents: IncidentStore,
        reader: IncidentReader,
        reports: ReportStore,
        *,
        now: Callable[[], datetime],
        narrator: Narrator | None = None,
        healer: Healer | None = None,
    ) -> None:
        self._explainer, self._incidents, self._reader, self._reports = explainer, incidents, reader, reports
        self._now, self._narrator, self._healer = now, narrator, healer
        self._subscribers: tuple[Subscriber, ...] = ()
        self._narrating = asyncio.Semaphore(narrating_max)
        self._waiting = 0
        self._polls = 0
        self._tasks: asyncio.TaskGroup | None = None
        self._poisoned: dict[str, tuple[int, datetime]] = {}  # incident -> how often it failed, when to try again
        self.failures = 0  # analyses that came to nothing
        self.unworded = 0  # reports that were not given to the model for want of room

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Tell this one of each new report; returns how to stop that. It must not raise."""
        self._subscribers = (*self._subscribers, subscriber)

        def leave() -> None:
            self._subscribers = tuple(one for one in self._subscribers if one is not subscriber)

        return leave

    async def run(self) -> None:
        """Explain what is due until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                while True:
                    try:
                        worked = await self.step()
                    except StoreUnavailable as error:
                        worked = 0
                        log.warning("Incidents wait: %s", error, extra={"action": "diagnosis.store_unavailable"})
                    if worked < due_max:
                        await asyncio.sleep(poll_seconds)
            finally:
                self._tasks = None

    async def step(self) -> int:
        """Explain what is due now; how many incidents that were. Raises StoreUnavailable."""
        if self._polls % quiet_every == 0:
            for incident_id in await uncut(self._incidents.close_quiet(self._now())):
                log.info("Incident %s is over", incident_id, extra={"action": "incident.closed"})
        self._polls += 1
        due = await uncut(self._incidents.due(self._now(), limit=due_max, lease_seconds=lease_seconds))
        for incident_id in due:
            await self._try(incident_id)
        return len(due)

    async def explain(self, saga_id: str) -> Report | None:
        """Why a saga failed, or is stuck; no model is asked. None: nothing of it failed. Raises UnknownSaga."""
        return await self._explainer.saga(saga_id)

    async def refresh(self, incident_id: str) -> Report:
        """Explain an incident anew, now, with the model if there is one. Raises UnknownIncident."""
        return await self._report(incident_id, asked=True)

    # -- one incident ------------------------------------------------------------------------------------------------

    async def _try(self, incident_id: str) -> None:
        """Explain an incident. Should that fail for a reason nobody foresaw, the others are explained all the same."""
        failed, again_at = self._poisoned.get(incident_id, (0, self._now()))
        if failed and self._now() < again_at:
            return
        try:
            await self._report(incident_id)
            self._poisoned.pop(incident_id, None)
        except StoreUnavailable:
            raise
        except Exception as error:
            self.failures += 1
            seconds = min(backoff_seconds_max, lease_seconds * 2**failed)
            self._poisoned[incident_id] = (min(failed + 1, 20), self._now() + timedelta(seconds=seconds))
            while len(self._poisoned) > poisoned_max:
                self._poisoned.pop(next(iter(self._poisoned)))
            log.error(
                "Incident %s could not be explained; again in %.0f s",
                incident_id,
                seconds,
                exc_info=None if isinstance(error, CoordinatorError) else error,
                extra={"action": "diagnosis.failed", "incident_id": incident_id},
            )

    async def _report(self, incident_id: str, *, asked: bool = False) -> Report:
        explained = await self._explainer.incident(incident_id)
        if not await self._keep(explained):
            return explained.report  # somebody else explained it meanwhile
        merged = await self._merge(incident_id, explained.report)
        if merged != incident_id:
            return explained.report  # the other is due now, and told of
        if explained.changed:
            await self._tell(explained.report)
        return await self._after(explained, asked=asked)

    async def _keep(self, explained: Explained) -> bool:
        """Keep a report that says something new; of one that does not, that it still holds. False: it came too late."""
        due_at = self._next_look(explained)
        if explained.changed:
            return await uncut(self._reports.put(explained.row, due_at=due_at))
        row = explained.row
        stands = self._reports.stands(row.incident_id, at=explained.at, failures=explained.failures, due_at=due_at)
        await uncut(stands)
        return True

    def _next_look(self, explained: Explained) -> datetime | None:
        looks = (explained.first_at + age for age in looks_again)
        return next((look for look in looks if look > explained.at), None)

    async def _merge(self, incident_id: str, report: Report) -> str:
        """Make incidents of one cause one; the id of that which is left."""
        own = await self._reader.get(incident_id)
        if own is None or own.status is not IncidentStatus.OPEN or not may_merge(report):
            return incident_id
        same_class = IncidentFilter(status=IncidentStatus.OPEN, cls=report.verdict.cls.value)
        others = (await self._reader.page(same_class, limit=open_max)).items
        first, *rest = of_one_cause(own, report, others)
        if not rest:
            return incident_id
        ids = [one.id for one in rest]
        merged: bool = await uncut(self._incidents.merge(first.id, ids, now=self._now()))
        if merged:
            log.info(
                "Incidents %s are part of %s: %s",
                ", ".join(ids),
                first.id,
                report.headline,
                extra={"action": "incident.merged", "incident_id": first.id},
            )
            return first.id
        return incident_id

    async def _tell(self, report: Report) -> None:
        incident = await self._reader.get(report.incident_id or "")
        log.info(
            "Incident %s: %s",
            report.incident_id,
            report.headline,
            extra={
                "action": "diagnosis.reported",
                "incident_id": report.incident_id,
                "class": report.verdict.cls.value,
                "version": report.version,
            },
        )
        if incident is not None:
            for subscriber in self._subscribers:
                subscriber(incident, report)

    # -- the model, and what may be done -----------------------------------------------------------------------------

    async def _after(self, explained: Explained, *, asked: bool) -> Report:
        """Have it worded and see what may be done: now, if somebody waits for it; else beside the loop."""
        if asked:
            return await self._finish(explained, asked=True)
        if self._narrator is None or not explained.changed:
            await self._heal(explained.report)
        elif self._tasks is None or self._waiting >= waiting_max:
            self.unworded += 1
            await self._heal(explained.report)
        else:
            self._waiting += 1
            self._tasks.create_task(self._finish_aside(explained))
        return explained.report

    async def _finish_aside(self, explained: Explained) -> None:
        try:
            async with self._narrating:
                await self._finish(explained, asked=False)
        except Exception as error:
            self.failures += 1
            log.error(
                "The report of incident %s could not be worded",
                explained.report.incident_id,
                exc_info=None if isinstance(error, CoordinatorError) else error,
                extra={"action": "diagnosis.failed", "incident_id": explained.report.incident_id},
            )
        finally:
            self._waiting -= 1

    async def _finish(self, explained: Explained, *, asked: bool) -> Report:
        report = explained.report
        if self._narrator is not None and report.source == "deterministic":
            worded = await self._worded(self._narrator, report, asked=asked)
            if worded != report:
                worded = worded.model_copy(update={"version": report.version + 1})
                row = row_of(worded, digest=explained.row.digest, failures=explained.failures)
                if await uncut(self._reports.put(row, due_at=self._next_look(explained))):
                    report = worded
                    await self._tell(report)
        # What is done follows from the verdict of the rules alone; what the model doubts keeps it from being done.
        doubted = {"contested": report.contested, "flags": explained.report.flags | report.flags}
        await self._heal(explained.report.model_copy(update={**doubted, "version": report.version}))
        return report

    async def _worded(self, narrator: Narrator, report: Report, *, asked: bool) -> Report:
        try:
            async with asyncio.timeout(narrate_seconds_max):
                return await narrator.narrate(report, asked=asked)
        except TimeoutError:
            log.warning("The model was waited for in vain", extra={"action": "diagnosis.model_unavailable"})
            return report

    async def _heal(self, report: Report) -> None:
        """What may be done. An incident that is over, or part of another, needs nothing."""
        if self._healer is None or report.incident_id is None:
            return
        incident = await self._reader.get(report.incident_id)
        if incident is None or incident.status is not IncidentStatus.OPEN:
            return
        try:
            await self._healer.consider(incident, report)
        except StoreUnavailable as error:
            log.warning("Remedies wait: %s", error, extra={"action": "diagnosis.store_unavailable"})
