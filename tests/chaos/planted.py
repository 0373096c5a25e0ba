"""A small world in order, written by hand: two orders, one completed and one compensated, with everything they left.

The tests of the checker damage it. The tables are as the checker reads them, without what it doesn't look at.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from tests.chaos.checker import Story
from tests.chaos.evidence import plain, take_notes, take_stock

good, bad = "01-good", "02-bad"
services = ("order", "inventory", "payment", "delivery", "notification")
steps: dict[str, tuple[str, list[str], str]] = {
    "create-order": ("order", [], "cancel"),
    "reserve-stock": ("inventory", ["create-order"], "release"),
    "charge-card": ("payment", ["create-order"], "refund"),
    "assign-courier": ("delivery", ["reserve-stock", "charge-card"], "recall"),
    "confirm-order": ("order", ["assign-courier"], ""),
    "notify-customer": ("notification", ["confirm-order"], ""),
}
_coordinator = """
CREATE TABLE sagas (id text, definition text, version int, status text, revision bigint, waiting_on text,
  waiting_for text, input text);
CREATE TABLE steps (saga_id text, name text, status text);
CREATE TABLE history (saga_id text, seq bigint, at bigint, event text, notes text);
CREATE TABLE outbox (saga_id text, key text, participant text, created_at bigint, tries int, last_error text,
  parked_reason text);
CREATE TABLE idempotency (caller text, key text, saga_id text);
CREATE TABLE dead_letters (id text, participant text, reason text, saga_id text);
CREATE TABLE definitions (name text, version int, document text);
"""
_inbox = """
CREATE TABLE amends_inbox (saga_id text, step text, iteration int, kind text, epoch int, state text, attempt int,
  reply text, updated_at float8 DEFAULT extract(epoch FROM clock_timestamp()));
