"""Reports of incidents, what people said of them, and what the language model was asked and cost."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from coordinator.store.database import Database
from coordinator.store.dialect import storable
from coordinator.store.explained import FeedbackRow, ModelCall, ReportRow, Spent, Verdict
from coordinator.store.grouping import outgrown, status_is
from coordinator.store.ids import new_id
from coordinator.store.observed import IncidentStatus
from coordinator.store.pruning import delete_old
from coordinator.store.schema_diagnosis import feedback, incidents, model_calls, model_claims, reports

versions_max = 100  # of one list
name_chars_max = 200
headline_chars_max = 300
text_chars_max = 2000
kept = timedelta(days=30)
calls_kept = timedelta(hours=48)  # of the model: budgets are of a day


class ReportStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, report: ReportRow, *, due_at: datetime | None = None) -> bool:
        """Keep the next version of an incident's report, and let the incident show what it says.

        The incident is analysed again at `due_at`, or at once if it has been closed or grown tenfold since the case
        was gathered. False: there is no such incident, or somebody put this version or a later one first.
        """
        body = report.body.replace("\x00", "")
        values: dict[str, Any] = {
            "incident_id": report.incident_id,
            "version": report.version,
            "at": report.at,
            "source": storable(report.source, name_chars_max),
            "cls": storable(report.cls, name_chars_max),
            "culprit": None if report.culprit is None else storable(report.culprit, text_chars_max),
            "confidence": report.confidence,
            "headline": storable(report.headline, headline_chars_max),
            "digest": storable(report.digest, name_chars_max),
            "failures": report.failures,
            "body": storable(body, len(body)),
        }
        shown = {name: values[name] for name in ("cls", "culprit", "confidence", "headline")}
        again = _again(report.at, report.failures, due_at)
        show = sa.update(incidents).values(
            **shown, report_version=report.version, reported_failures=report.failures, due_at=again
        )
        show = show.where(incidents.c.id == report.incident_id, incidents.c.report_version < report.version)
        async with self._database.begin() as connection:
            if (await connection.execute(show.returning(incidents.c.id))).first() is None:
                return False
            await connection.execute(reports.insert(), values)
        return True

    async def stands(self, incident_id: str, *, at: datetime, failures: int, due_at: datetime | None = None) -> None:
        """The newest report of an incident still holds by a case gathered at that time. It is analysed again as `put`
        says."""
        again = _again(at, failures, due_at)
        stands = sa.update(incidents).values(reported_failures=failures, due_at=again)
        async with self._database.begin() as connection:
            await connection.execute(stands.where(incidents.c.id == incident_id))

    async def latest(self, incident_id: str) -> ReportRow | None:
        """The newest report of an incident."""
        query = sa.select(reports).where(reports.c.incident_id == incident_id)
        return await self._one(query.order_by(reports.c.version.desc()))

    async def get(self, incident_id: str, version: int) -> ReportRow | None:
        """One version of an incident's report."""
        query = sa.select(reports).where(reports.c.incident_id == incident_id, reports.c.version == version)
        return await self._one(query)

    async def cached(self, digest: str, *, source: str | None = None) -> ReportRow | None:
        """The newest report, of whatever incident, that rests on exactly this evidence (and comes from that source)."""
        query = sa.select(reports).where(reports.c.digest == digest)
        if source is not None:
            query = query.where(reports.c.source == source)
        return await self._one(query.order_by(reports.c.at.desc()))

    async def _one(self, query: sa.Select[Any]) -> ReportRow | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(query.limit(1))).first()
        return None if row is None else ReportRow(**row._mapping)

    async def versions(self, incident_id: str) -> list[int]:
        """The versions of an incident's report, the newest first, at most `versions_max`."""
        query = sa.select(reports.c.version).where(reports.c.incident_id == incident_id)
        async with self._database.reading() as connection:
            rows = await connection.execute(query.order_by(reports.c.version.desc()).limit(versions_max))
            return list(rows.scalars())

    # --- people -------------------------------------------------------------------------------------------------------

    async def say(self, said: FeedbackRow) -> bool:
        """Keep what a person said of an incident's report, in place of what was said before. What resolved it is said
        of the incident too. False: there is no such incident.
        """
        resolution = None if said.resolution is None else storable(said.resolution, text_chars_max)
        by = storable(said.by, name_chars_max)
        values: dict[str, Any] = {
            "incident_id": said.incident_id,
            "report_version": said.report_version,
            "by": by,
            "at": said.at,
            "verdict": None if said.verdict is None else said.verdict.value,
            "true_class": said.true_class,
            "true_culprit": None if said.true_culprit is None else storable(said.true_culprit, text_chars_max),
            "resolution": resolution,
        }
        put = self._database.dialect.insert(feedback)
        rest = {name: put.excluded[name] for name in values if name != "incident_id"}
        known = sa.select(incidents.c.id).where(incidents.c.id == said.incident_id)
        resolved = sa.update(incidents).where(incidents.c.id == said.incident_id)
        resolved = resolved.values(resolution=resolution, resolved_by=by, resolved_at=said.at)
        async with self._database.begin() as connection:
            if (await connection.execute(known)).first() is None:
                return False
            await connection.execute(put.on_conflict_do_update(index_elements=["incident_id"], set_=rest), values)
            if resolution is not None:
                await connection.execute(resolved)
        return True

    async def said(self, incident_id: str) -> FeedbackRow | None:
        """What a person said of an incident's report last."""
        async with self._database.reading() as connection:
            found = await connection.execute(sa.select(feedback).where(feedback.c.incident_id == incident_id))
            row = found.first()
        if row is None:
            return None
        return FeedbackRow(**{**row._mapping, "verdict": None if row.verdict is None else Verdict(row.verdict)})

    # --- the model ----------------------------------------------------------------------------------------------------

    async def claim_call(self, incident_id: str, digest: str, *, now: datetime, lease_seconds: float) -> bool:
        """Be the only one who asks the model about this evidence, until `lease_seconds` from now."""
        claim = self._database.dialect.insert(model_claims)
        claim = claim.on_conflict_do_update(
            index_elements=["incident_id", "digest"],
            set_={"until": claim.excluded.until},
            where=model_claims.c.until <= sa.literal(now, _moment),
        )
        until = now + timedelta(seconds=lease_seconds)
        values = {"incident_id": incident_id, "digest": storable(digest, name_chars_max), "until": until}
        async with self._database.begin() as connection:
            return (await connection.execute(claim.returning(model_claims.c.until), values)).first() is not None

    async def called(self, call: ModelCall) -> None:
        """Keep what a call of the model cost."""
        values = {
            "id": new_id(call.at),
            "at": call.at,
            "incident_id": call.incident_id,
            "model": storable(call.model, name_chars_max),
            "rung": storable(call.rung, name_chars_max),
            "outcome": storable(call.outcome, name_chars_max),
            "tokens_in": call.tokens_in,
            "tokens_out": call.tokens_out,
            "milliseconds": call.milliseconds,
        }
        async with self._database.begin() as connection:
            await connection.execute(model_calls.insert(), values)

    async def spent(self, since: datetime, *, incident_id: str | None = None) -> Spent:
        """What calls of the model since then came to, over all coordinators: all of them, or those for an incident."""
        sums = (
            sa.func.coalesce(sa.func.sum(column), 0) for column in (model_calls.c.tokens_in, model_calls.c.tokens_out)
        )
        query = sa.select(sa.func.count(), *sums).where(model_calls.c.at >= since)
        if incident_id is not None:
            query = query.where(model_calls.c.incident_id == incident_id)
        async with self._database.reading() as connection:
            calls, tokens_in, tokens_out = (await connection.execute(query)).one()
        return Spent(int(calls), int(tokens_in), int(tokens_out))

    # --- what is old --------------------------------------------------------------------------------------------------

    async def prune(self, now: datetime) -> int:
        """Forget some of the reports older than `kept` whose incident is not open, of what was said of forgotten
        incidents, and of the model's calls older than `calls_kept`; how many rows. Zero: nothing is left to forget.
        """
        is_open = sa.select(incidents.c.id).where(status_is(IncidentStatus.OPEN))
        known = sa.exists().where(incidents.c.id == feedback.c.incident_id)
        before = now - kept
        async with self._database.begin() as connection:
            gone = [
                *await delete_old(connection, reports, reports.c.at < before, reports.c.incident_id.not_in(is_open)),
                # What a person said is remembered for as long as the incident it was said of.
                *await delete_old(connection, feedback, feedback.c.at < before, sa.not_(known)),
                *await delete_old(connection, model_calls, model_calls.c.at < now - calls_kept),
                *await delete_old(connection, model_claims, model_claims.c.until < now - calls_kept),
            ]
        return len(gone)


_moment = reports.c.at.type


def _again(at: datetime, failures: int, due_at: datetime | None) -> sa.Case[datetime | None]:
    """When an incident is to be analysed again that was analysed by a case gathered at that time."""
    return sa.case(
        (incidents.c.merged_into.is_not(None), sa.null()),
        (incidents.c.closed_at > at, incidents.c.closed_at),
        (outgrown(incidents.c.failures, sa.literal(failures, sa.BigInteger)), sa.literal(at, _moment)),
        else_=sa.literal(due_at, _moment),
    )
