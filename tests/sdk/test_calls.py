"""What a handler called: measured, kept with its reply whether it worked or not, and a span of its own."""

from __future__ import annotations

import asyncio
import threading

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from amends import Answer, Participant, Refused, calling
from amends.message import Reply, calls_max, decode, encode_item, frame
from tests.sdk.shop import action


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return exporter


@pytest.fixture
def payment() -> Participant:
    return Participant("payment", inbox=None)


def told(reply: Reply) -> list[tuple[str, str, str]]:
    return [(call.dependency, call.error, call.code) for call in reply.calls]


async def test_calls_travel_with_the_reply_those_that_worked_too(payment: Participant) -> None:
    @payment.action("charge")
    async def charge() -> None:
        async with calling("vault"):
            await asyncio.sleep(0.02)
        with calling("ledger"):
            pass
        async with calling("card-provider"):
            raise ConnectionResetError(104, "reset")

    reply = await payment.answer(action())
    assert told(reply) == [
        ("vault", "", ""),
        ("ledger", "", ""),
        ("card-provider", "ConnectionResetError", "errno ECONNRESET"),
    ]
    assert 0.015 < reply.calls[0].seconds < reply.duration_seconds
    (again,) = decode(frame("replies", [encode_item(reply)]))
    assert again == reply


async def test_a_call_that_failed_and_was_dealt_with_is_told_too(payment: Participant) -> None:
    @payment.action("charge")
    async def charge() -> str:
        try:
            async with calling("card-provider"):
                raise TimeoutError
        except TimeoutError:
            return "later"

    reply = await payment.answer(action())
    assert (reply.answer, told(reply)) == (Answer.SUCCEEDED, [("card-provider", "TimeoutError", "timeout")])


async def test_the_code_of_a_call_is_that_of_the_error_or_of_what_lies_beneath(payment: Participant) -> None:
    @payment.action("charge")
    async def charge() -> None:
        async with calling("card-provider"):
            raise Refused("no", error_type="Declined") from OSError(28, "disk full")

    assert told(await payment.answer(action())) == [("card-provider", "Declined", "errno ENOSPC")]


async def test_the_last_calls_are_kept(payment: Participant) -> None:
    @payment.action("charge")
    async def charge() -> None:
        for number in range(calls_max + 3):
            async with calling(f"shard-{number}"):
                pass

    reply = await payment.answer(action())
    assert [call.dependency for call in reply.calls] == [f"shard-{number}" for number in range(3, calls_max + 3)]


async def test_each_handler_has_its_own_calls_also_from_its_tasks_and_threads(payment: Participant) -> None:
    @payment.action("charge")
    async def charge(data: str) -> None:
        async def call(what: str) -> None:
            async with calling(f"{what} of {data}"):
                await asyncio.sleep(0.01)

        def call_blocking() -> None:
            with calling(f"thread of {data}"):
                assert threading.current_thread() is not threading.main_thread()

        await asyncio.gather(call("task"), asyncio.to_thread(call_blocking))

    replies = await asyncio.gather(*(payment.answer(action(saga_id=name, data=name)) for name in ("ada", "grace")))
    for name, reply in zip(("ada", "grace"), replies, strict=True):
        assert {call.dependency for call in reply.calls} == {f"task of {name}", f"thread of {name}"}


async def test_outside_a_handler_there_is_only_the_span(spans: InMemorySpanExporter) -> None:
    async with calling("card-provider"):
        pass
    with pytest.raises(TimeoutError):
        async with calling("\x00" + "x" * 200):
            raise TimeoutError("secret")
    good, bad = spans.get_finished_spans()
    assert (good.name, good.kind, good.status.status_code) == ("call card-provider", SpanKind.CLIENT, StatusCode.UNSET)
    assert dict(good.attributes or {}) == {"peer.service": "card-provider"}
    assert dict(bad.attributes or {})["error.type"] == "timeout"
    assert (bad.status.status_code, bad.status.description, bad.events) == (StatusCode.ERROR, "TimeoutError", ())


async def test_a_calls_span_lies_in_its_handlers(spans: InMemorySpanExporter, payment: Participant) -> None:
    @payment.action("charge")
    async def charge() -> None:
        async with calling("card-provider"):
            pass

    await payment.answer(action())
    call, handler = spans.get_finished_spans()
    assert call.parent is not None
    assert handler.context is not None
    assert call.parent.span_id == handler.context.span_id


async def test_a_call_is_measured_by_the_clock_of_its_loop(
    payment: Participant, monkeypatch: pytest.MonkeyPatch
) -> None:
    @payment.action("charge")
    async def charge() -> None:
        async with calling("card-provider"):
            ahead[0] = 3600.0

    loop = asyncio.get_running_loop()
    ahead, real = [0.0], loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + ahead[0])
    reply = await payment.answer(action(timeout_seconds=7200.0))
    assert reply.calls[0].seconds > 3599
    assert reply.duration_seconds > 3599
