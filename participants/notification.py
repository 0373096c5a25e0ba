"""Notification: what customers were told. `send` has no way back, so it comes after the point of no return, where a
step is retried until it succeeds. A message is written once, however often its command comes.
"""

from __future__ import annotations

import sys

import sqlalchemy as sa
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from amends import Command, Participant
from amends.inbox import SqlInbox
from participants.knobs import Knobs, Simulate
from participants.run import Service, main, reference

tables = sa.MetaData()
messages = sa.Table(
    "messages",
    tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("reference", sa.String(300), nullable=False, unique=True),
    sa.Column("customer", sa.String(64), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)


class Send(BaseModel):
    customer: str = Field(min_length=1, max_length=64)
    text: str = Field(min_length=1, max_length=2000)
    simulate: Simulate = None


def build(engine: AsyncEngine, knobs: Knobs) -> Participant:
    notification = Participant("notification", inbox=SqlInbox(engine), version="1.0.0")

    @notification.action("send")
    async def send(data: Send, command: Command, tx: AsyncConnection) -> dict[str, int]:
        async with knobs.around(command, data.simulate):
            row = {"reference": reference(command), "customer": data.customer, "text": data.text}
            insert = messages.insert().values(row).returning(messages.c.id)
            return {"message_id": (await tx.execute(insert)).scalar_one()}

    return notification


notification = Service("notification", build, tables)

if __name__ == "__main__":
    sys.exit(main(notification))
