"""The payment service and the card network it asks, over real sockets: what each kind of silence proves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from amends import Answer, Effect, Reply, Undone
from participants import card_provider, payment
from participants.card_provider import CardProvider, answering, troubled
from participants.knobs import Knob
from tests.demo.commands import counter

order = {"order_id": 1, "customer": "ada", "amount_cents": 4900}
charged = "SELECT count(*) FROM charges WHERE NOT refunded"


def told(reply: Reply) -> list[tuple[str, str, str]]:
    return [(call.dependency, call.error, call.code) for call in reply.calls]


@asynccontextmanager
async def network(*, connect_seconds: float = 30.0, answer_seconds: float = 30.0) -> AsyncIterator[CardProvider]:
    """The stand-in, asked with a patience that a busy machine doesn't exhaust, unless a test is of impatience."""
    async with answering() as provider:
        yield replace(provider, connect_seconds=connect_seconds, answer_seconds=answer_seconds)


def asking(provider: CardProvider | None) -> Any:
    return replace(payment.payment, build=partial(payment.build, provider=provider))


async def test_a_charge_asks_the_network_first_and_a_refund_gives_the_hold_up(sqlite_url: str) -> None:
    async with network() as provider, counter(asking(provider), sqlite_url) as desk:
        done = await desk.act("charge", order)
        assert (done.answer, told(done)) == (Answer.SUCCEEDED, [("card-provider", "", "")])
        undone = await desk.undo("refund", order)
        assert (undone.undone, told(undone)) == (Undone.UNDONE, [("card-provider", "", "")])
        assert desk.participant.settings == {"card_provider": provider.place}


async def test_a_network_that_accepts_no_connection_was_asked_nothing_so_nothing_happened(sqlite_url: str) -> None:
    async with network(connect_seconds=2.0) as provider, counter(asking(provider), sqlite_url) as desk:
        reply = await desk.act("charge", {**order, "simulate": {"charge": "provider_down"}})
        assert (reply.answer, reply.effect) == (Answer.FAILED, Effect.NONE)
        assert reply.error is not None
        assert (reply.error.type, reply.error.code) == ("ProviderUnreachable", "timeout")
        assert [cause.type for cause in reply.error.causes] == ["TimeoutError"]
        assert reply.error.frames[0] == "participants.card_provider:CardProvider._connected"
        assert "card-provider accepts no connection" in reply.error.logs[-1]
        assert told(reply) == [("card-provider", "ProviderUnreachable", "timeout")]
        assert reply.calls[0].seconds >= provider.connect_seconds - 0.01
        assert await desk.ask(charged) == 0
        assert (await desk.act("charge", order, attempt=2)).answer is Answer.SUCCEEDED


async def test_a_network_that_was_asked_and_is_silent_may_have_done_it(sqlite_url: str) -> None:
    async with network(answer_seconds=2.0) as provider, counter(asking(provider), sqlite_url) as desk:
        reply = await desk.act("charge", {**order, "simulate": {"charge": "provider_slow"}})
        assert (reply.answer, reply.effect) == (Answer.FAILED, Effect.UNKNOWN)
        assert reply.error is not None
        assert (reply.error.type, reply.error.code) == ("ProviderTimeout", "timeout")
        assert told(reply) == [("card-provider", "ProviderTimeout", "timeout")]
        assert await desk.ask(charged) == 0
        undone = await desk.undo("refund", order)
        assert (undone.result, told(undone)) == ({"refunded_cents": 0}, [("card-provider", "", "")])


async def test_the_knobs_need_no_network_to_take_away(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(card_provider.address_variable, raising=False)
    async with counter(payment.payment, sqlite_url) as desk:
        assert told(await desk.act("charge", order)) == []
        silent = await desk.act("charge", {**order, "simulate": {"charge": "provider_down"}}, saga_id="another")
        assert told(silent) == [("card-provider", "ProviderUnreachable", "timeout")]


async def test_the_network_may_be_told_by_the_environment(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering() as provider:
        monkeypatch.setenv(card_provider.address_variable, provider.place)
        async with counter(payment.payment, sqlite_url) as desk:
            assert told(await desk.act("charge", order)) == [("card-provider", "", "")]


async def say(what: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(what)
    writer.close()


@pytest.mark.parametrize(
    ("says", "answer", "error_type"),
    [(b"no\n", Answer.REFUSED, "CardDeclined"), (b"", Answer.FAILED, "ProviderTimeout")],
)
async def test_a_network_that_declines_refuses_and_one_that_hangs_up_proves_nothing(
    sqlite_url: str, says: bytes, answer: Answer, error_type: str
) -> None:
    async with await asyncio.start_server(partial(say, says), "127.0.0.1", 0) as server:
        provider = CardProvider(server.sockets[0].getsockname())
        async with counter(asking(provider), sqlite_url) as desk:
            reply = await desk.act("charge", order)
    assert (reply.answer, reply.error and reply.error.type) == (answer, error_type)


async def test_who_connects_and_asks_nothing_does_the_stand_in_no_harm() -> None:
    async with network() as provider:
        _, writer = await asyncio.open_connection(*provider.address)
        writer.close()
        await provider.authorise("a", 1)
        await provider.release("a")


async def test_trouble_ends_with_its_block() -> None:
    async with network(connect_seconds=0.3) as provider:
        with troubled(provider, Knob.PROVIDER_DOWN) as asked:
            assert asked is not None
            with pytest.raises(card_provider.ProviderUnreachable):
                await asked.authorise("a", 1)
        with troubled(provider, None) as asked:
            assert asked is provider
