"""Where a webhook may not go, however it is written, and whatever a name means."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from coordinator.notifications.addresses import AddressRefused, is_public, place_of, resolve

private = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.254",
    "169.254.169.254", "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.1.1",
    "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::ffff:10.0.0.1",
    "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "64:ff9b::7f00:1",
    "64:ff9b::169.254.169.254", "64:ff9b:1::1", "2001:db8::1", "2001::7f00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1",
    "2002:c0a8:101::1", "nonsense", "",
]  # fmt: skip
public = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", private)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", public)
def test_what_is_public_is_not(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    ["http://example.com/", "ftp://example.com/", "file:///etc/passwd", "gopher://example.com", "https://", "https:///x",
     "https://user@example.com/", "https://user:secret@example.com/", "https://example.com:22/", "https://example.com:80/",
     "https://example.com/#x", "https://exa mple.com/", "https://example.com\\@evil.com/", "https://[fe80::1%25eth0]/",
     "https://example.com:99999/", "https://exämple.com/", "https://example.com/\r\nX: y", "https://[::1",
     "//example.com", "javascript:alert(1)", "https://" + "a" * 3000],
)  # fmt: skip
def test_a_url_that_is_not_plainly_https_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        place_of(url, private=False)


def test_a_url_is_taken_apart() -> None:
    place = place_of("https://example.com:8443/hook/a?b=c", private=False)
    assert (place.host, place.port, place.target, place.authority) == (
        "example.com",
        8443,
        "/hook/a?b=c",
        "example.com:8443",
    )
    assert place_of("https://example.com", private=False).target == "/"
    assert place_of("https://[2606:4700::1]/x", private=False).authority == "[2606:4700::1]"
    assert place_of("http://127.0.0.1:9000/x", private=True).port == 9000


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "0177.0.0.1", "127.1", "[::1]", "[::ffff:169.254.169.254]"],
)
async def test_a_name_or_number_that_means_this_machine_is_refused_when_it_is_resolved(host: str) -> None:
    place = place_of(f"https://{host}/latest/meta-data", private=False)
    with pytest.raises(AddressRefused):
        await resolve(place, private=False)


async def test_one_private_address_among_several_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async def two(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, 0, 0, "", (address, 443)) for address in ("8.8.8.8", "10.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", two)
    with pytest.raises(AddressRefused, match=r"10\.0\.0\.1"):
        await resolve(place_of("https://example.com/", private=False), private=False)


@pytest.mark.parametrize("answer", [OSError("no such name"), UnicodeError("label too long"), None])
async def test_a_name_without_an_address_is_refused(answer: Exception | None, monkeypatch: pytest.MonkeyPatch) -> None:
    async def found(*_: Any, **__: Any) -> list[Any]:
        if answer:
            raise answer
        return []

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)
    with pytest.raises(AddressRefused):
        await resolve(place_of("https://example.com/", private=False), private=False)
