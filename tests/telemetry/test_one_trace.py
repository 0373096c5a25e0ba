"""A saga is one trace, as a collector receives it: whatever failed, and whichever coordinator saw it through."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import Any

import pytest
from opentelemetry import trace

from amends import Participant, Refused
from amends.message import Answer, Command, Effect, Reply
from amends.serving import ServingLimits
from coordinator.building import build
from coordinator.config import Settings
from coordinator.engine import Beginning
from coordinator.telemetry import span_id
from tests.engine.conftest import final
from tests.engine.puppet import Puppet, answer
from tests.telemetry.conftest import House, check_tree
from tests.telemetry.receiver import Receiver
from tests.waiting import eventually

chain: dict[str, Any] = {
    "name": "order",
    "steps": [
        {"name": "reserve", "participant": "inventory", "action": "reserve", "compensation": "release"},
        {
            "name": "charge",
            "participant": "payment",
            "action": "charge",
            "compensation": "refund",
            "retry": {"first": 0.01},
            "compensation_retry": {"first": 0.01},
        },
        {
            "name": "ship",
            "participant": "delivery",
            "action": "ship",
            "compensation": "recall",
            "timeout": 0.3,
            "retry": {"first": 0.01},
        },
    ],
}


class Moody:
    """Payment fails at first at whatever it is asked; delivery refuses."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def __call__(self, command: Command) -> Reply:
        self.asked[command.id] += 1
        if command.participant == "payment" and self.asked[command.id] == 1:
            error = {"type": "Busy", "message": "come back later"}
            return answer(command, Answer.FAILED, effect=Effect.NONE, error=error, worker="payment-1")
        if command.handler == "ship":
            return answer(command, Answer.REFUSED, error={"type": "NoRoute", "message": "nobody drives there"})
        return answer(command)


async def test_a_saga_that_fails_at_its_third_step_is_one_tree(house: House, receiver: Receiver) -> None:
    moody = Moody()
    for participant in ("inventory", "payment", "delivery"):
        await house.puppet(participant, moody)
    app = await house.coordinator()
    saga_id = await house.start(app, chain)
    await house.end(app)

    root = check_tree(receiver.spans)
    assert (root.name, root.service, root.span_id) == ("saga order", "coordinator", span_id(saga_id))
    assert root.error == "ship refused: nobody drives there"
    assert root.attributes == {
        "saga.id": saga_id,
        "saga.name": "order",
        "saga.version": 1,
        "saga.status": "compensated",
        "saga.cause": "ship refused: nobody drives there",
        "saga.cause_kind": "refused",
        "saga.cause_step": "ship",
        "saga.business_key": "A-1",
    }
    attempts = sorted((span for span in receiver.spans if span.parent_id == root.span_id), key=lambda span: span.start)
    assert [(span.name, span.attributes["saga.outcome"], span.error) for span in attempts] == [
        ("reserve inventory.reserve", "succeeded", None),
        ("charge payment.charge", "failed", "Busy: come back later"),
        ("charge payment.charge", "succeeded", None),
        ("ship delivery.ship", "refused", "NoRoute: nobody drives there"),
        ("undo charge payment.refund", "failed", "Busy: come back later"),
        ("undo charge payment.refund", "succeeded", None),
        ("undo reserve inventory.release", "succeeded", None),
    ]
    reserve, charge, charge_again, _, refund, refund_again, release = attempts
    assert charge_again.links == (("repeats", charge.span_id),)
    assert refund.links == (("undoes", charge_again.span_id),)
    assert refund_again.links == (("repeats", refund.span_id), ("undoes", charge_again.span_id))
    assert release.links == (("undoes", reserve.span_id),)
    assert charge.attributes | {"saga.id": ""} == {
        "saga.id": "",
        "saga.name": "order",
        "saga.version": 1,
        "saga.step": "charge",
        "saga.iteration": 0,
        "saga.kind": "action",
        "saga.epoch": 0,
        "saga.attempt": 1,
        "saga.participant": "payment",
        "saga.handler": "charge",
        "saga.outcome": "failed",
        "saga.effect": "none",
        "saga.worker": "payment-1",
        "error.type": "Busy",
    }
    assert (refund_again.attributes["saga.kind"], refund_again.attributes["saga.attempt"]) == ("compensation", 2)
    assert refund_again.attributes["saga.undone"] == "undone"


