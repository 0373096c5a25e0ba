"""Delivery: couriers, and which parcels they carry. `assign` gives a parcel to whoever carries least, `recall` takes it
back. A courier's load is the number of assignments that were not recalled.
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
couriers = sa.Table(
    "couriers",
    tables,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("load", sa.Integer, sa.CheckConstraint("load >= 0"), nullable=False),
    sa.Column("capacity", sa.Integer, nullable=False),
)
assignments = sa.Table(
    "assignments",
    tables,
    sa.Column("reference", sa.String(300), primary_key=True),
    sa.Column("order_id", sa.Integer, nullable=False),
    sa.Column("courier", sa.ForeignKey("couriers.name"), nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("recalled", sa.Boolean, nullable=False, default=False),
)
staff = tuple({"name": name, "load": 0, "capacity": 100_000} for name in ("amelia", "bertha", "louis"))


class Assign(BaseModel):
    order_id: int
    address: str = Field(min_length=1, max_length=500)
    simulate: Simulate = None


def build(engine: AsyncEngine, knobs: Knobs) -> Participant:
    delivery = Participant("delivery", inbox=SqlInbox(engine), version="1.0.0")

    @delivery.action("assign")
    async def assign(data: Assign, command: Command, tx: AsyncConnection) -> dict[str, str]:
        async with knobs.around(command, data.simulate):
            courier = await _load_one(tx)
            row = {"reference": reference(command), "order_id": data.order_id, "address": data.address}
            await tx.execute(assignments.insert().values(**row, courier=courier))
            return {"courier": courier}

    @delivery.compensation("recall")
    async def recall(data: Assign, command: Command, tx: AsyncConnection) -> dict[str, int]:
        async with knobs.around(command, data.simulate):
            mine = (assignments.c.reference == reference(command)) & ~assignments.c.recalled
            update = assignments.update().where(mine).values(recalled=True).returning(assignments.c.courier)
            courier = await tx.scalar(update)
            if courier is None:
                return {"recalled": 0}
            lighter = couriers.update().where(couriers.c.name == courier).values(load=couriers.c.load - 1)
            await tx.execute(lighter)
            return {"recalled": 1}

    return delivery


async def _load_one(tx: AsyncConnection) -> str:
    """Give one more parcel to whoever carries least. Who is loaded meanwhile by another order is asked anew."""
    free = couriers.c.load < couriers.c.capacity
    for name in (
        await tx.scalars(sa.select(couriers.c.name).where(free).order_by(couriers.c.load, couriers.c.name))
    ).all():
        heavier = couriers.update().where(free & (couriers.c.name == name)).values(load=couriers.c.load + 1)
        if (await tx.execute(heavier)).rowcount:
            return str(name)
    raise Refused("every courier is fully loaded", error_type="NoCourier")


delivery = Service("delivery", build, tables, ((couriers, staff),))

if __name__ == "__main__":
    sys.exit(main(delivery))
