"""Secrets leave no text that is kept: which they are, that redacting settles, and that no text makes it slow."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.diagnosis.redaction import Redactor, depth_max, redact, redact_value
from tests.diagnosis.hostile import combined, seconds_max, slowest
from tests.diagnosis.messages import ordinary

jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"

secrets = {
    "password=hunter2 for bob": "hunter2",
    "dbPassword = hunter2, retrying": "hunter2",
    'login failed: {"user": "bob", "api_key": "k-77 x"}': "k-77 x",
    "{'passwd': 'it\\'s mine', 'a': 1}": "mine",
    r"body: {\"client_secret\": \"s3 cret\", \"x\": 1}": "s3 cret",
    "('authorization', 'Token abc')": "abc",
    "[(b'x-auth-token', b'abc-def')]": "abc-def",
    "Authorization: Bearer short-1\nHost: x": "short-1",
    "Cookie: session=abc123; theme=dark": "abc123",
    "MYSQL_PWD=geheim mysqldump": "geheim",
    'token: "unfinished busin': "unfinished busin",
    "secret=a,b,c;d": "a,b,c;d",
    "<password type='x'>hunter2</password>": "hunter2",
    "mysql --password hunter2 -u root": "hunter2",
    "ALTER ROLE bob PASSWORD 'hunter2'": "hunter2",
    "curl with Bearer abcdef123456": "abcdef123456",
    "postgresql://bob:hunter2@db.internal:5432/orders": "hunter2",
    "amqp guest:hunter2@rabbit refused": "hunter2",
    "GET https://api.example.com/v1/x?sig=abc&customer=17 failed": "sig=abc",
    f"bad token {jwt}.": jwt[25:50],
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY----- trailing": "MIIEow",
    "-----BEGIN PRIVATE KEY-----\nMIIEow and the text was cut": "MIIEow",
    "no such key sk_live_4eC39HqLyjWDarjtT1zdp7dc": "4eC39HqLyjWDarjtT1zdp7dc",
    "push denied for ghp_16C7e42F292c6912E7710c838347Ae178B4a": "16C7e42F",
    "access key AKIAIOSFODNN7EXAMPLE is disabled": "AKIAIOSFODNN7EXAMPLE",
    "key wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY1 rejected": "wJalrXUtnFEMI",
    "digest 9f86d081884c7d659a2feaa0c55ad015 unknown": "9f86d081884c7d659a2feaa0c55ad015",
    "card 4111 1111 1111 1111 was declined": "4111 1111 1111 1111",
    "card 4242-4242-4242-4242 declined at 12:30": "4242-4242-4242-4242",
    "amex 378282246310005 declined": "378282246310005",
    "account DE89 3704 0044 0532 0130 00 IS CLOSED": "0532 0130 00",
    "iban GB29NWBK60161331926819": "NWBK60161331926819",
    "no customer bob.smith+x@mail.example.com here": "bob.smith",
    "sms to +49 170 1234567 failed": "1234567",
    "call (555) 123-4567 now": "123-4567",
    "phone=01701234567": "01701234567",
}

harmless = [
    "saga 550e8400-e29b-41d4-a716-446655440000 failed at 2026-11-21T10:00:00.000Z",
    'violates unique constraint "pk_customer_orders"',
    "java.util.concurrent.CompletionException: OAuth2AuthorizationCodeGrantException",
    "/usr/lib/python3/site-packages/sqlalchemy/engine.py",
    "payments-7d9f8b6c5d-x2x4z was lost",
    "max_tokens=100 token_count: 7 auth_method=basic",
    "order 1234567890123456 not found",
    "Bearer authentication required",
    "retry at 2026-11-21 10:00:00+0200 or 1732182000000",
    "payments@1.4.2 fails, payments@1.4.1 is fine",
    "GB29NWBK60161331926818 has wrong check digits",
]


@pytest.mark.parametrize(("text", "secret"), secrets.items())
def test_a_secret_is_taken_out(text: str, secret: str) -> None:
    redacted = redact(text)
    assert secret not in redacted
    assert redact(redacted) == redacted


@pytest.mark.parametrize("text", harmless)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_what_stands_around_a_secret_stays() -> None:
    assert redact("login of bob@example.com with password=x at db:5432") == (
        "login of <email:1> with password=<secret:1> at db:5432"
    )


def test_one_value_has_one_pseudonym_within_a_redactor() -> None:
    redactor = Redactor()
    assert redactor.redact("a@x.org wrote to b@x.org") == "<email:1> wrote to <email:2>"
    assert redactor.redact("b@x.org wrote to A@x.org") == "<email:2> wrote to <email:1>"


def test_keys_can_be_added() -> None:
    assert Redactor(["Kundennummer"]).redact("kunden_nummer=17 x=1") == "kunden_nummer=<secret:1> x=1"


def test_values_are_redacted_by_their_keys_and_in_their_texts() -> None:
    value = {
        "password": "x",
        "tokens": {"a": 1},
        "token": {"deep": ["x"]},
        "auth": None,
        "card": 4111111111111111,
        "order": 4711,
        "mail": ["write to a@x.org", 1.5, True],
        "a@x.org": "b",
        "other": object(),
    }
    assert redact_value(value) == {
        "password": "<secret:1>",
        "tokens": {"a": 1},
        "token": "<secret:2>",
        "auth": None,
        "card": "<card:1>",
        "order": 4711,
        "mail": ["write to <email:1>", 1.5, True],
        "<email:1>": "b",
        "other": "<object>",
    }


def test_a_value_without_a_bottom_is_withheld_from_some_depth_on() -> None:
    value: Any = "password=x"
    for _ in range(depth_max * 3):
        value = [value]
    assert "password" not in json.dumps(redact_value(value))


pieces = [
    *("a", "1", " ", "-", "@", ".", ":", "/", "=", '"', "'", "\\", "<", ">", "_", "A", "é", "\n", ",", "("),
    *(
        "password",
        "token=",
        "eyJ",
        "-----BEGIN A-----",
        "://",
        "a:",
        "sk_",
        "+1",
        "4111 ",
        "DE89",
        "Bearer ",
        "cookie:",
    ),
    *('="', 'a="\\', "--pwd ", "<a>", "token=a,", "PASSWORD '"),
]


def test_no_text_of_eight_kilobytes_takes_long() -> None:
    seconds, begins = slowest(redact, combined(pieces))
    assert seconds < seconds_max, begins


parts = st.lists(
    st.one_of(
        st.sampled_from([*pieces, *secrets, *harmless, "<secret:1>", "<token:", "=<email:2>x"]), st.text(max_size=8)
    ),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(parts)
def test_redacting_twice_is_redacting_once(some: list[str]) -> None:
    once = redact("".join(some))
    assert redact(once) == once


@settings(max_examples=100, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner)
                    | st.dictionaries(st.sampled_from(["token", "a", "phone", "x@y.org"]), inner)))  # fmt: skip
def test_no_value_makes_it_fail_and_redacting_it_twice_is_redacting_it_once(value: Any) -> None:
    once = redact_value(value)
    assert repr(redact_value(once)) == repr(once)


def test_a_value_of_a_secret_key_is_found_wherever_it_stands() -> None:
    for text in ordinary:
        assert "hunter2" not in redact(f"{text} password=hunter2"), text
        assert "hunter2" not in redact(f"password=hunter2 {text}"), text
