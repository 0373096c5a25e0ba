"""What Prometheus scrapes: counted by watching the engine and the relay, and gauged by a bounded look at the database.

Labels are names out of definitions, never ids. As anybody may register definitions, each metric has room for so many
series only; what comes after that is counted under "other".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from coordinator.diagnosis.counts import fell_silent, is_awaited
from coordinator.diagnosis.report import Report
from coordinator.notifications.courier import Courier
from coordinator.notifications.subscriptions import Subscriptions
from coordinator.saga.decision import Decision, Incident, SendCommand
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.event import Kind, Replied, Started, Woke
from coordinator.saga.state import Saga, SagaStatus, StepStatus
from coordinator.store.explained import ModelCall
from coordinator.store.figures import Figures
from coordinator.store.observed import IncidentRow
from coordinator.store.values import OutboxRow
from coordinator.telemetry import release

saga_buckets_seconds = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 24 * 3600)
step_buckets_seconds = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
publish_buckets_seconds = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
series_max = 500  # of one metric: label values that are told apart
other = "other"


class _Series:
    """A metric's children by their labels, found again quickly. The first `names` labels are names that others chose:
    once there are too many series these are not told apart any more."""

    def __init__(self, metric: MetricWrapperBase, *, names: int) -> None:
        self._metric, self._names = metric, names
        self._children: dict[tuple[str, ...], Any] = {}

    def of(self, *labels: str) -> Any:
        child = self._children.get(labels)
        if child is None:
            if len(self._children) >= series_max:
                return self._metric.labels(*(other,) * self._names, *labels[self._names :])
            child = self._children[labels] = self._metric.labels(*labels)
        return child

    def clear(self) -> None:
        self._children.clear()
        self._metric.clear()


class Metrics:
    """The metrics of one process, in a registry of its own. `observe` is an engine's observer."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._sagas()
        self._steps()
        self._ways()
        self._standing()
        self._explaining()
        self._telling()
        build = Gauge(
            "amends_build_info", "Always 1; the label says which release", ["version"], registry=self.registry
        )
        build.labels(release()).set(1)
        self._totals: dict[tuple[object, ...], int] = {}

    def _counter(self, name: str, what: str, labels: Sequence[str], *, names: int) -> _Series:
        return _Series(Counter(name, what, labels, registry=self.registry), names=names)

    def _gauge(self, name: str, what: str, labels: Sequence[str], *, names: int = 1) -> _Series:
        return _Series(Gauge(name, what, labels, registry=self.registry), names=names)

    def _histogram(
        self, name: str, what: str, labels: Sequence[str], buckets: Sequence[float], *, names: int
    ) -> _Series:
        return _Series(Histogram(name, what, labels, buckets=buckets, registry=self.registry), names=names)

    def _sagas(self) -> None:
        ended = ["definition", "status"]
        self._started = self._counter("amends_sagas_started", "Sagas started", ["definition"], names=1)
        self._finished = self._counter("amends_sagas_finished", "Sagas that ended", ended, names=1)
        self._blocked = self._counter(
            "amends_sagas_blocked", "How often a saga came to need a person", ["definition"], names=1
        )
        self._saga_seconds = self._histogram(
            "amends_saga_duration_seconds", "From the start of a saga to its end", ended, saga_buckets_seconds, names=1
        )
        self._limbo_seconds = self._histogram(
            "amends_saga_limbo_seconds",
            "From the first effect that others may see to the end, when all are settled",
            ended,
            saga_buckets_seconds,
            names=1,
        )
        self._incidents = self._counter(
            "amends_incidents", "What a saga raised for somebody to know", ["definition", "kind"], names=1
        )

    def _steps(self) -> None:
        step = ["definition", "step"]
        self._attempts = self._counter("amends_step_attempts", "Commands sent", [*step, "kind"], names=2)
        self._replies = self._counter(
            "amends_step_replies", "Replies that were recorded", [*step, "kind", "answer"], names=2
        )
        self._step_seconds = self._histogram(
            "amends_step_duration_seconds",
            "From the sending of an attempt to its reply; unknown: to the end of the wait for one",
            [*step, "kind", "outcome"],
            step_buckets_seconds,
            names=2,
        )
        self._undo_failed = self._counter(
            "amends_compensation_failed", "Attempts of compensations that did not succeed", step, names=2
        )
        self._undo_blocked = self._counter(
            "amends_compensation_blocked", "Compensations that gave up, and need a person", step, names=2
        )
        self._duplicates = self._counter(
            "amends_replies_duplicate", "Replies that changed nothing: repeated, or too late", ["definition"], names=1
        )

    def _ways(self) -> None:
        self._publish_seconds = self._histogram(
            "amends_outbox_publish_seconds",
            "From the commit of a command to the broker's confirm (in process: to the end of its handler)",
            ["participant"],
            publish_buckets_seconds,
            names=1,
        )
        self._pending = self._gauge("amends_outbox_pending", "Commands that wait to be confirmed", ["participant"])
        self._parked = self._gauge("amends_outbox_parked", "Commands that can't be published", ["participant"])
        self._oldest = self._gauge(
            "amends_outbox_oldest_age_seconds", "Age of the oldest waiting command", ["participant"]
        )
        self._workers = self._gauge(
            "amends_workers_live", "Live workers of each participant that was heard of", ["participant"]
        )

    def _standing(self) -> None:
        self._active = self._gauge(
            "amends_sagas_active", "Sagas that have not ended, by where they stand", ["definition", "status"]
        )
        self._stuck = self._gauge(
            "amends_sagas_stuck", "Sagas that did not move for 15 minutes, neither blocked nor paused", ["definition"]
        )
        self._waiting = self._gauge(
            "amends_sagas_waiting", "What sagas wait for, and for whom", ["participant", "waiting_on"]
        )
        self._letters = self._gauge(
            "amends_dead_letters_open", "Dead letters that nobody has decided on", ["lane"], names=1
        )
        self._database = Gauge("amends_database_up", "1 if the database answered this scrape", registry=self.registry)

    def _explaining(self) -> None:
        self._reports = self._counter(
            "amends_diagnosis_reports", "Reports of incidents that said something new", ["class", "source"], names=0
        )
        self._tokens = self._counter(
            "amends_diagnosis_tokens", "Tokens of the language model, in and out", ["type"], names=0
        )
        self._dropped = self._counter(
            "amends_diagnosis_dropped",
            "What diagnosis had no room for, or could not do, by what it was",
            ["what"],
            names=0,
        )
        self._open = Gauge("amends_incidents_open", "Incidents that are not over", registry=self.registry)
        self._remedies = self._gauge(
            "amends_remedies", "Remedies that are remembered, by how far they came", ["kind", "state"], names=0
        )

    def _telling(self) -> None:
        self._told = self._counter(
            "amends_notifications", "Attempts to tell somebody, by what came of them", ["target", "outcome"], names=0
        )
        self._untold = self._counter(
            "amends_notifications_dropped", "Events for which a subscription had no room", ["target"], names=0
        )
        self._telling_waits = self._gauge(
            "amends_notifications_pending", "Notifications that wait", ["target"], names=0
        )
        self._left_alone = Gauge(
            "amends_subscriptions_left_alone", "Subscriptions whose target failed too often", registry=self.registry
        )

    # -- what is watched ---------------------------------------------------------------------------------------------

    def observe(self, definition: SagaDefinition, before: Saga, decision: Decision) -> None:
        """An observer of the engine."""
        saga, event, name = decision.saga, decision.event, definition.name
        if isinstance(event, Started):
            self._started.of(name).inc()
        elif isinstance(event, Replied):
            self._replied(definition, before, saga, event)
        elif isinstance(event, Woke):
            for step in fell_silent(before, saga, event.at):
                kind = Kind.COMPENSATION if before.steps[step].status is StepStatus.COMPENSATING else Kind.ACTION
                self._ended(name, before, step, kind, "unknown", event.at)
        for effect in decision.effects:
            if isinstance(effect, SendCommand):
                kind_sent = "inquiry" if effect.inquiry else str(effect.command.kind)
                self._attempts.of(name, effect.command.step, kind_sent).inc()
            elif isinstance(effect, Incident):
                self._incidents.of(name, effect.kind).inc()
        if saga.status is SagaStatus.BLOCKED:
            self._became_blocked(name, before, saga)
        if saga.final and not before.final:
            self._over(name, saga, event.at)

    def _replied(self, definition: SagaDefinition, before: Saga, saga: Saga, reply: Replied) -> None:
        if saga.strays > before.strays:
            self._duplicates.of(definition.name).inc()
        step, kind = reply.command.step, str(reply.command.kind)
        if step not in definition.by_name:
            return
        self._replies.of(definition.name, step, kind, str(reply.answer)).inc()
        if not reply.inquire and reply.answer != "in_progress" and is_awaited(before.step(step), reply):
            self._ended(definition.name, before, step, reply.command.kind, str(reply.answer), reply.at)

    def _ended(self, name: str, before: Saga, step: str, kind: Kind, outcome: str, at: datetime) -> None:
        """An attempt that was awaited has ended, one way or another."""
        sent_at = before.steps[step].sent_at
        if sent_at is not None:
            self._step_seconds.of(name, step, str(kind), outcome).observe(_seconds(sent_at, at))
        if kind is Kind.COMPENSATION and outcome != "succeeded":
            self._undo_failed.of(name, step).inc()

    def _became_blocked(self, name: str, before: Saga, saga: Saga) -> None:
        if before.status is not SagaStatus.BLOCKED:
            self._blocked.of(name).inc()
        for step, run in saga.steps.items():
            if run.blocked is Kind.COMPENSATION and before.step(step).blocked is not Kind.COMPENSATION:
                self._undo_blocked.of(name, step).inc()

    def _over(self, name: str, saga: Saga, at: datetime) -> None:
        self._finished.of(name, str(saga.status)).inc()
        self._saga_seconds.of(name, str(saga.status)).observe(_seconds(saga.created_at, at))
        if saga.effects_since is not None:
            self._limbo_seconds.of(name, str(saga.status)).observe(_seconds(saga.effects_since, at))

    def confirmed(self, rows: Sequence[OutboxRow], at: datetime) -> None:
        """What the relay tells of every list at its confirm."""
        for row in rows:
            self._publish_seconds.of(row.participant).observe(_seconds(row.created_at, at))

    def reported(self, _: IncidentRow, report: Report) -> None:
        """A subscriber of the reporter."""
        self._reports.of(report.verdict.cls.value, report.source).inc()

    def spoken(self, call: ModelCall) -> None:
        """What the narrator tells of each call."""
        self._tokens.of("in").inc(call.tokens_in)
        self._tokens.of("out").inc(call.tokens_out)

    # -- what is asked at a scrape -----------------------------------------------------------------------------------

    def explained(
        self, incidents_open: int, remedies: Mapping[tuple[str, str], int], dropped: Mapping[str, int]
    ) -> None:
        """What diagnosis says of itself at a scrape. `dropped` holds totals, which only rise."""
        self._open.set(incidents_open)
        self._remedies.clear()
        for (kind, state), count in remedies.items():
            self._remedies.of(kind, state).set(count)
        for what, total in dropped.items():
            self._raise(self._dropped, total, what)

    def told(self, subscriptions: Subscriptions, courier: Courier) -> None:
        """What became of telling others, and what of it waits."""
        for (target, outcome), total in courier.outcomes.items():
            self._raise(self._told, total, target, outcome)
        for target, total in subscriptions.dropped.items():
            self._raise(self._untold, total, target)
        self._telling_waits.clear()
        for one in subscriptions.all:
            queue = subscriptions.queues.get(one.id)
            self._telling_waits.of(one.target.value).inc(queue.waiting if queue else 0)
        self._left_alone.set(sum(one.open_until is not None for one in subscriptions.all))

    def _raise(self, counter: _Series, total: int, *labels: str) -> None:
        """Bring a counter up to a total that somebody else keeps."""
        key = (id(counter), *labels)
        counter.of(*labels).inc(max(0, total - self._totals.get(key, 0)))
        self._totals[key] = total

    def scrape(self, figures: Figures | None) -> bytes:
        """The text that Prometheus reads. None: the database did not answer, and its gauges are left out."""
        gauges = (self._pending, self._parked, self._oldest, self._workers, self._active, self._stuck, self._waiting)
        for gauge in (*gauges, self._letters):
            gauge.clear()
        self._database.set(0 if figures is None else 1)
        if figures is not None:
            self._show(figures)
        return generate_latest(self.registry)

    def _show(self, figures: Figures) -> None:
        for item in figures.backlog:
            self._pending.of(item.participant).inc(item.waiting)
            self._parked.of(item.participant).inc(item.parked)
            age_seconds = _seconds(item.oldest, figures.at) if item.oldest else 0.0
            self._oldest.of(item.participant).set(age_seconds)
        for participant, count in figures.workers.items():
            self._workers.of(participant).inc(count)
        for labels, count in figures.active.items():
            self._active.of(*labels).inc(count)
        for definition, count in figures.stuck.items():
            self._stuck.of(definition).inc(count)
        for (waiting_on, participant), count in figures.waiting.items():
            self._waiting.of(participant, waiting_on).inc(count)
        for source, count in figures.dead_letters.items():
            lane = source.partition(".")[0]
            self._letters.of(lane if lane in ("commands", "replies") else other).inc(count)


def _seconds(since: datetime, until: datetime) -> float:
    return max(0.0, (until - since).total_seconds())
