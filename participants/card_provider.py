"""The card network that the payment service asks: another company's service, over TCP, which may be away or silent.

    > authorise 0199…/charge-card/0 4900      > release 0199…/charge-card/0
    < yes                                     < released

Where it is, is said by AMENDS_CARD_PROVIDER (host:port); unset, every card is good and nobody is asked. The demo runs a
stand-in (`answering`). Two knobs send one order's question where no answer comes from, over real sockets:
`provider_down` to a port that accepts no connection, `provider_slow` to one that accepts it and then says nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace

from amends import EffectUnknown, Refused, calling
from participants.knobs import Knob

log = logging.getLogger("participants.card_provider")

name = "card-provider"
address_variable = "AMENDS_CARD_PROVIDER"
line_bytes_max = 1024
crowd = 8  # connections that fill the queue of a port nobody serves

Address = tuple[str, int]


class ProviderUnreachable(Exception):
    """No connection to the card network: it was asked nothing, so nothing happened."""


@dataclass(frozen=True)
class CardProvider:
    """The card network at one address. A question carries a reference: the same one asked again is one question."""

    address: Address
    connect_seconds: float = 0.3
    answer_seconds: float = 0.3

    @classmethod
    def of_environment(cls) -> CardProvider | None:
        stated = os.environ.get(address_variable)
        if not stated:
            return None
        host, _, port = stated.rpartition(":")
        return cls((host, int(port)))

    @property
    def place(self) -> str:
        host, port = self.address
        return f"{host}:{port}"

    async def authorise(self, reference: str, cents: int) -> None:
        """Ask for a hold on the card, which lapses in time. Raises Refused, ProviderUnreachable, EffectUnknown."""
        if await self._ask(f"authorise {reference} {cents}") != "yes":
            raise Refused("the card network says no", error_type="CardDeclined")

    async def release(self, reference: str) -> None:
        """Give up the hold at once, if there is one. Raises ProviderUnreachable, EffectUnknown."""
        await self._ask(f"release {reference}")

    async def _ask(self, line: str) -> str:
        async with calling(name):
            reader, writer = await self._connected()
            try:
                writer.write(f"{line}\n".encode())
                return await self._answer(reader)
            finally:
                writer.close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            async with asyncio.timeout(self.connect_seconds):
                return await asyncio.open_connection(*self.address, limit=line_bytes_max)
        except (TimeoutError, OSError) as error:
            log.warning("%s accepts no connection", name, extra={"action": "card_provider.unreachable"})
            raise ProviderUnreachable(f"{name} accepted no connection within {self.connect_seconds:g} s") from error

    async def _answer(self, reader: asyncio.StreamReader) -> str:
        try:
            async with asyncio.timeout(self.answer_seconds):
                return (await reader.readuntil()).decode().strip()
        except (TimeoutError, OSError, EOFError) as error:
            log.warning("%s was asked and gives no answer", name, extra={"action": "card_provider.silent"})
            said = f"{name} gave no answer within {self.answer_seconds:g} s; it may have done what it was asked"
            raise EffectUnknown(said, error_type="ProviderTimeout") from error


@asynccontextmanager
async def answering() -> AsyncIterator[CardProvider]:
    """A card network on a port of its own that says yes to everything, until the block ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = (await reader.readuntil()).decode()
            writer.write(b"yes\n" if asked.startswith("authorise") else b"released\n")
        except EOFError:
            log.debug("Somebody connected and asked nothing", extra={"action": "card_provider.no_question"})
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, limit=line_bytes_max) as server:
        yield CardProvider(server.sockets[0].getsockname()[:2])


@contextmanager
def troubled(provider: CardProvider | None, knob: Knob | None) -> Iterator[CardProvider | None]:
    """The card network as an order is to find it: as it is, or where a knob says that it is not."""
    match knob:
        case Knob.PROVIDER_DOWN:
            with _deaf(crowded=True) as address:
                yield replace(provider or CardProvider(address), address=address)
        case Knob.PROVIDER_SLOW:
            with _deaf(crowded=False) as address:
                yield replace(provider or CardProvider(address), address=address)
        case _:
            yield provider


@contextmanager
def _deaf(*, crowded: bool) -> Iterator[Address]:
    """A port where nobody answers: the system accepts connections, or, once its queue is full, not even that."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0 if crowded else crowd)
        address: Address = listener.getsockname()
        waiting = [socket.socket() for _ in range(crowd if crowded else 0)]
        try:
            for visitor in waiting[:1]:
                visitor.connect(address)  # it is let in, and from then on there is no room
            for visitor in waiting[1:]:
                visitor.setblocking(False)
                visitor.connect_ex(address)
            yield address
        finally:
            for visitor in waiting:
                visitor.close()
