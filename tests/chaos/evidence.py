"""What is there after a run, as plain rows: the coordinator's tables, each service's books and inbox, the queues.

Read with SQL written for this purpose. Nothing of the product is loaded, so that no mistake of its own can hide here.
"""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.request
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

import asyncpg

Row = Mapping[str, Any]

# The books of the services that carry out an order, and the columns in which their sums are kept.
books = {
    "order": ("orders",),
    "inventory": ("stock", "reservations"),
    "payment": ("accounts", "charges"),
    "delivery": ("couriers", "assignments"),
    "notification": ("messages",),
}
noted = {"order": "orders", "inventory": "reservations", "payment": "charges", "delivery": "assignments"}
noted |= {"notification": "messages"}
undone_flags = {"reservations": "released", "charges": "refunded", "assignments": "recalled"}
fleeting = "amends.heartbeats"


@dataclass(frozen=True, slots=True)
class Effect:
    """One change of a service's books, as the database itself noted it. `kind` is '?' for one that means nothing."""

    saga_id: str
    step: str
    kind: str  # action, compensation
    part: str  # a reservation has one effect per product
    at: datetime
    service: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything the checker looks at."""

    sagas: Mapping[str, Row] = field(default_factory=dict)
    steps: Sequence[Row] = ()
    history: Sequence[Row] = ()
    outbox: Sequence[Row] = ()
    starts: Sequence[Row] = ()
    dead_letters: Sequence[Row] = ()
    definitions: Mapping[tuple[str, int], Any] = field(default_factory=dict)
    effects: Sequence[Effect] = ()
    inbox: Sequence[Row] = ()
    books: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    queues: Mapping[str, int] = field(default_factory=dict)


def plain(url: str) -> str:
    """A URL as asyncpg reads it."""
    return url.replace("+asyncpg", "", 1)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    """A connection of one's own."""
    connection = await asyncpg.connect(plain(url), timeout=10.0, command_timeout=60.0)
    try:
        yield connection
    finally:
        await connection.close()


async def rows_of(connection: Any, statement: str) -> list[Row]:
    """The rows of one statement."""
    return [dict(row) for row in await connection.fetch(statement)]


async def read(coordinator: str, services: Mapping[str, str], queues: Mapping[str, int]) -> Evidence:
    """Read it all. `services`: the URL of each service's database, by its participant's name."""
    tables = {}
    async with connected(coordinator) as connection:
        for table in ("sagas", "steps", "history", "outbox", "idempotency", "dead_letters", "definitions"):
            tables[table] = await rows_of(connection, f"SELECT * FROM {table}")
    inbox: list[Row] = []
    effects: list[Effect] = []
    held: dict[str, Sequence[Row]] = {}
    for service, url in services.items():
        async with connected(url) as connection:
            inbox += [{**row, "service": service} for row in await rows_of(connection, "SELECT * FROM amends_inbox")]
            noticed = await rows_of(connection, "SELECT * FROM chaos_effect ORDER BY seq")
            effects += [effect_of(row, service) for row in noticed]
            for table in books[service]:
                held[table] = await rows_of(connection, f"SELECT * FROM {table}")
    return Evidence(
        sagas={row["id"]: row for row in tables["sagas"]},
        steps=tables["steps"],
        history=sorted(tables["history"], key=lambda row: (row["saga_id"], row["seq"])),
        outbox=tables["outbox"],
        starts=tables["idempotency"],
        dead_letters=tables["dead_letters"],
        definitions={(row["name"], row["version"]): json.loads(row["document"]) for row in tables["definitions"]},
        effects=effects,
        inbox=inbox,
        books=held,
        queues=queues,
    )


