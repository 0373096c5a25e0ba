"""What a scrape of /metrics says: of sagas, of what they wait for, of the way of commands, of what is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families as families

from amends.broker import Address
from amends.message import Answer, Command, Failure, Kind, Reply
from coordinator.store.explained import ModelCall
from coordinator.store.figures import stuck_after
from coordinator.web import metrics as product
from coordinator.web.metrics import Metrics
from tests.engine.puppet import answer
from tests.store.made import noon
from tests.waiting import eventually
from tests.web.conftest import Site, chain

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Scrape:
    """One scrape, to be asked by a metric's name and its labels."""

    def __init__(self, text: str) -> None:
        self.samples: Samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families(text)
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.samples.get((f"amends_{name}", frozenset(labels.items())))

    def names(self) -> set[str]:
        return {name for name, _ in self.samples}


async def scraped(site: Site, look: Callable[[Scrape], Any], what: str) -> Scrape:
    async def seen() -> Scrape | None:
        found = Scrape(await site.metrics())
        return found if look(found) else None

    return await eventually(seen, what)


def refusing_charge(command: Command) -> Reply:
    if command.handler == "charge":
        return answer(command, Answer.REFUSED, error=Failure(type="Declined"))
    return answer(command)


def refusing_charge_and_release(command: Command) -> Reply:
    if command.handler == "release":
        return answer(command, Answer.REFUSED, error=Failure(type="Gone"))
    return refusing_charge(command)


async def test_the_life_of_a_saga_is_counted_and_timed(site: Site) -> None:
    await site.define(chain)
    await site.puppets(chain, refusing_charge)
    await site.end(await site.begin())

    seen = await scraped(site, lambda s: s("outbox_publish_seconds_count", participant="payment"), "the confirm")

    assert seen("sagas_started_total", definition="chain") == 1
    ended = {"definition": "chain", "status": "compensated"}
    assert seen("sagas_finished_total", **ended) == 1
    assert seen("saga_duration_seconds_count", **ended) == 1
    assert seen("saga_limbo_seconds_count", **ended) == 1
    whole, limbo = seen("saga_duration_seconds_sum", **ended), seen("saga_limbo_seconds_sum", **ended)
    assert whole is not None
    assert limbo is not None
    assert 0 < limbo < whole
    reserved = {"definition": "chain", "step": "reserve"}
    assert seen("step_attempts_total", **reserved, kind="action") == 1
    assert seen("step_duration_seconds_count", **reserved, kind="action", outcome="succeeded") == 1
    assert seen("step_duration_seconds_count", **reserved, kind="compensation", outcome="succeeded") == 1
    charged = {"definition": "chain", "step": "charge", "kind": "action"}
    assert seen("step_duration_seconds_count", **charged, outcome="refused") == 1
    assert seen("compensation_failed_total", **reserved) is None
    assert seen("workers_live", participant="payment") == 1
    assert seen("database_up") == 1
    assert {name for name, labels in seen.samples if "saga_id" in dict(labels)} == set()


async def test_a_saga_without_effects_was_never_in_limbo(small_site: Site) -> None:
    await small_site.define(chain)
    await small_site.puppets(chain, lambda one: answer(one, Answer.REFUSED, error=Failure(type="No")))
    await small_site.end(await small_site.begin())

    seen = Scrape(await small_site.metrics())

    assert seen("saga_duration_seconds_count", definition="chain", status="compensated") == 1
    assert seen("saga_limbo_seconds_count", definition="chain", status="compensated") is None


async def test_a_compensation_that_gives_up_is_counted_and_its_saga_waits_for_a_person(site: Site) -> None:
    await site.define(chain)
    await site.puppets(chain, refusing_charge_and_release)
    await site.begin()

    # The gauges are looked up every few seconds, so they follow the counters.
    seen = await scraped(site, lambda s: s("sagas_active", definition="chain", status="blocked"), "the block")

    assert seen("sagas_blocked_total", definition="chain") == 1
    reserved = {"definition": "chain", "step": "reserve"}
    assert seen("compensation_failed_total", **reserved) == 1
    assert seen("compensation_blocked_total", **reserved) == 1
    assert seen("sagas_waiting", waiting_on="blocked", participant="inventory") == 1
    assert seen("sagas_stuck", definition="chain") == 0


