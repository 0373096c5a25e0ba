"""A TCP proxy that can misbehave as networks do: cut connections, or swallow what is sent."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

# What PostgreSQL says before it ends a connection: an ErrorResponse of severity FATAL, code admin_shutdown.
_fields = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
shutdown_of_postgres = b"E" + struct.pack("!i", 4 + len(_fields)) + _fields


class Proxy:
    """Forwards to one host and port. While `open` is not set nothing passes, in both directions, and nothing is cut."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self.open = asyncio.Event()
        self.open.set()
        self.accepted = 0
        self.passed_bytes = 0  # in both directions
        self.arrived = asyncio.Event()  # somebody connected
        self.held = asyncio.Event()  # something was sent that did not pass
        self._streams: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._clients: list[asyncio.StreamWriter] = []
        self.url = ""

    async def start(self, port: int) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        port = server.sockets[0].getsockname()[1]
        credentials = f"{self._target.username}:{self._target.password}"
        self.url = self._target._replace(netloc=f"{credentials}@127.0.0.1:{port}").geturl()
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.arrived.set()
        self._clients.append(writer)
        target_reader, target_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        for source, sink in ((reader, target_writer), (target_reader, writer)):
            self._writers.add(sink)
            task = asyncio.create_task(self._pass_on(source, sink))
            self._streams.add(task)
            task.add_done_callback(self._streams.discard)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while chunk := await source.read(65536):
                if not self.open.is_set():
                    self.held.set()
                    await self.open.wait()
                sink.write(chunk)
                self.passed_bytes += len(chunk)
                await sink.drain()
        except OSError:
            pass  # one side went away: the other is told below
        finally:
            self._writers.discard(sink)
            with suppress(RuntimeError):  # the loop may be closing
                sink.close()

    def reset(self) -> None:
        """Cut every connection the hard way: the peers get RST, what is under way is lost."""
        for writer in list(self._writers):
            connection = writer.get_extra_info("socket")
            if connection is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def say(self, frame: bytes) -> None:
        """Tell every client something in the server's name. Only while the server itself is silent. A client in this
        loop has read it on return."""
        for writer in self._clients:
            writer.write(frame)
        for _ in range(10):  # rounds of the loop
            await asyncio.sleep(0)

    async def stop(self) -> None:
        self.reset()
        for task in list(self._streams):
            task.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)


@asynccontextmanager
async def proxied(url: str, port: int = 0) -> AsyncIterator[Proxy]:
    """A proxy in front of a server's URL, on a port of its own or on the given one."""
    proxy = Proxy(url)
    server = await proxy.start(port)
    try:
        yield proxy
    finally:
        server.close()
        await proxy.stop()
