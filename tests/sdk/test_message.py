"""The wire contract: what a message may say, and that one item that can't be read harms only itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from amends.message import Heartbeat, Reply, Unreadable, decode, seconds_max

beat: dict[str, Any] = {"participant": "payment", "worker": "payment-1", "interval_seconds": 5}
holding = {"command": "s/charge/0/action/0/1", "seconds": 2.5}
reply: dict[str, Any] = {
    "saga_id": "s", "step": "charge", "kind": "action", "attempt": 1, "participant": "payment", "answer": "succeeded",
}  # fmt: skip
call = {"dependency": "bank", "seconds": 0.1}
no_number = ["inf", "-inf", "Infinity", "nan", "NaN", seconds_max * 2, -1]


def read(plural: str, *items: dict[str, Any]) -> list[object]:
    return list(decode(json.dumps({"version": 1, plural: items}).encode()))


@pytest.mark.parametrize("seconds", no_number)
def test_how_long_a_command_is_held_is_a_number(seconds: object) -> None:
    spoilt = {**beat, "holding": [{**holding, "seconds": seconds}]}
    unread, read_well = read("heartbeats", spoilt, {**beat, "holding": [holding]})
    assert isinstance(unread, Unreadable)
    assert unread.reason.startswith("holding.0.seconds: ")
    assert isinstance(read_well, Heartbeat)
    assert read_well.holding[0].seconds == 2.5


@pytest.mark.parametrize("seconds", no_number)
@pytest.mark.parametrize(
    ("place", "facts"),
    [
        ("duration_seconds", lambda seconds: {"duration_seconds": seconds}),
        ("calls.0.seconds", lambda seconds: {"calls": [{**call, "seconds": seconds}]}),
        (
            "error.retry_after_seconds",
            lambda seconds: {"answer": "refused", "error": {"type": "E", "retry_after_seconds": seconds}},
        ),
    ],
)
def test_how_long_a_handler_took_is_a_number(seconds: object, place: str, facts: Any) -> None:
    unread, read_well = read("replies", {**reply, **facts(seconds)}, {**reply, **facts(0.5)})
    assert isinstance(unread, Unreadable)
    assert unread.reason.startswith(f"{place}: ")
    assert isinstance(read_well, Reply)


@pytest.mark.parametrize("body", ['{"seconds": 1e999}', '{"seconds": NaN}', '{"seconds": Infinity}'])
def test_a_message_with_a_number_that_json_does_not_have_is_refused(body: str) -> None:
    (unread,) = decode(f'{{"version": 1, "heartbeats": [{body}]}}'.encode())
    assert isinstance(unread, Unreadable)
    assert "not JSON" in unread.reason
