"""What Prometheus scrapes: counted by watching the engine, and asked of the database at each scrape."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from coordinator.diagnosis.report import Report
from coordinator.saga.decision import Decision, Incident, SendCommand
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.event import Replied, Started
from coordinator.saga.state import Saga
from coordinator.store.observed import IncidentRow
from coordinator.store.values import Backlog, Worker
from coordinator.telemetry import release

duration_buckets_seconds = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 24 * 3600)


class Metrics:
    """The metrics of one process, in a registry of its own. `observe` is an engine's observer."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._started = Counter("amends_sagas_started", "Sagas started", ["definition"], registry=registry)
        self._finished = Counter(
            "amends_sagas_finished", "Sagas that ended", ["definition", "status"], registry=registry
        )
        self._saga_seconds = Histogram(
            "amends_saga_duration_seconds",
            "From the start of a saga to its end",
            ["definition", "status"],
            buckets=duration_buckets_seconds,
            registry=registry,
        )
        step_labels = ["definition", "step", "kind"]
        self._attempts = Counter("amends_step_attempts", "Commands sent", step_labels, registry=registry)
        self._replies = Counter(
            "amends_step_replies", "Replies that were recorded", [*step_labels, "answer"], registry=registry
        )
        self._incidents = Counter("amends_incidents", "Incidents raised", ["definition", "kind"], registry=registry)
        self._pending = Gauge(
            "amends_outbox_pending", "Commands that wait to be confirmed", ["participant"], registry=registry
        )
        self._parked = Gauge(
            "amends_outbox_parked", "Commands that can't be published", ["participant"], registry=registry
        )
        self._oldest = Gauge(
            "amends_outbox_oldest_age_seconds", "Age of the oldest waiting command", ["participant"], registry=registry
        )
        self._workers = Gauge("amends_workers_live", "Live workers", ["participant"], registry=registry)
        self._database = Gauge("amends_database_up", "1 if the database answered this scrape", registry=registry)
        self._reports = Counter(
            "amends_diagnosis_reports",
            "Reports of incidents that said something new",
            ["class", "source"],
            registry=registry,
        )
        self._dropped = Counter(
            "amends_diagnosis_dropped",
            "What diagnosis had no room for, or could not do, by what it was",
            ["what"],
            registry=registry,
        )
        self._open = Gauge("amends_incidents_open", "Incidents that are not over", registry=registry)
        self._remedies = Gauge(
            "amends_remedies",
            "Remedies that are remembered, by how far they came",
            ["kind", "state"],
            registry=registry,
        )
        build = Gauge("amends_build_info", "Always 1; the label says which release", ["version"], registry=registry)
        build.labels(release()).set(1)
        self._dropped_before: dict[str, int] = {}

    def observe(self, definition: SagaDefinition, before: Saga, decision: Decision) -> None:
        saga, event = decision.saga, decision.event
        if isinstance(event, Started):
            self._started.labels(definition.name).inc()
        if isinstance(event, Replied) and event.command.step in definition.by_name:
            labels = (definition.name, event.command.step, str(event.command.kind), str(event.answer))
            self._replies.labels(*labels).inc()
        for effect in decision.effects:
            if isinstance(effect, SendCommand):
                kind = "inquiry" if effect.inquiry else str(effect.command.kind)
                self._attempts.labels(definition.name, effect.command.step, kind).inc()
            elif isinstance(effect, Incident):
                self._incidents.labels(definition.name, effect.kind).inc()
        if saga.final and not before.final:
            self._finished.labels(definition.name, str(saga.status)).inc()
            seconds = (event.at - saga.created_at).total_seconds()
            self._saga_seconds.labels(definition.name, str(saga.status)).observe(max(0.0, seconds))

    def reported(self, _: IncidentRow, report: Report) -> None:
        """A subscriber of the reporter."""
        self._reports.labels(report.verdict.cls.value, report.source).inc()

    def explained(
        self, incidents_open: int, remedies: Mapping[tuple[str, str], int], dropped: Mapping[str, int]
    ) -> None:
        """What diagnosis says of itself at a scrape. `dropped` holds totals, which only rise."""
        self._open.set(incidents_open)
        self._remedies.clear()
        for (kind, state), count in remedies.items():
            self._remedies.labels(kind, state).set(count)
        for what, total in dropped.items():
            self._dropped.labels(what).inc(max(0, total - self._dropped_before.get(what, 0)))
            self._dropped_before[what] = total

    def scrape(self, backlog: list[Backlog] | None, workers: list[Worker], at: datetime | None) -> bytes:
        """The text that Prometheus reads. `backlog` None: the database did not answer, and its gauges are left out."""
        for gauge in (self._pending, self._parked, self._oldest, self._workers):
            gauge.clear()
        self._database.set(0 if backlog is None else 1)
        for item in backlog or ():
            self._pending.labels(item.participant).set(item.waiting)
            self._parked.labels(item.participant).set(item.parked)
            age = (at - item.oldest).total_seconds() if at and item.oldest else 0.0
            self._oldest.labels(item.participant).set(max(0.0, age))
        for participant, count in Tally(worker.beat.participant for worker in workers if worker.live).items():
            self._workers.labels(participant).set(count)
        return generate_latest(self.registry)
