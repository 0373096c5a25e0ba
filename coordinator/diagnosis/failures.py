"""What failed with a decision: the steps over which a saga turned, blocked, or went on without.

Read from the decision and the saga before it alone, so that it does not matter who looks, or how often.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from coordinator.saga.decision import Decision, Incident
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.event import Answer, CommandId, Failure, Kind, Replied
from coordinator.saga.state import CauseKind, Direction, Saga, StepRun, StepStatus

no_reply = "NoReply"  # the type of a failure that is silence
message_chars_max = 2_000
causes_max = 8

_counted = frozenset(
    {CauseKind.REFUSED, CauseKind.FAILED, CauseKind.UNKNOWN, CauseKind.FAULT, CauseKind.DEADLINE}
)  # a saga that a person cancelled has not failed
_told_by_the_step = frozenset({*map(str, CauseKind), "blocked"})  # of any other cause, what it said last is not why
_given_up = frozenset({StepStatus.REFUSED, StepStatus.FAILED, StepStatus.COMPENSATING})
_tried = frozenset({StepStatus.PENDING, StepStatus.WAITING, StepStatus.DISPATCHED})


@dataclass(frozen=True, slots=True)
class Noticed:
    """A step that failed, in the words it came with. Nothing in it has been redacted, so it is never stored."""

    saga_id: str
    step: str
    kind: Kind
    at: datetime
    definition: str
    version: int
    participant: str
    cause: str
    failure: Failure | None
    worker: str
    worker_version: str
    attempts: int
    business_key: str | None
    command: str  # its last sending, as a worker names what it holds: "<saga>/<step>/<iteration>/<kind>/<epoch>/<n>"
    sent_at: datetime | None

    @property
    def silent(self) -> bool:
        """Nobody answered the last attempt."""
        return self.failure is not None and self.failure.type == no_reply


def noticed(definition: SagaDefinition, before: Saga, decision: Decision) -> Iterator[Noticed]:
    """The failures that this decision makes certain; of one step and kind at most one."""
    after = decision.saga
    turned = after.direction is Direction.BACKWARD and before.direction is Direction.FORWARD
    incidents = [effect for effect in decision.effects if isinstance(effect, Incident)] if decision.effects else []
    found: dict[tuple[str, Kind], Noticed] = {}
    if turned and after.cause and after.cause.kind in _counted:
        step = after.cause.step or _longest_waiting(definition, before)
        _keep(found, _failed(definition, before, decision, step, str(after.cause.kind)))
    for incident in incidents:
        step = incident.step or _longest_waiting(definition, before)
        _keep(found, _failed(definition, before, decision, step, incident.kind))
    if not turned and not (isinstance(decision.event, Replied) and decision.event.answer is Answer.SUCCEEDED):
        for step in _optional_given_up(definition, before, after):
            _keep(found, _failed(definition, before, decision, step, _how(after.step(step))))
    yield from found.values()


def _keep(found: dict[tuple[str, Kind], Noticed], one: Noticed) -> None:
    found.setdefault((one.step, one.kind), one)


def _failed(definition: SagaDefinition, before: Saga, decision: Decision, step: str, cause: str) -> Noticed:
    saga, event = decision.saga, decision.event
    run, earlier = saga.step(step), before.step(step)
    kind = run.blocked or Kind.ACTION
    undoing = kind is Kind.COMPENSATION
    command = CommandId(step, run.iteration, kind, run.epoch if undoing else 0)
    number = run.undo_attempt if undoing else run.attempt
    answered = isinstance(event, Replied) and event.command.step == step
    said = event if isinstance(event, Replied) and answered else None
    failure = run.failure
    if run.fault and cause == CauseKind.FAULT:
        failure = Failure("OutputSchema", run.fault)
    elif cause not in _told_by_the_step:
        failure = None
    return Noticed(
        saga_id=saga.id,
        step=step,
        kind=kind,
        at=event.at,
        definition=definition.name,
        version=definition.version,
        participant=definition.by_name[step].participant,
        cause=cause,
        failure=_bounded(failure) if failure else None,
        worker=said.worker if said else "",
        worker_version=said.worker_version if said else "",
        attempts=number,
        business_key=saga.business_key,
        command=f"{saga.id}/{command}/{number}",
        sent_at=earlier.sent_at,
    )


def _bounded(failure: Failure) -> Failure:
    """Without its log lines, which may be long and tell no failure from another."""
    return replace(failure, message=failure.message[:message_chars_max], logs=(), causes=failure.causes[-causes_max:])


def _longest_waiting(definition: SagaDefinition, saga: Saga) -> str:
    """The step that a saga was waiting for when its own clock ran out: the one for which it has waited longest."""
    waiting = [run for run in saga.steps.values() if run.clock]
    if waiting:
        return min(waiting, key=lambda run: run.clock.since if run.clock else saga.created_at).name
    return next((name for name in definition.order if name not in saga.steps), definition.order[-1])


def _optional_given_up(definition: SagaDefinition, before: Saga, after: Saga) -> Iterator[str]:
    for name, run in after.steps.items():
        if run.status in _given_up:
            earlier = before.steps.get(name)
            status = earlier.status if earlier else StepStatus.PENDING
            if status in _tried and definition.by_name[name].optional:
                yield name


def _how(run: StepRun) -> str:
    """In which way a step was given up, in the words of a saga's cause."""
    if run.status is StepStatus.REFUSED:
        return CauseKind.REFUSED
    return CauseKind.UNKNOWN if run.unclean else CauseKind.FAILED
