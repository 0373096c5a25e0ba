"""Sagas, many at a time: filtered at the server, in pages that stay put while sagas arrive."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from litestar import Controller, Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter
from pydantic import ValidationError

from coordinator.listing import Standing
from coordinator.web import seen
from coordinator.web.choosing import Choice
from coordinator.web.desk import Desk
from coordinator.web.problems import ProblemError, Refusal, documented
from coordinator.web.reading import aware, bad_parameter, next_link
from coordinator.web.showing import cause

page_max = 200

Several = Annotated[str | None, QueryParameter(description="one, or several with commas between them")]
Beginning = Annotated[
    str | None, QueryParameter(description="how its id, its business key or its idempotency key begins")
]


class SagaLists(Controller):
    """Half of a controller: a path is one controller's, and `Sagas` goes on from here."""

    path = "/v1/sagas"
    tags = ("sagas",)

    @get("/", summary="Sagas, the newest first", responses=documented())
    async def list_sagas(
        self,
        request: Request[Any, Any, Any],
        desk: NamedDependency[Desk],
        definition: FromQuery[str | None] = None,
        version: FromQuery[int | None] = None,
        status: Several = None,
        step: FromQuery[str | None] = None,
        step_status: Several = None,
        failed_step: FromQuery[str | None] = None,
        current_step: FromQuery[str | None] = None,
        tag: FromQuery[str | None] = None,
        business_key: FromQuery[str | None] = None,
        q: Beginning = None,
        created_from: FromQuery[datetime | None] = None,
        created_to: FromQuery[datetime | None] = None,
        stuck_for_seconds: FromQuery[int | None] = None,
        waiting_on: FromQuery[str | None] = None,
        participant: FromQuery[str | None] = None,
        incident: FromQuery[str | None] = None,
        family: FromQuery[str | None] = None,
        fingerprint: FromQuery[str | None] = None,
        count: FromQuery[bool] = False,
        limit: FromQuery[int] = 50,
        cursor: FromQuery[str | None] = None,
    ) -> Response[seen.SagaList]:
        if not 1 <= limit <= page_max:
            raise bad_parameter("limit", f"1 to {page_max}")
        typed = {
            "version": version,
            "status": _several(status),
            "step_status": _several(step_status),
            "created_from": aware("created_from", created_from),
            "created_to": aware("created_to", created_to),
            "stuck_for_seconds": stuck_for_seconds,
        }
        words = (
            "definition", "step", "failed_step", "current_step", "tag", "business_key", "q", "waiting_on",
            "participant", "incident", "family", "fingerprint",
        )  # fmt: skip
        given = {name: request.query_params.get(name) for name in words}
        chosen = _choice({**given, **typed}).chosen(desk.coordinator.clock.now())
        listing = desk.coordinator.listing
        page = await listing.page(chosen, limit=limit, cursor=cursor)
        total = await listing.count(chosen) if count else None
        more = None
        if page.cursor is not None:
            kept = {
                name: value for name, value in request.query_params.items() if name not in ("limit", "cursor", "count")
            }
            more = "/v1/sagas?" + urlencode({**kept, "limit": limit, "cursor": page.cursor})
        lines = tuple(line(standing) for standing in page.items)
        counted = None if total is None else seen.counted(total)
        return Response(seen.SagaList(lines, more, counted), headers=next_link(more))


def line(standing: Standing) -> seen.SagaLine:
    """One line of a list."""
    summary = standing.saga
    return seen.SagaLine(
        id=summary.id,
        definition=summary.definition,
        version=summary.version,
        status=summary.status,
        direction=summary.direction,
        revision=summary.revision,
        business_key=summary.business_key,
        tags=summary.tags,
        created_at=summary.created_at,
        updated_at=summary.updated_at,
        finished_at=summary.finished_at,
        waiting_on=standing.waiting_on,
        waiting_for=summary.waiting_for,
        failed_step=summary.failed_step,
        cause=cause(summary.cause),
    )


def _several(stated: str | None) -> list[str] | None:
    return None if stated is None else stated.split(",")


def _choice(given: dict[str, Any]) -> Choice:
    """The query as what it means. Answers 400."""
    try:
        return Choice.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        errors = []
        for fault in error.errors(include_url=False, include_input=False, include_context=False):
            named, _, said = fault["msg"].removeprefix("Value error, ").partition(": ")
            name = str(fault["loc"][0]) if fault["loc"] else named
            errors.append(ProblemError(fault["msg"] if fault["loc"] else said, parameter=name))
        raise Refusal("bad-parameter", f"{errors[0].parameter}: {errors[0].detail}", errors=errors) from error
