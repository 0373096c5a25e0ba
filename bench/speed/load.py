"""Asks for sagas over HTTP, each on a connection of its own, which is answered when the saga has ended.

The client is as thin as can be, for it shares the machine with what is measured: requests are made beforehand but for
their number, and of an answer only the status, the length and one word are read.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from bench.speed import shop

wait_seconds = 60
number_mark = "4040404040"  # where the saga's number goes


@dataclass(frozen=True, slots=True)
class Demand:
    """How many sagas are wanted: so many at a time, or so many a second whatever becomes of them."""

    in_flight: int = 0
    per_second: float = 0.0
    fails: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """A request in two parts, between which the saga's number goes, and what its answer holds if all went well."""

    head: bytes
    tail: bytes
    ends: bytes


@dataclass(slots=True)
class Tally:
    """What has come of it so far: of those that ended as they should when that was and how long they took, and the
    others' answers. Times are those of the monotonic clock, which all processes of a machine share."""

    seconds: list[float] = field(default_factory=list)
    ended_at: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def between(self, began: float, until: float) -> list[float]:
        """How long those took that ended in that time."""
        pairs = zip(self.ended_at, self.seconds, strict=True)
        return [seconds for ended_at, seconds in pairs if began <= ended_at < until]


class _Connection(asyncio.Protocol):
    """One saga after the other."""

    def __init__(self, request: Request, tally: Tally, free: Callable[[_Connection], None]) -> None:
        self._request, self._tally, self._free = request, tally, free
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none of asyncio's by name

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        _, _, length = head.lower().partition(b"content-length:")
        if len(body) < int(length.partition(b"\r\n")[0]):
            return
        self._received = b""
        if head.startswith(b"HTTP/1.1 200") and self._request.ends in body:
            now = time.monotonic()
            self._tally.ended_at.append(now)
            self._tally.seconds.append(now - self._began)
        else:
            self._tally.wrong.append((head + b"\n" + body).decode("utf-8", "replace")[:500])
        self._free(self)

    def ask(self, number: int) -> None:
        assert self._transport is not None
        self._began = time.monotonic()
        self._transport.write(b"%s%010d%s" % (self._request.head, number + 1_000_000_000, self._request.tail))

    def end(self) -> None:
        if self._transport is not None:
            self._transport.close()


class _Client:
    """All connections together. `ask` begins a saga; `again` says whether a connection goes on when one has ended."""

    def __init__(self, requests: Sequence[tuple[int, Request]]) -> None:
        self._requests = requests
        self._connections: list[_Connection] = []
        self._idle: list[_Connection] = []
        self.tally = Tally()
        self.asked = 0
        self.again = False

    async def connect(self) -> None:
        port, request = self._requests[len(self._connections) % len(self._requests)]
        made = _Connection(request, self.tally, self._free)
        self._connections.append(made)
        await asyncio.get_running_loop().create_connection(partial(_given, made), "127.0.0.1", port)
        self._idle.append(made)

    def _free(self, connection: _Connection) -> None:
        self._idle.append(connection)
        if self.again:
            self.ask()

    def ask(self) -> bool:
        """Begin one, if a connection is free."""
        if not self._idle:
            return False
        self.asked += 1
        self._idle.pop().ask(self.asked)
        return True

    async def offer(self, per_second: float) -> None:
        """Begin so many a second until cancelled, on new connections when the others are all waiting."""
        began, count = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - began) * per_second)
            while count < due:
                if not self.ask():
                    await self.connect()
                    self.ask()
                count += 1
            await asyncio.sleep(max(0.0005, began + (count + 1) / per_second - time.monotonic()))

    async def end(self) -> None:
        """Wait for those under way, and hang up."""
        self.again = False
        async with asyncio.timeout(wait_seconds):
            while len(self.tally.seconds) + len(self.tally.wrong) < self.asked:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        for one in self._connections:
            one.end()


@asynccontextmanager
async def load(requests: Sequence[tuple[int, Request]], demand: Demand) -> AsyncIterator[Tally]:
    """Sagas for as long as the block lasts, spread over these ports; then the last ones' ends."""
    client = _Client(requests)
    offering: asyncio.Task[None] | None = None
    for _ in range(demand.in_flight or len(requests)):
        await client.connect()
    if demand.per_second:
        offering = asyncio.create_task(client.offer(demand.per_second))
    else:
        client.again = True
        while client.ask():
            pass
    try:
        yield client.tally
    finally:
        if offering:
            offering.cancel()
        await client.end()


def _given(connection: _Connection) -> _Connection:
    return connection


def post(port: int, path: str, body: Any, ends: str, *headers: str) -> Request:
    """A request whose body holds `number_mark` where the number goes."""
    text = json.dumps(body)
    length = f"Content-Length: {len(text)}"
    lines = (f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Content-Type: application/json", *headers, length)
    head, tail = "\r\n".join((*lines, "", text)).split(number_mark)
    return Request(head.encode(), tail.encode(), ends.encode())


def order_request(port: int, *, fails: bool = False, definition: str = shop.definition) -> Request:
    """Start a saga, and answer when it has ended."""
    body = {"definition": definition, "input": shop.order(int(number_mark), fails=fails)}
    ends = f'"status":"{"compensated" if fails else "completed"}"'
    return post(port, "/v1/sagas", body, ends, f"Prefer: wait={wait_seconds}, return=minimal")
