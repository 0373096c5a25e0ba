"""What a coordinator refuses to start with, and what it says then."""

from __future__ import annotations

from typing import Any

import pytest

from coordinator.cli.safety import doubts, unasked, unsafe
from coordinator.config import Settings

away_database = "postgresql://amends:s3cret@db.example/amends"
away_broker = "amqp://amends:s3cret@broker.example/"


def _settings(**stated: Any) -> Settings:
    return Settings.model_validate(stated)


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        ({"database_url": away_database}, "sslmode=verify-full"),
        ({"database_url": away_database + "?sslmode=prefer"}, "sslmode=verify-full"),
        ({"database_url": "postgresql://postgres:postgres@db.example/amends?ssl=require"}, "everybody knows"),
        ({"broker_url": away_broker}, "amqps://"),
        ({"broker_url": "amqps://broker.example/"}, "everybody knows"),
        ({"broker_url": "amqps://guest:guest@broker.example/", "plaintext_to": "broker.example"}, "everybody knows"),
        ({"host": "0.0.0.0", "log_level": "debug"}, "AMENDS_LOG_LEVEL"),
        ({"oidc_issuer": "http://id.example", "oidc_audience": "amends"}, "https://"),
        ({"oidc_issuer": "https://id.example"}, "AMENDS_OIDC_AUDIENCE"),
    ],
)  # fmt: skip
def test_what_is_unsafe_is_refused_in_one_line_that_says_what_to_set(stated: dict[str, Any], says: str) -> None:
    reason = unsafe(_settings(**stated))
    assert reason is not None
    assert says in reason
    assert "\n" not in reason
    assert "s3cret" not in reason


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {
            "database_url": "postgresql://postgres:postgres@localhost/amends",
            "broker_url": "amqp://guest:guest@127.0.0.1/",
        },
        {"database_url": "postgresql://postgres:postgres@/amends?host=/run/postgresql"},
        {"database_url": away_database + "?sslmode=verify-full", "broker_url": "amqps://amends:s3cret@broker.example/"},
        {"database_url": away_database, "broker_url": away_broker, "plaintext_to": "DB.example, broker.example"},
        {"oidc_issuer": "http://127.0.0.1:9000", "oidc_audience": "amends", "log_level": "DEBUG"},
    ],
)
def test_what_stays_on_this_machine_or_is_encrypted_is_fine(stated: dict[str, Any]) -> None:
    assert unsafe(_settings(**stated)) is None


def test_an_address_that_is_none_is_left_to_who_opens_it() -> None:
    assert unsafe(_settings(database_url="nonsense")) is None


def test_what_is_let_pass_and_could_be_better_is_doubted() -> None:
    stated = _settings(
        database_url=away_database + "?sslmode=require",
        broker_url="amqps://amends:s3cret@broker.example/",
        public_url="http://amends.example",
    )
    assert unsafe(stated) is None
    said = list(doubts(stated))
    assert [line.partition(":")[0] for line in said[:2]] == ["AMENDS_DATABASE_URL", "AMENDS_PUBLIC_URL"]
    assert "AMENDS_REPLY_SECRET" in said[2]
    assert list(doubts(_settings(public_url="http://localhost:8274"))) == []


def test_a_debug_switch_of_the_framework_is_refused_off_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITESTAR_DEBUG", "1")
    assert "LITESTAR_DEBUG" in (unsafe(_settings(host="0.0.0.0")) or "")
    assert unsafe(_settings()) is None


def test_others_are_asked_who_they_are() -> None:
    assert "amends keys create" in (unasked(_settings(host="0.0.0.0")) or "")
    assert unasked(_settings(host="::1")) is None
