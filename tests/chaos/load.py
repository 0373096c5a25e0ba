"""The orders of a run, and the clients who start them: each under its own key, until it is answered, wherever."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx2

clients = 16
pause_seconds_first, pause_seconds_max = 0.05, 1.0
answer_seconds_max = 10.0

# Where an order may fail before the point of no return, and how: each of these must end compensated.
failures = (
    {"create-order": "refuse"},
    {"reserve-stock": "refuse"},
    {"charge-card": "refuse"},
    {"assign-courier": "refuse"},
    {"confirm-order": "refuse"},
    {"assign-courier": "fail"},
    {"assign-courier": "refuse", "refund": "fail_once"},
    {"assign-courier": "refuse", "release": "fail_once", "cancel": "fail_once"},
)
# What is overcome: these end completed.
hiccups = ({"reserve-stock": "fail_once"}, {"assign-courier": "fail_once"}, {"notify-customer": "fail_once"})


@dataclass(frozen=True, slots=True)
class Order:
    key: str
    input: Any
    refused: bool


def orders(count: int, seed: int) -> Iterator[Order]:
    """The same orders for the same seed: a tenth fails somewhere, a twentieth stumbles, the others are plain."""
    chance = Random(seed)
    for number in range(count):
        draw, simulate = chance.random(), {}
        if draw < 0.1:
            simulate = chance.choice(failures)
        elif draw < 0.15:
            simulate = chance.choice(hiccups)
        goods = [{"sku": sku, "quantity": chance.randint(1, 3)} for sku in chance.sample(["book", "lamp"], 2)]
        data: dict[str, Any] = {
            "customer": chance.choice(["ada", "grace"]),
            "address": f"{number} Chaos Street",
            "items": goods[: chance.randint(1, 2)],
        }
        if simulate:
            data["simulate"] = simulate
        yield Order(f"chaos-{seed}-{number}", data, refused=draw < 0.1)


@dataclass(slots=True)
class Load:
    """What the clients have heard."""

    started: dict[str, str | None] = field(default_factory=dict)  # by key: the saga's id, or no answer yet
    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)  # answers nobody should ever get
    ended: int = 0  # sagas that are final, as far as anybody has looked
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def acknowledged(self) -> int:
        return sum(answer is not None for answer in self.started.values())

    def see(self, ended: int) -> None:
        """Somebody has looked how many sagas are final: those who wait for that may go on."""
        self.ended = ended
        self.looked.set()
        self.looked = asyncio.Event()


async def start_all(load: Load, wanted: Sequence[Order], urls: Sequence[str], open_max: int) -> None:
    """Start every order, never more than `open_max` ahead of the sagas that ended; returns when each was answered."""
    waiting = iter(enumerate(wanted))
    async with httpx2.AsyncClient(timeout=answer_seconds_max) as client, asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(_client(load, client, waiting, urls, open_max))


async def _client(
    load: Load,
    client: httpx2.AsyncClient,
    waiting: Iterator[tuple[int, Order]],
    urls: Sequence[str],
    open_max: int,
) -> None:
    for number, order in waiting:
        while len(load.started) - load.ended >= open_max:
            await load.looked.wait()
        load.started[order.key] = None
        tries, pause_seconds = 0, pause_seconds_first
        while not await _ask(load, client, order, urls[(number + tries) % len(urls)]):
            tries += 1
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(pause_seconds_max, pause_seconds * 2)


async def _ask(load: Load, client: httpx2.AsyncClient, order: Order, url: str) -> bool:
    """Ask one coordinator once. False: no answer, so ask again, under the same key."""
    try:
        answer = await client.post(
            f"{url}/v1/sagas",
            json={"definition": "place_order", "input": order.input},
            headers={"Idempotency-Key": order.key},
        )
    except httpx2.TransportError as error:
        load.answers[type(error).__name__] += 1
        return False
    load.answers[str(answer.status_code)] += 1
    if answer.status_code in (200, 202):
        load.started[order.key] = answer.json()["id"]
        return True
    if answer.status_code != 503:
        load.faults.append(f"{order.key} was answered {answer.status_code}: {answer.text[:300]}")
    return False
