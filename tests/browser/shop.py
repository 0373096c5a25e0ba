"""The demo's shop behind a real coordinator that listens, for a browser to look at.

python -m tests.browser.shop [port]      orders come all the time, some of them with trouble, until Ctrl-C
"""

from __future__ import annotations

import asyncio
import random
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import uvicorn

from amends import LocalBroker
from coordinator.app import App
from coordinator.building import build
from coordinator.config import Settings
from coordinator.embedded import serving
from coordinator.web.app import create_web
from participants import card_provider
from participants.demo import asking, definitions, everything
from participants.knobs import Knobs
from participants.lossy import LossyBroker
from participants.run import open_database
from tests.web.conftest import QuietServer

address = {"address": "12 Dorset Street, London"}
lamp: dict[str, Any] = {"customer": "ada", "items": [{"sku": "lamp", "quantity": 1}], **address}
book: dict[str, Any] = {"customer": "grace", "items": [{"sku": "book", "quantity": 2}], **address}

# What can be simulated, and how often: most orders go well.
troubles: tuple[tuple[int, dict[str, str]], ...] = (
    (14, {}),
    (3, {"charge-card": "refuse"}),
    (2, {"assign-courier": "fail"}),
    (2, {"reserve-stock": "fail_once"}),
    (2, {"assign-courier": "slow"}),
    (1, {"assign-courier": "fail", "refund": "refuse"}),
    (1, {"notify-customer": "fail"}),
)


class Shop:
    """A coordinator and the demo's services in this process, with databases in a folder of its own."""

    app: App
    http: httpx2.AsyncClient
    url: str  # without a slash at its end; with the base path, if there is one

    def __init__(self, folder: Path, *, base_path: str = "", slow_seconds: float = 2.0, port: int = 0) -> None:
        self._folder, self._base_path, self._port = folder, base_path, port
        self._knobs = Knobs(slow_seconds=slow_seconds)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Shop]:
        async with AsyncExitStack() as stack:
            broker = LossyBroker(LocalBroker(), lambda _: None)
            settings = Settings(
                database_url=f"sqlite:///{self._folder / 'amends.db'}", broker_url="local:", base_path=self._base_path
            )
            self.app = await build(settings, broker=broker)
            await stack.enter_async_context(self._listening())
            await stack.enter_async_context(self._services(broker))
            self.http = await stack.enter_async_context(httpx2.AsyncClient(base_url=self.url, timeout=30.0))
            for document in definitions():
                await self.app.definitions.register(document, by="the shop")
            yield self

    async def order(self, simulate: dict[str, str] | None = None, **body: Any) -> str:
        """Start an order; its id."""
        stated = {**(body.pop("input", None) or lamp), **({"simulate": simulate} if simulate else {})}
        asked = {"definition": "place_order_impatient", "input": stated, **body}
        response = await self.http.post("/v1/sagas", json=asked)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    async def until(self, saga_id: str, *statuses: str) -> dict[str, Any]:
        """The saga once it has one of these statuses."""
        async with asyncio.timeout(30):
            while True:
                saga: dict[str, Any] = (await self.http.get(f"/v1/sagas/{saga_id}")).json()
                if saga["status"] in statuses:
                    return saga
                await asyncio.sleep(0.05)

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        web = create_web(self.app, base_path=self._base_path, jaeger_url="http://jaeger.example:16686/")
        with socket.create_server(("127.0.0.1", self._port)) as listener:
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}{self._base_path}"
            server = QuietServer(uvicorn.Config(web, log_config=None, access_log=False, ws="none", lifespan="on"))
            task = asyncio.ensure_future(server.serve(sockets=[listener]))
            async with asyncio.timeout(20):
                while not server.started:  # noqa: ASYNC110 — the server gives no event
                    await asyncio.sleep(0.005)
            try:
                yield
            finally:
                web.state.desk.stop()
                server.should_exit = True
                await task

    @asynccontextmanager
    async def _services(self, broker: LossyBroker) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            provider = await stack.enter_async_context(card_provider.answering())
            participants = []
            for service in asking(everything, provider):
                engine = open_database(f"sqlite:///{self._folder / service.name}.db", connections=4)
                stack.push_async_callback(engine.dispose)
                await service.prepare(engine)
                participants.append(service.build(engine, self._knobs))
            await stack.enter_async_context(serving(participants, broker))
            yield


async def _run(port: int) -> None:
    chance = random.Random(7)
    with TemporaryDirectory(prefix="amends-shop-") as folder:
        async with Shop(Path(folder), slow_seconds=6.0, port=port).open() as shop:
            print(f"{shop.url}/", flush=True)
            number = 4700
            while True:
                number += 1
                (simulate,) = chance.choices([one for _, one in troubles], [weight for weight, _ in troubles])
                definition = chance.choice(["place_order", "place_order_impatient"])
                goods = chance.choice([lamp, book])
                await shop.order(
                    simulate, input=goods, definition=definition, business_key=f"order-{number}", tags=["shop"]
                )
                await asyncio.sleep(chance.expovariate(1.0))


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