async def test_each_attempt_shows_its_wait_in_the_outbox(house: House, receiver: Receiver) -> None:
    moody = Moody()
    for participant in ("inventory", "payment", "delivery"):
        await house.puppet(participant, moody)
    app = await house.coordinator()
    saga_id = await house.start(app, chain)
    await house.end(app)

    root = check_tree(receiver.spans)
    attempts = {span.span_id: span for span in receiver.spans if span.parent_id == root.span_id}
    waits = receiver.named("publish amends.commands")
    assert sorted(str(span.parent_id) for span in waits) == sorted(attempts)
    for wait in waits:
        assert wait.parent_id
        attempt = attempts[wait.parent_id]
        assert (wait.kind, wait.start) == ("producer", attempt.start)
        assert wait.attributes["saga.attempt"] == attempt.attributes["saga.attempt"]
        assert wait.attributes["messaging.system"] == "amends"
        assert wait.attributes["messaging.operation.name"] == "publish"
        participant = attempt.attributes["saga.participant"]
        assert wait.attributes["messaging.destination.name"] == f"amends.commands:{participant}"
        assert wait.attributes["messaging.message.conversation_id"] == saga_id


async def test_another_coordinator_finishes_the_trace_of_one_that_stopped(house: House, receiver: Receiver) -> None:
    for participant in ("inventory", "payment"):
        await house.puppet(participant)
    heard = asyncio.Event()

    def silent_once(command: Command) -> Reply | None:
        if command.handler == "recall":
            return answer(command)
        if command.attempt > 1:
            return answer(command, Answer.REFUSED)
        heard.set()
        return None

    await house.puppet("delivery", silent_once)
    first = await house.coordinator()
    await house.start(first, chain)
    async with asyncio.timeout(30):
        await heard.wait()
    await house.stop(first)
    await asyncio.to_thread(house.telemetry.flush)
    assert not receiver.named("saga order")
    assert not receiver.named("ship delivery.ship")

    second = await house.coordinator()
    await house.end(second)
    root = check_tree(receiver.spans)
    timed_out, refused = receiver.named("ship delivery.ship")
    assert (timed_out.attributes["saga.outcome"], timed_out.error) == ("timeout", "no reply in time")
    assert (refused.attributes["saga.outcome"], refused.links) == ("refused", (("repeats", timed_out.span_id),))
    assert root.attributes["saga.status"] == "compensated"
    assert timed_out.end - timed_out.start >= 0.3e9  # it began with the first coordinator


async def test_a_reply_that_comes_after_its_attempt_is_a_span_of_its_own(house: House, receiver: Receiver) -> None:
    for participant in ("inventory", "payment"):
        await house.puppet(participant)
    late: list[Command] = []

    def answers_late(command: Command) -> Reply | None:
        late.append(command)
        return answer(late[0]) if command.attempt == 2 else None

    await house.puppet("delivery", answers_late)
    app = await house.coordinator()
    await house.start(app, chain)
    await house.end(app)
    check_tree(receiver.spans)
    first, second = receiver.named("ship delivery.ship")
    assert (first.attributes["saga.outcome"], second.attributes["saga.outcome"]) == ("timeout", "superseded")
    (reply,) = receiver.named("late reply")
    assert reply.links == (("answers", first.span_id),)
    assert (reply.attributes["saga.attempt"], reply.attributes["saga.outcome"]) == (1, "succeeded")


