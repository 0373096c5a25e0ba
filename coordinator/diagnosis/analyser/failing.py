"""What failed: which steps, which way, with which errors; and every failed attempt at them, with what is known of how
far it got. Everything else an analysis asks starts from here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from coordinator.diagnosis.case import Case, SagaSeen, WorkerSeen
from coordinator.diagnosis.cause import Phase
from coordinator.saga.attempts import Attempt
from coordinator.saga.definition import Step
from coordinator.saga.event import Failure, Kind
from coordinator.saga.state import CauseKind, StepRun, StepStatus

bad_outcomes = frozenset({"failed", "unknown", "refused", "expired", "unsent"})


@dataclass(frozen=True, slots=True)
class FailingStep:
    """One step in one direction, of one definition."""

    definition: str
    step: str
    kind: str  # action | compensation
    participant: str

    @property
    def place(self) -> tuple[str, str, str]:
        return (self.definition, self.step, self.kind)

    @property
    def name(self) -> str:
        return f"{self.definition}.{self.step}"


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt at a failing step that did not succeed in time."""

    seen: SagaSeen
    step: Step
    attempt: Attempt
    worker: str  # who answered, or was known to have it in hand; "": nobody knows
    version: str
    host: str
    begun: bool | None  # a worker had it in hand; None: there is no telling
    seconds: float | None  # in the handler, as far as is known
    silent: bool  # no reply came in time
    waited: float | None = None  # seconds until the handler began, of one that began only when its time was over

    @property
    def failure(self) -> Failure | None:
        return self.attempt.failure

    @property
    def at(self) -> datetime:
        return self.attempt.ended_at or self.attempt.started_at


@dataclass(frozen=True)
class Failing:
    """What an analysis is about."""

    steps: tuple[FailingStep, ...]  # the most affected first
    tried: tuple[Tried, ...]
    errors: frozenset[str]  # as they are counted: code, else type
    silent: bool  # some ended without a reply
    refused: bool  # all of them were refusals
    sagas: tuple[SagaSeen, ...]
    total: int  # sagas known to have failed so

    @property
    def symptom(self) -> FailingStep:
        return self.steps[0]

    @property
    def phase(self) -> Phase:
        return Phase.COMPENSATION if self.symptom.kind == Kind.COMPENSATION else Phase.FORWARD

    @property
    def places(self) -> frozenset[tuple[str, str, str]]:
        return frozenset(step.place for step in self.steps)

    @property
    def participants(self) -> frozenset[str]:
        return frozenset(step.participant for step in self.steps)


def failing_of(case: Case) -> Failing:
    """Read what failed out of a case. Without any failure the saga's last step stands for it."""
    sagas = case.failed or ((case.focus,) if case.focus else ())
    steps: Counter[FailingStep] = Counter()
    for facet in case.facets:
        found = _step_of_facet(case, facet.step, facet.kind)
        if found:
            steps[found] += facet.count
    known = {step.place for step in steps}
    tried: list[Tried] = []
    holders = _holders(case)
    hosts = {(worker.participant, worker.worker): worker.host for worker in case.workers}
    for seen in sagas:
        for step, kind in _failing_steps(seen):
            failing = FailingStep(seen.saga.definition, step.name, kind, step.participant)
            if known and failing.place not in known and seen is not case.focus:
                continue
            if not known:
                steps[failing] += 1
            tried += _tried(seen, step, kind, holders, hosts)
    for failure in case.failures:
        if not known:
            steps[FailingStep(failure.definition, failure.step, failure.kind, failure.participant)] += 1
    ordered = sorted(steps, key=lambda step: (-steps[step], step.place))
    if case.focus:
        own = [(case.focus.saga.definition, step.name, kind) for step, kind in _failing_steps(case.focus)]
        ordered.sort(key=lambda step: own.index(step.place) if step.place in own else len(own))
    return Failing(
        steps=tuple(ordered) or _nothing(sagas),
        tried=tuple(tried),
        errors=_errors(case, tried),
        silent=any(one.silent for one in tried) or any(failure.cause == "unknown" for failure in case.failures),
        refused=_all_refused(case, tried),
        sagas=tuple(sagas),
        total=_total(case, sagas),
    )


def _total(case: Case, sagas: tuple[SagaSeen, ...]) -> int:
    """How many sagas: each may have failed more than once, and of many failures only the newest are known."""
    known = len({failure.saga_id for failure in case.failures})
    everything = case.incident.failures if case.incident else 0
    if known and everything > len(case.failures):
        known = round(everything * known / len(case.failures))
    return max(known or everything, len(sagas))


def _nothing(sagas: tuple[SagaSeen, ...]) -> tuple[FailingStep, ...]:
    """A step to speak of where none failed: the last that had a failed attempt before it succeeded, else the last one
    that anything was sent for."""
    for seen in sagas:
        newest_first = seen.attempts[::-1]
        for attempt in sorted(newest_first, key=lambda attempt: attempt.failure is None):
            step = seen.definition.by_name.get(attempt.command.step)
            if step:
                return (FailingStep(seen.saga.definition, step.name, str(attempt.command.kind), step.participant),)
        if seen.definition.steps:
            first = seen.definition.steps[0]
            return (FailingStep(seen.saga.definition, first.name, Kind.ACTION, first.participant),)
    return (FailingStep("nothing", "nothing", Kind.ACTION, "nobody"),)


