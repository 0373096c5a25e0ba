"""A small world to be diagnosed: sagas that really went through the core's decisions, with scripted answers, beside a
fleet whose counts are written down by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from coordinator.diagnosis.case import Case, PastIncident, SagaSeen, WorkerSeen
from coordinator.saga.attempts import attempts
from coordinator.saga.decision import SendCommand
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.event import (
    Answer,
    Call,
    Effect,
    Event,
    Failure,
    Kind,
    Replied,
    Started,
    Underlying,
    Undone,
    Woke,
)
from coordinator.saga.registration import read_definition
from coordinator.saga.state import Saga, SagaStatus, wake_at
from coordinator.saga.transition import decide
from coordinator.store.observed import (
    CallTally,
    Facet,
    FailedStep,
    IncidentRow,
    IncidentStatus,
    Occurrence,
    OccurrenceKind,
    Place,
    Tallied,
    Tally,
    bucket_seconds,
)

noon = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
nothing_decided: tuple[str, ...] = ()

document: dict[str, Any] = {
    "name": "place_order",
    "steps": [
        {
            "name": "create-order",
            "participant": "order",
            "action": "create",
            "compensation": "cancel",
            "after": [],
            "input": {"customer": "${input.customer}", "items": "${input.items}"},
            "timeout": "10s",
        },
        {
            "name": "reserve-stock",
            "participant": "inventory",
            "action": "reserve",
            "compensation": "release",
            "after": ["create-order"],
            "input": {"order_id": "${steps.create-order.order_id}", "items": "${input.items}"},
            "timeout": "10s",
        },
        {
            "name": "charge-card",
            "participant": "payment",
            "action": "charge",
            "compensation": "refund",
            "after": ["reserve-stock"],
            "input": {"order_id": "${steps.create-order.order_id}", "cents": "${steps.create-order.total_cents}"},
            "timeout": "10s",
            "retry": {"max_attempts": 3, "first": "1s"},
            "compensation_retry": {"max_attempts": 3, "first": "1s"},
        },
        {
            "name": "send-mail",
            "participant": "mail",
            "action": "send",
            "irreversible": "a mail is a mail",
            "after": ["charge-card"],
            "timeout": "10s",
        },
    ],
}
results: Mapping[str, Any] = {
    "create-order": {"order_id": 7, "total_cents": 1200},
    "reserve-stock": {"reservation": "r-1"},
    "charge-card": {"charge_id": "ch-1"},
    "send-mail": {},
}


@dataclass(frozen=True)
class Says:
    """What a participant does with one attempt. `answer` None: nobody answers in time."""

    answer: Answer | None = Answer.SUCCEEDED
    failure: Failure | None = None
    effect: Effect | None = None
    result: Any = None
    seconds: float = 0.05
    wait: float = 0.01
    calls: tuple[Call, ...] = ()
    worker: str = ""
    version: str = ""
    undone: Undone | None = None


def ok(result: Any = None, **kwargs: Any) -> Says:
    return Says(result=result, **kwargs)


def fails(kind: str, message: str = "", code: str = "", *, unknown: bool = False, **kwargs: Any) -> Says:
    causes = tuple(Underlying(*cause) for cause in kwargs.pop("causes", ()))
    logs = tuple(kwargs.pop("logs", ()))
    retry_after = kwargs.pop("retry_after", None)
    failure = Failure(kind, message, logs, code, causes, retry_after_seconds=retry_after)
    return Says(Answer.FAILED, failure, Effect.UNKNOWN if unknown else Effect.NONE, **kwargs)


def refuses(kind: str, message: str = "", code: str = "", **kwargs: Any) -> Says:
    return Says(Answer.REFUSED, Failure(kind, message, (), code), **kwargs)


silence = Says(answer=None)


@dataclass(frozen=True)
class Worker:
    """A worker of the fleet."""

    participant: str
    name: str
    version: str = "1.0.0"
    host: str = "h1"
    since: float = -600.0  # minutes before noon
    live: bool = True
    last_seen: float = 0.0
    settings: Mapping[str, str] = field(default_factory=dict)
    holding: Mapping[str, float] = field(default_factory=dict)
    handlers: frozenset[str] = frozenset()


def minutes(count: float) -> datetime:
    return noon + timedelta(minutes=count)


class World:
    """A fleet, its traffic, and the sagas that failed in it."""

    def __init__(self, plan: Mapping[str, Any] | None = None, *, workers: Sequence[Worker] = ()) -> None:
        self.definition: SagaDefinition = read_definition(dict(plan or document))
        self.workers = list(workers) or [
            Worker(step.participant, f"{step.participant}-{number}", host=f"h{number}")
            for step in self.definition.steps
            for number in (1, 2, 3)
        ]
        self.failed: list[SagaSeen] = []
        self.peers: list[SagaSeen] = []
        self.tallies: list[Tally] = []
        self.calls: list[CallTally] = []
        self.occurrences: list[Occurrence] = []
        self._sagas = 0

    # -- sagas -------------------------------------------------------------------------------------------------------

    def saga(
        self,
        *,
        at: float = 0.0,
        data: Any = None,
        until: float = 600.0,
        version: int = 1,
        **says: Sequence[Says] | Says,
    ) -> SagaSeen:
        """Play one saga from `at` (minutes). `charge_card=[…]` scripts the action of charge-card, `undo_charge_card`
        its compensation, attempt by attempt; the last answer repeats, and what isn't scripted succeeds."""
        self._sagas += 1
        definition = replace(self.definition, version=version)
        given = {"customer": "ada", "items": [{"sku": "lamp", "quantity": 1}]} if data is None else data
        beginning = Saga(f"saga-{self._sagas:04d}", definition.name, version, given, minutes(at))
        play = _Play(definition, beginning, minutes(at), self._scripts(says), self._worker)
        play.run(minutes(at) + timedelta(minutes=until))
        seen = SagaSeen(play.saga, definition, tuple(attempts(definition, beginning, play.events)))
        (self.peers if play.saga.status is SagaStatus.COMPLETED else self.failed).append(seen)
        return seen

    @staticmethod
    def _scripts(says: Mapping[str, Sequence[Says] | Says]) -> dict[tuple[str, str], list[Says]]:
        scripts = {}
        for name, answers in says.items():
            kind = "compensation" if name.startswith("undo_") else "action"
            step = name.removeprefix("undo_").replace("_", "-")
            scripts[step, kind] = [answers] if isinstance(answers, Says) else list(answers)
        return scripts

    def _worker(self, participant: str, turn: int) -> Worker:
        mine = [worker for worker in self.workers if worker.participant == participant and worker.live]
        return mine[turn % len(mine)] if mine else Worker(participant, f"{participant}-0")

    # -- the fleet ---------------------------------------------------------------------------------------------------

    def traffic(
        self,
        step: str,
        *,
        since: float = -30.0,
        until: float = 0.0,
        per_minute: int = 6,
        bad: Callable[[float, Worker], float] = lambda minute, worker: 0.0,
        outcome: Tallied = Tallied.FAILED,
        error: str = "RuntimeError",
        seconds: Callable[[float, Worker], float] = lambda minute, worker: 0.05,
        wait: Callable[[float, Worker], float] = lambda minute, worker: 0.01,
        kind: str = "action",
        version: int = 1,
    ) -> World:
        """Attempts at a step, per minute and worker; `bad` says which share of them."""
        participant = self.definition.by_name[step].participant
        for worker in [worker for worker in self.workers if worker.participant == participant]:
            for minute in range(int(since), int(until) + 1):
                if minute < worker.since or (not worker.live and minute > worker.last_seen):
                    continue
                failing = round(per_minute * bad(minute, worker))
                place = Place(self.definition.name, version, step, kind, participant, worker.name, worker.version)
                timing = (seconds(minute, worker), wait(minute, worker))
                if per_minute - failing:
                    self._tally(minute, place, Tallied.SUCCEEDED, "", per_minute - failing, *timing)
                if failing and outcome is Tallied.UNKNOWN:
                    self._tally(minute, replace(place, worker="", worker_version=""), outcome, "", failing, 0.0, 0.0)
                elif failing:
                    self._tally(minute, place, outcome, error, failing, *timing)
        return self

    def _tally(
        self, minute: float, place: Place, outcome: Tallied, error: str, count: int, seconds: float, wait: float
    ) -> None:
        silent = outcome is Tallied.UNKNOWN
        took, waited = ((), ()) if silent else (_buckets(seconds, count), _buckets(wait, count))
        self.tallies.append(
            Tally(minutes(minute), place, outcome, error, count, seconds * count, took, wait * count, waited)
        )

    def called(
        self,
        participant: str,
        dependency: str,
        *,
        since: float = -30.0,
        until: float = 0.0,
        per_minute: int = 6,
        bad: Callable[[float, Worker], float] = lambda minute, worker: 0.0,
        error: str = "http 503",
        seconds: Callable[[float, Worker], float] = lambda minute, worker: 0.03,
    ) -> World:
        """Calls of a participant's workers to something they depend on."""
        for worker in [worker for worker in self.workers if worker.participant == participant]:
            for minute in range(int(since), int(until) + 1):
                failing = round(per_minute * bad(minute, worker))
                took = seconds(minute, worker)
                for wrong, count in (("", per_minute - failing), (error, failing)):
                    if count:
                        cell = (participant, dependency, worker.name, worker.version, wrong, count, took * count)
                        self.calls.append(CallTally(minutes(minute), *cell, _buckets(took, count)))
        return self

    def happened(self, kind: OccurrenceKind, subject: str, at: float, **facts: Any) -> World:
        name = f"{kind}-{len(self.occurrences)}"
        self.occurrences.append(Occurrence(name, minutes(at), kind, subject, facts))
        return self

    # -- the case ----------------------------------------------------------------------------------------------------

    def case(self, *, at: float = 1.0, focus: SagaSeen | None = None, grouped: bool = True, **kwargs: Any) -> Case:
        """The case of all sagas that failed, as an incident; or of `focus` alone."""
        failed = (focus,) if focus else tuple(self.failed)
        failures = tuple(_failed_step(seen) for seen in failed if seen.saga.cause or _blocked(seen))
        rows: dict[str, Any] = {}
        if grouped and not focus and failures:
            first, last = min(one.at for one in failures), max(one.at for one in failures)
            many = kwargs.pop("failures_total", len(failures))
            rows["incident"] = IncidentRow("i-1", "f", IncidentStatus.OPEN, first, first, last, many)
            rows["facets"] = _facets(failures)
        return Case(
            at=minutes(at),
            nonce="nonce",
            since=minutes(-30),
            failed=failed,
            peers=tuple(self.peers),
            focus=focus,
            failures=failures,
            tallies=tuple(self.tallies),
            calls=tuple(self.calls),
            occurrences=tuple(self.occurrences),
            workers=tuple(_seen(worker) for worker in self.workers),
            **rows,
            **kwargs,
        )


