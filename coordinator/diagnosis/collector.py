"""Gathers a case: everything that is known of an incident, or of one saga, in a bounded number of bounded queries."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from coordinator.definitions import Definitions
from coordinator.diagnosis.case import (
    Case,
    SagaSeen,
    WorkerSeen,
    failed_max,
    failures_max,
    peers_max,
    window_seconds_before,
)
from coordinator.diagnosis.past import PastIncidents
from coordinator.errors import InvalidDefinition, UnknownDefinition, UnknownIncident, UnknownSaga
from coordinator.saga.attempts import attempts
from coordinator.saga.record import load_event
from coordinator.saga.state import Saga
from coordinator.store.fleet import FleetStore
from coordinator.store.incident_reader import IncidentReader
from coordinator.store.observed import Facet, FailedStep, IncidentRow
from coordinator.store.occurrences import OccurrenceStore
from coordinator.store.outcomes import OutcomeStore
from coordinator.store.samples import SampleReader
from coordinator.store.values import HistoryEntry, Unreadable, Worker

log = logging.getLogger(__name__)

window_seconds_max = 6 * 3600.0  # however old an incident is, this much of its time is looked at, from its beginning
entries_of_a_saga_max = 500  # a saga with a longer history is left out, unless it is the one that was asked for
entries_of_the_only_one_max = 5000  # … or, if all are longer, the shortest of them: a sample of none tells nothing
occurrences_max = 500


@dataclass(slots=True)
class _Gathering:
    """A case in the making: what of it is known, and what could not be had."""

    at: datetime
    since: datetime
    incident: IncidentRow | None = None
    focus: str | None = None
    facets: Sequence[Facet] = ()
    failures: Sequence[FailedStep] = ()
    missing: list[str] = field(default_factory=list)


class Collector:
    """Reads what a case is made of. Raises UnknownIncident, UnknownSaga, StoreUnavailable."""

    def __init__(
        self,
        incidents: IncidentReader,
        outcomes: OutcomeStore,
        occurrences: OccurrenceStore,
        fleet: FleetStore,
        samples: SampleReader,
        definitions: Definitions,
        past: PastIncidents,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._incidents, self._outcomes, self._occurrences = incidents, outcomes, occurrences
        self._fleet, self._samples, self._definitions, self._past = fleet, samples, definitions, past
        self._now = now

    async def incident(self, incident_id: str) -> Case:
        """An incident with a sample of its sagas."""
        found = await self._incidents.get(incident_id)
        if found is None:
            raise UnknownIncident(incident_id)
        return await self._gather(await self._of_incident(found))

    async def saga(self, saga_id: str) -> Case:
        """One saga: with its incident, if it is in one; else as it stands, whether it failed, is at it, or is stuck."""
        own = await self._incidents.failures_of(saga_id)
        found = await self._incidents.get(own[0].incident_id) if own and own[0].incident_id else None
        if found is not None:
            gathering = await self._of_incident(found)
            told = {(one.saga_id, one.step, one.kind) for one in gathering.failures}
            mine = [one for one in own if (one.saga_id, one.step, one.kind) not in told]
            gathering.failures = [*mine, *gathering.failures]
        else:
            began = await self._began(saga_id)
            gathering = _Gathering(self._now(), began - timedelta(seconds=window_seconds_before))
            gathering.failures = own
        gathering.focus = saga_id
        return await self._gather(gathering)

    async def standing(self, saga_id: str) -> tuple[int, int]:
        """The saga's revision, and the version of its incident's report: while both are the same, so is its case."""
        saga = (await self._samples.sagas([saga_id])).get(saga_id)
        if saga is None or isinstance(saga, Unreadable):
            raise UnknownSaga(saga_id)
        own = await self._incidents.failures_of(saga_id)
        found = await self._incidents.get(own[0].incident_id) if own and own[0].incident_id else None
        return saga.revision, found.report_version if found else 0

    async def _of_incident(self, incident: IncidentRow) -> _Gathering:
        since = incident.first_at - timedelta(seconds=window_seconds_before)
        gathering = _Gathering(self._now(), since, incident)
        gathering.facets = await self._incidents.facets(incident.id)
        gathering.failures = await self._incidents.failures(incident.id, limit=failures_max)
        if incident.failures > len(gathering.failures):
            gathering.missing.append(f"{incident.failures - len(gathering.failures)} older failures")
        return gathering

    async def _began(self, saga_id: str) -> datetime:
        saga = (await self._samples.sagas([saga_id])).get(saga_id)
        if saga is None or isinstance(saga, Unreadable):
            raise UnknownSaga(saga_id)
        return saga.created_at

    async def _gather(self, gathering: _Gathering) -> Case:
        at, since = gathering.at, gathering.since
        until = min(at, since + timedelta(seconds=window_seconds_max)) if gathering.incident else at
        if gathering.incident and gathering.incident.last_at > until:
            gathering.missing.append(f"what happened after {until:%Y-%m-%d %H:%M} UTC")
        until += timedelta(seconds=1)
        failed_ids = list(sampled(gathering.focus, gathering.facets, gathering.failures))
        failed = await self._seen(failed_ids, gathering)
        focus = next((one for one in failed if one.saga.id == gathering.focus), None)
        if gathering.focus and focus is None:
            raise UnknownSaga(gathering.focus)
        peers = await self._peers(gathering, failed, until)
        tallies = await self._outcomes.tallies(since, until)
        calls = await self._outcomes.calls(since, until)
        if tallies.cut or calls.cut:
            gathering.missing.append("older counts of attempts")
        places = {f"{one.definition}.{one.step}" for one in gathering.failures}
        standing = await self._incidents.standing(places, {one.saga.definition for one in failed})
        return Case(
            at=at,
            nonce=secrets.token_hex(8),
            since=since,
            failed=tuple(failed),
            peers=tuple(peers),
            focus=focus,
            incident=gathering.incident,
            facets=tuple(gathering.facets),
            failures=tuple(gathering.failures),
            tallies=tallies.items,
            calls=calls.items,
            occurrences=tuple(await self._occurrences.between(since, until, limit=occurrences_max)),
            workers=tuple(_worker(worker) for worker in await self._fleet.workers(at)),
            stuck=standing.stuck,
            at_risk=standing.at_risk,
            past=tuple(await self._past.before(gathering.incident)),
            missing=tuple(gathering.missing),
        )

    # -- sagas -------------------------------------------------------------------------------------------------------

    async def _peers(self, gathering: _Gathering, failed: Sequence[SagaSeen], until: datetime) -> list[SagaSeen]:
        """Sagas of the same definitions that went well: half from before it began, half from since."""
        first = gathering.incident.first_at if gathering.incident else failed[0].saga.created_at
        names = sorted({one.saga.definition for one in failed})
        each = max(1, peers_max // max(1, 2 * len(names)))
        ids: list[str] = []
        for name in names:
            ids += await self._samples.completed(name, first, until, limit=each)
            ids += await self._samples.completed(name, gathering.since, first, limit=each)
        return await self._seen(ids[:peers_max], gathering)

    async def _seen(self, ids: Sequence[str], gathering: _Gathering) -> list[SagaSeen]:
        """These sagas with their attempts, in this order. One that can't be read is named in `missing`."""
        sagas = await self._samples.sagas(ids)
        known = {saga_id: saga for saga_id in ids if isinstance(saga := sagas.get(saga_id), Saga)}
        readable = {
            saga_id: saga
            for saga_id, saga in known.items()
            if saga.revision <= entries_of_a_saga_max or saga_id == gathering.focus
        }
        shortest = min(known.values(), key=lambda saga: (saga.revision, saga.id), default=None)
        if not readable and shortest and shortest.revision <= entries_of_the_only_one_max:
            readable[shortest.id] = shortest
        histories = await self._samples.histories(readable)
        seen = []
        for saga_id in ids:
            one = readable.get(saga_id)
            shown = await self._shown(one, histories[saga_id]) if one else None
            if shown:
                seen.append(shown)
            else:
                gathering.missing.append(f"saga {saga_id}")
        return seen

    async def _shown(self, saga: Saga, entries: Sequence[HistoryEntry]) -> SagaSeen | None:
        """A saga with its attempts out of its history. None if it was decided by other rules than today's."""
        try:
            definition = await self._definitions.get(saga.definition, saga.version)
            events = [load_event(entry.event, entry.facts) for entry in entries if entry.seq <= saga.revision]
            return SagaSeen(saga, definition, tuple(attempts(definition, saga.newborn, events)))
        except (InvalidDefinition, UnknownDefinition, LookupError, TypeError, ValueError) as error:
            log.warning(
                "The history of saga %s can't be read: %s",
                saga.id,
                type(error).__name__,
                extra={"action": "diagnosis.history_unreadable", "saga_id": saga.id},
            )
            return None


