"""One signed request to somebody's server: to the address that was looked at, in bounded time, reading little back."""

from __future__ import annotations

import asyncio
import ssl
from functools import cache

from amends.event import signature
from coordinator.notifications.addresses import AddressRefused, Place, place_of, resolve
from coordinator.store.notified import Notice, Subscription
from coordinator.telemetry import release

total_seconds_max = 5.0
heads_max = 3  # an interim answer or two may come before the answer
response_bytes_max = 8 * 1024  # of the head; the body is nobody's business


class Undelivered(Exception):
    """It did not arrive, or nobody said that it did."""


async def post(subscription: Subscription, notice: Notice, *, timestamp: int, private: bool) -> None:
    """Post a notice; returns when the server has answered 2xx. Raises Undelivered, in bounded time."""
    try:
        async with asyncio.timeout(total_seconds_max):
            place = place_of(subscription.url, private=private)
            address = await resolve(place, private=private)
            status = await _exchange(place, address, _request(place, subscription, notice, timestamp))
    except AddressRefused as error:
        raise Undelivered(str(error)) from error
    except TimeoutError as error:
        raise Undelivered(f"no answer within {total_seconds_max:g} s") from error
    except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
        raise Undelivered(f"{type(error).__name__}: {error}") from error
    if 300 <= status < 400:
        raise Undelivered(f"HTTP {status}: redirects are not followed")
    if not 200 <= status < 300:
        raise Undelivered(f"HTTP {status}")


def _request(place: Place, subscription: Subscription, notice: Notice, timestamp: int) -> bytes:
    body = notice.body.encode()
    head = (
        f"POST {place.target} HTTP/1.1",
        f"Host: {place.authority}",
        f"User-Agent: amends/{release()}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Accept: */*",
        "Connection: close",
        f"Amends-Event: {notice.event}",
        f"Amends-Event-Id: {notice.event_id}",
        f"Amends-Delivery: {notice.id}",
        f"Amends-Timestamp: {timestamp}",
        f"Amends-Signature: {signature(subscription.secret, timestamp, body)}",
        "",
        "",
    )
    return "\r\n".join(head).encode("ascii") + body


async def _exchange(place: Place, address: str, request: bytes) -> int:
    """Send the request to that very address, for the name that was asked for; the status of the answer."""
    secure = _tls() if place.scheme == "https" else None
    reader, writer = await asyncio.open_connection(
        address, place.port, ssl=secure, server_hostname=place.host if secure else None, limit=response_bytes_max
    )
    try:
        writer.write(request)
        await writer.drain()
        for _ in range(heads_max):
            status = _status(await reader.readuntil(b"\r\n\r\n"))
            if status >= 200:
                return status
    finally:
        writer.transport.abort()
    raise ValueError("nothing but interim answers")


def _status(head: bytes) -> int:
    version, _, rest = head.partition(b"\r\n")[0].partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise ValueError("the answer is not HTTP")
    return int(rest[:3])


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