def effect_of(row: Row, service: str) -> Effect:
    """What a noted change means: a new row is an action's, a flag that is raised or a status that falls undoes it."""
    was: Any = None if row["was"] is None else json.loads(row["was"])
    became: Any = json.loads(row["became"])
    relation = row["relation"]
    saga_id, _, rest = str(became["reference"]).partition("/")
    step, kind = rest.rpartition("/")[0], "?"
    flag = undone_flags.get(relation)
    if was is None:
        kind = "action"
    elif relation == "orders" and (was["status"], became["status"]) == ("created", "confirmed"):
        step, kind = "confirm-order", "action"
    elif relation == "orders" and (was["status"], became["status"]) == ("created", "cancelled"):
        kind = "compensation"
    elif flag and (was[flag], became[flag]) == (False, True):
        kind = "compensation"
    return Effect(saga_id, step, kind, str(became.get("sku", "")), row["at"], service)


async def take_notes(services: Mapping[str, str]) -> None:
    """Let each service's database itself note every change of its books, in the transaction that makes it; and take
    away the unique keys of the books, which would hide what an inbox lets through twice."""
    for service, url in services.items():
        async with connected(url) as connection:
            await connection.execute(_notes.format(table=noted[service]))
            for row in await connection.fetch(_unique_references, noted[service]):
                await connection.execute(f'ALTER TABLE {noted[service]} DROP CONSTRAINT "{row["conname"]}"')


_notes = """
CREATE TABLE IF NOT EXISTS chaos_effect (
  seq bigserial PRIMARY KEY, at timestamptz NOT NULL, relation text NOT NULL, was jsonb, became jsonb NOT NULL);
CREATE OR REPLACE FUNCTION chaos_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO chaos_effect (at, relation, was, became) VALUES (clock_timestamp(), TG_TABLE_NAME,
    CASE WHEN TG_OP = 'UPDATE' THEN to_jsonb(OLD) END, to_jsonb(NEW));
  RETURN NEW; END $$;
CREATE OR REPLACE TRIGGER chaos_note AFTER INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION chaos_note();
"""
_unique_references = """
SELECT c.conname FROM pg_constraint c
JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
WHERE c.conrelid = to_regclass($1) AND c.contype IN ('u', 'p') AND a.attname = 'reference'
"""


@dataclass(frozen=True, slots=True)
class Sums:
    """What must not change: all money, and all goods by product; and what each account began with."""

    balances: Mapping[str, int]
    goods: Mapping[str, int]


async def take_stock(services: Mapping[str, str]) -> Sums:
    """The sums before anything happens."""
    async with connected(services["payment"]) as connection:
        accounts = await rows_of(connection, "SELECT name, balance_cents FROM accounts")
    async with connected(services["inventory"]) as connection:
        stock = await rows_of(connection, "SELECT sku, on_hand + reserved AS goods FROM stock")
    return Sums(
        {row["name"]: row["balance_cents"] for row in accounts}, {row["sku"]: int(row["goods"]) for row in stock}
    )


def depths(answer: Iterable[Row]) -> dict[str, int]:
    """The depth of each queue of ours, from what the management API lists. Heartbeats come and go."""
    return {
        row["name"]: int(row.get("messages", 0))
        for row in answer
        if row["name"].startswith("amends.") and row["name"] != fleeting
    }


def ask_queues(management_url: str, vhost: str) -> dict[str, int]:
    """How many messages each queue holds, ready or unacknowledged. The API lags by some seconds. Raises OSError."""
    parts = urlsplit(management_url)
    request = urllib.request.Request(f"http://{parts.hostname}:{parts.port}/api/queues/{quote(vhost, safe='')}")
    credentials = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
    request.add_header("Authorization", f"Basic {credentials}")
    with urllib.request.urlopen(request, timeout=10.0) as response:
        return depths(json.loads(response.read()))


async def quiet_queues(management_url: str, vhost: str, *, seconds: float) -> dict[str, int]:
    """The queues once they are empty, or as they are when the time is over."""
    give_up_at = asyncio.get_running_loop().time() + seconds
    while True:
        found = await asyncio.to_thread(ask_queues, management_url, vhost)
        if not any(found.values()) or asyncio.get_running_loop().time() > give_up_at:
            return found
        await asyncio.sleep(0.5)
