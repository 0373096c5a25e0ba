"""The composition: how the parts of a coordinator are joined. Boring on purpose."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from amends.broker import Broker
from amends.local import LocalBroker
from coordinator.access.access import Access
from coordinator.access.tokens import provider_of
from coordinator.app import App
from coordinator.bulk import Bulks
from coordinator.config import Settings
from coordinator.dead_letters import DeadLetters
from coordinator.definitions import Definitions
from coordinator.diagnosis.collector import Collector
from coordinator.diagnosis.diagnosis import Diagnosis
from coordinator.diagnosis.explaining import Explainer
from coordinator.diagnosis.healing.composing import healer_of
from coordinator.diagnosis.healing.healer import Healer
from coordinator.diagnosis.healing.policy import Mode
from coordinator.diagnosis.llm.asking import Endpoint
from coordinator.diagnosis.llm.narrator import Narrator
from coordinator.diagnosis.llm.pack import Egress
from coordinator.diagnosis.past import PastIncidents
from coordinator.diagnosis.redaction import redact
from coordinator.diagnosis.reporter import Reporter
from coordinator.diagnosis.sensors import Sensors
from coordinator.diagnosis.watch import Watch
from coordinator.engine import Engine
from coordinator.fleet import Fleet
from coordinator.forgetting import Forgetting, Prunable
from coordinator.listing import Listing
from coordinator.move import Observer, Telling
from coordinator.notifications.courier import Courier
from coordinator.notifications.subscriptions import Subscriptions
from coordinator.pressure import Pressure
from coordinator.relay import Confirmed, Relay
from coordinator.replies import Replies
from coordinator.retention import AuditRetention, Retention
from coordinator.saga.event import Published
from coordinator.store.database import Database, DatabaseClock
from coordinator.store.migration import migrate
from coordinator.store.stores import Stores
from coordinator.store.values import OutboxRow
from coordinator.telemetry.export import Telemetry, configure
from coordinator.timers import Timers
from coordinator.tracing import SagaTracing
from coordinator.trust import Trust
from coordinator.wire import parse_key


async def build(
    settings: Settings,
    *,
    observers: Sequence[Observer] = (),
    broker: Broker | None = None,
    telemetry: Telemetry | None = None,
    clock: Callable[[Database], DatabaseClock] = DatabaseClock,
) -> App:
    """Put a coordinator together: open the database (and bring it up to date), connect the broker, join the parts.

    A `broker` given is used as it is: the demo shares one in process with its participants, tests lose messages on it.
    So is a `telemetry`, which then outlives the app; without one, it follows from the settings. `clock` makes the clock
    that all parts go by: a benchmark has one of its own.
    """
    database = await _open_database(settings)
    time = clock(database)
    await time.sync()
    stores = Stores.over(database)
    fleet = Fleet(stores.fleet, time.now)
    await fleet.refresh()
    token = worker_name()
    broker = broker or await open_broker(settings, token)
    if settings.embedded_broker:
        await stores.outbox.orphan()  # the process that held these rows, and its broker, are gone
    own_telemetry = None if telemetry else configure("amends-coordinator", settings.otlp_endpoint)
    telemetry = telemetry or own_telemetry
    observers, confirmed = _traced(telemetry, settings, observers)
    definitions = Definitions(stores.definitions, time.now)
    subscriptions = Subscriptions(stores.notifications, time.now, link=settings.public_url)
    await subscriptions.refresh()
    courier = Courier(
        stores.notifications,
        subscriptions,
        broker,
        now=time.now,
        token=token,
        private=settings.notifications_private,
    )
    trust = _trust(settings)
    relay, engine, timers = _movers(
        *(settings, stores, definitions, fleet, broker, time, token),
        observers=(*observers, courier.observe),
        confirmed=confirmed,
        telling=subscriptions.notices,
        trust=trust,
    )
    dead_letters = DeadLetters(stores.dead_letters, stores.sagas, broker, engine, time.now, trust)
    replies = Replies(broker, engine, stores.fleet, dead_letters, time.now, trust)
    listing = Listing(stores.reader, fleet, now=time.now, in_flight=relay.in_flight, connected=lambda: broker.connected)
    bulks = Bulks(stores.bulks, stores.sagas, stores.reader, listing, definitions, engine, now=time.now, token=token)
    parts = (definitions, fleet, engine, relay, timers, dead_letters, replies, listing, bulks)
    access = _access(settings, stores, time)
    pressure = Pressure(stores.outbox, engine, settings.outbox_rows_max)
    forgetting = _forgetting(settings, stores, definitions, time)
    app = App(settings, database, time, broker, stores, *parts, subscriptions, courier, access, pressure, forgetting)
    app.telemetry = own_telemetry
    if settings.diagnosis:
        app.diagnosis = _diagnosis(app, token, telemetry)
        engine.observe(app.diagnosis.watch.observe)
    return app


def _movers(
    settings: Settings,
    stores: Stores,
    definitions: Definitions,
    fleet: Fleet,
    broker: Broker,
    clock: DatabaseClock,
    token: str,
    *,
    observers: Sequence[Observer],
    confirmed: Confirmed | None,
    telling: Telling,
    trust: Trust,
) -> tuple[Relay, Engine, Timers]:
    """The three that move sagas: the engine tells the relay what to send, and the timers when to wake it."""

    def published_late(row: OutboxRow) -> None:
        engine.tell(row.saga_id, Published(clock.now(), *parse_key(row.key)))

    relay = Relay(
        stores.outbox,
        broker,
        fleet,
        now=clock.now,
        token=token,
        published_late=published_late,
        confirmed=confirmed,
        lease_seconds=settings.lease_seconds,
    )
    engine = Engine(
        stores.sagas,
        definitions,
        fleet,
        now=clock.now,
        token=token,
        outgoing=relay,
        wake=lambda due: timers.hint(due),
        observers=observers,
        telling=telling,
        trust=trust,
        lanes=1 if settings.database_url.startswith("sqlite") else settings.engine_lanes,
        lease_seconds=settings.lease_seconds,
    )
    timers = Timers(stores.sagas, engine, clock.now)
    return relay, engine, timers


def _trust(settings: Settings) -> Trust:
    """Whose replies are believed."""
    secret = settings.reply_secret.get_secret_value() if settings.reply_secret else ""
    return Trust.of(None if settings.embedded_broker else settings.broker_participant_user, secret)


def _access(settings: Settings, stores: Stores, clock: DatabaseClock) -> Access:
    """Who may ask: whom keys name, and an identity provider if there is one."""
    claims = (settings.oidc_roles_claim, settings.oidc_name_claim, settings.oidc_roles)
    provider = provider_of(settings.oidc_issuer, settings.oidc_audience, settings.oidc_jwks_url, *claims)
    return Access(stores.keys, stores.audit, clock.now, provider=provider)


def _forgetting(settings: Settings, stores: Stores, definitions: Definitions, clock: DatabaseClock) -> Forgetting:
    """What is forgotten when it is old."""
    kept = timedelta(days=settings.retention_days) if settings.retention_days else None
    kinds: list[Prunable] = [Retention(stores.definitions, definitions, stores.settled, kept)]
    kinds += [stores.dead_letters, stores.notifications]
    kinds.append(AuditRetention(stores.audit, timedelta(days=settings.audit_days)))
    if settings.diagnosis:
        kinds += [stores.outcomes, stores.occurrences, stores.reports, stores.remedies, stores.incidents]
    return Forgetting(kinds, stores.fleet, clock.now)


def _sensors(app: App) -> Sensors:
    """What is noticed around the sagas: of workers, settings, the broker."""
    stores = app.stores
    return Sensors(
        stores.occurrences,
        stores.fleet,
        stores.definitions,
        app.definitions,
        stores.samples,
        stores.outbox,
        now=app.clock.now,
        redact=redact,
        connected=lambda: app.broker.connected,
        publish_trouble=app.relay.trouble,
        published=app.relay.published,
    )


def _diagnosis(app: App, token: str, telemetry: Telemetry | None) -> Diagnosis:
    """What watches the others and explains: it looks on, and nothing waits for it."""
    stores, now = app.stores, app.clock.now
    sensors = _sensors(app)
    watch = Watch(
        *(stores.outcomes, stores.incidents),
        now=now,
        source=token,
        redact=redact,
        silence=sensors.silence,
        telling=app.subscriptions.incident_notices,
    )
    collector = Collector(
        stores.incident_reader,
        stores.outcomes,
        stores.occurrences,
        stores.fleet,
        stores.samples,
        app.definitions,
        PastIncidents(stores.incident_reader, now),
        now=now,
    )
    explainer = Explainer(
        collector,
        stores.incident_reader,
        stores.reports,
        now=now,
        aside=type(app.clock) is DatabaseClock,  # a clock of one's own does not wait for a thread
    )
    narrator, healer = _narrator(app, telemetry), _healer(app)
    return Diagnosis(
        watch=watch,
        sensors=sensors,
        reporter=Reporter(
            explainer,
            stores.incidents,
            stores.incident_reader,
            stores.reports,
            now=now,
            narrator=narrator,
            healer=healer,
        ),
        narrator=narrator,
        outcomes=stores.outcomes,
        occurrences=stores.occurrences,
        incidents=stores.incidents,
        reader=stores.incident_reader,
        reports=stores.reports,
        remedies=stores.remedies,
        healer=healer,
    )


def _healer(app: App) -> Healer:
    """Who carries out remedies, by the ways that people have."""
    stores = app.stores
    return healer_of(
        *(stores.remedies, stores.incident_reader, stores.outcomes, stores.sagas, stores.reader),
        *(stores.fleet, stores.dead_letters),
        fleet=app.fleet,
        engine=app.engine,
        dead_letters=app.dead_letters,
        mode=Mode(app.settings.diagnosis_heal),
        now=app.clock.now,
        connected=lambda: app.broker.connected,
    )


def _narrator(app: App, telemetry: Telemetry | None) -> Narrator | None:
    """Who words reports, if a model is named."""
    settings = app.settings
    if not settings.diagnosis_model:
        return None
    key = settings.diagnosis_api_key
    endpoint = Endpoint(
        model=settings.diagnosis_model,
        base_url=settings.diagnosis_base_url,
        api_key=key.get_secret_value() if key else None,
        api=settings.diagnosis_model_api,
    )
    return Narrator(
        endpoint,
        app.stores.reports,
        app.clock.now,
        when=settings.diagnosis_model_when,
        egress=Egress(settings.diagnosis_egress),
        emit=telemetry.emit if telemetry else None,
    )


def _traced(
    telemetry: Telemetry | None, settings: Settings, observers: Sequence[Observer]
) -> tuple[Sequence[Observer], Confirmed | None]:
    """Who looks on, and who is told of confirms: also the tracing, if its spans go anywhere."""
    if telemetry is None or not telemetry.enabled:
        return observers, None
    system = "amends" if settings.embedded_broker else "rabbitmq"
    tracing = SagaTracing(telemetry.emit, messaging_system=system, public_url=settings.public_url)
    return (tracing.observe, *observers), tracing.confirmed


async def _open_database(settings: Settings) -> Database:
    database_url = prepared(settings.database_url)
    if settings.migrate:
        await migrate(database_url)
    return Database.open(database_url, application_name="amends coordinator")


async def open_broker(settings: Settings, name: str) -> Broker:
    """The broker that the settings name."""
    if settings.embedded_broker:
        return LocalBroker()
    from amends.rabbitmq import RabbitBroker  # aio-pika is loaded only by those who use it

    return await RabbitBroker.connect(settings.broker_url, name=f"amends coordinator {name}")


def worker_name() -> str:
    """Unique per process, so that no two processes ever hold each other's leases (EC-48)."""
    return f"{socket.gethostname()[:100]}-{os.getpid()}-{secrets.token_hex(4)}"


def prepared(database_url: str) -> str:
    """The URL, with the folder of an SQLite file there to hold it."""
    url = sa.make_url(database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    return database_url
