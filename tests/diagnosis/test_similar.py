"""The incident that was here before is found: by its fingerprint, by its kind, by its words in another wording."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from coordinator.diagnosis.case import PastIncident
from coordinator.diagnosis.cause import FaultClass
from coordinator.diagnosis.similar import Query, compared_max, query_of, rank, shown_max, similarity_min
from coordinator.diagnosis.template import template_of
from tests.diagnosis.cases import World, fails, refuses
from tests.diagnosis.messages import ordinary

now = datetime(2026, 11, 21, 12, tzinfo=UTC)

# Each error in three wordings, by different libraries and people.
worded = {
    "read timeout": (
        "HTTPSConnectionPool(host='pay-3.internal', port=443): Read timed out. (read timeout=10)",
        "the payment provider at 10.0.0.3:443 timed out while reading the response after 10 s",
        "Read timed out waiting for payment provider (30.0 s)",
    ),
    "refused": (
        "[Errno 111] Connect call failed ('10.0.0.12', 443): connection refused by provider",
        "Cannot connect to host pay.internal:443 ssl:default [Connection refused]",
        "dial tcp 10.2.3.4:443: connect: connection refused",
    ),
    "lock": (
        "canceling statement due to lock timeout while locking tuple (3,17) in relation stock",
        "could not obtain lock on row in relation stock within 5 s",
        "Lock wait timeout exceeded for relation stock; try restarting transaction",
    ),
    "disk": (
        "[Errno 28] No space left on device: '/var/lib/labels/17.pdf'",
        "could not write label 17: no space left on device",
        "write /data/labels/4711.pdf: no space left on device",
    ),
    "limit": (
        "Error code: 429 - rate limit of 500 messages per hour reached for sender a@example.com",
        "Too many requests: message rate limit reached for sender, retry after 30 s",
        "429 Too Many Requests - sender rate limit exceeded, 500 messages per hour",
    ),
    "certificate": (
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1006)",
        "x509: certificate has expired or is not yet valid: current time 2026-11-21T10:00:00Z",
        "sun.security.validator: PKIX path validation failed: certificate expired on 2026-11-20",
    ),
    "duplicate": (
        'duplicate key value violates unique constraint "orders_pkey" DETAIL: Key (order_id)=(17) already exists.',
        "Duplicate entry '17' for key 'orders.PRIMARY', order already exists",
        "UNIQUE constraint failed: orders.order_id, key already exists",
    ),
    "field": (
        "'currency' is a required property. On instance: {'amount': 12}",
        "1 validation error for Charge: currency field required",
        "validation failed: property currency is required but missing",
    ),
}


def past(number: int, template: str = "", **changes: object) -> PastIncident:
    one = PastIncident(
        incident_id=f"incident-{number}",
        at=now - timedelta(days=2),
        family=f"family-{number}",
        fingerprints=frozenset({f"print-{number}"}),
        steps=frozenset({"order.charge"}),
        templates=(template,) if template else (),
        cls="downstream_timeout",
        culprit="dependency provider",
        headline="The provider was slow",
        resolution="the provider was restarted",
        verified=False,
    )
    return replace(one, **changes)  # type: ignore[arg-type]


def ids(query: Query, *candidates: PastIncident) -> list[str]:
    return [one.incident_id for one in rank(query, candidates, now)]


def test_the_same_error_goes_before_the_same_kind_before_similar_words() -> None:
    query = Query(("the provider timed out",), frozenset({"print-1"}), frozenset({"family-2"}))
    found = rank(query, [past(3, "the provider timed out again"), past(2), past(1), past(4, "declined")], now)
    assert [one.incident_id for one in found] == ["incident-1", "incident-2", "incident-3"]
    assert found[0].similarity == 1.0
    assert found[0].matched_on == ("the same error at the same step",)
    assert found[1].matched_on == ("the same kind of error of the same participant",)
    assert found[2].matched_on == ("similar wording",)
    assert found[2].resolution == "the provider was restarted"
    assert all(similarity_min <= one.similarity <= 1 for one in found)


def test_at_most_three_are_shown() -> None:
    assert len(ids(Query(("declined",)), *[past(n, "declined") for n in range(9)])) == shown_max


def test_nothing_alike_is_nothing_shown() -> None:
    assert ids(Query(("the card was declined",)), past(1, "no space left on device"), past(2)) == []
    assert ids(Query(()), past(1, "no space left")) == []
    assert ids(Query(("",)), past(1, "no space left")) == []
    assert ids(Query(("declined",))) == []


def test_the_newer_goes_first_and_the_old_stay_findable() -> None:
    query = Query((), frozenset({"print-1"}))
    old = past(1, at=now - timedelta(days=90))
    new = past(1, incident_id="new")
    assert ids(query, old, new) == ["new", "incident-1"]
    assert rank(query, [old], now)[0].differences == ("it was 90 days ago",)


def test_what_a_person_confirmed_goes_before_what_nobody_looked_at() -> None:
    query = Query((), frozenset({"print-1"}))
    confirmed = past(1, incident_id="confirmed", verified=True, at=now - timedelta(days=3))
    assert ids(query, past(1), confirmed) == ["confirmed", "incident-1"]


def test_the_same_step_decides_between_equals() -> None:
    query = Query(("declined",), steps=frozenset({"order.pay"}))
    elsewhere, here = past(1, "declined"), past(2, "declined", steps=frozenset({"order.pay"}))
    assert ids(query, elsewhere, here) == ["incident-2", "incident-1"]
    found = rank(query, [here, elsewhere], now)
    assert found[0].matched_on == ("the same wording", "the same step")
    assert found[1].differences == ("it was at order.charge, this is at order.pay",)


def test_differences_are_said() -> None:
    steps = frozenset({"order.charge", "order.b", "order.c", "order.d"})
    query = Query(
        ("x",), frozenset({"print-1"}), frozenset({"another"}), steps,
        cls="bad_deploy", culprit="worker_version payment@2",
    )  # fmt: skip
    assert rank(query, [past(1)], now)[0].differences == (
        "this is at order.b, order.c and 1 more too",
        "another kind of error, or of another participant",
        "to blame was dependency provider, now it is worker_version payment@2",
    )
    more = replace(query, steps=frozenset({"order.charge"}), families=frozenset({"family-1"}), culprit="")
    steps = frozenset({"order.charge", "order.z"})
    assert rank(replace(more, fingerprints=frozenset()), [past(1, steps=steps)], now)[0].differences == (
        "it was at order.z too",
        "worded differently",
        "its cause was downstream_timeout, this is bad_deploy",
    )


def test_a_class_that_is_no_more_known_is_unknown() -> None:
    found = rank(Query((), frozenset({"print-1"})), [past(1, cls="gone"), past(1, incident_id="b")], now)
    assert {one.cls for one in found} == {FaultClass.UNKNOWN, FaultClass.DOWNSTREAM_TIMEOUT}


def test_a_clock_that_is_behind_makes_nothing_likelier() -> None:
    found = rank(Query((), frozenset({"print-1"})), [past(1, at=now + timedelta(days=400))], now)
    assert found[0].similarity == 1.0


def test_another_wording_of_the_same_error_is_found_among_many() -> None:
    others = [past(100 + n, template_of(text), headline="other") for n, text in enumerate(ordinary)]
    known = [
        past(10 * n + wording, template_of(text), headline=which)
        for n, (which, texts) in enumerate(worded.items())
        for wording, text in enumerate(texts[:2])
    ]
    found = {
        name: [one.headline for one in rank(Query((template_of(texts[2]),)), [*others, *known], now)]
        for name, texts in worded.items()
    }
    missed = [name for name, headlines in found.items() if name not in headlines]
    assert len(missed) <= 1, found  # of eight, among those of a hundred and thirty others


def test_the_same_sort_of_error_of_one_participant_is_found_in_words_that_share_nothing() -> None:
    query = Query(("certificate verify failed",), families=frozenset({"payment:credential:tls CERTIFICATE_EXPIRED"}))
    same = past(1, "PKIX path validation", family="payment:credential:SSLHandshakeException")
    found = rank(query, [same, past(2, "PKIX path validation", family="stock:credential:x")], now)
    assert [one.incident_id for one in found] == ["incident-1"]
    assert found[0].matched_on == ("the same sort of error of the same participant",)
    assert found[0].differences == ("another code or place",)
    unknown = Query(("odd",), families=frozenset({"payment:other:Exception:odd"}))
    assert ids(unknown, past(1, "strange", family="payment:other:Exception:strange")) == []


def test_twenty_thousand_templates_take_a_fraction_of_a_second() -> None:
    chance = random.Random(3)
    words = [word for text in ordinary for word in template_of(text).split()]
    texts = [" ".join(chance.choices(words, k=chance.randint(6, 16))) for _ in range(20_000)]
    many = [past(n, text, at=now - timedelta(days=n % 60)) for n, text in enumerate(texts)]
    query = Query((texts[4711],))
    took = []
    for _ in range(3):
        began = time.thread_time()
        found = rank(query, many, now)
        took.append(time.thread_time() - began)
        assert found[0].incident_id == "incident-4711"
    assert compared_max < len(texts)
    assert min(took) < 0.3  # half of it on a machine that does nothing else


def test_only_the_weightiest_words_are_looked_for_when_all_share_some() -> None:
    common = [past(n, f"failed to charge customer in region r{'abcdefgh'[n % 8]}") for n in range(compared_max * 2)]
    rare = past(9_999, "failed to charge: quicksilver leaked")
    assert ids(Query(("failed to charge: quicksilver leaked out",)), *common, rare)[0] == "incident-9999"


def test_a_case_is_looked_for_by_what_failed_in_it() -> None:
    world = World()
    for number in range(3):
        world.saga(at=-number, charge_card=fails("GatewayError", "the charge timed out", "http 504"))
    alone = world.saga(reserve_stock=refuses("OutOfStock", "not enough on hand"))
    query = query_of(world.case())
    assert query.steps == {"place_order.charge-card", "place_order.reserve-stock"}
    assert len(query.fingerprints) == 2
    assert query.templates[0] == "the charge timed out"  # of more sagas than the other
    one = query_of(world.case(focus=alone))
    assert one.steps == {"place_order.reserve-stock"}
    assert one.templates == ("not enough on hand",)
    again = past(1, fingerprints=one.fingerprints, steps=one.steps, family=min(one.families))
    assert ids(one, past(2), again) == ["incident-1"]
