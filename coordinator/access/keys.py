"""API keys: made of chance, known by their hash, remembered for moments so that a request need not ask the database."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256

from coordinator.access.principal import Principal
from coordinator.errors import StoreUnavailable
from coordinator.store.access import ApiKey, KeyKind, Role
from coordinator.store.ids import new_id
from coordinator.store.keys import KeyStore

log = logging.getLogger(__name__)

known_for_seconds = 3.0  # how long a revoked key may still work at another coordinator
looked_again_seconds = 0.5  # how often, at most, for a key that is not known
trusted_seconds_max = 60.0  # how long what was known counts while the database is away
used_every = timedelta(minutes=1)  # how exactly it is known when a key was last used
session_hours_max = 12
secret_bytes = 32
distinct_min = 16  # characters of the 43; of chance it has about 30

_shape = re.compile(r"amends_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


def new_text() -> str:
    """The text of a key that nobody knows."""
    return f"amends_{secrets.token_hex(6)}_{secrets.token_urlsafe(secret_bytes)}"


def mint(
    name: str,
    role: Role,
    *,
    payloads: bool,
    by: str,
    now: datetime,
    expires_at: datetime | None = None,
    kind: KeyKind = KeyKind.KEY,
    parent_id: str | None = None,
    text: str | None = None,
) -> tuple[ApiKey, str]:
    """A new key, and its text, which is never known again; or the key of a text that was made elsewhere.

    Raises ValueError for a text that is no key's, or that nobody needs to guess.
    """
    text = text or new_text()
    shape = _shape.fullmatch(text)
    if shape is None:
        raise ValueError("this is no key: amends_, 12 of 0-9a-f, _, and 43 of A-Za-z0-9_-")
    if len(set(shape[2])) < distinct_min:
        raise ValueError("this key is not made of chance: `amends keys mint` makes one that is")
    key = ApiKey(
        id=new_id(now),
        kind=kind,
        prefix=shape[1],
        hash=sha256(text.encode()).hexdigest(),
        name=name,
        role=role,
        payloads=payloads,
        created_at=now,
        created_by=by,
        expires_at=expires_at,
        parent_id=parent_id,
    )
    return key, text


def is_key(text: str) -> bool:
    return _shape.fullmatch(text) is not None


class Keyring:
    """The keys that are valid, as the database had them a moment ago. Bounded, as the table is."""

    def __init__(self, store: KeyStore, now: Callable[[], datetime]) -> None:
        self._store, self._now = store, now
        self._known: Mapping[str, ApiKey] = {}
        self._any = False
        self._looked_at: float | None = None  # when the look at what is known began
        self._forgotten_at = 0.0
        self._looking = asyncio.Lock()
        self._used: dict[str, datetime] = {}

    async def any(self) -> bool:
        """Whether there ever was a key. Raises StoreUnavailable."""
        await self._refresh(known_for_seconds)
        return self._any

    async def identify(self, text: str) -> Principal | None:
        """Whose key this is. None: nobody's, or no longer. Raises StoreUnavailable."""
        shape = _shape.fullmatch(text)
        if shape is None:
            return None
        await self._refresh(known_for_seconds)
        if shape[1] not in self._known:
            await self._look_again()
        key = self._known.get(shape[1])
        digest = sha256(text.encode()).hexdigest()
        if not hmac.compare_digest(digest, key.hash if key else ""):
            return None
        now = self._now()
        if key is None or not key.valid(now):
            return None
        if key.kind is KeyKind.KEY:
            self._note(key, now)
        via = "session" if key.kind is KeyKind.SESSION else "key"
        return Principal(key.name, key.role, key.payloads, via, key.parent_id or key.id, key.expires_at)

    def forget(self) -> None:
        """A key was made or ended here: look before the next request."""
        self._forgotten_at = time.monotonic()

    async def session(self, of: Principal) -> tuple[ApiKey, str]:
        """A key for a browser, that ends with the one it is made from, or after hours. Raises StoreUnavailable."""
        now = self._now()
        ends = now + timedelta(hours=session_hours_max)
        if of.expires_at is not None:
            ends = min(ends, of.expires_at)
        key, text = mint(
            of.name,
            of.role,
            payloads=of.payloads,
            by=of.name,
            now=now,
            expires_at=ends,
            kind=KeyKind.SESSION,
            parent_id=of.key_id,
        )
        await self._store.add(key)
        self.forget()
        return key, text

    async def end_session(self, text: str) -> None:
        """Let a session's key be worth nothing from now on."""
        shape = _shape.fullmatch(text)
        key = self._known.get(shape[1]) if shape else None
        if key is not None and key.kind is KeyKind.SESSION:
            await self._store.revoke(key.id, by=key.name, now=self._now())
            self.forget()

    async def flush(self) -> None:
        """Write when keys were last used. What can't be written now is written later, or never."""
        used, self._used = self._used, {}
        if used:
            await self._store.used(used)

    def _note(self, key: ApiKey, now: datetime) -> None:
        if key.last_used_at is None or now - key.last_used_at >= used_every:
            self._used[key.id] = now

    async def _look_again(self) -> None:
        """Look at the keys as they are from now on: one may just have been let in elsewhere, by a session begun there.

        Whoever shows one that nobody knows waits for it, so that the database is not asked more often.
        """
        asked_at = time.monotonic()
        for _ in range(2):  # somebody else's look may be under way, which began too early
            if self._looked_at is not None and self._looked_at < asked_at:
                await asyncio.sleep(max(0.0, self._looked_at + looked_again_seconds - time.monotonic()))
            await self._refresh(looked_again_seconds)

    async def _refresh(self, seconds: float) -> None:
        if self._fresh(seconds):
            return
        async with self._looking:
            if self._fresh(seconds):
                return
            began = time.monotonic()
            try:
                found = await self._store.known()
                self._any = self._any or bool(found) or await self._store.any()
            except StoreUnavailable:
                if not self._fresh(trusted_seconds_max):
                    raise
                log.warning("Keys can't be looked up: those known count", extra={"action": "keys.unavailable"})
                return
            self._known = {key.prefix: key for key in found}
            self._looked_at = began

    def _fresh(self, seconds: float) -> bool:
        looked_at = self._looked_at
        return looked_at is not None and looked_at >= self._forgotten_at and time.monotonic() - looked_at < seconds
