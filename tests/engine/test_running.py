"""A coordinator that really runs, embedded and distributed: sagas end as they should, whoever moves them."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial

import pytest

from amends import Participant
from amends.message import Answer, Command, Effect, Kind, Reply
from amends.rabbitmq import RabbitBroker
from coordinator.engine import Beginning
from coordinator.errors import Quarantined, UnknownSaga
from coordinator.saga.decision import Decision
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.event import CancelRequested, PauseRequested, Replied, ResumeRequested
from coordinator.saga.record import load_event
from coordinator.saga.state import Saga, SagaStatus, StepStatus
from coordinator.saga.transition import replay
from coordinator.store.values import Created, KeyReused, Repeated
from tests.engine.conftest import House, all_final, chain, diamond, final, saga, start
from tests.engine.puppet import answer
from tests.waiting import eventually


def refuse(step: str) -> object:
    def script(command: Command) -> Reply:
        return answer(command, Answer.REFUSED) if command.handler == step else answer(command, result={"by": step})

    return script


async def test_an_order_completes(house: House) -> None:
    app = await house.coordinator()
    await house.puppets(chain, lambda command: answer(command, result={"did": command.handler}))
    ended = await final(app, await start(app, await app.definitions.register(chain, "test"), {"total": 5}))
    assert ended.status is SagaStatus.COMPLETED
    assert [ended.step(name).result for name in ("reserve", "charge", "ship")] == [
        {"did": "reserve"},
        {"did": "charge"},
        {"did": "ship"},
    ]


async def test_a_failure_at_the_third_step_is_undone_in_reverse(house: House) -> None:
    app = await house.coordinator()
    heard: list[str] = []

    def script(command: Command) -> Reply:
        heard.append(command.handler)
        return answer(command, Answer.REFUSED if command.handler == "ship" else Answer.SUCCEEDED)

    await house.puppets(chain, script)
    ended = await final(app, await start(app, await app.definitions.register(chain, "test")))
    assert ended.status is SagaStatus.COMPENSATED
    assert heard == ["reserve", "charge", "ship", "refund", "release"]


async def test_the_history_of_a_saga_replays_to_what_is_stored(house: House) -> None:
    app = await house.coordinator()
    flaky = Counter[str]()

    def script(command: Command) -> Reply:
        flaky[command.id] += 1
        if command.handler == "charge" and flaky[command.id] < 3:
            return answer(command, Answer.FAILED, effect=Effect.UNKNOWN)
        return answer(command, Answer.REFUSED if command.handler == "ship" else Answer.SUCCEEDED, result=[1, None])

    document = {**chain, "steps": [{**step, "retry": {"first": 0.01}} for step in chain["steps"]]}
    await house.puppets(document, script)
    definition = await app.definitions.register(document, "test")
    ended = await final(app, await start(app, definition, {"total": 5}))
    entries = await app.stores.reader.history(ended.id)
    assert [entry.seq for entry in entries] == list(range(1, ended.revision + 1))
    newborn = Saga(ended.id, ended.definition, ended.version, ended.input, ended.created_at, trace_id=ended.trace_id)
    assert replay(definition, newborn, [load_event(entry.event, entry.facts) for entry in entries]) == ended


async def test_a_lost_reply_is_found_out_by_timeout_and_asked_for_again(house: House) -> None:
    app = await house.coordinator()
    lost: list[str] = []

    def script(command: Command) -> Reply | None:
        if command.handler == "charge" and not lost:
            lost.append(command.id)
            return None
        return answer(command)

    document = {**chain, "steps": [{**step, "timeout": 0.3, "retry": {"first": 0.01}} for step in chain["steps"]]}
    puppets = await house.puppets(document, script)
    ended = await final(app, await start(app, await app.definitions.register(document, "test")))
    assert ended.status is SagaStatus.COMPLETED
    charges = [command for command in puppets["payment"].heard if command.handler == "charge"]
    assert [charge.attempt for charge in charges] == [1, 2]
    assert charges[0].id == charges[1].id == lost[0]


async def test_fifty_starts_with_one_key_start_one_saga_also_after_a_restart(house: House) -> None:
    first = await house.coordinator()
    definition = await first.definitions.register(chain, "test")
    beginning = Beginning(definition, {"n": 1}, caller="shop", key="order-7", body_hash="one")
    created = await asyncio.gather(*(first.engine.start(beginning) for _ in range(50)))
    assert Counter(type(one) for one in created) == {Created: 1, Repeated: 49}
    assert len({one.saga_id for one in created}) == 1
    await house.stop(first)
    second = await house.coordinator()
    again = await second.engine.start(beginning)
    assert again == Repeated(created[0].saga_id)
    other = Beginning(definition, {"n": 2}, caller="shop", key="order-7", body_hash="two")
    assert isinstance(await second.engine.start(other), KeyReused)


async def test_what_one_coordinator_began_another_ends(house: House) -> None:
    first = await house.coordinator()
    definition = await first.definitions.register(chain, "test")
    ids = [await start(first, definition, {"n": n}) for n in range(20)]
    await house.stop(first)  # nobody was there to carry out a single command
    second = await house.coordinator()
    await house.puppets(chain)
    ended = await all_final(second, ids)
    assert {one.status for one in ended} == {SagaStatus.COMPLETED}


async def test_commands_wait_for_a_participant_that_is_not_there_and_spend_no_attempt(house: House) -> None:
    app = await house.coordinator()
    document = {**chain, "steps": [{**step, "timeout": 0.2} for step in chain["steps"]]}
    saga_id = await start(app, await app.definitions.register(document, "test"))

    async def woken() -> bool:
        run = (await saga(app, saga_id)).step("reserve")
        return bool(run.clock and run.clock.extensions)

    await eventually(woken, "the first attempt to outlast its timeout")
    assert (await saga(app, saga_id)).step("reserve").attempt == 1
    await house.puppets(document)
    ended = await final(app, saga_id)
    assert ended.status is SagaStatus.COMPLETED
    assert ended.step("reserve").attempt == 1
    assert not ended.step("reserve").unclean


async def test_a_paused_saga_sends_nothing_until_it_is_resumed(house: House) -> None:
    app = await house.coordinator()
    held: list[Command] = []

    def script(command: Command) -> Reply | None:
        if command.handler == "reserve":
            held.append(command)
            return None
        return answer(command)

    puppets = await house.puppets(chain, script)
    saga_id = await start(app, await app.definitions.register(chain, "test"))
    await eventually(lambda: _true(held), "the first command")
    paused = await app.engine.handle(saga_id, PauseRequested(app.clock.now(), "ann", "look"))
    assert paused.saga.paused
    await puppets["inventory"].say(answer(held[0]))

    async def replied() -> bool:
        return (await saga(app, saga_id)).step("reserve").status is StepStatus.SUCCEEDED

    await eventually(replied, "the reply to be taken while paused")
    assert (await saga(app, saga_id)).step("charge").status is StepStatus.PENDING
    await app.engine.handle(saga_id, ResumeRequested(app.clock.now(), "ann", "go"))
    assert (await final(app, saga_id)).status is SagaStatus.COMPLETED


async def test_a_cancel_and_a_second_one(house: House) -> None:
    app = await house.coordinator()
    await house.puppets(chain, lambda command: answer(command) if command.kind is Kind.COMPENSATION else None)
    saga_id = await start(app, await app.definitions.register({**chain, "grace": "100ms"}, "test"))
    first = await app.engine.handle(saga_id, CancelRequested(app.clock.now(), "ann", "changed her mind"))
    second = await app.engine.handle(saga_id, CancelRequested(app.clock.now(), "ann", "again"))
    assert (first.refused, first.changed) == (None, True)
    assert (second.refused, second.changed) == (None, False)
    assert (await final(app, saga_id)).status is SagaStatus.COMPENSATED
    third = await app.engine.handle(saga_id, CancelRequested(app.clock.now(), "ann", "and again"))
    assert third.refused == "the saga is compensated, which is final"


async def test_an_input_that_breaks_a_steps_schema_fails_it_before_anything_is_sent(house: House) -> None:
    app = await house.coordinator()
    charge = {
        **chain["steps"][1],
        "input": {"n": "${input.n}"},
        "input_schema": {"properties": {"n": {"type": "string"}}},
    }
    puppets = await house.puppets(chain)
    document = {**chain, "steps": [chain["steps"][0], charge]}
    ended = await final(app, await start(app, await app.definitions.register(document, "test"), {"n": 5}))
    assert ended.status is SagaStatus.COMPENSATED
    assert ended.cause
    assert ended.cause.step == "charge"
    assert puppets["payment"].heard == []


async def test_a_result_that_breaks_its_schema_is_an_effect_and_is_undone(house: House) -> None:
    app = await house.coordinator()
    charge = {**chain["steps"][1], "output_schema": {"required": ["id"]}}
    puppets = await house.puppets(chain, lambda command: answer(command, result={"no": "id"}))
    document = {**chain, "steps": [chain["steps"][0], charge, chain["steps"][2]]}
    ended = await final(app, await start(app, await app.definitions.register(document, "test")))
    assert ended.status is SagaStatus.COMPENSATED
    assert [command.handler for command in puppets["payment"].heard] == ["charge", "refund"]
    assert puppets["delivery"].heard == []


async def test_a_join_fires_once_though_its_replies_meet_three_coordinators(house: House) -> None:
    """EC-15: B and C answer at the same moment, a coordinator each."""
    apps = [await house.coordinator() for _ in range(1 if house.embedded else 3)]
    count = 20 if house.embedded else 500
    puppets = await house.puppets(diamond)
    definition = await apps[0].definitions.register(diamond, "test")
    ids = await asyncio.gather(*(start(apps[n % len(apps)], definition, {"n": n}) for n in range(count)))
    for saga_id in ids:
        assert (await final(apps[0], saga_id)).status is SagaStatus.COMPLETED
    sent = Counter(command.saga_id for command in puppets["p"].heard if command.handler == "d")
    assert sent == dict.fromkeys(ids, 1)
    for saga_id in ids[:: max(1, count // 50)]:
        entries = await apps[0].stores.reader.history(saga_id)
        assert sum("d: pending -> dispatched" in entry.notes for entry in entries) == 1


@pytest.mark.parametrize(
    "house", [pytest.param("distributed", marks=[pytest.mark.postgres, pytest.mark.rabbitmq])], indirect=True
)
async def test_each_coordinator_moves_the_sagas_that_it_has_started(house: House) -> None:
    """Replies come back to who asked, so that nobody's memory of a saga is old."""
    brokers = [await RabbitBroker.connect(house.settings.broker_url, name=f"c{n}") for n in range(2)]
    apps = [await house.coordinator(broker) for broker in brokers]
    moved: list[Counter[str]] = [Counter(), Counter()]

    def count(moves: Counter[str], _: SagaDefinition, before: Saga, decision: Decision) -> None:
        if isinstance(decision.event, Replied):
            moves[before.id] += 1

    async def heard() -> bool:
        return all(broker._reply_to for broker in brokers)

    await eventually(heard, "both coordinators to hear replies")
    one = {"name": "one", "steps": [chain["steps"][1]]}
    definition = await apps[0].definitions.register(one, "test")
    payment = Participant("payment", inbox=None)

    @payment.action("charge")
    async def charge() -> None:
        """Nothing to do."""

    serving = asyncio.create_task(payment.serve(house.broker))
    await final(apps[0], await start(apps[0], definition))  # its queue is there: who starts a saga sends its commands
    for app, moves in zip(apps, moved, strict=True):
        app.engine.observe(partial(count, moves))
    ids = [[await start(app, definition) for _ in range(20)] for app in apps]
    for some in ids:
        await all_final(apps[0], some)
    payment.stop()
    await serving
    assert moved == [Counter(some) for some in ids]  # each by its one reply


async def test_a_corrupt_saga_stands_still_and_the_others_go_on(house: House) -> None:
    """EC-47."""
    import sqlalchemy as sa

    house.settings.lease_seconds = 1.0
    before = await house.coordinator()
    definition = await before.definitions.register(chain, "test")
    corrupt, sound = await start(before, definition), await start(before, definition)
    async with before.database.begin() as connection:
        await connection.execute(
            sa.text("UPDATE sagas SET record = :record WHERE id = :id"), {"record": "{}", "id": corrupt}
        )
    await house.stop(before)
    app = await house.coordinator()  # which remembers neither
    await house.puppets(chain)
    assert (await final(app, sound)).status is SagaStatus.COMPLETED
    with pytest.raises(Quarantined):
        await app.engine.handle(corrupt, CancelRequested(app.clock.now(), "ann", "?"))
    assert app.supervisor.dead() == []


async def test_a_saga_nobody_knows(house: House) -> None:
    app = await house.coordinator()
    with pytest.raises(UnknownSaga):
        await app.engine.handle("nobody", CancelRequested(app.clock.now(), "ann", "?"))


async def _true(value: object) -> bool:
    return bool(value)
