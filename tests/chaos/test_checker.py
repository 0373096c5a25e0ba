"""The checker is checked: a world in order passes, and each damage planted in it is found, under the rule it breaks."""

from __future__ import annotations

import ast
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.chaos.checker import Violation, check, explain
from tests.chaos.evidence import connected, depths, read
from tests.chaos.planted import World, bad, done, good, undone


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def original(postgres_url: str) -> AsyncIterator[World]:
    """The world in order, built once; each test damages a copy of its own."""
    name = f"amends_{uuid.uuid4().hex}"
    async with connected(postgres_url) as server:
        await server.execute(f"CREATE DATABASE {name}")
        planted = World(urlsplit(postgres_url)._replace(path=f"/{name}").geturl())
        await planted.build()
        await planted.close()
        yield planted
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def world(original: World, postgres_url: str) -> AsyncIterator[World]:
    name = f"amends_{uuid.uuid4().hex}"
    async with connected(postgres_url) as server:
        await server.execute(f"CREATE DATABASE {name} TEMPLATE {original.name}")
        copy = World(urlsplit(postgres_url)._replace(path=f"/{name}").geturl(), original.story)
        yield copy
        await copy.close()
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def judge(world: World, queues: dict[str, int] | None = None) -> list[Violation]:
    return check(await read(world.coordinator, world.services, queues or {}), world.story)


async def test_a_world_in_order_passes(world: World) -> None:
    assert await judge(world, {"amends.dead": 0}) == []


damages: dict[str, tuple[str, str, str, str | None]] = {
    # what was planted: (the rule it breaks, where, the statement, the saga it is about)
    "a saga is lost": ("each start is one saga", "coordinator", f"DELETE FROM sagas WHERE id = '{good}'", good),
    "a start is lost": ("each start is one saga", "coordinator", "DELETE FROM idempotency WHERE key = 'key-1'", good),
    "a key has two sagas": (
        "each start is one saga",
        "coordinator",
        f"INSERT INTO idempotency VALUES ('another', 'key-1', '{bad}')",
        good,
    ),
    "a key changed hands": (
        "each start is one saga",
        "coordinator",
        f"UPDATE idempotency SET saga_id = '{bad}' WHERE key = 'key-1'",
        good,
    ),
    "an order was started twice": (
        "each start is one saga",
        "coordinator",
        """UPDATE sagas SET input = '{"address": "Street 1"}'""",
        None,
    ),
    "a saga never ended": (
        "every saga is final",
        "coordinator",
        f"UPDATE sagas SET status = 'running', waiting_on = 'reply' WHERE id = '{good}'",
        good,
    ),
    "a saga is blocked": (
        "every saga is final",
        "coordinator",
        f"UPDATE sagas SET status = 'blocked' WHERE id = '{bad}'",
        bad,
    ),
    "a saga was closed": (
        "every saga is final",
        "coordinator",
        f"UPDATE sagas SET status = 'closed' WHERE id = '{bad}'",
        bad,
    ),
    "a refused order completed": (
        "what was refused is compensated",
        "coordinator",
        f"UPDATE sagas SET status = 'completed' WHERE id = '{bad}'",
        bad,
    ),
    "a card was charged twice": (
        "effects happen exactly once",
        "payment",
        done["charge-card"].format(reference=f"{good}/charge-card/0"),
        good,
    ),
    "a card was refunded twice": (
        "effects happen exactly once",
        "payment",
        f"""INSERT INTO chaos_effect (at, relation, was, became) SELECT at, relation, was, became FROM chaos_effect
            WHERE was IS NOT NULL AND became ->> 'reference' = '{bad}/charge-card/0'""",
        bad,
    ),
    "a charge was forgotten": (
        "effects happen exactly once",
        "payment",
        f"DELETE FROM chaos_effect WHERE became ->> 'reference' = '{good}/charge-card/0'",
        good,
    ),
    "one of two goods was not released": (
        "effects happen exactly once",
        "inventory",
        "DELETE FROM chaos_effect WHERE was IS NOT NULL AND became ->> 'sku' = 'lamp'",
        bad,
    ),
    "a completed order was cancelled": (
        "effects happen exactly once",
        "order",
        f"UPDATE orders SET status = 'created'; {undone['create-order'].format(reference=f'{good}/create-order/0')}",
        good,
    ),
    "an effect belongs to nobody": (
        "effects happen exactly once",
        "notification",
        done["notify-customer"].format(reference="03-nobody/notify-customer/0"),
        "03-nobody",
    ),
    "money came from nowhere": (
        "sums are what they were",
        "payment",
        "UPDATE accounts SET balance_cents = balance_cents + 1 WHERE name = 'ada'",
        None,
    ),
    "goods vanished": (
        "sums are what they were",
        "inventory",
        "UPDATE stock SET on_hand = on_hand - 1 WHERE sku = 'book'",
        None,
    ),
    "goods are set aside for nobody": (
        "sums are what they were",
        "inventory",
        "UPDATE stock SET on_hand = on_hand - 1, reserved = reserved + 1 WHERE sku = 'book'",
        None,
    ),
    "a courier carries too much": ("sums are what they were", "delivery", "UPDATE couriers SET load = load + 1", None),
    "a command never left": (
        "nothing is left to send",
        "coordinator",
        f"INSERT INTO outbox VALUES ('{good}', 'k', 'payment', 1, 3, 'unknown', NULL)",
        good,
    ),
    "a letter died": (
        "nothing is left to send",
        "coordinator",
        f"INSERT INTO dead_letters VALUES ('1', 'payment', 'unreadable', '{good}')",
        good,
    ),
    "an entry of a history is missing": (
        "history is a legal path",
        "coordinator",
        f"DELETE FROM history WHERE saga_id = '{good}' AND seq = 3",
        good,
    ),
    "a history ends twice": (
        "history is a legal path",
        "coordinator",
        f"""UPDATE history SET notes = '["saga: running -> completed"]' WHERE saga_id = '{good}' AND seq = 2""",
        good,
    ),
    "a history tells of another end": (
        "history is a legal path",
        "coordinator",
        f"UPDATE sagas SET status = 'compensated' WHERE id = '{good}'",
        good,
    ),
    "a step is not what its history says": (
        "history is a legal path",
        "coordinator",
        f"UPDATE steps SET status = 'skipped' WHERE saga_id = '{good}' AND name = 'charge-card'",
        good,
    ),
    "an inbox forgot": ("inboxes agree", "payment", f"DELETE FROM amends_inbox WHERE saga_id = '{good}'", good),
    "an inbox made it up": (
        "inboxes agree",
        "notification",
        f"""INSERT INTO amends_inbox VALUES ('{bad}', 'notify-customer', 0, 'action', 0, 'succeeded', 1, '{{}}')""",
        bad,
    ),
    "an inbox has nothing to undo where something was undone": (
        "inboxes agree",
        "payment",
        f"""UPDATE amends_inbox SET reply = '{{"undone": "nothing_to_undo"}}'
            WHERE saga_id = '{bad}' AND kind = 'compensation'""",
        bad,
    ),
    "an intent was left": (
        "inboxes agree",
        "delivery",
        f"UPDATE amends_inbox SET state = 'running' WHERE saga_id = '{good}'",
        good,
    ),
    "a step of nobody": (
        "nothing belongs to nobody",
        "coordinator",
        "INSERT INTO steps VALUES ('03-nobody', 'charge-card', 'succeeded')",
        "03-nobody",
    ),
    "a definition is gone": ("nothing belongs to nobody", "coordinator", "DELETE FROM definitions", good),
}


