"""Failures alike are found alike: what is masked and what stays, fingerprints, families, and how many of them a storm
of failures makes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.diagnosis.template import (
    family,
    family_chars_max,
    fingerprint,
    template_chars_max,
    template_of,
)
from coordinator.saga.event import Failure, Underlying
from tests.diagnosis.hostile import combined, seconds_max, slowest
from tests.diagnosis.messages import attacks, ordinary
from tests.diagnosis.storm import storm

masks = {
    "cannot reach https://api.stripe.com/v1/charges?x=1 now": "cannot reach <url> now",
    "no customer bob@example.com": "no customer <email>",
    "saga 550e8400-e29b-41d4-a716-446655440000 failed": "saga <uuid> failed",
    "charge ch_3MtwBwLkdIwHu7ix failed": "charge <id> failed",
    "order ORD-2024-0017 is closed": "order <id> is closed",
    "pod payments-7d9f8b6c5d-x2x4z on ip-10-0-12-34": "pod <id> on <id>",
    "connect to 10.0.0.12:5432 refused": "connect to <host> refused",
    "[2001:db8::1]:443 is down": "<host> is down",
    "db-7.internal:5432 is down": "<host> is down",
    "at 0x7f3a2c": "at <hex>",
    "since 2026-11-21T10:00:00.123Z": "since <time>",
    "on 21.11.2026 at 10:00:00": "on <time> at <time>",
    "no reply within 30 s": "no reply within <duration>",
    "no reply within 1500ms": "no reply within <duration>",
    "took 1m30s, or PT90S": "took <duration>, or <duration>",
    "nach 30 Sekunden": "nach <duration>",
    "(30秒)": "(<duration>)",
    'File "/usr/lib/python3.11/asyncio/tasks.py", line 490': 'File "<path>", line <num>',
    r"cannot open C:\data\labels\17.pdf": "cannot open <path>",
    "Key (order_id)=(ord_17) already exists": "Key (order_id)=(<value>) already exists",
    "customer='Bob Smith' is blocked": "customer='<value>' is blocked",
    "12.50 EUR exceeds €1,000.00": "<amount> exceeds <amount>",
    "payments@1.4.2 fails": "payments@<version> fails",
    "3 wanted, 2 on hand": "<num> wanted, <num> on hand",
    "ids 17, 18, 19, 20 are missing": "ids <num> are missing",
    "worker3 is lost": "worker<num> is lost",
    "  two\n\tlines ": "two lines",
}

kept = [
    "Server error '503 Service Unavailable'",
    "status_code=502",
    "HTTP 429 from upstream",
    "HTTP/1.1 504",
    "[Errno 111] refused",
    "SQLSTATE[40001]: Serialization failure",
    "ORA-00060: deadlock detected",
    "(1213, 'Deadlock found')",
    "421 4.7.0 Try again later",
    "AMQP 404 NOT_FOUND",
    "exit code 137",
    "utf-8 and sha256 of s3",
]


@pytest.mark.parametrize(("text", "template"), masks.items())
def test_what_varies_is_masked(text: str, template: str) -> None:
    assert template_of(text) == template


@pytest.mark.parametrize("text", kept)
def test_codes_stay(text: str) -> None:
    assert template_of(text) == text


def test_a_template_is_redacted_and_bounded() -> None:
    assert template_of("password=hunter2 for 17") == "password=<secret> for <num>"
    assert len(template_of("word " * 5_000)) <= template_chars_max


@pytest.mark.parametrize("text", [*ordinary, *attacks])
def test_the_template_of_a_template_is_itself(text: str) -> None:
    assert template_of(template_of(text)) == template_of(text)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([*masks, *kept, "<num>", "<", "17 ", "=(", "\ue001", "a1b2", "1s "]) | st.text(max_size=9))
)
def test_any_template_is_bounded_and_settles(some: list[str]) -> None:
    once = template_of("".join(some))
    assert len(once) <= template_chars_max
    assert template_of(once) == once


pieces = [
    *("a", "1", " ", "-", "@", ".", ":", "/", "=", '"', "'", "\\", "<", ">", "(", ")", ",", "[", "é", "_"),
    *("=(", "1.", "a-", "1:", "P1D", "T", "1ms", "1s ", "<num>,", "a.com", "1e", "status", "0x", "/a", "C:\\", "€1"),
]


def test_no_text_of_eight_kilobytes_takes_long() -> None:
    seconds, begins = slowest(template_of, combined(pieces))
    assert seconds < seconds_max, begins


charged = Failure(
    "GatewayError",
    "charge of 12.50 EUR timed out after 30 s",
    code="http 504",
    causes=(Underlying("httpx.ReadTimeout", "timed out"),),
    frames=("gateway:charge", "service:pay"),
)


def print_of(failure: Failure | None, *, step: str = "charge", cause: str = "failed") -> str:
    return fingerprint(definition="order", step=step, kind="action", failure=failure, cause=cause)


def test_a_failure_with_frames_is_known_by_them_and_its_code_whatever_it_says() -> None:
    assert len(print_of(charged)) == 40
    assert print_of(charged) == print_of(replace(charged, message="délai dépassé"))
    assert print_of(charged) == print_of(replace(charged, frames=("gateway:charge:17", "service:pay, line 3")))
    assert print_of(charged) != print_of(replace(charged, code="http 502"))
    assert print_of(charged) != print_of(replace(charged, frames=("gateway:refund",)))
    assert print_of(charged) != print_of(charged, step="refund")
    assert print_of(charged) != print_of(replace(charged, causes=()))


def test_a_failure_without_frames_is_known_by_the_words_of_its_deepest_cause() -> None:
    bare = Failure("GatewayError", "no", causes=(Underlying("Odd", "order 17 is odd"),))
    assert print_of(bare) == print_of(replace(bare, causes=(Underlying("Odd", "order 4711 is odd"),)))
    assert print_of(bare) == print_of(replace(bare, message="nein"))
    assert print_of(bare) != print_of(replace(bare, causes=(Underlying("Odd", "order 17 is even"),)))


def test_silence_is_known_by_how_it_ended() -> None:
    assert print_of(None, cause="unknown") != print_of(None, cause="deadline")
    assert family(participant="payment", failure=None, cause="unknown") == "payment:no_reply:unknown"


def test_a_family_can_be_read() -> None:
    assert family(participant="payment", failure=charged, cause="failed") == "payment:timeout:http 504:gateway:charge"
    odd = Failure("Exception", "order 17 is odd")
    assert family(participant="stock", failure=odd, cause="failed") == "stock:other:Exception:order <num> is odd"


@pytest.mark.parametrize(
    "message", ["Zeit abgelaufen", "接続がタイムアウトしました", "délai dépassé (17)", "timed out after 3 s", ""]
)
def test_one_code_is_one_family_in_any_language(message: str) -> None:
    failure = Failure("Any", message, code="http 504")
    assert family(participant="payment", failure=failure, cause="failed") == "payment:timeout:http 504"


def test_no_text_makes_a_family_long_or_an_id_part_of_it() -> None:
    for number in range(50):
        failure = Failure(
            f"Error{number}", f"odd {number} " * 900, code=f"own-{number}{number}x{number}", frames=("f" * 200,)
        )
        name = family(participant="payment", failure=failure, cause="failed")
        assert len(name) <= family_chars_max
        assert name == family(participant="payment", failure=replace(failure, type="Error7"), cause="failed")
        assert f"{number}{number}x{number}" not in name


def test_ten_thousand_failures_of_four_causes_are_few_families_and_few_fingerprints() -> None:
    families: dict[str, set[str]] = defaultdict(set)
    prints: dict[str, set[str]] = defaultdict(set)
    for struck in storm(10_000):
        name = family(participant=struck.participant, failure=struck.failure, cause="failed")
        families[name].add(struck.cause)
        mark = fingerprint(
            definition=struck.definition, step=struck.step, kind="action", failure=struck.failure, cause="failed"
        )
        prints[mark].add(struck.cause)
    assert len(families) <= 60
    assert len(prints) <= 250
    assert [name for name, causes in families.items() if len(causes) > 1] == []
    assert [mark for mark, causes in prints.items() if len(causes) > 1] == []
    by_cause = {
        cause: sum(cause in causes for causes in families.values()) for cause in ("provider", "lock", "disk", "mail")
    }
    assert max(by_cause.values()) <= 3, by_cause
