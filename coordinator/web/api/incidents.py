"""Incidents: failures that share a cause, with their reports, and what people say of them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import urlencode

from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter, QueryParameter
from litestar.response import Stream
from pydantic import Field, StrictStr, StringConstraints, ValidationError

from coordinator.diagnosis.cause import Entity, FaultClass
from coordinator.diagnosis.report import Report
from coordinator.store.explained import FeedbackRow, ReportRow, Verdict
from coordinator.store.observed import IncidentFilter, IncidentRow, IncidentStatus
from coordinator.web import incidents as told
from coordinator.web.api.diagnosis import Accept, Format, as_json, form_of, width_default, written
from coordinator.web.api.overview import following
from coordinator.web.api.verbs import Asking, By
from coordinator.web.auditing import after, before
from coordinator.web.describing import body_of, taking
from coordinator.web.desk import Desk
from coordinator.web.problems import ProblemError, Refusal, documented
from coordinator.web.reading import Body, actor_of, bad_parameter, read_body

page_max = 200
sagas_max = 500
read_refusals = ("unreadable-body", "body-too-large", "wrong-content-type", "invalid-body")

_id = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Feedback(Body):
    """What a person says of the newest report: whether it is right, what it was instead, what resolved the incident."""

    verdict: Verdict | None = None
    true_class: FaultClass | None = Field(default=None, description="of a wrong one: what kind of cause it was")
    true_culprit: Annotated[StrictStr, StringConstraints(min_length=3, max_length=420)] | None = Field(
        default=None, description='of a wrong one: what it was, "<kind> <name>"'
    )
    resolution: Annotated[StrictStr, StringConstraints(min_length=1, max_length=2000)] | None = Field(
        default=None, description="what resolved it; the next incident like it will be told"
    )
    by: By | None = None


class Incidents(Controller):
    path = "/v1/incidents"
    tags = ("incidents",)

    @get("/", summary="Incidents, the newest first", responses=documented("diagnosis-off"))
    async def list_incidents(
        self,
        desk: NamedDependency[Desk],
        status: FromQuery[IncidentStatus | None] = None,
        fault_class: Annotated[FaultClass | None, QueryParameter(name="cls")] = None,
        definition: FromQuery[str | None] = None,
        participant: FromQuery[str | None] = None,
        step: FromQuery[str | None] = None,
        limit: FromQuery[int] = 50,
        cursor: FromQuery[str | None] = None,
    ) -> Response[told.IncidentList]:
        if not 1 <= limit <= page_max:
            raise bad_parameter("limit", f"1 to {page_max}")
        if cursor is not None and not _id.fullmatch(cursor):
            raise bad_parameter("cursor", "not one that a former page gave")
        chosen = IncidentFilter(status, fault_class, participant, definition, step)
        page = await desk.diagnosis.reader.page(chosen, limit=limit, cursor=cursor)
        more = None
        if page.cursor:
            stated = {
                "status": status,
                "cls": fault_class,
                "definition": definition,
                "participant": participant,
                "step": step,
                "limit": limit,
                "cursor": page.cursor,
            }
            more = "/v1/incidents?" + urlencode({name: str(value) for name, value in stated.items() if value})
        headers = {"Link": f'<{more}>; rel="next"'} if more else {}
        return Response(told.IncidentList(tuple(map(told.line, page.items)), more), headers=headers)

    @get(
        "/events",
        summary="What is new among incidents, reports and remedies, as it happens: server-sent events",
        media_type="text/event-stream",
        responses=documented("diagnosis-off", "too-many-listeners", "stopping"),
    )
    async def events(
        self,
        request: Request[Any, Any, Any],
        desk: NamedDependency[Desk],
        last_event_id: Annotated[
            str | None, HeaderParameter(name="Last-Event-ID", description="go on after this event")
        ] = None,
    ) -> Stream:
        _ = desk.diagnosis  # or there is nothing to hear
        return following(desk, desk.feed, request)

    @get(
        "/{incident_id:str}",
        summary="One incident: its newest report, its failures by kind, its remedies",
        responses=documented("unknown-incident", "diagnosis-off"),
    )
    async def one(self, desk: NamedDependency[Desk], incident_id: FromPath[str]) -> told.Incident:
        row = await _incident(desk, incident_id)
        diagnosis = desk.diagnosis
        newest = await diagnosis.reports.latest(row.id)
        said = await diagnosis.reports.said(row.id)
        return told.Incident(
            incident=told.line(row),
            report=as_json(_report(newest, said)) if newest else None,
            versions=tuple(await diagnosis.reports.versions(row.id)),
            kinds=tuple(map(told.failure_kind, await diagnosis.reader.facets(row.id))),
            remedies=tuple(map(told.remedy, await diagnosis.remedies.of_incident(row.id))),
            feedback=told.said(said) if said else None,
        )

    @get(
        "/{incident_id:str}/report",
        summary="The newest report of an incident, or the one of that version",
        responses=documented("unknown-incident", "unknown-report", "diagnosis-off"),
    )
    async def report(
        self,
        request: Request[Any, Any, Any],
        desk: NamedDependency[Desk],
        incident_id: FromPath[str],
        version: FromQuery[int | None] = None,
        format: FromQuery[Format | None] = None,  # noqa: A002
        width: FromQuery[int] = width_default,
        accept: Accept = None,
    ) -> Response[Report]:
        form = form_of(request, format, width)
        if version is not None and not 1 <= version <= 2**31 - 1:
            raise bad_parameter("version", "the version of a report")
        row = await _incident(desk, incident_id)
        reports = desk.diagnosis.reports
        found = await (reports.latest(row.id) if version is None else reports.get(row.id, version))
        if found is None:
            when = "is not analysed yet" if version is None else f"has no report {version}"
            raise Refusal("unknown-report", f"incident {row.id} {when}", headers={"Retry-After": "5"})
        return written(_report(found, await reports.said(row.id)), form, width)

    @get(
        "/{incident_id:str}/sagas",
        summary="The sagas that failed, the newest failure first",
        responses=documented("unknown-incident", "diagnosis-off"),
    )
    async def sagas(
        self,
        desk: NamedDependency[Desk],
        incident_id: FromPath[str],
        limit: FromQuery[int] = 100,
        cursor: FromQuery[str | None] = None,
    ) -> Response[told.FailedSagaList]:
        if not 1 <= limit <= sagas_max:
            raise bad_parameter("limit", f"1 to {sagas_max}")
        row = await _incident(desk, incident_id)
        try:
            page = await desk.diagnosis.reader.failures_page(row.id, limit=limit, cursor=cursor)
        except (ValueError, OverflowError) as error:
            raise bad_parameter("cursor", "not one that a former page gave") from error
        more = None
        if page.cursor:
            more = f"/v1/incidents/{row.id}/sagas?" + urlencode({"limit": limit, "cursor": page.cursor})
        headers = {"Link": f'<{more}>; rel="next"'} if more else {}
        return Response(told.FailedSagaList(tuple(map(told.failed_saga, page.items)), more), headers=headers)

    @post(
        "/{incident_id:str}/refresh",
        summary="Analyse an incident now, with the model if there is one, and answer with its report",
        operation_class=taking(body_of(Asking), required=False),
        responses=documented(*read_refusals, "unknown-incident", "diagnosis-off", "timed-out"),
        status_code=200,
    )
    async def refresh(
        self, request: Request[Any, Any, Any], desk: NamedDependency[Desk], incident_id: FromPath[str]
    ) -> Response[Report]:
        actor_of(request, (await read_body(request, Asking, may_be_empty=True)).by)
        row = await _incident(desk, incident_id)
        before(id=row.id, report_version=row.report_version)
        report = await desk.diagnosis.reporter.refresh(row.id)
        after(id=row.id, report_version=report.version)
        return written(report, Format.JSON)

    @post(
        "/{incident_id:str}/feedback",
        summary="Say whether the newest report is right, and what resolved the incident, which ends it",
        operation_class=taking(body_of(Feedback)),
        responses=documented(*read_refusals, "unknown-incident", "diagnosis-off"),
        status_code=200,
    )
    async def feedback(
        self, request: Request[Any, Any, Any], desk: NamedDependency[Desk], incident_id: FromPath[str]
    ) -> told.Said:
        asked = await read_body(request, Feedback)
        row = await _incident(desk, incident_id)
        culprit = _culprit(asked)
        diagnosis, reports = desk.diagnosis, desk.diagnosis.reports
        kept = FeedbackRow(
            incident_id=row.id,
            report_version=row.report_version,
            by=actor_of(request, asked.by),
            at=desk.coordinator.clock.now(),
            verdict=asked.verdict,
            true_class=asked.true_class,
            true_culprit=json.dumps(culprit.model_dump(mode="json")) if culprit else None,
            resolution=asked.resolution,
        )
        earlier = await reports.said(row.id)
        before(id=row.id, status=row.status, verdict=earlier.verdict if earlier else None)
        if earlier is not None:
            kept = _also(kept, earlier)
        await reports.say(kept)
        if asked.resolution:
            await diagnosis.incidents.resolve(row.id, by=kept.by, resolution=asked.resolution, now=kept.at)
        after(id=row.id, verdict=kept.verdict, resolution=kept.resolution)
        return told.said(kept)


def _culprit(asked: Feedback) -> Entity | None:
    """What a person says it was. Answers 422 for what makes no sense."""
    wrong = asked.verdict is Verdict.WRONG
    if not wrong and (asked.true_class or asked.true_culprit):
        error = ProblemError("only of a report that is wrong", pointer="/verdict")
        raise Refusal("invalid-body", f"verdict: {error.detail}", errors=[error])
    if asked.verdict is None and asked.resolution is None:
        error = ProblemError("a verdict or a resolution is missing", pointer="")
        raise Refusal("invalid-body", error.detail, errors=[error])
    if asked.true_culprit is None:
        return None
    kind, _, name = asked.true_culprit.partition(" ")
    try:
        return Entity.model_validate({"kind": kind, "name": name})
    except ValidationError as error:
        fault = ProblemError('"<kind> <name>", such as "dependency card-provider"', pointer="/true_culprit")
        raise Refusal("invalid-body", f"true_culprit: {fault.detail}", errors=[fault]) from error


def _also(kept: FeedbackRow, earlier: FeedbackRow) -> FeedbackRow:
    """What is said now, with what was said before and is not said otherwise: who first judges a report and later tells
    what resolved the incident means both."""
    if kept.verdict is None:
        kept = replace(
            kept,
            verdict=earlier.verdict,
            true_class=earlier.true_class,
            true_culprit=earlier.true_culprit,
            report_version=earlier.report_version,
        )
    return replace(kept, resolution=earlier.resolution) if kept.resolution is None else kept


async def _incident(desk: Desk, incident_id: str) -> IncidentRow:
    row = await desk.diagnosis.reader.get(incident_id) if _id.fullmatch(incident_id) else None
    if row is None:
        raise Refusal("unknown-incident", f"no incident {incident_id[:100]}")
    return row


def _report(row: ReportRow, said: FeedbackRow | None) -> Report:
    """A stored report, with what was said of that very version. Answers 500 for one that can't be read."""
    try:
        report = Report.model_validate_json(row.body)
    except ValidationError as error:
        raise Refusal("unreadable-record", f"report {row.version} of incident {row.incident_id}") from error
    if said is None or said.report_version != row.version:
        return report
    culprit = Entity.model_validate_json(said.true_culprit) if said.true_culprit else None
    given: dict[str, Any] = {
        "verdict": said.verdict,
        "true_class": said.true_class,
        "true_culprit": culprit,
        "resolution": said.resolution,
        "by": said.by,
        "at": said.at,
    }
    return Report.model_validate({**report.model_dump(), "feedback": given})
