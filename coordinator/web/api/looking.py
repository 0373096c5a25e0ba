"""A saga looked at more closely: along the axis of time, and what went in and came out, as text that rounds nothing."""

from __future__ import annotations

import json
from typing import Any

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from coordinator.saga import attempts as tried
from coordinator.saga.definition import SagaDefinition
from coordinator.store.values import SagaDetail
from coordinator.web import seen
from coordinator.web.desk import Desk
from coordinator.web.past import past_of
from coordinator.web.problems import Refusal, documented
from coordinator.web.reading import bad_parameter
from coordinator.web.showing import sent_to
from coordinator.web.timeline import Timeline, timeline

payload_bytes_default, payload_bytes_max = 64 * 1024, 1024 * 1024


class Looking(Controller):
    path = "/v1/sagas/{saga_id:str}"
    tags = ("sagas",)

    @get("/timeline", summary="A saga's attempts along the axis of time", responses=documented("unknown-saga"))
    async def timeline(self, desk: NamedDependency[Desk], saga_id: FromPath[str]) -> Timeline:
        return await timeline(desk, saga_id)

    @get("/input", summary="What a saga was started with", responses=documented("unknown-saga"))
    async def input(
        self,
        desk: NamedDependency[Desk],
        saga_id: FromPath[str],
        max_bytes: FromQuery[int] = payload_bytes_default,
        pretty: FromQuery[bool] = False,
    ) -> seen.Payload:
        return _payload((await desk.detail(saga_id)).saga.input, max_bytes, pretty=pretty)

    @get(
        "/steps/{step:str}/input",
        summary="What a step's action was last sent",
        responses=documented("unknown-saga", "unknown-step", "no-payload"),
    )
    async def step_input(
        self,
        desk: NamedDependency[Desk],
        saga_id: FromPath[str],
        step: FromPath[str],
        max_bytes: FromQuery[int] = payload_bytes_default,
        pretty: FromQuery[bool] = False,
    ) -> seen.Payload:
        detail, definition = await _with_step(desk, saga_id, step)
        past = await past_of(desk, definition, detail.saga)
        found = past.told(tried.attempts) if past else None
        sent = sent_to([attempt for attempt in found or () if attempt.command.step == step])
        if not sent:
            raise Refusal("no-payload", f"step {step} was sent nothing yet, or the history is too long to tell")
        return _payload(sent[-1], max_bytes, pretty=pretty)

    @get(
        "/steps/{step:str}/result",
        summary="What a step gave",
        responses=documented("unknown-saga", "unknown-step", "no-payload"),
    )
    async def step_result(
        self,
        desk: NamedDependency[Desk],
        saga_id: FromPath[str],
        step: FromPath[str],
        max_bytes: FromQuery[int] = payload_bytes_default,
        pretty: FromQuery[bool] = False,
    ) -> seen.Payload:
        detail, _ = await _with_step(desk, saga_id, step)
        run = detail.saga.step(step)
        if not run.happened:
            raise Refusal("no-payload", f"step {step} is {run.status} and gave nothing")
        return _payload(run.result, max_bytes, pretty=pretty)


async def _with_step(desk: Desk, saga_id: str, step: str) -> tuple[SagaDetail, SagaDefinition]:
    """A saga and its definition, which has that step. Raises Refusal."""
    detail = await desk.detail(saga_id)
    definition = await desk.definition_of(detail)
    if step not in definition.by_name:
        raise Refusal("unknown-step", f"{definition.name} version {definition.version} has no step {step}")
    return detail, definition


def _payload(value: Any, bytes_max: int, *, pretty: bool) -> seen.Payload:
    """JSON as text: whoever shows it need not read the numbers, and so can't round them."""
    if not 1 <= bytes_max <= payload_bytes_max:
        raise bad_parameter("max_bytes", f"1 to {payload_bytes_max}")
    separators = None if pretty else (",", ":")
    text = json.dumps(value, ensure_ascii=False, indent=2 if pretty else None, separators=separators)
    whole = text.encode()
    if len(whole) <= bytes_max:
        return seen.Payload(len(whole), False, text)
    return seen.Payload(len(whole), True, whole[:bytes_max].decode("utf-8", "ignore"))
