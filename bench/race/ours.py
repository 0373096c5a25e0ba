"""The product as a contender, in the shapes that are compared, and its sagas of other forms."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx2

from bench.speed import shop
from bench.speed.load import Demand, Tally, wait_seconds
from bench.speed.product import Product, Servers, Shape

here = Path(__file__).parents[2]


class Ours(Product):
    """All of it, with databases and a virtual broker of its own."""

    def __init__(
        self, servers: Servers, label: str, in_flight: int, shape: Shape | None = None, source: Path = here
    ) -> None:
        super().__init__(servers, shape or Shape(), source, label)
        self.in_flight = in_flight
        self.servers = servers

    async def register(self, document: dict[str, Any]) -> None:
        """One more definition."""
        await self.ask("POST", "/v1/definitions", document)

    async def run(self, definition: str = shop.definition) -> str:
        """One saga, to its end; its id."""
        body = {"definition": definition, "input": shop.order(1)}
        return str((await self.ask("POST", "/v1/sagas", body, {"Prefer": f"wait={wait_seconds}"}))["id"])

    async def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        """What the first coordinator answers. Raises httpx2.HTTPStatusError."""
        async with httpx2.AsyncClient(timeout=wait_seconds + 5.0) as client:
            answer = await client.request(method, f"{self.urls[0]}{path}", json=body, headers=headers)
            answer.raise_for_status()
            return answer.json() if answer.content else None

    def dsn(self, name: str = "amends") -> str:
        """One of its databases, as asyncpg wants it."""
        (database,) = [real for real, shown in self.databases().items() if shown == name]
        return self.servers.database(database).replace("+asyncpg", "")


class Form:
    """Another definition's sagas on a product that is running already."""

    def __init__(self, product: Ours, document: dict[str, Any], in_flight: int) -> None:
        self._product, self._document = product, document
        self.in_flight = in_flight

    async def start(self) -> None:
        await self._product.register(self._document)

    async def stop(self) -> None:
        """The product goes on."""

    def pids(self) -> dict[str, list[int]]:
        return self._product.pids()

    def databases(self) -> dict[str, str]:
        return self._product.databases()

    def load(self, demand: Demand) -> AbstractAsyncContextManager[Tally]:
        return self._product.load(demand, self._document["name"])


def form(name: str, after: list[list[int]]) -> dict[str, Any]:
    """A definition by the steps that each step waits for. The participants take turns, and the last step is the last
    one's, which refuses those that are to fail."""
    known = {step["action"]: step for step in shop.document()["steps"]}
    actions = list(known)
    found = []
    for number, before in enumerate(after):
        last = number == len(after) - 1
        action = actions[-1] if last else actions[number % (len(actions) - 1)]
        found.append({**known[action], "name": f"s{number}", "after": [f"s{one}" for one in before]})
    return {"name": name, "steps": found}


in_a_row_of_four = form("four-in-a-row", [[], [0], [1], [2]])
diamond = form("diamond", [[], [0], [0], [1, 2]])


def wide(count: int) -> dict[str, Any]:
    """All at once."""
    return form(f"wide-{count}", [[] for _ in range(count)])


def long(count: int) -> dict[str, Any]:
    """One after the other."""
    return form(f"long-{count}", [[number - 1] if number else [] for number in range(count)])