def _step_of_facet(case: Case, name: str, kind: str) -> FailingStep | None:
    definition, _, step = name.partition(".")
    for seen in (*case.failed, *case.peers):
        if seen.saga.definition == definition and step in seen.definition.by_name:
            return FailingStep(definition, step, kind, seen.definition.by_name[step].participant)
    for failure in case.failures:
        if (failure.definition, failure.step) == (definition, step):
            return FailingStep(definition, step, kind, failure.participant)
    for tally in case.tallies:
        if (tally.place.definition, tally.place.step) == (definition, step):
            return FailingStep(definition, step, kind, tally.place.participant)
    return None


def _failing_steps(seen: SagaSeen) -> Iterator[tuple[Step, str]]:
    """The steps of one saga that gave it trouble, the one that made it turn first; compensations that don't get on
    go before all."""
    saga, by_name = seen.saga, seen.definition.by_name
    found: list[tuple[Step, str]] = []
    for name, run in saga.steps.items():
        if name in by_name and _stuck_undoing(run):
            found.append((by_name[name], Kind.COMPENSATION))
    cause = saga.cause.step if saga.cause else None
    if cause in by_name:
        found.append((by_name[cause], Kind.ACTION))
    for name, run in saga.steps.items():
        gave_up = run.status in (StepStatus.FAILED, StepStatus.REFUSED) or run.blocked is Kind.ACTION
        if name in by_name and name != cause and (gave_up and run.failure) and not _bystander(seen, run):
            found.append((by_name[name], Kind.ACTION))
    if not found:  # not given up yet, or the whole saga ran out of time
        for name, run in saga.steps.items():
            if name in by_name and (run.failure or run.clock or run.fault) and not run.happened:
                found.append((by_name[name], Kind.ACTION))
    if not found and saga.cause and saga.cause.kind is CauseKind.DEADLINE:
        slowest = max(seen.attempts, key=_waited, default=None)
        if slowest and slowest.command.step in by_name:
            found.append((by_name[slowest.command.step], str(slowest.command.kind)))
    yield from found


def _waited(attempt: Attempt) -> float:
    return (attempt.ended_at - attempt.started_at).total_seconds() if attempt.ended_at else 0.0


def _stuck_undoing(run: StepRun) -> bool:
    if run.blocked is Kind.COMPENSATION:
        return True
    return run.status is StepStatus.COMPENSATING and run.failure is not None and run.undo_attempt > 1


def _bystander(seen: SagaSeen, run: StepRun) -> bool:
    """In flight when the saga turned for another step's sake: its silence or end is a consequence."""
    cause = seen.saga.cause
    return cause is not None and cause.step is not None and cause.step != run.name


def _holders(case: Case) -> dict[str, tuple[WorkerSeen, float]]:
    """Who said that it had a command in hand ("saga/step/iteration/kind/epoch/attempt"), and for how long."""
    return {command: (worker, held) for worker in case.workers for command, held in worker.holding.items()}


def _tried(
    seen: SagaSeen,
    step: Step,
    kind: str,
    holders: dict[str, tuple[WorkerSeen, float]],
    hosts: dict[tuple[str, str], str],
) -> Iterator[Tried]:
    run = seen.saga.step(step.name)
    for attempt in seen.attempts:
        late = attempt.late and attempt.outcome == "succeeded"
        mine = attempt.command.step == step.name and attempt.command.kind == kind and not attempt.inquiry
        if not mine or not (attempt.outcome in bad_outcomes or late):
            continue
        holder = holders.get(f"{seen.saga.id}/{attempt.command}/{attempt.number}")
        silent = attempt.outcome in ("unknown", "expired") or attempt.late
        begun: bool | None = None
        if attempt.worker or holder or (run.begun and run.attempt == attempt.number):
            begun = True
        waited = _waited_in_vain(attempt, step)
        if attempt.outcome == "unsent" or waited is not None:
            begun = False
        elif attempt.late and not attempt.duration_seconds:
            begun = None  # it had been done before, so that the answer took no time
        worker = attempt.worker or (holder[0].worker if holder else "")
        version = attempt.worker_version or (holder[0].version if holder else "")
        host = hosts.get((step.participant, worker), "")
        seconds = attempt.duration_seconds if attempt.duration_seconds is not None else (holder[1] if holder else None)
        yield Tried(seen, step, attempt, worker, version, host, begun, seconds, silent, waited)


def _waited_in_vain(attempt: Attempt, step: Step) -> float | None:
    """How long it was before a handler began, if by then nobody waited for it any more. A command that had been
    answered before takes no time at all, and tells nothing."""
    if not attempt.late or not attempt.duration_seconds or attempt.ended_at is None:
        return None
    waited = (attempt.ended_at - attempt.started_at).total_seconds() - attempt.duration_seconds
    return waited if waited >= step.timeout_seconds else None


def _errors(case: Case, tried: list[Tried]) -> frozenset[str]:
    """The errors of this trouble, as they are counted: a reply that never came has none."""
    found = {one.failure.code or one.failure.type for one in tried if one.failure and not one.silent}
    found |= {facet.code or facet.error_type for facet in case.facets}
    found |= {failure.code or failure.error_type for failure in case.failures}
    return frozenset(found - {""})


def _all_refused(case: Case, tried: list[Tried]) -> bool:
    outcomes = {one.attempt.outcome for one in tried} | {failure.cause for failure in case.failures}
    return bool(outcomes) and outcomes <= {"refused"}