class _Play:
    """One saga being played: commands are answered in the order of their times, clocks run out when they are due."""

    def __init__(
        self,
        definition: SagaDefinition,
        saga: Saga,
        at: datetime,
        scripts: dict[tuple[str, str], list[Says]],
        worker: Callable[[str, int], Worker],
    ) -> None:
        self.definition, self.saga, self.scripts, self.worker = definition, saga, scripts, worker
        self.events: list[Event] = []
        self.turn = 0
        self.waiting: list[tuple[datetime, int, Replied]] = []
        self._apply(Started(at))

    def run(self, until: datetime) -> None:
        while not self.saga.final:
            due = wake_at(self.saga)
            first = min(self.waiting, default=None, key=lambda item: item[:2])
            if first and (due is None or first[0] <= due):
                self.waiting.remove(first)
                if first[0] > until:
                    return
                self._apply(first[2])
            elif due is not None and due <= until:
                self._apply(Woke(due))
            else:
                return

    def _apply(self, event: Event) -> None:
        decision = decide(self.definition, self.saga, event)
        self.saga = decision.saga
        self.events.append(event)
        for effect in decision.effects:
            if isinstance(effect, SendCommand):
                self._answer(effect, event.at)

    def _answer(self, command: SendCommand, at: datetime) -> None:
        script = self.scripts.get((command.command.step, str(command.command.kind)))
        says = (script.pop(0) if len(script) > 1 else script[0]) if script else ok()
        worker = self.worker(command.participant, self.turn)
        self.turn += 1
        if says.answer is None:
            return
        undoing = command.command.kind is Kind.COMPENSATION
        undone = says.undone or (Undone.UNDONE if undoing and says.answer is Answer.SUCCEEDED else None)
        result = says.result if says.result is not None or undoing else results.get(command.command.step)
        reply = Replied(
            at + timedelta(seconds=says.seconds + says.wait),
            command.command,
            command.attempt,
            says.answer,
            inquire=bool(command.inquiry),
            effect=says.effect,
            undone=undone,
            result=result if says.answer is Answer.SUCCEEDED else None,
            failure=says.failure,
            worker=says.worker or worker.name,
            worker_version=says.version or worker.version,
            duration_seconds=says.seconds,
            calls=says.calls,
        )
        self.waiting.append((reply.at, self.turn, reply))


