"""Tokens of an identity provider (OpenID Connect): signed by one of its keys, meant for this coordinator, not expired.

The provider's keys are fetched when they are needed and kept for minutes. A token under an unknown key lets them be
fetched again, though not more often than every half minute, whoever sends such tokens. What comes is bounded.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2
import jwt

from coordinator.access.principal import Principal
from coordinator.store.access import Role

log = logging.getLogger(__name__)

algorithms = ("RS256", "ES256")
leeway_seconds = 30
fetch_seconds_max = 5.0
document_bytes_max = 256 * 1024
keys_max = 50
fresh_seconds = 300.0
again_seconds = 30.0
kept_seconds_max = 24 * 3600.0  # how long known keys count while the provider is away
token_chars_max = 8192
name_chars_max = 100
payloads_word = "payloads"  # what a claim's value may stand for, beside the roles


class ProviderUnavailable(Exception):
    """The identity provider's keys can't be had now, so no token can be believed."""


@dataclass(frozen=True, slots=True)
class Provider:
    """Who is believed, and what their claims mean here."""

    issuer: str
    audience: str
    jwks_url: str | None  # None: where the issuer's discovery document says
    roles_claim: str  # dots lead into objects
    name_claim: str
    meanings: Mapping[str, str]  # a claim's value: viewer, operator, admin, payloads


def provider_of(issuer: str | None, audience: str | None, jwks_url: str | None, *claims: Any) -> Provider | None:
    """The provider that settings name, if they do. Raises ValueError for one half of it."""
    if bool(issuer) != bool(audience):
        raise ValueError("AMENDS_OIDC_ISSUER and AMENDS_OIDC_AUDIENCE go together: set both, or neither")
    return Provider(issuer, audience, jwks_url, *claims) if issuer and audience else None


class Tokens:
    """`identify` a token's bearer."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._keys: Mapping[str | None, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching = asyncio.Lock()

    async def identify(self, text: str) -> Principal | None:
        """Whose token this is. None: it proves nothing. Raises ProviderUnavailable."""
        if len(text) > token_chars_max:
            return None
        try:
            header = jwt.get_unverified_header(text)
        except jwt.InvalidTokenError:
            return None
        if header.get("alg") not in algorithms:
            return None
        key = await self._key(header.get("kid"))
        if key is None or key.algorithm_name != header["alg"]:
            return None
        try:
            claims = jwt.decode(
                text,
                key,
                algorithms=list(algorithms),
                audience=self._provider.audience,
                issuer=self._provider.issuer,
                leeway=leeway_seconds,
                options={"require": ["exp", "nbf", "iss", "aud", self._provider.name_claim], "strict_aud": False},
            )
        except (jwt.InvalidTokenError, OverflowError, ValueError) as error:
            log.info("A token is refused: %s", type(error).__name__, extra={"action": "token.refused"})
            return None
        return self._principal(claims)

    def _principal(self, claims: Mapping[str, Any]) -> Principal | None:
        """Who that is here; None where no claim gives them a role."""
        found: Any = claims
        for part in self._provider.roles_claim.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        values = found.split() if isinstance(found, str) else found if isinstance(found, list) else []
        meant = {self._provider.meanings.get(value) for value in values if isinstance(value, str)}
        roles = [role for role in Role if role in meant]
        name = claims.get(self._provider.name_claim)
        if not roles or not isinstance(name, str) or not name.isprintable() or not 1 <= len(name) <= name_chars_max:
            return None
        ends = datetime.fromtimestamp(claims["exp"], UTC)
        return Principal(name, roles[-1], payloads_word in meant, "token", None, ends)

    # -- the provider's keys -----------------------------------------------------------------------------------------

    async def _key(self, kid: Any) -> jwt.PyJWK | None:
        if kid is not None and not isinstance(kid, str):
            return None
        if not self._within(self._fetched_at, fresh_seconds) or self._find(kid) is None:
            async with self._fetching:
                stale = not self._within(self._fetched_at, fresh_seconds) or self._find(kid) is None
                if stale and not self._within(self._tried_at, again_seconds):
                    await self._fetch()
        if not self._within(self._fetched_at, kept_seconds_max):
            raise ProviderUnavailable("the identity provider's keys can't be fetched now")
        return self._find(kid)

    def _find(self, kid: str | None) -> jwt.PyJWK | None:
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid)

    async def _fetch(self) -> None:
        self._tried_at = time.monotonic()
        try:
            async with asyncio.timeout(fetch_seconds_max), httpx2.AsyncClient(follow_redirects=False) as http:
                url = self._provider.jwks_url or await self._discovered(http)
                found = await _document(http, url)
            self._keys = _usable(found)
            self._fetched_at = time.monotonic()
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, OSError, ValueError) as error:
            log.warning(
                "The keys of %s can't be fetched: %s",
                *(self._provider.issuer, error or type(error).__name__),
                extra={"action": "token.keys_unavailable"},
            )

    async def _discovered(self, http: httpx2.AsyncClient) -> str:
        place = f"{self._provider.issuer.rstrip('/')}/.well-known/openid-configuration"
        told = await _document(http, place)
        if told.get("issuer") != self._provider.issuer or not isinstance(told.get("jwks_uri"), str):
            raise ValueError("its discovery document is another issuer's")
        url = str(told["jwks_uri"])
        if self._provider.issuer.startswith("https:") and not url.startswith("https:"):
            raise ValueError("its keys would come in plaintext")
        return url

    @staticmethod
    def _within(at: float | None, seconds: float) -> bool:
        return at is not None and time.monotonic() - at < seconds


async def _document(http: httpx2.AsyncClient, url: str) -> Mapping[str, Any]:
    """A JSON object at that address, if it is of a size that one may have. Raises ValueError."""
    found = bytearray()
    async with http.stream("GET", url, headers={"Accept": "application/json"}) as response:
        if response.status_code != httpx2.codes.OK:
            raise ValueError(f"it answered {response.status_code}")
        async for part in response.aiter_bytes():
            found += part
            if len(found) > document_bytes_max:
                raise ValueError(f"more than {document_bytes_max} bytes")
    value = json.loads(found)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _usable(found: Mapping[str, Any]) -> Mapping[str | None, jwt.PyJWK]:
    """Those keys that sign in a way we know. Raises ValueError where there are none."""
    stated = found.get("keys")
    usable: dict[str | None, jwt.PyJWK] = {}
    for one in (stated if isinstance(stated, list) else [])[:keys_max]:
        if not isinstance(one, dict) or one.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK.from_dict(one, algorithm={"RSA": "RS256", "EC": "ES256"}.get(str(one.get("kty"))))
        except (jwt.PyJWTError, ValueError, TypeError):
            continue  # of a kind we don't know, which is no reason to refuse the others
        if key.algorithm_name in algorithms and one.get("alg", key.algorithm_name) == key.algorithm_name:
            usable[key.key_id] = key
    if not usable:
        raise ValueError("it has no key for RS256 or ES256")
    return usable
