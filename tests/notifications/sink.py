"""A server that notes what it is posted, and answers as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from amends.event import Event, parse_event

ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
broken = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
never = b""


@dataclass(frozen=True)
class Posted:
    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> Event:
        return parse_event(self.body)


@dataclass
class Sink:
    """`answer` is what the next request gets, or what makes it. Nothing (`never`): it is kept waiting."""

    answer: bytes | Callable[[Posted], bytes] = ok
    posted: list[Posted] = field(default_factory=list)
    port: int = 0
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    serving: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?a=1"

    def kinds(self) -> list[str]:
        return [one.event.kind.value for one in self.posted]

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """No coroutine: who connects as the test ends is known all the same, and hung up on."""
        self.serving[asyncio.ensure_future(self.serve(reader, writer))] = writer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
            headers = dict(line.lower().split(": ", 1)[:1] + line.split(": ", 1)[1:] for line in head[1:] if line)
            body = await reader.readexactly(int(headers["content-length"]))
            one = Posted(head[0], headers, body)
            self.posted.append(one)
            answer = self.answer if isinstance(self.answer, bytes) else self.answer(one)
            if answer == never:
                await self.stopping.wait()
            writer.write(answer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def listening(answer: bytes | Callable[[Posted], bytes] = ok) -> AsyncIterator[Sink]:
    sink = Sink(answer)
    server = await asyncio.start_server(sink.connected, "127.0.0.1", 0)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        sink.stopping.set()
        server.close()
        await server.wait_closed()
        for task, writer in sink.serving.items():
            task.cancel()
            writer.close()
        await asyncio.gather(*sink.serving, return_exceptions=True)