def _buckets(seconds: float, count: int) -> tuple[int, ...]:
    place = next((n for n, bound in enumerate(bucket_seconds) if seconds <= bound), len(bucket_seconds))
    return tuple(count if n == place else 0 for n in range(len(bucket_seconds) + 1))


def _seen(worker: Worker) -> WorkerSeen:
    return WorkerSeen(
        worker.participant,
        worker.name,
        worker.version,
        worker.host,
        worker.settings,
        minutes(worker.since),
        minutes(worker.last_seen),
        worker.live,
        False,
        len(worker.holding),
        worker.holding,
        worker.handlers,
    )


def _blocked(seen: SagaSeen) -> str | None:
    return next((run.name for run in seen.saga.steps.values() if run.blocked), None)


def _failed_step(seen: SagaSeen) -> FailedStep:
    """As the coordinator keeps it; the wording stands for its template."""
    saga = seen.saga
    blocked = _blocked(seen)
    step = blocked or (saga.cause.step if saga.cause and saga.cause.step else seen.definition.steps[0].name)
    run = saga.step(step)
    kind = str(run.blocked or Kind.ACTION)
    mine = [one for one in seen.attempts if one.command.step == step and one.command.kind == kind]
    failure = run.failure or Failure("")
    last = mine[-1] if mine else None
    return FailedStep(
        saga_id=saga.id,
        step=step,
        kind=kind,
        at=(last.ended_at if last else None) or saga.created_at,
        definition=saga.definition,
        version=saga.version,
        participant=seen.definition.by_name[step].participant,
        cause="blocked" if blocked else str(saga.cause.kind if saga.cause else "failed"),
        error_type=failure.type,
        code=failure.code,
        template=failure.message or failure.type,
        fingerprint=f"{step}/{kind}/{failure.type}/{failure.code}",
        family=f"{step}:{failure.code or failure.type}",
        worker=last.worker if last else "",
        worker_version=last.worker_version if last else "",
        attempts=len(mine),
    )


def _facets(failures: Sequence[FailedStep]) -> tuple[Facet, ...]:
    found: dict[str, list[FailedStep]] = {}
    for failure in failures:
        found.setdefault(failure.fingerprint, []).append(failure)
    return tuple(
        Facet(
            "i-1",
            fingerprint,
            f"{group[0].definition}.{group[0].step}",
            group[0].kind,
            group[0].template,
            group[0].error_type,
            group[0].code,
            len(group),
            min(one.at for one in group),
            max(one.at for one in group),
            group[0].saga_id,
        )
        for fingerprint, group in found.items()
    )


__all__ = ["PastIncident", "Says", "Worker", "World", "fails", "minutes", "ok", "refuses", "silence"]