async def test_the_participants_own_spans_lie_inside_the_attempts(
    house: House, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: house.telemetry.provider)
    warehouse = Participant("inventory", inbox=None)
    payment = Participant("payment", inbox=None)

    @warehouse.action("reserve")
    async def reserve() -> dict[str, int]:
        return {"shelf": 7}

    @warehouse.compensation("release")
    async def release() -> None:
        return None

    @payment.action("charge")
    async def charge() -> None:
        raise Refused("the card is declined")

    document = {**chain, "steps": [{**chain["steps"][0]}, {**chain["steps"][1], "compensation": "refund"}]}
    app = await house.coordinator()
    quick = ServingLimits(heartbeat_seconds=60, grace_seconds=5)
    async with asyncio.TaskGroup() as group:
        for participant in (warehouse, payment):
            group.create_task(participant.serve(house.broker, limits=quick))
        await house.start(app, document)
        await house.end(app)
        for participant in (warehouse, payment):
            participant.stop()
    await asyncio.to_thread(house.telemetry.flush)
    check_tree(receiver.spans)
    names = {span.span_id: span.name for span in receiver.spans}
    inside = {span.name: names[str(span.parent_id)] for span in receiver.spans if span.name.startswith("process ")}
    assert inside == {
        "process inventory.reserve": "reserve inventory.reserve",
        "process payment.charge": "charge payment.charge",
        "process inventory.release": "undo reserve inventory.release",
    }
    for span in receiver.spans:
        if span.name.startswith("process "):
            asked = span.attributes
            assert f"process {asked['saga.participant']}.{asked['saga.handler']}" == span.name
            assert asked["saga.outcome"] == ("refused" if span.name == "process payment.charge" else "succeeded")
            assert 0 <= asked["saga.outbox_seconds"] < 30
            assert 0 <= asked["saga.queue_seconds"] < 30
            assert (span.error is None) == (asked["saga.outcome"] == "succeeded")
    assert all(span.attributes["saga.outbox_seconds"] >= 0 for span in receiver.named("publish amends.commands"))
    (charged,) = receiver.named("charge payment.charge")
    assert charged.attributes["saga.handler_seconds"] >= 0


async def test_every_span_says_where_its_sagas_page_is_and_none_has_an_id_in_its_name(
    house: House, receiver: Receiver
) -> None:
    house.settings = house.settings.model_copy(update={"public_url": "https://amends.example.com/shop/"})
    for participant in ("inventory", "payment", "delivery"):
        await house.puppet(participant, Moody())
    app = await house.coordinator()
    saga_id = await house.start(app, chain)
    await house.end(app)

    check_tree(receiver.spans)
    pages = {span.attributes["saga.url"] for span in receiver.spans}
    assert pages == {f"https://amends.example.com/shop/sagas/{saga_id}"}
    assert {span.attributes["saga.id"] for span in receiver.spans} == {saga_id}
    assert [span.name for span in receiver.spans if re.search(r"[0-9]", span.name)] == []


async def test_a_saga_that_ends_as_it_starts_has_a_trace_too(house: House, receiver: Receiver) -> None:
    document = {
        "name": "checked",
        "steps": [{**chain["steps"][0], "input_schema": {"type": "object", "required": ["total"]}}],
    }
    app = await house.coordinator()
    await house.start(app, document, {})
    await house.end(app)
    root = check_tree(receiver.spans)
    (unsent,) = receiver.named("reserve inventory.reserve")
    assert (root.attributes["saga.status"], unsent.attributes["saga.outcome"]) == ("compensated", "unsendable")
    assert unsent.error
    assert unsent.error.startswith("InputSchema")


async def test_an_app_exports_by_itself_where_an_endpoint_is_set(
    sqlite_url: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[object] = []
    monkeypatch.setattr(trace, "set_tracer_provider", installed.append)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    app = await build(Settings(database_url=sqlite_url))
    await app.start()
    definition = await app.definitions.register({**chain, "steps": chain["steps"][:1]}, "test")
    async with Puppet(app.broker, "inventory"):
        saga_id = (await app.engine.start(Beginning(definition, None))).saga_id
        await final(app, saga_id)

        async def confirmed() -> bool:
            return not await app.stores.outbox.pending()

        await eventually(confirmed, "the outbox to be empty")
    await app.stop()
    assert {span.service for span in receiver.spans} == {"amends-coordinator"}
    assert check_tree(receiver.spans).attributes["saga.status"] == "completed"
    assert len(installed) == 1
