"""Changes: what people and pipelines announce, and what the coordinator noticed by itself, around the sagas."""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any

from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, HeaderParameter
from pydantic import AwareDatetime, Field, StrictStr, StringConstraints

from coordinator.diagnosis.cause import EntityKind
from coordinator.diagnosis.redaction import redact
from coordinator.store.observed import Occurrence, OccurrenceKind
from coordinator.web import incidents as told
from coordinator.web.api.verbs import By
from coordinator.web.auditing import after, before
from coordinator.web.describing import body_of, taking
from coordinator.web.desk import Desk
from coordinator.web.problems import ProblemError, Refusal, documented
from coordinator.web.reading import Body, actor_of, aware, bad_parameter, idempotency_key, read_body

page_max = 1000
window_hours = 24
ahead_max = timedelta(minutes=5)  # how far before our clock the announcer's may be
past_max = timedelta(days=30)

Subject = Annotated[StrictStr, StringConstraints(pattern=r"^[a-z_]+ [\x21-\x7e]{1,200}$")]


class Announcing(Body):
    """A change that somebody made: a deploy, a flag, a setting. `subject`: what was changed, "<kind> <name>"."""

    text: Annotated[StrictStr, StringConstraints(min_length=1, max_length=500)]
    subject: Subject | None = Field(
        default=None, description="such as participant payment, or dependency card-provider"
    )
    at: AwareDatetime | None = Field(default=None, description="when it was made; now, if not stated")
    by: By | None = None


class Changes(Controller):
    path = "/v1/changes"
    tags = ("changes",)

    @post(
        "/",
        summary="Announce a change, so that what fails after it can be explained by it",
        operation_class=taking(body_of(Announcing)),
        responses=documented(
            "unreadable-body",
            "body-too-large",
            "wrong-content-type",
            "invalid-body",
            "idempotency-key-reused",
            "diagnosis-off",
        ),
        status_code=201,
    )
    async def announce(
        self,
        request: Request[Any, Any, Any],
        desk: NamedDependency[Desk],
        idempotency_key_: Annotated[
            str | None, HeaderParameter(name="Idempotency-Key", description="the same key: the same change")
        ] = None,
    ) -> Response[told.Change]:
        key = idempotency_key(request)
        asked = await read_body(request, Announcing)
        now = desk.coordinator.clock.now()
        at = asked.at or now
        if not now - past_max <= at <= now + ahead_max:
            error = ProblemError("in the last 30 days, and not in the future", pointer="/at")
            raise Refusal("invalid-body", f"at: {error.detail}", errors=[error])
        subject = asked.subject or ""
        if subject and subject.partition(" ")[0] not in set(EntityKind):
            error = ProblemError(f"its first word is one of {', '.join(EntityKind)}", pointer="/subject")
            raise Refusal("invalid-body", f"subject: {error.detail}", errors=[error])
        by = actor_of(request, asked.by)
        identity = key or f"{at.isoformat()}\n{subject}\n{asked.text}"
        occurrence = Occurrence(
            id=f"announced:{sha256(identity.encode()).hexdigest()[:40]}",
            at=at,
            kind=OccurrenceKind.ANNOUNCED,
            subject=subject,
            facts={"text": redact(asked.text), "by": by},
        )
        occurrences = desk.diagnosis.occurrences
        before()
        await occurrences.put([occurrence])
        kept = await occurrences.get(occurrence.id) or occurrence
        if (kept.subject, kept.facts.get("text")) != (occurrence.subject, occurrence.facts["text"]):
            error = ProblemError("it came with another change", hint="use a new key for a new change")
            raise Refusal("idempotency-key-reused", error.detail, errors=[error])
        after(id=kept.id, subject=kept.subject, text=kept.facts.get("text"))
        return Response(told.change(kept), status_code=201)

    @get(
        "/",
        summary="What changed or happened around the sagas, the newest first",
        responses=documented("diagnosis-off"),
    )
    async def list_changes(
        self,
        desk: NamedDependency[Desk],
        since: FromQuery[datetime | None] = None,
        until: FromQuery[datetime | None] = None,
        limit: FromQuery[int] = 100,
    ) -> told.ChangeList:
        if not 1 <= limit <= page_max:
            raise bad_parameter("limit", f"1 to {page_max}")
        end = aware("until", until) or desk.coordinator.clock.now() + ahead_max
        begin = aware("since", since) or end - timedelta(hours=window_hours)
        found = await desk.diagnosis.occurrences.between(begin, end, limit=limit)
        return told.ChangeList(tuple(told.change(occurrence) for occurrence in reversed(found)))
