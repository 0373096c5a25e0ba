"""One request to somebody's server: signed, bounded in time and bytes, to the address that was looked at."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import Any

import pytest

from amends.errors import MessageError
from amends.event import event_bytes_max, parse_event, signature, verify
from coordinator.notifications import webhook
from coordinator.notifications.webhook import Undelivered, post
from coordinator.store.notified import Notice, Subscription, Target
from tests.notifications.sink import listening, never
from tests.store.made import noon

hook = Subscription("s", Target.WEBHOOK, noon, "ada", secret="whsec_x")
notice = Notice("n1", "s", "e1", "completed", "chain", '{"a": "ü"}', noon)
now = 1_900_000_000


async def test_what_is_sent_is_signed_and_says_what_it_is() -> None:
    async with listening() as sink:
        await post(replace(hook, url=sink.url), notice, timestamp=now, private=True)

    (one,) = sink.posted
    assert one.line == "POST /hook?a=1 HTTP/1.1"
    assert one.body == notice.body.encode()
    assert (one.headers["amends-event"], one.headers["amends-event-id"]) == ("completed", "e1")
    stamp, signed = one.headers["amends-timestamp"], one.headers["amends-signature"]
    assert verify("whsec_x", stamp, signed, one.body, at=now + 10)
    assert not verify("whsec_y", stamp, signed, one.body, at=now)
    assert not verify("whsec_x", stamp, signed, one.body + b" ", at=now)
    assert not verify("whsec_x", stamp, signed, one.body, at=now + 301)
    assert not verify("whsec_x", str(now + 1), signed, one.body, at=now)
    assert not verify("whsec_x", "soon", signed, one.body, at=now)
    assert not verify("whsec_x", stamp, signed, one.body)  # long ago, by this machine's clock


def test_the_signature_is_what_the_page_says() -> None:
    # printf 1700000000.{} | openssl dgst -sha256 -hmac secret
    expected = "v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163"
    assert signature("secret", 1700000000, b"{}") == expected


@pytest.mark.parametrize(
    ("answer", "said"),
    [(b"HTTP/1.1 500 Oh\r\n\r\n", "HTTP 500"), (b"HTTP/1.1 302 F\r\nLocation: http://127.0.0.1/\r\n\r\n", "redirects"),
     (b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP"), (b"HTTP/1.1 200", "IncompleteReadError"),
     (b"HTTP/1.1 103 Hints\r\n\r\n" * 5, "interim"), (b"X" * 100_000, "LimitOverrunError")],
)  # fmt: skip
async def test_any_other_answer_than_success_is_none(answer: bytes, said: str) -> None:
    async with listening(answer) as sink:
        with pytest.raises(Undelivered, match=said):
            await post(replace(hook, url=sink.url), notice, timestamp=now, private=True)


async def test_an_interim_answer_is_passed_over() -> None:
    async with listening(b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 204 Fine\r\n\r\n") as sink:
        await post(replace(hook, url=sink.url), notice, timestamp=now, private=True)


async def test_a_server_that_does_not_answer_is_given_up_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "total_seconds_max", 0.2)
    async with listening(never) as sink:
        with pytest.raises(Undelivered, match="no answer within"):
            await post(replace(hook, url=sink.url), notice, timestamp=now, private=True)


async def test_nobody_there_is_no_delivery() -> None:
    async with listening() as sink:
        url = sink.url
    with pytest.raises(Undelivered):
        await post(replace(hook, url=url), notice, timestamp=now, private=True)


async def test_this_machine_is_refused_before_anything_is_sent() -> None:
    async with listening() as sink:
        with pytest.raises(Undelivered, match="only https"):
            await post(replace(hook, url=sink.url), notice, timestamp=now, private=False)
        with pytest.raises(Undelivered, match="not a public address"):
            await post(replace(hook, url="https://localhost/"), notice, timestamp=now, private=False)
    assert sink.posted == []


async def test_the_connection_goes_to_the_address_that_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, asked = asyncio.get_running_loop(), []
    real = loop.getaddrinfo

    async def rebinding(host: str, port: int, **more: Any) -> list[Any]:
        if host != "hooks.example":
            return list(await real(host, port, **more))
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "169.254.169.254"
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port))]

    monkeypatch.setattr(loop, "getaddrinfo", rebinding)
    async with listening() as sink:
        url = f"http://hooks.example:{sink.port}/"
        await post(replace(hook, url=url), notice, timestamp=now, private=True)

    assert asked == ["hooks.example"]
    assert sink.posted[0].headers["host"] == f"hooks.example:{sink.port}"


def test_an_event_that_can_not_be_read_says_so() -> None:
    with pytest.raises(MessageError, match="kind"):
        parse_event(b'{"id": "a", "kind": "nope", "at": "2030-01-01T00:00:00Z", "definition": "d"}')
    with pytest.raises(MessageError, match="bytes"):
        parse_event(b"x" * (event_bytes_max + 1))
