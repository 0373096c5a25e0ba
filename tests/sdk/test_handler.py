"""How a handler is registered, what it is given, and what a participant without an inbox gives up."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, SpanKind, StatusCode
from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncConnection

from amends import Answer, Command, Effect, MessageError, Participant, Refused, Undone, check_actions
from amends.database import open_engine
from amends.inbox import SqlInbox
from tests.sdk.shop import Shop, action, compensation, raising


class Charge(BaseModel):
    model_config = ConfigDict(extra="forbid")
    total: int


class Receipt(BaseModel):
    charge_id: str


@pytest.fixture
async def payment(sqlite_url: str) -> AsyncIterator[Participant]:
    engine = open_engine(sqlite_url)
    inbox = SqlInbox(engine)
    await inbox.create()
    yield Participant("payment", inbox=inbox, version="1.2.0")
    await engine.dispose()


async def test_a_handler_gets_what_its_parameters_name(payment: Participant) -> None:
    seen: dict[str, Any] = {}

    @payment.action("charge")
    async def charge(data: Charge, command: Command, tx: AsyncConnection) -> Receipt:
        seen.update(data=data, key=command.id, tx=tx)
        return Receipt(charge_id="c1")

    @payment.compensation("refund")
    async def refund(data: Charge, result: Receipt | None, reason: str | None) -> None:
        seen.update(result=result, reason=reason)

    reply = await payment.answer(action())
    assert reply.result == {"charge_id": "c1"}
    assert (reply.worker_version, reply.participant) == ("1.2.0", "payment")
    assert (seen["data"], seen["key"]) == (Charge(total=10), "s1/pay/0/action/0")
    assert isinstance(seen["tx"], AsyncConnection)
    assert (await payment.answer(compensation(reason="no stock"))).undone is Undone.UNDONE
    assert (seen["result"], seen["reason"]) == (Receipt(charge_id="c1"), "no stock")


async def test_data_that_does_not_fit_is_refused_without_its_values(payment: Participant) -> None:
    @payment.action("charge")
    async def charge(data: Charge) -> None:
        raise AssertionError("never reached")

    reply = await payment.answer(action(data={"total": "secret", "card": 1}))
    assert reply.answer is Answer.REFUSED
    assert reply.error is not None
    assert reply.error.type == "InvalidData"
    assert "data.total" in reply.error.message
    assert "secret" not in reply.error.message


async def test_an_unknown_handler_is_a_failure_that_another_version_may_cure(payment: Participant) -> None:
    reply = await payment.answer(action())
    assert (reply.answer, reply.effect) == (Answer.FAILED, Effect.NONE)
    assert reply.error is not None
    assert reply.error.type == "UnknownHandler"

    @payment.action("charge")
    async def charge() -> None: ...

    # The newer version keeps to what was said about attempt 1, and takes attempt 2.
    assert await payment.answer(action()) == reply
    assert (await payment.answer(action(attempt=2))).answer is Answer.SUCCEEDED


async def test_a_command_for_someone_else_is_not_answered(payment: Participant) -> None:
    with pytest.raises(MessageError):
        await payment.answer(action(participant="delivery"))


def test_what_cannot_be_called_cannot_be_registered() -> None:
    engine = open_engine("sqlite:///unused.db")
    payment = Participant("payment", inbox=SqlInbox(engine))

    def plain() -> None: ...
    async def curious(weather: str) -> None: ...
    async def greedy(tx: AsyncConnection) -> None: ...
    async def early(result: Any) -> None: ...
    async def sure(result: Receipt) -> None: ...

    with pytest.raises(TypeError, match="async"):
        payment.action("a")(plain)  # type: ignore[type-var]  # the fault under test
    with pytest.raises(TypeError, match="weather"):
        payment.action("a")(curious)
    with pytest.raises(TypeError, match="outside any transaction"):
        payment.action("a", effects="external")(greedy)
    with pytest.raises(TypeError, match="result"):
        payment.action("a")(early)
    with pytest.raises(TypeError, match="None"):
        payment.compensation("a")(sure)
    with pytest.raises(TypeError, match="external"):
        payment.action("a", lease_seconds=5)(greedy)
    with pytest.raises(TypeError, match="without an inbox"):
        Participant("payment", inbox=None).action("a")(greedy)
    payment.action("a")(greedy)
    with pytest.raises(ValueError, match="two handlers"):
        payment.action("a")
    with pytest.raises(ValueError, match="pattern"):
        payment.action("not a name")
    with pytest.raises(ValueError, match="pattern"):
        Participant("no spaces", inbox=None)


async def test_without_an_inbox_every_failure_is_unknown() -> None:
    mail = Participant("payment", inbox=None)
    calls: list[str] = []

    @mail.action("charge")
    async def charge(command: Command) -> None:
        calls.append(command.id)
        if command.attempt == 2:
            raise RuntimeError("down")
        if command.attempt == 3:
            raise Refused("no")

    @mail.compensation("refund")
    async def refund() -> None: ...

    assert (await mail.answer(action())).answer is Answer.SUCCEEDED
    failed = await mail.answer(action(attempt=2))
    assert (failed.answer, failed.effect) == (Answer.FAILED, Effect.UNKNOWN)
    assert (await mail.answer(action(attempt=3))).answer is Answer.REFUSED
    assert (await mail.answer(compensation())).undone is Undone.UNDONE
    asked = await mail.answer(action(inquire=True))
    assert (asked.answer, asked.effect) == (Answer.FAILED, Effect.UNKNOWN)
    assert calls == ["s1/pay/0/action/0"] * 3  # each ran: nothing is remembered


async def test_the_span_of_a_handler_lies_in_the_trace_of_its_command(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    shop.charges.append(raising(RuntimeError("no route")))
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    reply = await shop.participant.answer(action(traceparent=parent))
    (span,) = exporter.get_finished_spans()
    own = span.get_span_context()
    assert own is not None
    assert (span.name, span.kind) == ("process payment.charge", SpanKind.CONSUMER)
    assert span.parent is not None
    assert span.parent.span_id == 0xB7AD6B7169203331
    assert [link.context.span_id for link in span.links] == [0xB7AD6B7169203331]
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert (span.attributes["saga.id"], span.attributes["saga.attempt"]) == ("s1", 1)
    assert reply.traceparent is not None
    assert f"{own.span_id:016x}" in reply.traceparent


async def test_where_nobody_records_spans_a_handler_can_still_hand_its_commands_trace_on(shop: Shop) -> None:
    carried: list[SpanContext] = []

    async def look(_tx: object) -> None:
        carried.append(trace.get_current_span().get_span_context())

    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    shop.charges += [look, look]
    traced = await shop.participant.answer(action(traceparent=parent))
    untraced = await shop.participant.answer(action(saga_id="s2"))
    known, unknown = carried
    assert (known.trace_id, known.span_id) == (0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331)
    assert (known.is_remote, known.trace_flags.sampled, unknown.is_valid) == (True, True, False)
    assert (traced.traceparent, untraced.traceparent) == (parent, None)
    assert not trace.get_current_span().get_span_context().is_valid


async def test_log_lines_are_kept_apart_and_standard_error_still_gets_warnings(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])  # a program that never set logging up

    async def warn(_tx: object) -> None:
        logging.getLogger("shop").warning("low on paper")
        raise RuntimeError("no paper")

    shop.charges.append(warn)
    reply = await shop.participant.answer(action())
    assert reply.error is not None
    assert reply.error.logs == ("WARNING shop: low on paper",)
    assert root.handlers == []
    assert capsys.readouterr().err == "low on paper\n"


async def test_handlers_and_definitions_are_compared() -> None:
    mail = Participant("mail", inbox=None)

    @mail.action("send")
    async def send() -> None: ...

    @mail.action("print")
    async def print_() -> None: ...

    step = {"name": "tell", "participant": "mail", "action": "send", "compensation": "apologise"}
    other = {"name": "pay", "participant": "payment", "action": "charge"}
    assert check_actions(mail, [{"name": "order", "steps": [step, other]}]) == [
        "no definition uses the action 'print' of mail",
        "mail lacks the compensation 'apologise', needed by step 'tell' of 'order'",
    ]
    assert check_actions(mail, []) == []
