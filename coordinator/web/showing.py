"""A saga as people see it: what it waits for, what was tried, and what may be asked of it now."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from coordinator.saga import attempts as tried
from coordinator.saga import state
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.definition import Step as Planned
from coordinator.saga.event import (
    CancelRequested,
    CloseRequested,
    Event,
    Kind,
    PauseRequested,
    ResumeRequested,
    RetryRequested,
    Settlement,
    SettleRequested,
    SkipRequested,
    WaiveRequested,
)
from coordinator.saga.event import Failure as Failed
from coordinator.saga.explain import progress
from coordinator.saga.state import StepStatus
from coordinator.saga.transition import decide
from coordinator.web import seen
from coordinator.web.desk import Desk
from coordinator.web.past import past_of
from coordinator.web.problems import Refusal
from coordinator.web.waiting import waiting

askable = (StepStatus.PENDING, StepStatus.WAITING, StepStatus.BLOCKED, StepStatus.COMPENSATED)


async def show(desk: Desk, saga_id: str) -> seen.Saga:
    """One saga in full. Raises UnknownSaga."""
    detail = await desk.detail(saga_id)
    definition = await desk.definition_of(detail)
    saga, at = detail.saga, desk.coordinator.clock.now()
    past = await past_of(desk, definition, saga)
    found = past.told(tried.attempts) if past else None
    done, may = progress(definition, saga), allowed(definition, saga, at)
    return seen.Saga(
        id=saga.id,
        definition=saga.definition,
        version=saga.version,
        status=saga.status,
        direction=saga.direction,
        revision=saga.revision,
        business_key=saga.business_key,
        tags=saga.tags,
        trace_id=saga.trace_id,
        created_at=saga.created_at,
        updated_at=detail.updated_at,
        finished_at=saga.finished_at,
        deadline=saga.deadline.due if saga.deadline else None,
        input=saga.input,
        progress=seen.Progress(done.total, done.completed, done.failed, done.percentage),
        waiting_on=waiting(desk, definition, detail, at),
        cause=cause(saga.cause),
        paused=seen.Pause(saga.paused.since, saga.paused.by, saga.paused.reason) if saga.paused else None,
        effects_left=effects_left(saga),
        results=results(saga),
        steps=tuple(_step(definition, saga, step, found or [], at) for step in definition.steps),
        attempts_complete=found is not None,
        allowed=may,
        verbs=verbs(f"/v1/sagas/{saga.id}", may),
        links=links(saga.id, saga.definition, saga.version),
    )


async def show_result(desk: Desk, saga_id: str) -> seen.Result:
    """What a final saga came to. Raises UnknownSaga; answers 409 for one that has not ended."""
    detail = await desk.detail(saga_id)
    saga = detail.saga
    if not saga.final:
        definition = await desk.definition_of(detail)
        at = desk.coordinator.clock.now()
        wait = waiting(desk, definition, detail, at)
        raise Refusal(
            "saga-not-final",
            f"the saga is {saga.status}" + (f": {wait.message}" if wait else ""),
            saga_status=saga.status,
            allowed=allowed(definition, saga, at),
            headers={"Retry-After": "1"},
        )
    return result_of(saga)


def result_of(saga: state.Saga) -> seen.Result:
    """What a final saga came to."""
    return seen.Result(
        saga.id,
        saga.definition,
        saga.version,
        saga.status,
        saga.finished_at,
        cause(saga.cause),
        results(saga),
        effects_left(saga),
    )


def links(saga_id: str, definition: str, version: int) -> seen.Links:
    here = f"/v1/sagas/{saga_id}"
    return seen.Links(
        here,
        f"{here}/history",
        f"{here}/timeline",
        f"{here}/input",
        f"{here}/result",
        f"/v1/definitions/{definition}/{version}",
    )


def cause(why: state.Cause | None) -> seen.Cause | None:
    return seen.Cause(why.kind, why.step, why.message, why.by) if why else None


def effects_left(saga: state.Saga) -> tuple[seen.EffectLeft, ...]:
    return tuple(seen.EffectLeft(left.step, left.because, left.message, left.certain) for left in saga.effects_left)


def results(saga: state.Saga) -> dict[str, Any]:
    """What the steps gave that are known to have happened."""
    return {name: run.result for name, run in saga.steps.items() if run.happened}


# --- what may be asked ------------------------------------------------------------------------------------------------


def allowed(definition: SagaDefinition, saga: state.Saga, at: datetime) -> tuple[str, ...]:
    """The verbs that would change the saga now. Found by deciding them, so that no rule is told twice."""
    by, why = "", ""
    verbs: Mapping[str, Event] = {
        "cancel": CancelRequested(at, by, why),
        "pause": PauseRequested(at, by, why),
        "resume": ResumeRequested(at, by, why),
        "close": CloseRequested(at, by, why),
    }
    return tuple(name for name, verb in verbs.items() if decide(definition, saga, verb).recorded)


def allowed_of_step(definition: SagaDefinition, saga: state.Saga, step: str, at: datetime) -> tuple[str, ...]:
    """The verbs that would change one step now. Settling counts if the step can be called done, or undone."""
    if saga.step(step).status not in askable:
        return ()
    by, why = "", ""
    verbs: tuple[tuple[str, Event], ...] = (
        ("retry", RetryRequested(at, step, by, why)),
        ("retry", RetryRequested(at, step, by, why, None)),
        ("settle", SettleRequested(at, step, Settlement.DONE, by, why)),
        ("settle", SettleRequested(at, step, Settlement.UNDONE, by, why)),
        ("waive", WaiveRequested(at, step, by, why)),
        ("skip", SkipRequested(at, step, by, why)),
    )
    return tuple(dict.fromkeys(name for name, verb in verbs if decide(definition, saga, verb).recorded))


def verbs(here: str, may: tuple[str, ...]) -> tuple[seen.Verb, ...]:
    """The verbs that may be asked for, with what each must say."""
    return tuple(seen.Verb(name, f"{here}/{name}", _demands.get(name, ())) for name in may)


# What overrides the saga needs a reason; a settlement says what is so.
_demands: Mapping[str, tuple[str, ...]] = {
    "close": ("reason",),
    "settle": ("reason", "settlement"),
    "waive": ("reason",),
    "skip": ("reason",),
}


# --- steps and their attempts -----------------------------------------------------------------------------------------


def _step(
    definition: SagaDefinition, saga: state.Saga, step: Planned, found: list[tried.Attempt], at: datetime
) -> seen.Step:
    run = saga.step(step.name)
    own = [attempt for attempt in found if attempt.command.step == step.name]
    sent = sent_to(own)
    may = allowed_of_step(definition, saga, step.name, at)
    return seen.Step(
        name=step.name,
        participant=step.participant,
        action=step.action,
        compensation=step.compensation,
        kind=step.kind,
        optional=step.optional,
        after=step.after,
        status=run.status,
        input=sent[-1] if sent else None,
        result=run.result,
        error=failure(run.failure),
        fault=run.fault,
        undone=run.undone,
        blocked=run.blocked,
        settled_by=run.settled_by,
        inquiry=run.inquiry.purpose if run.inquiry else None,
        wait=seen.Wait(run.clock.kind, run.clock.since, run.clock.due) if run.clock else None,
        attempts=tuple(_attempt(attempt) for attempt in own),
        allowed=may,
        verbs=verbs(f"/v1/sagas/{saga.id}/steps/{step.name}", may),
    )


def sent_to(own: list[tried.Attempt]) -> list[Any]:
    """What a step's action was sent, each time."""
    return [attempt.data for attempt in own if attempt.command.kind is Kind.ACTION and not attempt.inquiry]


def _attempt(attempt: tried.Attempt) -> seen.Attempt:
    ended = attempt.ended_at
    return seen.Attempt(
        number=attempt.number,
        kind="inquiry" if attempt.inquiry else attempt.command.kind,
        iteration=attempt.command.iteration,
        epoch=attempt.command.epoch,
        outcome=attempt.outcome,
        late=attempt.late,
        effect=attempt.effect,
        undone=attempt.undone,
        error=failure(attempt.failure),
        worker=attempt.worker or None,
        worker_version=attempt.worker_version or None,
        started_at=attempt.started_at,
        ended_at=ended,
        duration_seconds=(ended - attempt.started_at).total_seconds() if ended else None,
        handler_seconds=attempt.duration_seconds,
        calls=tuple(seen.Call(call.dependency, call.seconds, call.error, call.code) for call in attempt.calls),
    )


def failure(told: Failed | None) -> seen.Failure | None:
    if told is None:
        return None
    return seen.Failure(
        type=told.type,
        message=told.message,
        logs=told.logs,
        code=told.code,
        causes=tuple(seen.Underlying(cause.type, cause.message, cause.code) for cause in told.causes),
        frames=told.frames,
        retry_after_seconds=told.retry_after_seconds,
    )
