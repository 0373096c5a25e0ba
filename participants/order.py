"""Order: what was ordered, by whom, for how much. `create` takes an order down, `cancel` strikes it out, and `confirm`
is the point of no return: from then on the customer has our word.
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
products = sa.Table(
    "products",
    tables,
    sa.Column("sku", sa.String(64), primary_key=True),
    sa.Column("price_cents", sa.BigInteger, nullable=False),
)
orders = sa.Table(
    "orders",
    tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("reference", sa.String(300), nullable=False, unique=True),
    sa.Column("customer", sa.String(64), nullable=False),
    sa.Column("items", sa.JSON, nullable=False),
    sa.Column("total_cents", sa.BigInteger, nullable=False),
    sa.Column(
        "status",
        sa.String(16),
        sa.CheckConstraint("status IN ('created', 'confirmed', 'cancelled')"),
        nullable=False,
        default="created",
    ),
)
catalogue = (
    {"sku": "book", "price_cents": 24_00},
    {"sku": "lamp", "price_cents": 59_00},
    {"sku": "telescope", "price_cents": 480_00},
)


class Item(BaseModel):
    sku: str
    quantity: int = Field(gt=0, le=1_000_000)


class Create(BaseModel):
    customer: str = Field(min_length=1, max_length=64)
    items: list[Item] = Field(min_length=1, max_length=100)
    simulate: Simulate = None


class Confirm(BaseModel):
    order_id: int
    simulate: Simulate = None


def build(engine: AsyncEngine, knobs: Knobs) -> Participant:
    order = Participant("order", inbox=SqlInbox(engine), version="1.0.0")

    @order.action("create")
    async def create(data: Create, command: Command, tx: AsyncConnection) -> dict[str, int]:
        async with knobs.around(command, data.simulate):
            total_cents = await _price(tx, data.items)
            items = [item.model_dump() for item in data.items]
            row = {"reference": reference(command), "customer": data.customer, "items": items}
            insert = orders.insert().values(**row, total_cents=total_cents).returning(orders.c.id)
            return {"order_id": (await tx.execute(insert)).scalar_one(), "total_cents": total_cents}

    @order.compensation("cancel")
    async def cancel(data: Create, command: Command, tx: AsyncConnection) -> dict[str, int]:
        async with knobs.around(command, data.simulate):
            mine = (orders.c.reference == reference(command)) & (orders.c.status == "created")
            cancelled = await tx.execute(orders.update().where(mine).values(status="cancelled"))
            return {"cancelled": cancelled.rowcount}

    @order.action("confirm")
    async def confirm(data: Confirm, command: Command, tx: AsyncConnection) -> dict[str, int]:
        async with knobs.around(command, data.simulate):
            open_order = (orders.c.id == data.order_id) & (orders.c.status == "created")
            confirmed = await tx.execute(orders.update().where(open_order).values(status="confirmed"))
            if confirmed.rowcount == 0:
                raise Refused(f"order {data.order_id} is not open", error_type="OrderNotOpen")
            return {"order_id": data.order_id}

    return order


async def _price(tx: AsyncConnection, items: list[Item]) -> int:
    known = products.select().where(products.c.sku.in_({item.sku for item in items}))
    prices = {row.sku: int(row.price_cents) for row in await tx.execute(known)}
    unknown = sorted({item.sku for item in items} - prices.keys())
    if unknown:
        raise Refused(f"not sold here: {', '.join(unknown)}", error_type="UnknownProduct")
    return sum(prices[item.sku] * item.quantity for item in items)


order = Service("order", build, tables, ((products, catalogue),))

if __name__ == "__main__":
    sys.exit(main(order))