def sampled(focus: str | None, facets: Iterable[Facet], failures: Sequence[FailedStep]) -> Iterator[str]:
    """Ids of sagas that failed, no more than `failed_max`: the one asked for, then from each facet in turn the newest,
    the oldest that is known, the next newest, …"""
    queues: dict[str, list[str]] = {}
    for failure in failures:
        queues.setdefault(failure.fingerprint, []).append(failure.saga_id)
    for facet in facets:
        queue = queues.setdefault(facet.fingerprint, [])
        queue.append(facet.saga_id)
    told = {focus} if focus else set()
    if focus:
        yield focus
    newest = True
    while queues and len(told) < failed_max:
        for fingerprint in list(queues):
            queue = queues[fingerprint]
            saga_id = queue.pop(0 if newest else -1)
            if not queue:
                del queues[fingerprint]
            if saga_id not in told:
                told.add(saga_id)
                yield saga_id
                if len(told) >= failed_max:
                    return
        newest = not newest


def _worker(worker: Worker) -> WorkerSeen:
    beat = worker.beat
    return WorkerSeen(
        participant=beat.participant,
        worker=beat.worker,
        version=beat.version,
        host=beat.host,
        settings=beat.settings,
        first_seen=worker.first_seen,
        last_seen=worker.last_seen,
        live=worker.live,
        stopping=beat.stopping,
        in_flight=beat.in_flight,
        holding=beat.holding,
        handlers=frozenset(beat.actions) | frozenset(beat.compensations),
    )
