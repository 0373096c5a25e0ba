"""A payment participant for the tests: each effect is a row of a ledger, and the test sets what a handler does."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Column, Integer, MetaData, Table, Text, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from amends import Command, Kind, Participant
from amends.inbox import SqlInbox

Deed = Callable[[AsyncConnection | None], Awaitable[Any]]

metadata = MetaData()
ledger = Table(
    "ledger",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("saga_id", Text, nullable=False),
    Column("amount", Integer, nullable=False),
)

handler_of = {Kind.ACTION: "charge", Kind.COMPENSATION: "refund"}


def command(kind: Kind = Kind.ACTION, *, saga_id: str = "s1", attempt: int = 1, **facts: Any) -> Command:
    """A command of the step `pay`, issued now; `facts` are the further fields of Command."""
    now = datetime.now(UTC)
    given: dict[str, Any] = {
        "saga_id": saga_id,
        "step": "pay",
        "kind": kind,
        "attempt": attempt,
        "saga": "order",
        "participant": "payment",
        "handler": handler_of[kind],
        "data": {"total": 10},
        "timeout_seconds": 20.0,
        "issued_at": now,
        "expires_at": now + timedelta(hours=24),
    }
    return Command(**given | facts)


def action(**facts: Any) -> Command:
    return command(Kind.ACTION, **facts)


def compensation(**facts: Any) -> Command:
    return command(Kind.COMPENSATION, **facts)


async def spend(tx: AsyncConnection, saga_id: str, amount: int) -> None:
    """One effect in the participant's own database."""
    await tx.execute(ledger.insert().values(saga_id=saga_id, amount=amount))


class Shop:
    """The participant `payment`: `charge` writes +10, `refund` −10, then each does what is next in its queue."""

    def __init__(self, engine: AsyncEngine, **facts: Any) -> None:
        """`facts` are the further ones of Participant."""
        self.engine = engine
        self.inbox = SqlInbox(engine)
        self.participant = Participant("payment", inbox=self.inbox, version="1", **facts)
        self.charges: deque[Deed] = deque()
        self.refunds: deque[Deed] = deque()
        self.refunded_with: list[Any] = []  # the results compensations were given
        self.keys: list[str] = []  # every call of a handler, by its idempotency key
        self.participant.action("charge")(self._charge)
        self.participant.compensation("refund")(self._refund)

    async def create(self) -> None:
        await self.inbox.create()
        async with self.engine.begin() as connection:
            await connection.run_sync(metadata.create_all)

    async def _charge(self, command: Command, tx: AsyncConnection) -> Any:
        self.keys.append(command.id)
        await spend(tx, command.saga_id, 10)
        return await self.charges.popleft()(tx) if self.charges else {"charge_id": f"c-{command.saga_id}"}

    async def _refund(self, command: Command, result: Any, tx: AsyncConnection) -> Any:
        self.keys.append(command.id)
        self.refunded_with.append(result)
        await spend(tx, command.saga_id, -10)
        return await self.refunds.popleft()(tx) if self.refunds else {"refunded": True}

    async def amounts(self, saga_id: str = "s1") -> list[int]:
        """The effects of a saga that are there, in their order."""
        async with self.engine.connect() as connection:
            rows = await connection.execute(
                select(ledger.c.amount).where(ledger.c.saga_id == saga_id).order_by(ledger.c.id)
            )
            return list(rows.scalars())

    async def net(self, saga_id: str = "s1") -> int:
        async with self.engine.connect() as connection:
            total = await connection.execute(select(func.sum(ledger.c.amount)).where(ledger.c.saga_id == saga_id))
            return int(total.scalar_one() or 0)


def raising(error: Exception) -> Deed:
    """What a handler does: raise, after its effect was written."""

    async def deed(_tx: AsyncConnection | None) -> Any:
        raise error

    return deed


def giving(value: Any) -> Deed:
    """What a handler does: return this."""

    async def deed(_tx: AsyncConnection | None) -> Any:
        return value

    return deed