"""
_books = {
    "order": "CREATE TABLE orders (id serial, reference text UNIQUE, status text DEFAULT 'created');",
    "inventory": """
        CREATE TABLE stock (sku text, on_hand int, reserved int);
        CREATE TABLE reservations (reference text, sku text, quantity int, released bool DEFAULT false,
          PRIMARY KEY (reference, sku));
        INSERT INTO stock VALUES ('book', 100, 0), ('lamp', 100, 0);""",
    "payment": """
        CREATE TABLE accounts (name text, balance_cents bigint);
        CREATE TABLE charges (reference text UNIQUE, account text, amount_cents bigint, refunded bool DEFAULT false);
        INSERT INTO accounts VALUES ('shop', 0), ('ada', 1000);""",
    "delivery": """
        CREATE TABLE couriers (name text, load int);
        CREATE TABLE assignments (reference text PRIMARY KEY, courier text, recalled bool DEFAULT false);
        INSERT INTO couriers VALUES ('amelia', 0);""",
    "notification": "CREATE TABLE messages (reference text UNIQUE, text text DEFAULT 'hello');",
}
done = {
    "create-order": "INSERT INTO orders (reference) VALUES ('{reference}')",
    "reserve-stock": """INSERT INTO reservations (reference, sku, quantity)
        VALUES ('{reference}', 'book', 2), ('{reference}', 'lamp', 1);
        UPDATE stock SET on_hand = on_hand - 2, reserved = reserved + 2 WHERE sku = 'book';
        UPDATE stock SET on_hand = on_hand - 1, reserved = reserved + 1 WHERE sku = 'lamp'""",
    "charge-card": """INSERT INTO charges (reference, account, amount_cents) VALUES ('{reference}', 'ada', 30);
        UPDATE accounts SET balance_cents = balance_cents + CASE name WHEN 'shop' THEN 30 ELSE -30 END""",
    "assign-courier": """INSERT INTO assignments (reference, courier) VALUES ('{reference}', 'amelia');
        UPDATE couriers SET load = load + 1""",
    "confirm-order": "UPDATE orders SET status = 'confirmed' WHERE reference = '{saga_id}/create-order/0'",
    "notify-customer": "INSERT INTO messages (reference) VALUES ('{reference}')",
}
undone = {
    "create-order": "UPDATE orders SET status = 'cancelled' WHERE reference = '{reference}'",
    "reserve-stock": """UPDATE reservations SET released = true WHERE reference = '{reference}';
        UPDATE stock SET on_hand = on_hand + 2, reserved = reserved - 2 WHERE sku = 'book';
        UPDATE stock SET on_hand = on_hand + 1, reserved = reserved - 1 WHERE sku = 'lamp'""",
    "charge-card": """UPDATE charges SET refunded = true WHERE reference = '{reference}';
        UPDATE accounts SET balance_cents = balance_cents + CASE name WHEN 'shop' THEN -30 ELSE 30 END""",
    "assign-courier": """UPDATE assignments SET recalled = true WHERE reference = '{reference}';
        UPDATE couriers SET load = load - 1""",
}


def place(url: str, schema: str) -> str:
    """The same database, seen from one schema."""
    return f"{url}?search_path=of_{schema}"


class World:
    """One database with a schema for the coordinator and one for each service."""

    def __init__(self, url: str, story: Story | None = None) -> None:
        self.coordinator = place(url, "coordinator")
        self.services = {service: place(url, service) for service in services}
        self._url = url
        self._connection: Any = None
        self.story = story or Story({})
        self.name = urlsplit(url).path.removeprefix("/")

    async def say(self, schema: str, statement: str) -> None:
        if self._connection is None:
            self._connection = await asyncpg.connect(plain(self._url))
        await self._connection.execute(f"SET search_path TO of_{schema}; {statement}")

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def build(self) -> None:
        await self.say("public", "".join(f"CREATE SCHEMA of_{schema};" for schema in ("coordinator", *services)))
        await self.say("coordinator", _coordinator)
        for service in services:
            await self.say(service, _inbox + _books[service])
        await take_notes(self.services)
        sums = await take_stock(self.services)
        document = {"steps": [{"name": name, "after": after} for name, (_, after, _) in steps.items()]}
        await self.say("coordinator", f"INSERT INTO definitions VALUES ('place_order', 1, '{json.dumps(document)}')")
        for number, saga_id in enumerate((good, bad), 1):
            await self._live(saga_id, number, refused=saga_id == bad)
        self.story = Story({"key-1": good, "key-2": bad}, frozenset({"key-2"}), sums)

    async def act(self, saga_id: str, step: str, statement: str, kind: str, *, state: str = "succeeded") -> None:
        """One command of a service, in one transaction: the change of its books, and the inbox's row."""
        reference = f"{saga_id}/{step}/0"
        reply = json.dumps({"undone": "undone" if kind == "compensation" else None})
        row = f"INSERT INTO amends_inbox VALUES ('{saga_id}', '{step}', 0, '{kind}', 0, '{state}', 1, '{reply}')"
        change = statement.format(reference=reference, saga_id=saga_id)
        await self.say(steps[step][0], f"{change}; {row}" if change else row)

    async def _live(self, saga_id: str, number: int, *, refused: bool) -> None:
        """What a saga leaves: it ends after its last step, or is refused at `confirm-order` and turns back."""
        notes: list[list[str]] = []
        status = dict.fromkeys(steps, "pending")

        def move(step: str, to: str, *further: str) -> None:
            notes.append([f"{step}: {status[step]} -> {to}", *further])
            status[step] = to

        for step in steps:
            if refused and step == "confirm-order":
                move(step, "dispatched")
                move(step, "refused", "turns: refused", "saga: running -> compensating")
                await self.act(saga_id, step, "", "action", state="refused")
                break
            move(step, "dispatched")
            await self.act(saga_id, step, done[step], "action")
            move(step, "succeeded")
        for step in reversed(undone) if refused else ():
            move(step, "compensating")
            await self.act(saga_id, step, undone[step], "compensation")
            move(step, "compensated")
        ended = "compensated" if refused else "completed"
        notes[-1].append(f"saga: {'compensating' if refused else 'running'} -> {ended}")
        await self._keep(saga_id, number, ended, notes, status)

    async def _keep(
        self, saga_id: str, number: int, ended: str, notes: list[list[str]], status: dict[str, str]
    ) -> None:
        text = json.dumps({"address": f"Street {number}"})
        rows = [
            f"INSERT INTO sagas VALUES ('{saga_id}', 'place_order', 1, '{ended}', {len(notes)}, NULL, NULL, '{text}')",
            f"INSERT INTO idempotency VALUES ('', 'key-{number}', '{saga_id}')",
        ]
        rows += [
            f"INSERT INTO steps VALUES ('{saga_id}', '{name}', '{now}')"
            for name, now in status.items()
            if now != "pending"
        ]
        rows += [
            f"INSERT INTO history VALUES ('{saga_id}', {seq}, {seq}, 'Replied', '{json.dumps(said)}')"
            for seq, said in enumerate(notes, 1)
        ]
        await self.say("coordinator", ";".join(rows))
