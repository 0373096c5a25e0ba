"""Each service's own rules: what it does, what it refuses, and that undoing puts back exactly what was taken."""

from __future__ import annotations

from typing import Any

import pytest

from amends import Answer, Undone
from participants.delivery import delivery
from participants.inventory import inventory
from participants.notification import notification
from participants.order import order
from participants.payment import payment
from participants.run import Service
from tests.demo.commands import counter

charge = {"order_id": 1, "customer": "ada", "amount_cents": 59_00}
reserve = {"order_id": 1, "items": [{"sku": "lamp", "quantity": 2}, {"sku": "book", "quantity": 1}]}
assign = {"order_id": 1, "address": "somewhere"}
create = {"customer": "ada", "items": [{"sku": "book", "quantity": 2}]}


async def test_a_charge_moves_money_to_the_shop_and_a_refund_moves_it_back(database_url: str) -> None:
    async with counter(payment, database_url) as desk:
        ada = "SELECT balance_cents FROM accounts WHERE name = 'ada'"
        shop = "SELECT balance_cents FROM accounts WHERE name = 'shop'"
        had = await desk.ask(ada)
        charged = await desk.act("charge", charge)
        assert charged.answer is Answer.SUCCEEDED
        assert (await desk.ask(ada), await desk.ask(shop)) == (had - 59_00, 59_00)
        refunded = await desk.undo("refund", charge, result=charged.result)
        assert (refunded.undone, refunded.result) == (Undone.UNDONE, {"refunded_cents": 59_00})
        assert (await desk.ask(ada), await desk.ask(shop)) == (had, 0)
        assert await desk.ask("SELECT count(*) FROM charges WHERE NOT refunded") == 0


async def test_reserved_goods_leave_the_shelf_and_released_ones_come_back(database_url: str) -> None:
    async with counter(inventory, database_url) as desk:
        lamps = "SELECT on_hand FROM stock WHERE sku = 'lamp'"
        had = await desk.ask(lamps)
        assert (await desk.act("reserve", reserve)).result == {"reserved": {"lamp": 2, "book": 1}}
        assert await desk.ask(lamps) == had - 2
        assert await desk.ask("SELECT sum(reserved) FROM stock") == 3
        await desk.undo("release", reserve)
        assert await desk.ask(lamps) == had
        assert await desk.ask("SELECT sum(reserved) FROM stock") == 0


async def test_a_parcel_goes_to_the_courier_with_the_least_load_and_is_recalled_from_them(database_url: str) -> None:
    async with counter(delivery, database_url) as desk:
        couriers = [(await desk.act("assign", assign, saga_id=f"saga-{n}")).result["courier"] for n in range(3)]
        assert len(set(couriers)) == 3
        await desk.undo("recall", assign, saga_id="saga-1")
        assert await desk.ask(f"SELECT load FROM couriers WHERE name = '{couriers[1]}'") == 0
        assert await desk.ask("SELECT sum(load) FROM couriers") == 2


async def test_an_order_is_priced_then_confirmed_or_cancelled(database_url: str) -> None:
    async with counter(order, database_url) as desk:
        created = await desk.act("create", create)
        assert created.result["total_cents"] == 48_00
        await desk.undo("cancel", create)
        assert await desk.ask("SELECT count(*) FROM orders WHERE status = 'cancelled'") == 1
        other = await desk.act("create", create, saga_id="another-saga")
        confirm = {"order_id": other.result["order_id"]}
        assert (await desk.act("confirm", confirm, saga_id="another-saga", step="confirm")).answer is Answer.SUCCEEDED
        assert await desk.ask("SELECT count(*) FROM orders WHERE status = 'confirmed'") == 1


async def test_a_message_is_written_once_however_often_its_command_comes(database_url: str) -> None:
    async with counter(notification, database_url) as desk:
        text = {"customer": "ada", "text": "on its way"}
        first = await desk.act("send", text)
        again = await desk.act("send", text, attempt=2)
        assert first.result == again.result
        assert await desk.ask("SELECT count(*) FROM messages") == 1