async def test_what_sagas_wait_for_is_gauged_by_participant(site: Site) -> None:
    await site.define(chain)
    await site.puppet("inventory", lambda _: None)
    await site.begin()

    seen = Scrape(await site.metrics())

    assert seen("sagas_active", definition="chain", status="running") == 1
    assert seen("sagas_waiting", waiting_on="reply", participant="inventory") == 1


async def test_silence_is_the_end_of_an_attempt_too(small_site: Site) -> None:
    retry = {"max_attempts": 1}
    step = {**chain["steps"][0], "timeout": "50ms", "retry": retry}
    await small_site.define({"name": "hasty", "steps": [step]})
    await small_site.puppet("inventory", lambda one: answer(one) if one.kind is Kind.COMPENSATION else None)
    await small_site.end(await small_site.begin("hasty"))

    seen = Scrape(await small_site.metrics())

    asked = {"definition": "hasty", "step": "reserve"}
    assert seen("step_duration_seconds_count", **asked, kind="action", outcome="unknown") == 1


async def test_repeated_replies_and_dead_letters_are_counted(site: Site) -> None:
    await site.define(chain)
    puppets = await site.puppets(chain)
    await site.end(await site.begin())
    await puppets["payment"].say(answer(puppets["payment"].heard[0]))
    await site.app.broker.publish(Address("replies", "payment"), b"nonsense")

    def both(seen: Scrape) -> bool:
        return bool(seen("replies_duplicate_total", definition="chain") and seen("dead_letters_open", lane="replies"))

    await scraped(site, both, "the repeated reply and the dead letter")


async def test_what_has_not_moved_for_long_is_stuck(site: Site) -> None:
    await site.define(chain)
    await site.puppet("inventory", lambda _: None)
    await site.begin()
    now = site.app.clock.now()

    figures = await site.app.stores.figures.read(now + 2 * stuck_after)

    assert figures.stuck == {"chain": 1}
    assert (await site.app.stores.figures.read(now)).stuck == {"chain": 0}


async def test_scrapes_within_a_few_seconds_share_one_look(small_site: Site) -> None:
    await small_site.define(chain)
    before = Scrape((await small_site.http.get("/metrics")).text)
    await small_site.begin()

    again = Scrape((await small_site.http.get("/metrics")).text)

    assert before("sagas_active", definition="chain", status="running") is None
    assert again("sagas_active", definition="chain", status="running") is None
    assert again("sagas_started_total", definition="chain") == 1


async def test_a_database_that_is_away_leaves_its_gauges_out(small_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(small_site.app.stores.figures, "read", away)

    response = await small_site.http.get("/metrics")

    assert response.status_code == 200
    seen = Scrape(response.text)
    assert seen("database_up") == 0
    assert "amends_outbox_pending" not in seen.names()


def test_tokens_of_the_model_are_counted() -> None:
    counted = Metrics()
    call = ModelCall(at=noon, model="m", rung="schema", outcome="answered", tokens_in=7, tokens_out=2, milliseconds=1.0)

    counted.spoken(call)
    counted.spoken(replace(call, tokens_in=1))

    seen = Scrape(generate_latest(counted.registry).decode())
    assert (seen("diagnosis_tokens_total", type="in"), seen("diagnosis_tokens_total", type="out")) == (8, 4)


def test_series_are_bounded_whatever_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product, "series_max", 3)
    counted = Metrics()
    for number in range(10):
        counted._finished.of(f"d{number}", "completed").inc()

    seen = Scrape(generate_latest(counted.registry).decode())

    assert seen("sagas_finished_total", definition="d2", status="completed") == 1
    assert seen("sagas_finished_total", definition="d3", status="completed") is None
    assert seen("sagas_finished_total", definition="other", status="completed") == 7
