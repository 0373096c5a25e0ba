"""The sums of the shop: money, goods, parcels and messages, counted by plain SQL in each service's own database.

Whatever happened to the orders in between, nothing may have been made or lost, and what one service holds must be what
the orders that went through say it holds.
"""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

Sums = Mapping[str, int]

questions: Mapping[str, Mapping[str, str]] = {
    "order": {
        "orders open": "SELECT count(*) FROM orders WHERE status = 'created'",
        "orders confirmed": "SELECT count(*) FROM orders WHERE status = 'confirmed'",
        "orders cancelled": "SELECT count(*) FROM orders WHERE status = 'cancelled'",
        "cents of confirmed orders": "SELECT sum(total_cents) FROM orders WHERE status = 'confirmed'",
    },
    "payment": {
        "cents of the customers": "SELECT sum(balance_cents) FROM accounts WHERE name <> 'shop'",
        "cents of the shop": "SELECT sum(balance_cents) FROM accounts WHERE name = 'shop'",
        "cents charged, not refunded": "SELECT sum(amount_cents) FROM charges WHERE NOT refunded",
        "charges, not refunded": "SELECT count(*) FROM charges WHERE NOT refunded",
    },
    "inventory": {
        "goods on hand": "SELECT sum(on_hand) FROM stock",
        "goods reserved": "SELECT sum(reserved) FROM stock",
        "goods in reservations": "SELECT sum(quantity) FROM reservations WHERE NOT released",
    },
    "delivery": {
        "parcels with couriers": "SELECT sum(load) FROM couriers",
        "parcels assigned": "SELECT count(*) FROM assignments WHERE NOT recalled",
    },
    "notification": {"messages sent": "SELECT count(*) FROM messages"},
}


async def take(engines: Mapping[str, AsyncEngine]) -> Sums:
    """Ask every service's database. A sum over nothing is 0."""
    sums: dict[str, int] = {}
    for service, asked in questions.items():
        async with engines[service].connect() as connection:
            for name, question in asked.items():
                sums[name] = int(await connection.scalar(text(question)) or 0)
    return sums


def faults(before: Sums, after: Sums, *, confirmed: int, cancelled: int) -> list[str]:
    """What does not add up, a sentence each. `confirmed` and `cancelled` are how many orders ended so in between."""
    grown = {name: after[name] - before[name] for name in after}
    equal = (
        ("orders confirmed", grown["orders confirmed"], confirmed),
        ("orders cancelled", grown["orders cancelled"], cancelled),
        ("orders left open", grown["orders open"], 0),
        ("money made or lost", grown["cents of the customers"] + grown["cents of the shop"], 0),
        ("money the shop earned", grown["cents of the shop"], grown["cents of confirmed orders"]),
        ("money charged and not refunded", after["cents charged, not refunded"], after["cents of the shop"]),
        ("charges that stand", grown["charges, not refunded"], confirmed),
        ("goods made or lost", grown["goods on hand"] + grown["goods reserved"], 0),
        ("goods in reservations", after["goods in reservations"], after["goods reserved"]),
        ("parcels on their way", grown["parcels with couriers"], confirmed),
        ("parcels assigned", after["parcels assigned"], after["parcels with couriers"]),
        ("messages sent", grown["messages sent"], confirmed),
    )
    return [f"{what}: {found}, and it should be {wanted}" for what, found, wanted in equal if found != wanted]


def show(console: Console, before: Sums, after: Sums) -> None:
    """A table of both, and the difference."""
    table = Table(box=None, pad_edge=False, padding=(0, 2), header_style="dim")
    table.add_column("", no_wrap=True)
    for heading in ("before", "after", "change"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in after:
        change = after[name] - before[name]
        table.add_row(f"  {name}", f"{before[name]:,}", f"{after[name]:,}", f"{change:+,}" if change else "·")
    console.print(table)
