"""What the engine commits is counted and noted: failures become incidents, and nothing of that ever stops a saga."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

from amends.message import Answer, Command, Effect, Reply
from coordinator.saga.state import SagaStatus
from coordinator.store.observed import Tallied
from tests.diagnosis.conftest import House, diagnosis, failures, incidents
from tests.engine.conftest import all_final, chain, final, start
from tests.engine.puppet import Script, answer

failure = {"type": "ProviderError", "message": "the provider said no to pi_3OaB2", "code": "http 503"}
impatient = {**chain, "steps": [{**step, "retry": {"max_attempts": 2, "first": 0.01}} for step in chain["steps"]]}


def failing(step: str, said: Answer = Answer.FAILED) -> Script:
    """A script by which one step fails, always for the same reason."""

    def script(command: Command) -> Reply:
        if command.handler != step:
            return answer(command, worker=f"{command.participant}-1", duration_seconds=0.02)
        facts: dict[str, object] = {"effect": Effect.NONE} if said is Answer.FAILED else {}
        return answer(command, said, error=failure, worker="payment-1", worker_version="7", **facts)

    return script


async def test_a_saga_that_fails_becomes_an_incident(house: House) -> None:
    app = await house.coordinator()
    await house.puppets(impatient, failing("charge"))
    definition = await app.definitions.register(impatient, "test")
    saga_id = await start(app, definition, business_key="order-1")
    assert (await final(app, saga_id)).status is SagaStatus.COMPENSATED
    (failed,) = await failures(app, saga_id)
    assert (failed.step, failed.kind, failed.cause, failed.participant) == ("charge", "action", "failed", "payment")
    assert (failed.error_type, failed.code) == ("ProviderError", "http 503")
    assert (failed.worker, failed.worker_version, failed.attempts) == ("payment-1", "7", 2)
    assert failed.business_key == "order-1"
    (incident,) = await incidents(app)
    assert (incident.id, incident.failures, incident.status) == (failed.incident_id, 1, "open")


async def test_sagas_that_fail_for_one_reason_are_one_incident(house: House) -> None:
    app = await house.coordinator()
    await house.puppets(impatient, failing("charge", Answer.REFUSED))
    definition = await app.definitions.register(impatient, "test")
    ids = await asyncio.gather(*(start(app, definition, {"n": n}) for n in range(300)))
    await all_final(app, ids)
    (incident,) = await incidents(app)
    assert incident.failures == 300
    (facet,) = await app.stores.incident_reader.facets(incident.id)
    assert (facet.count, facet.step) == (300, "chain.charge")


async def test_every_attempt_is_counted_by_how_it_ended(house: House) -> None:
    app = await house.coordinator()
    await house.puppets(impatient, failing("charge"))
    definition = await app.definitions.register(impatient, "test")
    ended = await final(app, await start(app, definition))
    await diagnosis(app).watch.flush()
    await diagnosis(app).watch.flush()  # written again, it counts no more
    now = app.clock.now()
    tallies = (await app.stores.outcomes.tallies(ended.created_at - timedelta(minutes=1), now)).items
    counted: Counter[tuple[str, ...]] = Counter()  # the minute may have changed between two attempts
    for one in tallies:
        place = one.place
        counted[place.step, place.kind, one.outcome, one.error, place.worker] += one.count
    assert counted == {
        ("reserve", "action", Tallied.SUCCEEDED, "", "inventory-1"): 1,
        ("charge", "action", Tallied.FAILED, "http 503", "payment-1"): 2,
        ("reserve", "compensation", Tallied.SUCCEEDED, "", "inventory-1"): 1,
    }
    reserved = next(one for one in tallies if one.place.step == "reserve" and one.place.kind == "action")
    assert reserved.seconds_sum == 0.02
    assert sum(reserved.seconds_buckets) == sum(reserved.wait_buckets) == 1
