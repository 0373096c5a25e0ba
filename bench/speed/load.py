"""Keeps so many sagas in flight over HTTP, each on a connection of its own, which is answered when the saga has ended.

The client is as thin as can be, for it shares the machine with what is measured: requests are made beforehand but for
their number, and of an answer only the status, the length and one word are read.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from bench.speed import shop

wait_seconds = 60
_number = "4040404040"  # where the saga's number goes


@dataclass(slots=True)
class Tally:
    """What has come of it so far: seconds to the end of those that ended as they should, and the others' answers."""

    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class _Connection(asyncio.Protocol):
    """One saga after the other."""

    def __init__(self, request: tuple[bytes, bytes], ends: bytes, tally: Tally, numbers: list[int]) -> None:
        self._head, self._tail = request
        self._ends, self._tally, self._numbers = ends, tally, numbers
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._began = 0.0
        self.closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none of asyncio's by name
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        _, _, length = head.lower().partition(b"content-length:")
        if len(body) < int(length.partition(b"\r\n")[0]):
            return
        self._received = b""
        if head.startswith(b"HTTP/1.1 200") and self._ends in body:
            self._tally.seconds.append(time.perf_counter() - self._began)
        else:
            self._tally.wrong.append((head + b"\n" + body).decode("utf-8", "replace")[:500])
        if not self.closing:
            self._ask()

    def _ask(self) -> None:
        assert self._transport is not None
        self._numbers[0] += 1
        self._began = time.perf_counter()
        self._transport.write(b"%s%010d%s" % (self._head, self._numbers[0] + 1_000_000_000, self._tail))

    def close(self) -> None:
        """No saga after this one."""
        self.closing = True

    def end(self) -> None:
        if self._transport is not None:
            self._transport.close()


@asynccontextmanager
async def load(ports: Sequence[int], in_flight: int, *, fails: bool = False) -> AsyncIterator[Tally]:
    """Sagas in flight for as long as the block lasts, spread over the coordinators; then the last ones' ends."""
    loop = asyncio.get_running_loop()
    tally, numbers = Tally(), [0]
    ends = b'"status":"compensated"' if fails else b'"status":"completed"'
    connections: list[_Connection] = []
    for index in range(in_flight):
        port = ports[index % len(ports)]
        made = _Connection(_request(port, fails=fails), ends, tally, numbers)
        await loop.create_connection(partial(_given, made), "127.0.0.1", port)
        connections.append(made)
    try:
        yield tally
    finally:
        for one in connections:
            one.close()
        wanted = numbers[0]
        async with asyncio.timeout(wait_seconds):
            while len(tally.seconds) + len(tally.wrong) < wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        for one in connections:
            one.end()


def _given(connection: _Connection) -> _Connection:
    return connection


def _request(port: int, *, fails: bool) -> tuple[bytes, bytes]:
    """A request in two parts, between which its number goes."""
    body = json.dumps({"definition": shop.definition, "input": shop.order(int(_number), fails=fails)})
    lines = (
        "POST /v1/sagas HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Content-Type: application/json",
        f"Prefer: wait={wait_seconds}, return=minimal",
        f"Content-Length: {len(body)}",
        "",
        body,
    )
    head, tail = "\r\n".join(lines).split(_number)
    return head.encode(), tail.encode()
