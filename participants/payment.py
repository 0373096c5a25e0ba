"""Payment: accounts, and money that moves between them. `charge` takes it from a card, `refund` gives it back.

A card network is asked before each charge, and told of each refund: `participants.card_provider`.
Money is never made or lost: the sum of all balances is what it was, and the shop's balance is the sum of the charges
that were not refunded.
"""

from __future__ import annotations

import sys

import sqlalchemy as sa
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from amends import Command, Participant, Refused
from amends.inbox import SqlInbox
from participants.card_provider import CardProvider, troubled
from participants.knobs import Knobs, Simulate, chosen
from participants.run import Service, main, reference

tables = sa.MetaData()
accounts = sa.Table(
    "accounts",
    tables,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("balance_cents", sa.BigInteger, sa.CheckConstraint("balance_cents >= 0"), nullable=False),
    sa.Column("card_limit_cents", sa.BigInteger, nullable=False),  # of one charge
)
charges = sa.Table(
    "charges",
    tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("reference", sa.String(300), nullable=False, unique=True),
    sa.Column("order_id", sa.Integer, nullable=False),
    sa.Column("account", sa.ForeignKey("accounts.name"), nullable=False),
    sa.Column("amount_cents", sa.BigInteger, nullable=False),
    sa.Column("refunded", sa.Boolean, nullable=False, default=False),
)
shop = "shop"
customers = (
    {"name": shop, "balance_cents": 0, "card_limit_cents": 0},
    {"name": "ada", "balance_cents": 1_000_000_00, "card_limit_cents": 2_000_00},
    {"name": "grace", "balance_cents": 1_000_000_00, "card_limit_cents": 2_000_00},
    {"name": "blaise", "balance_cents": 1_000_00, "card_limit_cents": 40_00},
)


class Charge(BaseModel):
    order_id: int
    customer: str
    amount_cents: int = Field(gt=0)
    simulate: Simulate = None


def build(engine: AsyncEngine, knobs: Knobs, provider: CardProvider | None = None) -> Participant:
    provider = provider or CardProvider.of_environment()
    settings = {"card_provider": provider.place} if provider else {}
    payment = Participant("payment", inbox=SqlInbox(engine), version="1.0.0", settings=settings)

    @payment.action("charge")
    async def charge(data: Charge, command: Command, tx: AsyncConnection) -> dict[str, int]:
        async with knobs.around(command, data.simulate):
            await _check_card(tx, data)
            with troubled(provider, chosen(command, data.simulate)) as asked:
                if asked is not None:
                    await asked.authorise(reference(command), data.amount_cents)
            await _move(tx, data.customer, shop, data.amount_cents)
            row = {"reference": reference(command), "order_id": data.order_id, "account": data.customer}
            insert = charges.insert().values(**row, amount_cents=data.amount_cents).returning(charges.c.id)
            return {"charge_id": (await tx.execute(insert)).scalar_one(), "amount_cents": data.amount_cents}

    @payment.compensation("refund")
    async def refund(data: Charge, command: Command, tx: AsyncConnection) -> dict[str, int]:
        async with knobs.around(command, data.simulate):
            if provider is not None:
                await provider.release(reference(command))
            mine = (charges.c.reference == reference(command)) & ~charges.c.refunded
            row = (
                await tx.execute(charges.update().where(mine).values(refunded=True).returning(charges))
            ).one_or_none()
            if row is None:
                return {"refunded_cents": 0}
            await _move(tx, shop, row.account, row.amount_cents)
            return {"refunded_cents": int(row.amount_cents)}

    return payment


async def _check_card(tx: AsyncConnection, data: Charge) -> None:
    account = (await tx.execute(accounts.select().where(accounts.c.name == data.customer))).one_or_none()
    if account is None or data.customer == shop:
        raise Refused(f"{data.customer} has no account", error_type="UnknownCustomer")
    if data.amount_cents > account.card_limit_cents:
        limit, amount = account.card_limit_cents / 100, data.amount_cents / 100
        raise Refused(f"{amount:.2f} is over the card's limit of {limit:.2f}", error_type="CardLimit")


async def _move(tx: AsyncConnection, payer: str, payee: str, cents: int) -> None:
    """Move money, or refuse. The two rows are taken in the order of their names, so that no two moves deadlock."""
    covered = (accounts.c.name == payer) & (accounts.c.balance_cents >= cents)
    take = accounts.update().where(covered).values(balance_cents=accounts.c.balance_cents - cents)
    give = accounts.update().where(accounts.c.name == payee).values(balance_cents=accounts.c.balance_cents + cents)
    taken = 0
    for name in sorted((payer, payee)):
        moved = await tx.execute(take if name == payer else give)
        taken += moved.rowcount
    if taken != 2:
        raise Refused(f"{payer} can't pay {cents / 100:.2f}", error_type="InsufficientFunds")


payment = Service("payment", build, tables, ((accounts, customers),))

if __name__ == "__main__":
    sys.exit(main(payment))
