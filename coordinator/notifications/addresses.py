"""Which addresses a webhook may go to. A URL is somebody's wish, and this process may reach what they may not: the
cloud's metadata, a database's admin page, itself. So a name is resolved here, every address it has is looked at, and
the connection goes to one of these addresses and nowhere else, whatever the name means a moment later.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

url_chars_max = 2000
resolve_seconds_max = 3.0
ports_allowed = (443, 8443)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_embedding = (
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),  # an IPv4 address behind a translator, in the last 32 bits
    (ipaddress.IPv6Network("::/96"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),  # 6to4: in the 32 bits after the first 16
)
_never = (ipaddress.IPv6Network("64:ff9b:1::/48"), ipaddress.IPv6Network("2001::/32"))


class AddressRefused(Exception):
    """A webhook may not go there."""


@dataclass(frozen=True, slots=True)
class Place:
    """A URL taken apart: where to connect, and what to ask for there."""

    scheme: str
    host: str
    port: int
    target: str  # path and query

    @property
    def authority(self) -> str:
        """The value of the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"https": 443, "http": 80}[self.scheme]
        return host if self.port == usual else f"{host}:{self.port}"


def place_of(url: str, *, private: bool) -> Place:
    """The URL, if a webhook may have it: https, to a usual port, without credentials. `private` lets http and any port
    pass as well. Raises AddressRefused."""
    if len(url) > url_chars_max or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise AddressRefused(f"a URL is up to {url_chars_max} printable ASCII characters without spaces")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise AddressRefused(f"not a URL: {error}") from error
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        raise AddressRefused("only https")
    if not host or parts.username is not None or parts.password is not None or parts.fragment or "%" in host:
        raise AddressRefused("a host, without credentials, zones and fragments")
    port = port or (443 if parts.scheme == "https" else 80)
    if port not in ports_allowed and not private:
        raise AddressRefused(f"only the ports {', '.join(map(str, ports_allowed))}")
    return Place(parts.scheme, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


async def resolve(place: Place, *, private: bool) -> str:
    """An address to connect to, once every one that the name has was found to be public. Raises AddressRefused."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(resolve_seconds_max):
            found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError) as error:
        raise AddressRefused(f"{place.host} can't be resolved: {error or 'it took too long'}") from error
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if not private and not is_public(address):
            raise AddressRefused(f"{place.host} is {address}, which is not a public address")
    if not addresses:
        raise AddressRefused(f"{place.host} has no address")
    return addresses[0]


def is_public(text: str) -> bool:
    """Whether this is an address of the public internet, however it is written or wrapped."""
    try:
        address: Address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return is_public(str(inner))
        if address.scope_id is not None or address.is_site_local or any(address in network for network in _never):
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that this one stands for, if it stands for one."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    for network, shift in _embedding:
        if address in network and int(address) > 1:  # :: and ::1 are themselves
            return ipaddress.IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
    return None
