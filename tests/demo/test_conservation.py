"""Whatever is done and undone, in whatever order and however often: nothing is made and nothing is lost."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from amends import Kind
from participants.inventory import inventory
from participants.knobs import Knobs
from participants.payment import payment
from tests.demo.commands import counter

sagas = st.integers(0, 3)
commands = st.tuples(st.sampled_from(Kind), sagas, st.integers(1, 3))
knobs = st.builds(
    Knobs, fail_rate=st.sampled_from([0.0, 0.4]), refuse_rate=st.sampled_from([0.0, 0.3]), seed=st.integers(0, 99)
)


@settings(max_examples=15, deadline=None)
@given(
    commands=st.lists(commands, min_size=1, max_size=25),
    amounts=st.lists(st.integers(1, 3_000_00), min_size=4, max_size=4),
    knobs=knobs,
)
def test_money_is_conserved(commands: list[tuple[Kind, int, int]], amounts: list[int], knobs: Knobs) -> None:
    asyncio.run(_money(commands, amounts, knobs))


async def _money(commands: list[tuple[Kind, int, int]], amounts: list[int], knobs: Knobs) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with counter(payment, f"sqlite:///{Path(folder) / 'payment.db'}", knobs) as desk:
            total = "SELECT sum(balance_cents) FROM accounts"
            had = await desk.ask(total)
            for kind, saga, attempt in commands:
                data = {"order_id": saga, "customer": ("ada", "blaise")[saga % 2], "amount_cents": amounts[saga]}
                send, handler = (desk.act, "charge") if kind is Kind.ACTION else (desk.undo, "refund")
                await send(handler, data, saga_id=f"saga-{saga}", attempt=attempt)
            assert await desk.ask(total) == had
            charged = await desk.ask("SELECT sum(amount_cents) FROM charges WHERE NOT refunded")
            assert await desk.ask("SELECT balance_cents FROM accounts WHERE name = 'shop'") == charged


@settings(max_examples=15, deadline=None)
@given(
    commands=st.lists(commands, min_size=1, max_size=25),
    quantities=st.lists(st.integers(1, 3), min_size=4, max_size=4),
    knobs=knobs,
)
def test_goods_are_conserved(commands: list[tuple[Kind, int, int]], quantities: list[int], knobs: Knobs) -> None:
    asyncio.run(_goods(commands, quantities, knobs))


async def _goods(commands: list[tuple[Kind, int, int]], quantities: list[int], knobs: Knobs) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with counter(inventory, f"sqlite:///{Path(folder) / 'inventory.db'}", knobs) as desk:
            total = "SELECT sum(on_hand + reserved) FROM stock"
            had = await desk.ask(total)
            for kind, saga, attempt in commands:
                items = [{"sku": "telescope", "quantity": quantities[saga]}, {"sku": "book", "quantity": 1}]
                send, handler = (desk.act, "reserve") if kind is Kind.ACTION else (desk.undo, "release")
                await send(handler, {"order_id": saga, "items": items}, saga_id=f"saga-{saga}", attempt=attempt)
            assert await desk.ask(total) == had
            standing = await desk.ask("SELECT sum(quantity) FROM reservations WHERE NOT released")
            assert await desk.ask("SELECT sum(reserved) FROM stock") == standing


async def test_orders_side_by_side_neither_deadlock_nor_lose_money_or_goods(fresh_postgres_url: str) -> None:
    async with counter(payment, fresh_postgres_url) as money, counter(inventory, fresh_postgres_url) as goods:
        had = await money.ask("SELECT sum(balance_cents) FROM accounts")

        async def one(number: int) -> None:
            saga, customer = f"saga-{number}", ("ada", "grace")[number % 2]
            charge = {"order_id": number, "customer": customer, "amount_cents": 1_00 + number}
            items = [{"sku": sku, "quantity": 1} for sku in (("book", "lamp"), ("lamp", "book"))[number % 2]]
            await money.act("charge", charge, saga_id=saga)
            await goods.act("reserve", {"order_id": number, "items": items}, saga_id=saga, step="goods")
            if number % 3 == 0:
                await money.undo("refund", charge, saga_id=saga)
                await goods.undo("release", {"order_id": number, "items": items}, saga_id=saga, step="goods")

        async with asyncio.TaskGroup() as group:
            for number in range(30):
                group.create_task(one(number))
        assert await money.ask("SELECT sum(balance_cents) FROM accounts") == had
        assert await money.ask("SELECT count(*) FROM charges WHERE NOT refunded") == 20
        assert await goods.ask("SELECT sum(reserved) FROM stock") == 40