@pytest.mark.parametrize("damage", damages)
async def test_what_was_planted_is_found(world: World, damage: str) -> None:
    rule, schema, statement, saga_id = damages[damage]
    await world.say(schema, statement)
    assert (rule, saga_id) in [(found.rule, found.saga_id) for found in await judge(world)]


@pytest.mark.parametrize(
    ("service", "swapped", "what"),
    [
        ("order", "became ->> 'status' = 'cancelled'", "create-order was undone before reserve-stock"),
        ("delivery", "was IS NULL", "assign-courier was done before reserve-stock"),
    ],
)
async def test_a_wrong_order_is_found(world: World, service: str, swapped: str, what: str) -> None:
    await world.say(service, f"UPDATE chaos_effect SET at = at - interval '1 hour' WHERE {swapped}")
    found = [one for one in await judge(world) if one.rule == "order follows the edges"]
    assert (bad, what) in [(one.saga_id, one.what) for one in found]


async def test_what_stands_on_something_undone_is_found(world: World) -> None:
    await world.say("delivery", "DELETE FROM chaos_effect WHERE was IS NOT NULL")
    told = [(one.rule, one.what) for one in await judge(world)]
    assert ("order follows the edges", "charge-card was undone while assign-courier stands") in told


async def test_what_is_left_in_a_queue_is_found(world: World) -> None:
    answer = [{"name": "amends.replies", "messages": 2}, {"name": "amends.heartbeats", "messages": 9}]
    found = await judge(world, depths(answer))
    assert [one.what for one in found] == ["2 messages are left in amends.replies"]


async def test_an_order_nobody_answered_may_be_there_or_not_but_not_lost_halfway(world: World) -> None:
    started = {**world.story.started, "key-3": None}
    world.story = replace(world.story, started=started)
    assert await judge(world) == []
    await world.say("coordinator", "INSERT INTO idempotency VALUES ('', 'key-3', '03-gone')")
    assert "each start is one saga" in {one.rule for one in await judge(world)}


async def test_a_counter_example_tells_what_every_witness_saw(world: World) -> None:
    told = explain(await read(world.coordinator, world.services, {}), bad)
    assert "saga 02-bad: compensated" in told
    for witness in (
        "charge-card: succeeded -> compensating",
        "effect       payment: compensation of charge-card",
        "inbox        payment: compensation of charge-card, attempt 1: succeeded",
    ):
        assert witness in told
    assert good not in told


def test_the_checker_loads_nothing_of_the_product() -> None:
    for module in ("checker", "evidence", "planted"):
        tree = ast.parse((Path(__file__).parent / f"{module}.py").read_text("utf-8"))
        names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        names += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
        assert not [name for name in names if name.partition(".")[0] in ("coordinator", "amends", "participants")]
