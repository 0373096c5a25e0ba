"""What a person may ask of a saga. Each is idempotent, written to the history with who and why, and refused with 409
and what may be asked instead."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from litestar import Controller, Request, Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter
from pydantic import Field, StrictStr, StringConstraints

from coordinator.saga.event import (
    CancelRequested,
    CloseRequested,
    PauseRequested,
    ResumeRequested,
    RetryRequested,
    Settlement,
    SettleRequested,
    SkipRequested,
    Verb,
    WaiveRequested,
)
from coordinator.saga.state import Saga
from coordinator.web import seen
from coordinator.web.auditing import after, before
from coordinator.web.describing import body_of, taking
from coordinator.web.desk import Desk
from coordinator.web.problems import ProblemError, Refusal, documented
from coordinator.web.reading import Body, actor_chars_max, actor_of, check_payload, read_body
from coordinator.web.showing import allowed, allowed_of_step, show

By = Annotated[StrictStr, StringConstraints(min_length=1, max_length=actor_chars_max, pattern=r"^[^\x00-\x1f\x7f]+$")]
Reason = Annotated[StrictStr, StringConstraints(min_length=1, max_length=1000)]
IfMatch = Annotated[
    str | None, HeaderParameter(name="If-Match", description='only if the saga\'s ETag still is this: `"7"`')
]

_entity_tag = re.compile(r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"')  # of RFC 9110 §8.8.3
_revision = re.compile(r'"\d{1,18}"', re.ASCII)

refusals = documented(
    "unreadable-body",
    "body-too-large",
    "wrong-content-type",
    "invalid-body",
    "unknown-saga",
    "verb-refused",
    "saga-quarantined",
    "moved-since",
    "bad-parameter",
    "timed-out",
)
step_refusals = {**refusals, **documented("unknown-saga", "unknown-step")}


class Asking(Body):
    """Who asks, and why."""

    by: By | None = None
    reason: Reason | None = None


class Overriding(Body):
    """Who overrides what the saga would do, and why."""

    by: By | None = None
    reason: Reason


class Retrying(Asking):
    """Who tries a step again, and why; with `input`, with another input, which needs a reason."""

    input: Any = Field(default=None, description="another input for the step's action")


class Settling(Overriding):
    """Who states that a step is done, or undone, and with what evidence; with `result`, what it gave."""

    settlement: Settlement
    result: Any = Field(default=None, description="of a step that is done: what it gave")


class Verbs(Controller):
    path = "/v1/sagas/{saga_id:str}"
    tags = ("verbs",)

    @post(
        "/cancel",
        summary="Undo what was done and end the saga compensated",
        operation_class=taking(body_of(Asking), required=False),
        responses=refusals,
        status_code=202,
    )
    async def cancel(
        self,
        request: Request[Any, Any, Any],
        desk: NamedDependency[Desk],
        saga_id: FromPath[str],
        if_match: IfMatch = None,
    ) -> Response[seen.Saga]:
        asked = await read_body(request, Asking, may_be_empty=True)
        return await _ask(desk, saga_id, if_match, CancelRequested(_now(desk), *_who(request, asked)), begins=True)

    @post(
        "/pause",
        summary="Send nothing more and stop the saga's clocks; replies are still taken",
        operation_class=taking(body_of(Asking), required=False),
        responses=refusals,
        status_code=200,
    )
    async def pause(
        self,
        request: Request[Any, Any, Any],
        desk: NamedDependency[Desk],
        saga_id: FromPath[str],
        if_match: IfMatch = None,
    ) -> Response[seen.Saga]:
        asked = await read_body(request, Asking, may_be_empty=True)
        return await _ask(desk, saga_id, if_match, PauseRequested(_now(desk), *_who(request, asked)))

    @post(
        "/resume",
        summary="Go on after a pause",
        operation_class=taking(body_of(Asking), required=False),
        responses=refusals,
        status_code=200,
    )
    async def resume(
        self,
        request: Request[Any, Any, Any],
        desk: NamedDependency[Desk],
        saga_id: FromPath[str],
        if_match: IfMatch = None,
    ) -> Response[seen.Saga]:
        asked = await read_body(request, Asking, may_be_empty=True)
        return await _ask(desk, saga_id, if_match, ResumeRequested(_now(desk), *_who(request, asked)))

    @post(
        "/close",
        summary="End a blocked saga with its effects left behind; it lists them",
        operation_class=taking(body_of(Overriding)),
        responses=refusals,
        status_code=200,
    )
    async def close(
        self,
        request: Request[Any, Any, Any],
        desk: NamedDependency[Desk],
        saga_id: FromPath[str],
        if_match: IfMatch = None,
    ) -> Response[seen.Saga]:
        asked = await read_body(request, Overriding)
        return await _ask(desk, saga_id, if_match, CloseRequested(_now(desk), *_who(request, asked)))

    @post(
        "/steps/{step:str}/retry",
        summary="Try a blocked step again with a new budget, or with another input",
        operation_class=taking(body_of(Retrying), required=False),
        responses=step_refusals,
        status_code=202,
    )
    async def retry(
        self,
        request: Request[Any, Any, Any],
        desk: NamedDependency[Desk],
        saga_id: FromPath[str],
        step: FromPath[str],
        if_match: IfMatch = None,
    ) -> Response[seen.Saga]:
        asked = await read_body(request, Retrying, may_be_empty=True)
        at, (by, reason) = _now(desk), _who(request, asked)
        verb = RetryRequested(at, step, by, reason)
        if "input" in asked.model_fields_set:
            if asked.reason is None:
                error = ProblemError("another input needs a reason", pointer="/reason")
                raise Refusal("invalid-body", error.detail, errors=[error])
            check_payload(asked.input, "input")
            verb = RetryRequested(at, step, by, reason, asked.input)
        return await _ask(desk, saga_id, if_match, verb, step=step, begins=True)

    @post(
        "/steps/{step:str}/settle",
        summary="State that a blocked step is done, or undone",
        operation_class=taking(body_of(Settling)),
        responses=step_refusals,
        status_code=200,
    )
    async def settle(
        self,
        request: Request[Any, Any, Any],
        desk: NamedDependency[Desk],
        saga_id: FromPath[str],
        step: FromPath[str],
        if_match: IfMatch = None,
    ) -> Response[seen.Saga]:
        asked = await read_body(request, Settling)
        check_payload(asked.result, "result")
        by, reason = _who(request, asked)
        verb = SettleRequested(_now(desk), step, asked.settlement, by, reason, asked.result)
        return await _ask(desk, saga_id, if_match, verb, step=step)

    @post(
        "/steps/{step:str}/waive",
        summary="Leave a blocked step as it is; the saga will end closed",
        operation_class=taking(body_of(Overriding)),
        responses=step_refusals,
        status_code=200,
    )
    async def waive(
        self,
        request: Request[Any, Any, Any],
        desk: NamedDependency[Desk],
        saga_id: FromPath[str],
        step: FromPath[str],
        if_match: IfMatch = None,
    ) -> Response[seen.Saga]:
        asked = await read_body(request, Overriding)
        return await _ask(desk, saga_id, if_match, WaiveRequested(_now(desk), step, *_who(request, asked)), step=step)

    @post(
        "/steps/{step:str}/skip",
        summary="Go on without a step that has not happened",
        operation_class=taking(body_of(Overriding)),
        responses=step_refusals,
        status_code=200,
    )
    async def skip(
        self,
        request: Request[Any, Any, Any],
        desk: NamedDependency[Desk],
        saga_id: FromPath[str],
        step: FromPath[str],
        if_match: IfMatch = None,
    ) -> Response[seen.Saga]:
        asked = await read_body(request, Overriding)
        return await _ask(desk, saga_id, if_match, SkipRequested(_now(desk), step, *_who(request, asked)), step=step)


def _now(desk: Desk) -> datetime:
    return desk.coordinator.clock.now()


def _who(request: Request[Any, Any, Any], asked: Asking | Overriding) -> tuple[str, str]:
    return actor_of(request, asked.by), asked.reason or "no reason given"


async def _ask(
    desk: Desk, saga_id: str, if_match: str | None, verb: Verb, *, step: str | None = None, begins: bool = False
) -> Response[seen.Saga]:
    """Let it happen and answer with the saga: 202 where something has only begun, 200 where it is done."""
    revisions = revisions_of(if_match)
    detail = await desk.detail(saga_id)
    definition = await desk.definition_of(detail)
    if step is not None and step not in definition.by_name:
        raise Refusal("unknown-step", f"{definition.name} version {definition.version} has no step {step}")
    before(**_facts(detail.saga, step))
    handled = await desk.handle(saga_id, verb, revisions)
    if handled.refused is not None:
        at = verb.at
        may = allowed_of_step(definition, handled.saga, step, at) if step else allowed(definition, handled.saga, at)
        raise Refusal("verb-refused", handled.refused, saga_status=handled.saga.status, allowed=may)
    after(**_facts(handled.saga, step))
    saga = await show(desk, saga_id)
    asking = step is not None and handled.saga.step(step).inquiry is not None
    status_code = 202 if (begins and not handled.saga.final) or asking else 200
    return Response(saga, status_code=status_code, headers={"ETag": f'"{saga.revision}"'})


def revisions_of(if_match: str | None) -> frozenset[int] | None:
    """The revisions that an If-Match names (RFC 9110 §13.1.1); None: any. A weak tag matches nothing."""
    if if_match is None or if_match.strip() == "*":
        return None
    tags = [tag.strip() for tag in if_match.split(",")]
    if not all(_entity_tag.fullmatch(tag) for tag in tags):
        raise Refusal("bad-parameter", 'If-Match holds entity tags, as a saga\'s ETag is: "7"')
    return frozenset(int(tag.strip('"')) for tag in tags if _revision.fullmatch(tag))


def _facts(saga: Saga, step: str | None) -> dict[str, Any]:
    """For the audit: how the saga stands, and the step that is meant."""
    of_step = {} if step is None else {"step": step, "step_status": saga.step(step).status}
    return {"status": saga.status, "revision": saga.revision, "paused": saga.paused is not None, **of_step}
