"""Inventory: what lies on the shelves, and what is reserved. `reserve` sets goods aside, `release` puts them back.

Nothing appears or vanishes: for each product on_hand + reserved is what it was, and reserved is the sum of the
reservations that were not released.
"""

from __future__ import annotations

import sys

import sqlalchemy as sa
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from amends import Command, Participant, Refused
from amends.inbox import SqlInbox
from participants.knobs import Knobs, Simulate
from participants.run import Service, main, reference

tables = sa.MetaData()
stock = sa.Table(
    "stock",
    tables,
    sa.Column("sku", sa.String(64), primary_key=True),
    sa.Column("on_hand", sa.Integer, sa.CheckConstraint("on_hand >= 0"), nullable=False),
    sa.Column("reserved", sa.Integer, sa.CheckConstraint("reserved >= 0"), nullable=False, default=0),
)
reservations = sa.Table(
    "reservations",
    tables,
    sa.Column("reference", sa.String(300), primary_key=True),
    sa.Column("sku", sa.ForeignKey("stock.sku"), primary_key=True),
    sa.Column("order_id", sa.Integer, nullable=False),
    sa.Column("quantity", sa.Integer, nullable=False),
    sa.Column("released", sa.Boolean, nullable=False, default=False),
)
shelves = (
    {"sku": "book", "on_hand": 1_000_000, "reserved": 0},
    {"sku": "lamp", "on_hand": 1_000_000, "reserved": 0},
    {"sku": "telescope", "on_hand": 3, "reserved": 0},
)


class Item(BaseModel):
    sku: str
    quantity: int = Field(gt=0)


class Reserve(BaseModel):
    order_id: int
    items: list[Item] = Field(min_length=1, max_length=100)
    simulate: Simulate = None


def build(engine: AsyncEngine, knobs: Knobs) -> Participant:
    inventory = Participant("inventory", inbox=SqlInbox(engine), version="1.0.0")

    @inventory.action("reserve")
    async def reserve(data: Reserve, command: Command, tx: AsyncConnection) -> dict[str, dict[str, int]]:
        async with knobs.around(command, data.simulate):
            wanted: dict[str, int] = {}
            for item in data.items:
                wanted[item.sku] = wanted.get(item.sku, 0) + item.quantity
            for sku, quantity in sorted(wanted.items()):  # in one order, so that no two reservations deadlock
                await _set_aside(tx, sku, quantity)
                row = {"reference": reference(command), "order_id": data.order_id, "sku": sku, "quantity": quantity}
                await tx.execute(reservations.insert().values(row))
            return {"reserved": wanted}

    @inventory.compensation("release")
    async def release(data: Reserve, command: Command, tx: AsyncConnection) -> dict[str, dict[str, int]]:
        async with knobs.around(command, data.simulate):
            mine = (reservations.c.reference == reference(command)) & ~reservations.c.released
            update = reservations.update().where(mine).values(released=True).returning(reservations)
            released = {row.sku: int(row.quantity) for row in await tx.execute(update)}
            for sku, quantity in sorted(released.items()):
                back = {"on_hand": stock.c.on_hand + quantity, "reserved": stock.c.reserved - quantity}
                await tx.execute(stock.update().where(stock.c.sku == sku).values(back))
            return {"released": released}

    return inventory


async def _set_aside(tx: AsyncConnection, sku: str, quantity: int) -> None:
    enough = (stock.c.sku == sku) & (stock.c.on_hand >= quantity)
    aside = {"on_hand": stock.c.on_hand - quantity, "reserved": stock.c.reserved + quantity}
    changed = await tx.execute(stock.update().where(enough).values(aside))
    if changed.rowcount == 0:
        on_hand = await tx.scalar(sa.select(stock.c.on_hand).where(stock.c.sku == sku))
        if on_hand is None:
            raise Refused(f"there is no {sku}", error_type="UnknownProduct")
        raise Refused(f"{quantity} {sku} wanted, {on_hand} on hand", error_type="OutOfStock")


inventory = Service("inventory", build, tables, ((stock, shelves),))

if __name__ == "__main__":
    sys.exit(main(inventory))
