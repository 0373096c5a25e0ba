"""Texts that talk to whoever explains failures are noticed, and ordinary errors are let through."""

from __future__ import annotations

import base64

import pytest

from coordinator.diagnosis.cause import FaultClass
from coordinator.diagnosis.injection import suspicious
from coordinator.diagnosis.remedy import RemedyKind
from coordinator.diagnosis.template import template_of
from tests.diagnosis.hostile import combined, seconds_max, slowest
from tests.diagnosis.messages import attacks, ordinary


def test_there_are_enough_of_both_to_mean_something() -> None:
    assert len(set(ordinary)) >= 100
    assert len(set(attacks)) >= 40


@pytest.mark.parametrize("text", ordinary)
def test_an_ordinary_error_is_not_suspected(text: str) -> None:
    assert not suspicious(text)
    assert not suspicious(template_of(text))


@pytest.mark.parametrize("text", attacks)
def test_an_attack_is_noticed(text: str) -> None:
    assert suspicious(text)


@pytest.mark.parametrize("text", attacks)
def test_an_attack_is_noticed_within_an_ordinary_error(text: str) -> None:
    assert suspicious(f"Server error '503 Service Unavailable' for url 'x' ({text})")
    assert suspicious(f"{text}\nTraceback: connection refused")


def test_names_that_only_this_product_uses_are_suspect_alone_others_together() -> None:
    for name in (FaultClass.BAD_DEPLOY, FaultClass.POISON_PAYLOAD, RemedyKind.PAUSE_ALL, RemedyKind.PARK_SAGA):
        assert suspicious(f"it was {name}"), name
    assert not suspicious("code rate_limited")
    assert suspicious("rate_limited, no: lock_contention")


@pytest.mark.parametrize(
    "text",
    [
        "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc was refused",
        base64.b64encode(bytes(range(90))).decode(),
        base64.b64encode(b"connection to the payment provider was lost").decode(),
        "A" * 25,  # of a length that no base64 has
        "family \U0001f468\u200d\U0001f469\u200d\U0001f467 not found",
        "نمی\u200cتوان به سرور متصل شد",
        "\ufeff{'error': 'not found'}",
        "50 % of 10 % declined",
        r"\u00fc is not valid",
        "load 3 kΩ, 5 µs",
        "ФИО не указано для заказа A17",
    ],
)
def test_what_only_looks_odd_is_not_suspected(text: str) -> None:
    assert not suspicious(text)


pieces = [
    *("a", "A", "1", " ", "a.", "i ", "%20", "\\u0041", "<", '"role', "е", "aе", "#", "system:", "[x](", "!["),
    *("ignore ", "you are a ", "report ", "note to the ", "the real ", "aGVs", "please ", "_", "is ", "(", "4a"),
]


def test_no_text_of_eight_kilobytes_takes_long() -> None:
    seconds, begins = slowest(suspicious, combined(pieces))
    assert seconds < seconds_max, begins