refusals = {
    "a card over its limit": (payment, "charge", {**charge, "amount_cents": 3_000_00}, "CardLimit"),
    "a customer without an account": (payment, "charge", {**charge, "customer": "nobody"}, "UnknownCustomer"),
    "the shop as its own customer": (payment, "charge", {**charge, "customer": "shop"}, "UnknownCustomer"),
    "an amount of nothing": (payment, "charge", {**charge, "amount_cents": 0}, "InvalidData"),
    "more than is on hand": (
        inventory,
        "reserve",
        {**reserve, "items": [{"sku": "book", "quantity": 1}, {"sku": "telescope", "quantity": 4}]},
        "OutOfStock",
    ),
    "goods nobody knows": (
        inventory,
        "reserve",
        {**reserve, "items": [{"sku": "unicorn", "quantity": 1}]},
        "UnknownProduct",
    ),
    "an order of nothing": (order, "create", {**create, "items": []}, "InvalidData"),
    "an order of what isn't sold": (
        order,
        "create",
        {**create, "items": [{"sku": "unicorn", "quantity": 1}]},
        "UnknownProduct",
    ),
    "a confirmation of no order": (order, "confirm", {"order_id": 77}, "OrderNotOpen"),
}


@pytest.mark.parametrize("case", refusals)
async def test_what_the_business_forbids_is_refused_and_leaves_nothing(case: str, sqlite_url: str) -> None:
    service, action, data, error_type = refusals[case]
    async with counter(service, sqlite_url) as desk:
        before = await _everything(desk.service, desk.ask)
        reply = await desk.act(action, data)
        assert (reply.answer, reply.error and reply.error.type) == (Answer.REFUSED, error_type)
        assert await _everything(desk.service, desk.ask) == before


async def _everything(service: Service, ask: Any) -> dict[str, int]:
    """Row counts, and for the shelves and accounts what they hold."""
    counts = {table: await ask(f"SELECT count(*) FROM {table}") for table in service.tables.tables}
    if "stock" in counts:
        counts["on hand"] = await ask("SELECT sum(on_hand) FROM stock")
    if "accounts" in counts:
        counts["shop"] = await ask("SELECT balance_cents FROM accounts WHERE name = 'shop'")
    return counts


async def test_a_customer_without_money_is_refused_even_within_the_cards_limit(sqlite_url: str) -> None:
    async with counter(payment, sqlite_url) as desk:
        for number in range(25):  # blaise has 1,000.00, and a limit of 40.00
            reply = await desk.act(
                "charge", {**charge, "customer": "blaise", "amount_cents": 40_00}, saga_id=f"s{number}"
            )
            assert reply.answer is Answer.SUCCEEDED
        broke = await desk.act("charge", {**charge, "customer": "blaise", "amount_cents": 40_00}, saga_id="s25")
        assert broke.error is not None
        assert broke.error.type == "InsufficientFunds"
        assert await desk.ask("SELECT balance_cents FROM accounts WHERE name = 'shop'") == 1_000_00


async def test_couriers_who_are_all_loaded_refuse(sqlite_url: str) -> None:
    async with counter(delivery, sqlite_url) as desk:
        async with desk.engine.begin() as connection:
            await connection.exec_driver_sql("UPDATE couriers SET capacity = 1")
        replies = [await desk.act("assign", assign, saga_id=f"s{number}") for number in range(4)]
        assert [reply.answer for reply in replies] == [Answer.SUCCEEDED] * 3 + [Answer.REFUSED]


async def test_preparing_twice_neither_fails_nor_fills_again(database_url: str) -> None:
    async with counter(payment, database_url) as desk:
        await desk.act("charge", charge)
        await payment.prepare(desk.engine)
        assert await desk.ask("SELECT balance_cents FROM accounts WHERE name = 'shop'") == 59_00
