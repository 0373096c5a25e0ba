"""What the engine commits is counted and noted: failures become incidents, and nothing of that ever stops a saga."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from amends.message import Answer, Command, Effect, Kind, Reply
from coordinator.saga.state import SagaStatus
from coordinator.store.observed import Tallied
from tests.diagnosis.conftest import House, diagnosis, failures, incidents
from tests.engine.conftest import chain, diamond, final, start
from tests.engine.puppet import answer

failure = {"type": "ProviderError", "message": "the provider said no to pi_3OaB2", "code": "http 503"}
impatient = {**chain, "steps": [{**step, "retry": {"max_attempts": 2, "first": 0.01}} for step in chain["steps"]]}


def failing(step: str, said: Answer = Answer.FAILED) -> object:
    """A script by which one step fails, always for the same reason."""

    def script(command: Command) -> Reply:
        if command.handler != step:
            return answer(command, worker=f"{command.participant}-1", duration_seconds=0.02)
        facts = {"effect": Effect.NONE} if said is Answer.FAILED else {}
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
    await asyncio.gather(*(final(app, saga_id) for saga_id in ids))
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
    counted = {(one.place.step, one.place.kind, one.outcome, one.error, one.place.worker): one.count for one in tallies}
    assert counted == {
        ("reserve", "action", Tallied.SUCCEEDED, "", "inventory-1"): 1,
        ("charge", "action", Tallied.FAILED, "http 503", "payment-1"): 2,
        ("reserve", "compensation", Tallied.SUCCEEDED, "", "inventory-1"): 1,
    }
    reserved = next(one for one in tallies if one.place.step == "reserve" and one.place.kind == "action")
    assert reserved.seconds_sum == 0.02
    assert sum(reserved.seconds_buckets) == sum(reserved.wait_buckets) == 1
