"""Incidents as people see them: the shapes of those answers, and how rows become them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from coordinator.store.explained import FeedbackRow, RemedyRow
from coordinator.store.observed import Facet, FailedStep, IncidentRow, Occurrence
from coordinator.web.feed import plain


@dataclass(frozen=True, slots=True)
class IncidentLinks:
    self: str
    report: str
    sagas: str


@dataclass(frozen=True, slots=True)
class IncidentLine:
    """Failures that share a cause, in one line. `class` to `headline` are its newest report's."""

    id: str
    status: str
    opened_at: datetime
    first_at: datetime  # of its failures
    last_at: datetime
    closed_at: datetime | None
    failures: int
    cls: str | None
    culprit: str | None
    confidence: float | None
    headline: str
    report_version: int  # 0: there is none yet
    merged_into: str | None
    resolution: str | None
    resolved_by: str | None
    resolved_at: datetime | None
    links: IncidentLinks


@dataclass(frozen=True, slots=True)
class IncidentList:
    items: tuple[IncidentLine, ...]
    next: str | None  # where the next page is


@dataclass(frozen=True, slots=True)
class FailureKind:
    """Failures of an incident with the same error at the same step."""

    fingerprint: str
    step: str
    kind: str
    error_type: str
    code: str
    template: str
    count: int
    first_at: datetime
    last_at: datetime
    saga_id: str  # one of them


@dataclass(frozen=True, slots=True)
class Remedy:
    """What may be done, what was done, and what came of it."""

    id: str
    incident_id: str
    report_version: int
    kind: str
    scope: str
    target: dict[str, Any]
    tier: str
    state: str
    evidence: tuple[str, ...]
    reason: str
    automatic: bool
    by: str | None
    proposed_at: datetime
    decided_at: datetime | None
    begun_at: datetime | None
    ends_at: datetime | None
    ended_at: datetime | None
    measured_before: float | None
    measured_after: float | None
    outcome: str | None


@dataclass(frozen=True, slots=True)
class RemedyList:
    items: tuple[Remedy, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """What a person said of the report. `true_culprit` is "<kind> <name>"."""

    report_version: int
    by: str
    at: datetime
    verdict: str | None
    true_class: str | None
    true_culprit: str | None
    resolution: str | None


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident in full: what failed, the newest report, what is and was done about it, and what a person said."""

    incident: IncidentLine
    report: dict[str, Any] | None
    versions: tuple[int, ...]  # of its reports, the newest first
    kinds: tuple[FailureKind, ...]  # the most frequent first
    remedies: tuple[Remedy, ...]
    feedback: Said | None


@dataclass(frozen=True, slots=True)
class FailedSaga:
    saga_id: str
    step: str
    kind: str
    at: datetime
    definition: str
    participant: str
    cause: str
    error_type: str
    code: str
    attempts: int
    business_key: str | None
    link: str


@dataclass(frozen=True, slots=True)
class FailedSagaList:
    items: tuple[FailedSaga, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened around the sagas. `subject` is "<kind> <name>", empty where nothing in particular is
    meant."""

    id: str
    at: datetime
    kind: str
    subject: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChangeList:
    items: tuple[Change, ...]


def line(row: IncidentRow) -> IncidentLine:
    here = f"/v1/incidents/{row.id}"
    return IncidentLine(
        id=row.id,
        status=row.status,
        opened_at=row.opened_at,
        first_at=row.first_at,
        last_at=row.last_at,
        closed_at=row.closed_at,
        failures=row.failures,
        cls=row.cls,
        culprit=row.culprit,
        confidence=row.confidence,
        headline=row.headline,
        report_version=row.report_version,
        merged_into=row.merged_into,
        resolution=row.resolution,
        resolved_by=row.resolved_by,
        resolved_at=row.resolved_at,
        links=IncidentLinks(here, f"{here}/report", f"{here}/sagas"),
    )


def failure_kind(facet: Facet) -> FailureKind:
    return FailureKind(
        facet.fingerprint,
        facet.step,
        facet.kind,
        facet.error_type,
        facet.code,
        facet.template,
        facet.count,
        facet.first_at,
        facet.last_at,
        facet.saga_id,
    )


def remedy(row: RemedyRow) -> Remedy:
    return Remedy(
        id=row.id,
        incident_id=row.incident_id,
        report_version=row.report_version,
        kind=row.kind,
        scope=row.scope,
        target=json.loads(row.target),
        tier=row.tier,
        state=row.state,
        evidence=tuple(json.loads(row.evidence)),
        reason=row.reason,
        automatic=row.automatic,
        by=row.by,
        proposed_at=row.proposed_at,
        decided_at=row.decided_at,
        begun_at=row.begun_at,
        ends_at=row.ends_at,
        ended_at=row.ended_at,
        measured_before=row.measured_before,
        measured_after=row.measured_after,
        outcome=row.outcome,
    )


def said(row: FeedbackRow) -> Said:
    culprit = json.loads(row.true_culprit) if row.true_culprit else None
    return Said(
        row.report_version,
        row.by,
        row.at,
        row.verdict,
        row.true_class,
        f"{culprit['kind']} {culprit['name']}" if culprit else None,
        row.resolution,
    )


def failed_saga(failed: FailedStep) -> FailedSaga:
    return FailedSaga(
        failed.saga_id,
        failed.step,
        failed.kind,
        failed.at,
        failed.definition,
        failed.participant,
        failed.cause,
        failed.error_type,
        failed.code,
        failed.attempts,
        failed.business_key,
        f"/v1/sagas/{failed.saga_id}/diagnosis",
    )


def change(occurrence: Occurrence) -> Change:
    return Change(occurrence.id, occurrence.at, occurrence.kind, occurrence.subject, dict(occurrence.facts))


def news(incidents: Iterable[IncidentRow], remedies: Iterable[RemedyRow]) -> dict[str, tuple[str, dict[str, Any]]]:
    """What of these would be told as an event: under a name for each, its kind, and its data."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for row in incidents:
        found[row.id] = ("incident", plain(line(row)))
        if row.report_version:
            report = {
                "incident_id": row.id,
                "version": row.report_version,
                "cls": row.cls,
                "culprit": row.culprit,
                "confidence": row.confidence,
                "headline": row.headline,
                "link": f"/v1/incidents/{row.id}/report?version={row.report_version}",
            }
            found[f"{row.id} report"] = ("report", report)
    for one in remedies:
        found[one.id] = ("remedy", plain(remedy(one)))
    return found
