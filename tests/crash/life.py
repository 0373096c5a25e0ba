"""One life of one process: a coordinator, the participants, or both together, until it dies as planned or all is done.

Every odd order is refused by its last step. A life that sees all orders through leaves a report.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from amends import Broker, Command, Kind, LocalBroker, Participant, Refused, ServingLimits
from amends.database import open_engine
from amends.inbox import SqlInbox
from amends.rabbitmq import RabbitBroker
from coordinator.app import App
from coordinator.building import build
from coordinator.config import Settings
from coordinator.engine import Beginning
from tests.crash.mortal import Mortal, MortalBroker
from tests.waiting import eventually

order: dict[str, Any] = {
    "name": "order",
    "steps": [
        {"name": "reserve", "participant": "inventory", "action": "reserve", "compensation": "release", "after": []},
        {"name": "charge", "participant": "payment", "action": "charge", "compensation": "refund", "after": []},
        {
            "name": "ship",
            "participant": "delivery",
            "action": "ship",
            "compensation": "recall",
            "after": ["reserve", "charge"],
        },
    ],
}
handlers = {
    "inventory": {Kind.ACTION: "reserve", Kind.COMPENSATION: "release"},
    "payment": {Kind.ACTION: "charge", Kind.COMPENSATION: "refund"},
    "delivery": {Kind.ACTION: "ship", Kind.COMPENSATION: "recall"},
}
ledger = sa.Table(
    "ledger",
    sa.MetaData(),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("saga_id", sa.Text, nullable=False),
    sa.Column("step", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
)
lease_seconds = 1.0
recovery_seconds = 20.0  # less than what a step's timeout would take: it is not timeouts that bring an order back


@dataclass(frozen=True, slots=True)
class Plan:
    """What a life does. `orders`: keys under which orders are started; none of them may be started twice."""

    database_url: str
    services_url: str
    broker_url: str
    report: str = ""  # the file in which to say how all orders ended; empty: live until killed
    coordinates: bool = True
    participates: bool = True
    orders: list[str] = field(default_factory=list)
    expected: int = 0  # orders to be seen through: others may start some too
    moment: str | None = None
    nth: int = 1


async def live(plan: Plan) -> None:
    """Returns when every order is final and reported. Raises AssertionError when that takes too long."""
    mortal = Mortal(plan.moment, plan.nth)
    names = {"saga": plan.database_url, "books": plan.services_url}
    mortal.watch_commits({str(sa.make_url(url).database): name for name, url in names.items()})
    async with AsyncExitStack() as stack:
        engine = open_engine(plan.services_url)
        stack.push_async_callback(engine.dispose)
        broker = await _broker(plan, mortal)
        stack.push_async_callback(broker.close)
        if plan.participates:
            group = await stack.enter_async_context(asyncio.TaskGroup())
            for participant in await _participants(engine):
                group.create_task(participant.serve(broker, limits=ServingLimits(heartbeat_seconds=0.5)))
                stack.callback(participant.stop)
        if plan.coordinates:
            app = await _coordinator(plan, broker)
            stack.push_async_callback(app.stop, close_broker=False)
            await _start(app, plan.orders, mortal)
            if plan.report:
                await _see_through(app, plan, engine)
                return
        await asyncio.Event().wait()


async def _broker(plan: Plan, mortal: Mortal) -> Broker:
    local = plan.broker_url.startswith("local")
    return MortalBroker(LocalBroker() if local else await RabbitBroker.connect(plan.broker_url, name="life"), mortal)


async def _coordinator(plan: Plan, broker: Broker) -> App:
    settings = Settings(database_url=plan.database_url, broker_url=plan.broker_url, lease_seconds=lease_seconds)
    app = await build(settings, broker=broker)
    await app.start()
    return app


async def _participants(engine: AsyncEngine) -> list[Participant]:
    inbox = SqlInbox(engine)
    await inbox.create()
    async with engine.begin() as connection:
        await connection.run_sync(ledger.create, checkfirst=True)
    participants = []
    for name, named in handlers.items():
        participant = Participant(name, inbox=inbox, version="1", concurrency=4)
        participant.action(named[Kind.ACTION])(_carry_out)
        participant.compensation(named[Kind.COMPENSATION])(_carry_out)
        participants.append(participant)
    return participants


async def _carry_out(command: Command, data: dict[str, Any], tx: AsyncConnection) -> dict[str, str]:
    await tx.execute(ledger.insert().values(saga_id=command.saga_id, step=command.step, kind=command.kind.value))
    if command.step == "ship" and data["input"]["refuse"]:
        raise Refused("this order was made to fail here")
    return {"done": command.step}


async def _start(app: App, keys: list[str], mortal: Mortal) -> None:
    """As a client does: every order under its own key, again and again until it is answered."""
    definition = await app.definitions.register(order, "test")
    for key in keys:
        data = {"key": key, "refuse": int(key) % 2 == 1}
        await app.engine.start(Beginning(definition, data, caller="shop", key=key, body_hash=key))
        mortal.reach("saga.started")


async def _see_through(app: App, plan: Plan, services: AsyncEngine) -> None:
    """Wait until every order is final and nothing is left to send, then write down what is there."""

    async def count(query: str) -> int:
        async with app.database.reading() as connection:
            return int((await connection.execute(sa.text(query))).scalar_one())

    async def all_final() -> bool:
        ended = await count("SELECT count(*) FROM sagas WHERE finished_at IS NOT NULL")
        return ended >= plan.expected and await count("SELECT count(*) FROM outbox") == 0

    await eventually(all_final, "every order to end", seconds=recovery_seconds)
    async with app.database.reading() as connection:
        found = await connection.execute(sa.text("SELECT id, status, input FROM sagas"))
        sagas = [{"id": row.id, "status": row.status, "key": json.loads(row.input)["key"]} for row in found]
    async with services.connect() as connection:
        effects = (await connection.execute(sa.select(ledger).order_by(ledger.c.seq))).all()
    report = {
        "sagas": sagas,
        "effects": [[row.saga_id, row.step, row.kind] for row in effects],
        "dead_letters": await count("SELECT count(*) FROM dead_letters"),
        "dead_loops": app.supervisor.dead(),
    }
    await asyncio.to_thread(Path(plan.report).write_text, json.dumps(report))
