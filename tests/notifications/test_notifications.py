"""From a commit to somebody who is told of it: over the API, on both databases, and whatever fails on the way."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

import aio_pika
import pytest
import sqlalchemy as sa

from amends.event import parse_event, verify
from amends.local import LocalBroker
from amends.message import Answer, Command, Failure, Reply
from coordinator.building import build
from coordinator.config import Settings
from coordinator.errors import StoreUnavailable
from coordinator.notifications import courier as product
from coordinator.notifications import subscriptions as wanting
from coordinator.store.notified import Notification
from tests.engine.puppet import answer
from tests.notifications.sink import Posted, broken, listening, ok
from tests.waiting import eventually
from tests.web.conftest import Site, chain, problem_of
from tests.web.conftest import site as site
from tests.web.conftest import small_site as small_site

address = "/v1/notifications/subscriptions"
# Of a saga alone: whether its incident is opened while a test looks is a matter of seconds.
of_sagas = ["started", "retrying", "step_failed", "blocked", "completed", "compensated", "closed"]


def refusing(command: Command) -> Reply:
    if command.handler == "charge":
        return answer(command, Answer.REFUSED, error=Failure(type="Declined", message="<b>no</b>", code="card"))
    return answer(command)


async def subscribe(site: Site, **body: Any) -> dict[str, Any]:
    site.app.courier.private = True
    response = await site.http.post(address, json={"events": of_sagas, **body})
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.json()
    return found


async def told(site: Site, **chosen: str) -> list[dict[str, Any]]:
    response = await site.http.get("/v1/notifications", params=chosen)
    assert response.status_code == 200, response.text
    return list(response.json()["items"])


async def in_state(site: Site, state: str, count: int = 1) -> list[dict[str, Any]]:
    async def seen() -> list[dict[str, Any]] | None:
        found = await told(site, status=state)
        return found if len(found) >= count else None

    return await eventually(seen, f"{count} notifications to be {state}")


async def life(site: Site) -> str:
    """A saga that is started, refused and compensated."""
    await site.define(chain)
    await site.puppets(chain, refusing)
    saga_id = await site.begin(business_key="order-1")
    await site.end(saga_id)
    return saga_id


async def test_a_webhook_is_told_what_happens_signed_and_recorded(site: Site) -> None:
    async with listening() as sink:
        subscription = await subscribe(site, target="webhook", url=sink.url, by="ada")
        saga_id = await life(site)
        recorded = await in_state(site, "delivered", 3)

    assert sorted(sink.kinds()) == ["compensated", "started", "step_failed"]
    for one in sink.posted:
        stamp, signed = one.headers["amends-timestamp"], one.headers["amends-signature"]
        assert verify(subscription["secret"], stamp, signed, one.body)
        assert one.event.saga
        assert (one.event.saga.id, one.event.saga.business_key) == (saga_id, "order-1")
    failed = next(one.event for one in sink.posted if one.event.kind == "step_failed")
    assert failed.step
    assert failed.failure
    assert (failed.step.name, failed.step.kind, failed.step.attempt) == ("charge", "action", 1)
    assert (failed.failure.type, failed.failure.message, failed.failure.code) == ("Declined", "<b>no</b>", "card")
    assert {one["event_id"] for one in recorded} == {one.event.id for one in sink.posted}
    assert {(one["status"], one["attempts"], one["last_error"]) for one in recorded} == {("delivered", 1, None)}
    assert {one["saga_id"] for one in await told(site, saga_id=saga_id)} == {saga_id}
    assert [one["event"] for one in await told(site, event="started")] == ["started"]


async def test_the_secret_is_shown_once(small_site: Site) -> None:
    made = await subscribe(small_site, target="webhook", url="https://example.com/hook")

    assert made["secret"].startswith("whsec_")
    (listed,) = (await small_site.http.get(address)).json()["items"]
    assert listed == {**made, "secret": None}
    assert (await small_site.http.get(f"{address}/{made['id']}")).json() == listed


async def test_only_what_is_wanted_is_told(site: Site) -> None:
    async with listening() as sink:
        await subscribe(site, target="webhook", url=sink.url, events=["compensated"], definitions=["chain"])
        await subscribe(site, target="webhook", url=sink.url, definitions=["another"])
        await life(site)
        await in_state(site, "delivered")

    assert sink.kinds() == ["compensated"]
    assert len(await told(site)) == 1


async def test_a_retry_and_a_block_are_told(small_site: Site) -> None:
    def script(command: Command) -> Reply:
        failure = Failure(type="Busy")
        if command.handler == "release":
            return answer(command, Answer.REFUSED, error=failure)
        if command.handler == "charge" and command.attempt == 1:
            return answer(command, Answer.FAILED, effect="none", error=failure)
        return refusing(command)

    retry = {"max_attempts": 3, "first": "10ms"}
    document = {**chain, "steps": [chain["steps"][0], {**chain["steps"][1], "retry": retry}]}
    async with listening() as sink:
        await subscribe(small_site, target="webhook", url=sink.url)
        await small_site.define(document)
        await small_site.puppets(document, script)
        await small_site.begin()
        await in_state(small_site, "delivered", 5)

    by_kind = {one.event.kind.value: one.event for one in sink.posted}
    assert sorted(sink.kinds()) == ["blocked", "retrying", "started", "step_failed", "step_failed"]
    retrying = by_kind["retrying"].step
    assert retrying
    assert (retrying.name, retrying.attempt) == ("charge", 1)
    assert retrying.next_at
    assert by_kind["blocked"].cause == "charge refused: <b>no</b>"


async def test_an_incident_that_opens_is_told_once(site: Site) -> None:
    async with listening() as sink:
        await subscribe(site, target="webhook", url=sink.url, events=["incident_opened"])
        await site.define(chain)
        await site.puppets(chain, refusing)
        for _ in range(3):
            await site.end(await site.begin())
        assert site.app.diagnosis
        await site.app.diagnosis.watch.flush()
        (one,) = await in_state(site, "delivered")

    event = sink.posted[0].event
    assert len(sink.posted) == 1
    assert event.incident
    assert event.incident.id
    assert (event.definition, one["saga_id"]) == ("chain", None)


async def test_what_fails_is_tried_again_and_given_up_after_so_many_attempts(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product, "retry_first_seconds", 0.01)
    monkeypatch.setattr(product, "retry_factor", 1.0)
    monkeypatch.setattr(product, "attempts_max", 3)
    async with listening(broken) as sink:
        await subscribe(site, target="webhook", url=sink.url, events=["started"])
        await life(site)
        (given_up,) = await in_state(site, "failed")
        assert (given_up["attempts"], given_up["last_error"], given_up["next_at"]) == (3, "HTTP 500", None)
        assert len({one.event.id for one in sink.posted}) == 1

        sink.answer = ok
        again = await site.http.post(f"/v1/notifications/{given_up['id']}/redeliver")
        assert (again.status_code, again.json()["status"]) == (202, "pending")
        (arrived,) = await in_state(site, "delivered")

    assert (arrived["id"], arrived["attempts"], len(sink.posted)) == (given_up["id"], 1, 4)


async def test_one_target_that_is_down_is_left_alone_and_holds_up_nobody(
    small_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product, "failures_max", 2)
    monkeypatch.setattr(product, "rest_first_seconds", 3600.0)
    monkeypatch.setattr(product, "rest_seconds_max", 3600.0)
    async with listening(broken) as down, listening() as up:
        bad = await subscribe(small_site, target="webhook", url=down.url)
        await subscribe(small_site, target="webhook", url=up.url)
        await life(small_site)
        await in_state(small_site, "delivered", 3)

        async def opened() -> dict[str, Any] | None:
            seen: dict[str, Any] = (await small_site.http.get(f"{address}/{bad['id']}")).json()
            return seen if seen["circuit"] == "open" else None

        seen = await eventually(opened, "the circuit to open")
        assert (seen["last_error"], seen["waiting"]) == ("HTTP 500", 3)
        text = (await small_site.http.get("/metrics")).text
        assert "amends_subscriptions_left_alone 1.0" in text
        assert 'amends_notifications_pending{target="webhook"} 3.0' in text
        assert 'amends_notifications_total{outcome="delivered",target="webhook"} 3.0' in text

        down.answer = ok
        store, now = small_site.app.stores.notifications, small_site.app.clock.now()
        await store.trouble(bad["id"], failures=9, open_until=now - timedelta(seconds=1), error="HTTP 500")
        for one in await told(small_site, status="pending"):
            await store.undelivered(one["id"], "nobody", error="", again_at=now)

        async def closed() -> bool:
            return bool((await small_site.http.get(f"{address}/{bad['id']}")).json()["circuit"] == "closed")

        await eventually(closed, "the circuit to close")


async def test_each_is_claimed_by_one_coordinator_at_a_time(site: Site) -> None:
    subscription = await subscribe(site, target="webhook", url="http://127.0.0.1:1/")
    await life(site)
    store = site.app.stores.notifications
    at = site.app.clock.now() + timedelta(days=1)  # whatever the courier holds by now, its lease is over

    async def claim(token: str) -> list[Notification]:
        until = at + timedelta(seconds=30)
        return await store.claim(subscription["id"], token, now=at, lease_until=until, limit=2)

    claimed = await asyncio.gather(*(claim(f"t{number}") for number in range(4)))

    ids = [one.notice.id for batch in claimed for one in batch]
    assert len(ids) == len(set(ids)) == 3
    taken = {
        token: [one.notice.id for one in batch] for token, batch in zip(("t0", "t1", "t2", "t3"), claimed, strict=True)
    }
    for token, mine in taken.items():
        assert await store.delivered(ids, token, now=at) == len(mine)
    assert await store.delivered(ids, "t0", now=at) == 0


async def test_another_coordinator_tells_what_this_one_left(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Site(database_url)
    await first.start()
    async with listening(broken) as sink:
        await subscribe(first, target="webhook", url=sink.url, events=["started"])
        await life(first)
        await first.stop()
        sink.answer = ok
        heard = len(sink.posted)
        other = await build(Settings(database_url=database_url, notifications_private=True), broker=LocalBroker())
        await other.start()
        try:

            async def repeated() -> bool:
                return len(sink.posted) > heard

            await eventually(repeated, "the other coordinator to tell it")
        finally:
            await other.stop()
    assert len({one.event.id for one in sink.posted}) == 1


async def test_in_process_events_reach_whoever_listens(small_site: Site) -> None:
    broker = small_site.app.broker
    assert isinstance(broker, LocalBroker)
    everything, ends, others = broker.listen(), broker.listen("chain.compensated"), broker.listen("*.completed")
    await subscribe(small_site, target="amqp")

    await life(small_site)
    await in_state(small_site, "delivered", 3)

    assert everything.qsize() == 3
    assert parse_event(ends.get_nowait()).kind == "compensated"
    assert (ends.qsize(), others.qsize()) == (0, 0)


async def test_events_reach_a_queue_on_rabbitmq(sqlite_url: str, fresh_rabbitmq_url: str) -> None:
    app = await build(Settings(database_url=sqlite_url, broker_url=fresh_rabbitmq_url))
    await app.start()
    connection = await aio_pika.connect(fresh_rabbitmq_url)
    try:
        assert (await app.broker.announce("nobody.started", b"{}", event_id="e0")).value == "confirmed"
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind("amends.events", "chain.*")

        assert (await app.broker.announce("chain.started", b"{}", event_id="e1")).value == "confirmed"
        assert (await app.broker.announce("no key", b"{}", event_id="e2")).value == "permanent"

        async def arrived() -> Any:
            return await queue.get(no_ack=True, fail=False)

        message = await eventually(arrived, "the event")
        assert (message.routing_key, message.headers["event_id"], message.type) == ("chain.started", "e1", "started")
    finally:
        await connection.close()
        await app.stop()


async def test_the_log_is_told_too(small_site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "coordinator.notifications.courier"):
        await subscribe(small_site, target="log", events=["compensated"])
        saga_id = await life(small_site)
        await in_state(small_site, "delivered")

    (record,) = [one for one in caplog.records if getattr(one, "action", "") == "event.compensated"]
    assert record.getMessage() == "chain: compensated"
    assert record.__dict__["saga_id"] == saga_id


async def test_a_queue_that_is_full_drops_what_comes_and_counts_it(
    small_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wanting, "queue_max", 1)
    async with listening(broken) as sink:
        await subscribe(small_site, target="webhook", url=sink.url)
        await life(small_site)

        assert len(await told(small_site)) < 3
        text = (await small_site.http.get("/metrics")).text
        assert "amends_notifications_dropped_total{" in text


async def test_a_subscription_that_ends_drops_what_waits(site: Site) -> None:
    async with listening(broken) as sink:
        made = await subscribe(site, target="webhook", url=sink.url)
        await life(site)
        ended = await site.http.request("DELETE", f"{address}/{made['id']}", headers={"X-Amends-Actor": "grace"})

        assert ended.status_code == 200
        dropped = await told(site)
        assert {one["status"] for one in dropped} <= {"dropped"}
        refused = await site.http.post(f"/v1/notifications/{dropped[0]['id']}/redeliver")
        problem_of(refused, 409, "redelivery-refused")
    problem_of(await site.http.request("DELETE", f"{address}/{made['id']}"), 404, "unknown-subscription")
    problem_of(await site.http.get(f"{address}/{made['id']}"), 404, "unknown-subscription")
    assert (await site.http.get(address)).json()["items"] == []


async def test_pages_go_on_where_the_former_ended(site: Site) -> None:
    await subscribe(site, target="log")
    await life(site)
    await in_state(site, "delivered", 3)

    first = await site.http.get("/v1/notifications?limit=2")
    rest = await site.http.get(first.json()["next"])

    ids = [one["id"] for one in first.json()["items"] + rest.json()["items"]]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 3
    assert rest.json()["next"] is None
    one = (await site.http.get(f"/v1/notifications/{ids[0]}")).json()
    assert one == first.json()["items"][0]


@pytest.mark.parametrize(
    ("body", "slug"),
    [({"target": "webhook"}, "invalid-body"), ({"target": "log", "url": "https://a.b/"}, "invalid-body"),
     ({"target": "pigeon"}, "invalid-body"), ({"target": "log", "events": ["exploded"]}, "invalid-body"),
     ({"target": "log", "definitions": ["a b"]}, "invalid-body"), ({"target": "log", "more": 1}, "invalid-body"),
     ({"target": "webhook", "url": "http://example.com/"}, "address-refused"),
     ({"target": "webhook", "url": "https://u:p@example.com/"}, "address-refused")],
)  # fmt: skip
async def test_what_can_not_be_subscribed_to_is_refused(small_site: Site, body: dict[str, Any], slug: str) -> None:
    problem_of(await small_site.http.post(address, json=body), 422, slug)


async def test_unknown_ones_are_not_found_and_pages_are_bounded(small_site: Site) -> None:
    problem_of(await small_site.http.get("/v1/notifications/none"), 404, "unknown-notification")
    problem_of(await small_site.http.post("/v1/notifications/none/redeliver"), 404, "unknown-notification")
    problem_of(await small_site.http.get("/v1/notifications?limit=0"), 400, "bad-parameter")


async def test_there_is_room_for_so_many_subscriptions(small_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.store.notifications.subscriptions_max", 1)
    await subscribe(small_site, target="log")
    problem_of(await small_site.http.post(address, json={"target": "log"}), 409, "too-many-subscriptions")


async def test_without_a_subscription_a_saga_costs_no_statement_more(site: Site) -> None:
    await site.define(chain)
    await site.puppets(chain, refusing)
    said: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        said.append(statement)

    engines = [site.app.database._writer.sync_engine, site.app.database._reader.sync_engine]
    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", note)
    await site.end(await site.begin())

    # On PostgreSQL one statement writes all that a saga's batch writes: there they are a part of it, without rows.
    assert [one for one in said if "notifications" in one and "INSERT INTO history" not in one] == []
    assert [one for one in said if "INSERT INTO history" in one]


async def test_what_is_old_is_forgotten(site: Site) -> None:
    made = await subscribe(site, target="log")
    await life(site)
    await in_state(site, "delivered", 3)
    store, later = site.app.stores.notifications, site.app.clock.now() + timedelta(days=8)

    assert await store.prune(site.app.clock.now()) == 0
    assert await store.prune(later) == 3
    await site.http.request("DELETE", f"{address}/{made['id']}")
    assert await store.prune(later) == 1
    assert await store.prune(later) == 0


async def test_a_database_that_is_away_makes_notifications_wait(
    small_site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = small_site.app.stores.notifications
    await subscribe(small_site, target="log", events=["started"])
    real, away = {}, ["queues", "claim", "subscriptions"]

    async def gone(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("away")

    for name in away:
        real[name] = getattr(store, name)
        monkeypatch.setattr(store, name, gone)

    async def complained(count: int) -> bool:
        said = {one.getMessage().split(":")[0] for one in caplog.records}
        return len(said & {"Subscriptions can't be read", "Notifications wait"}) >= count

    await small_site.define(chain)
    await small_site.puppets(chain)
    await small_site.end(await small_site.begin())
    await eventually(lambda: complained(2), "both loops to complain")
    monkeypatch.setattr(store, "queues", real["queues"])

    async def not_noted() -> bool:
        return any(one.getMessage().startswith("What was told is not noted") for one in caplog.records)

    await eventually(not_noted, "the claim to fail")
    monkeypatch.setattr(store, "claim", real["claim"])
    monkeypatch.setattr(store, "subscriptions", real["subscriptions"])
    await in_state(small_site, "delivered")


async def test_a_courier_that_fails_unforeseen_begins_again(
    small_site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = small_site.app.stores.notifications
    await subscribe(small_site, target="log", events=["started"])
    real = store.queues

    async def wrong(*_: Any) -> Any:
        monkeypatch.setattr(store, "queues", real)
        raise ValueError("nobody foresaw this")

    monkeypatch.setattr(
        small_site.app.subscriptions, "_store", type("Away", (), {"subscriptions": store.subscriptions, "queues": real})
    )
    monkeypatch.setattr(store, "queues", wrong)
    await life(small_site)

    await in_state(small_site, "delivered")
    assert small_site.app.courier.ended == 1


def test_a_posted_event_is_read_by_its_kind() -> None:
    body = b'{"id": "a", "kind": "started", "at": "2030-01-01T00:00:00Z", "definition": "d", "later": 1}'
    assert Posted("", {}, body).event.kind == "started"
