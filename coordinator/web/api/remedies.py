"""Remedies: what may be done about incidents, and what people decide about it."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from coordinator.store.explained import RemedyState
from coordinator.web import incidents as told
from coordinator.web.api.verbs import Asking
from coordinator.web.auditing import before
from coordinator.web.describing import body_of, taking
from coordinator.web.desk import Desk
from coordinator.web.problems import Refusal, documented
from coordinator.web.reading import actor_of, read_body

refusals = documented(
    "unreadable-body", "body-too-large", "wrong-content-type", "invalid-body", "unknown-remedy", "remedy-refused",
    "diagnosis-off", "timed-out",
)  # fmt: skip


class Remedies(Controller):
    path = "/v1/remedies"
    tags = ("remedies",)

    @get("/", summary="The newest remedies, those of one state or all", responses=documented("diagnosis-off"))
    async def list_remedies(
        self,
        desk: NamedDependency[Desk],
        status: FromQuery[RemedyState | None] = None,
    ) -> told.RemedyList:
        found = await desk.diagnosis.remedies.in_state(*([status] if status else RemedyState))
        return told.RemedyList(tuple(map(told.remedy, found)))

    @get("/{remedy_id:str}", summary="One remedy", responses=documented("unknown-remedy", "diagnosis-off"))
    async def one(self, desk: NamedDependency[Desk], remedy_id: FromPath[str]) -> told.Remedy:
        return await _shown(desk, remedy_id)

    @post(
        "/{remedy_id:str}/approve",
        summary="Let it be carried out",
        operation_class=taking(body_of(Asking), required=False),
        responses=refusals,
        status_code=200,
    )
    async def approve(
        self, request: Request[Any, Any, Any], desk: NamedDependency[Desk], remedy_id: FromPath[str]
    ) -> told.Remedy:
        by, reason = await _who(request)
        await _note(desk, remedy_id)
        return told.remedy(await desk.diagnosis.healer.approve(remedy_id, by=by, reason=reason))

    @post(
        "/{remedy_id:str}/reject",
        summary="Keep it from being carried out",
        operation_class=taking(body_of(Asking), required=False),
        responses=refusals,
        status_code=200,
    )
    async def reject(
        self, request: Request[Any, Any, Any], desk: NamedDependency[Desk], remedy_id: FromPath[str]
    ) -> told.Remedy:
        by, reason = await _who(request)
        await _note(desk, remedy_id)
        return told.remedy(await desk.diagnosis.healer.reject(remedy_id, by=by, reason=reason))

    @post(
        "/{remedy_id:str}/undo",
        summary="Take back what is in effect",
        operation_class=taking(body_of(Asking), required=False),
        responses=refusals,
        status_code=200,
    )
    async def undo(
        self, request: Request[Any, Any, Any], desk: NamedDependency[Desk], remedy_id: FromPath[str]
    ) -> told.Remedy:
        by, reason = await _who(request)
        await _note(desk, remedy_id)
        return told.remedy(await desk.diagnosis.healer.undo(remedy_id, by=by, reason=reason))


async def _who(request: Request[Any, Any, Any]) -> tuple[str, str]:
    asked = await read_body(request, Asking, may_be_empty=True)
    return actor_of(request, asked.by), asked.reason or "no reason given"


async def _note(desk: Desk, remedy_id: str) -> None:
    """For the audit: how the remedy stands now."""
    row = await desk.diagnosis.remedies.get(remedy_id)
    if row is not None:
        before(id=row.id, state=row.state, scope=row.scope)


async def _shown(desk: Desk, remedy_id: str) -> told.Remedy:
    row = await desk.diagnosis.remedies.get(remedy_id)
    if row is None:
        raise Refusal("unknown-remedy", f"no remedy {remedy_id[:100]}")
    return told.remedy(row)
