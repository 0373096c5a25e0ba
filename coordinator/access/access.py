"""Who may come in: by key, by session, by token, or, where nobody is asked, anybody. And what is remembered of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from coordinator.access.journal import Journal
from coordinator.access.keys import Keyring, is_key
from coordinator.access.principal import Principal, anybody
from coordinator.access.tokens import Provider, Tokens
from coordinator.errors import StoreUnavailable
from coordinator.store.audit import AuditStore
from coordinator.store.keys import KeyStore

log = logging.getLogger(__name__)

tidied_seconds = 60.0


class Access:
    """One per coordinator. `keys` and `audit` are for those who list and change what is kept."""

    def __init__(
        self, keys: KeyStore, audit: AuditStore, now: Callable[[], datetime], *, provider: Provider | None = None
    ) -> None:
        self.keys, self.audit = keys, audit
        self.keyring = Keyring(keys, now)
        self.journal = Journal(audit)
        self._tokens = Tokens(provider) if provider else None
        self._now = now

    @property
    def provider(self) -> bool:
        """Whether tokens are believed."""
        return self._tokens is not None

    async def open(self) -> bool:
        """Whether nobody is asked who they are: there is no provider, and there never was a key."""
        return self._tokens is None and not await self.keyring.any()

    async def identify(self, credential: str | None) -> Principal | None:
        """Who shows this. None: nobody who may come in. Raises StoreUnavailable, ProviderUnavailable.

        A credential that is worth nothing is refused even where none is needed: whoever shows one means it.
        """
        if credential is None:
            return anybody if await self.open() else None
        if is_key(credential):
            return await self.keyring.identify(credential)
        return await self._tokens.identify(credential) if self._tokens else None

    async def run(self) -> None:
        """Write now and then when keys were used, and forget old sessions."""
        while True:
            await asyncio.sleep(tidied_seconds)
            try:
                await self.keyring.flush()
                await self.keys.prune(self._now())
            except StoreUnavailable as error:
                log.warning("When keys were used can't be written: %s", error, extra={"action": "keys.unavailable"})

    async def flush(self) -> None:
        """Write what is not written yet, at the end."""
        await self.journal.flush()
        await self.keyring.flush()
