"""Keys made, let in and revoked on the database itself, as long as nobody could be asked; the audit has it as well."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

from amends.client import Json
from coordinator.access.keys import mint
from coordinator.building import prepared
from coordinator.cli.running import settings_or_end
from coordinator.cli.telling import fail, refused_code, unavailable_code, usage_code
from coordinator.diagnosis.redaction import redact
from coordinator.errors import StoreUnavailable, UnsupportedDatabase
from coordinator.store.access import ApiKey, AuditEntry, Role
from coordinator.store.audit import AuditStore
from coordinator.store.database import Database
from coordinator.store.ids import new_id
from coordinator.store.keys import KeyStore

Answer = TypeVar("Answer")

full = "there are as many keys as there may be: revoke one first"
left_out = ("hash", "kind", "parent_id")
noted = ("name", "role", "payloads", "expires_at")


@dataclass(frozen=True)
class Place:
    """The database, now, and who is at it."""

    keys: KeyStore
    audit: AuditStore
    now: datetime
    by: str

    async def make(self, stated: Json) -> Json:
        """Make a key as it is stated."""
        key, text = mint(**self._facts(stated))
        if not await self.keys.add(key):
            fail(full, refused_code)
        await self._note("POST /v1/keys", "/v1/keys", key, why=stated.get("reason"))
        return _told(key, self.now, text)

    async def adopt(self, stated: Json, text: str) -> Json:
        """Let in a key that was made elsewhere; nothing changes if it was let in before."""
        try:
            key, _ = mint(text=text, **self._facts(stated))
        except ValueError as error:
            fail(str(error), usage_code)
        kept = await self.keys.adopt(key)
        if kept is None:
            fail(full, refused_code)
        if kept.hash != key.hash:
            fail(f"amends_{key.prefix} is how another key begins: mint another", refused_code)
        if kept.id == key.id:
            await self._note("POST /v1/keys", "/v1/keys", key)
        return {**_told(kept, self.now), "new": kept.id == key.id}

    async def list(self) -> Json:
        """Every key."""
        return {"items": [_told(key, self.now) for key in await self.keys.list()]}

    async def revoke(self, key_id: str, why: str | None) -> Json:
        """End a key, and its sessions."""
        ended = await self.keys.revoke(key_id, by=f"{self.by} (on the database)", now=self.now)
        if ended is None:
            fail(f"{key_id} is revoked already", refused_code)
        await self._note("DELETE /v1/keys/{key_id}", f"/v1/keys/{key_id}", ended, why=why)
        return {**_told(ended, self.now), "valid": False}

    def _facts(self, stated: Json) -> Json:
        """What a key is made of, beside its text."""
        seconds = stated.get("seconds")
        return {
            "name": stated["name"],
            "role": Role(stated["role"]),
            "payloads": stated["payloads"],
            "by": f"{self.by} (on the database)",
            "now": self.now,
            "expires_at": self.now + timedelta(seconds=seconds) if seconds else None,
        }

    async def _note(self, action: str, target: str, key: ApiKey, *, why: str | None = None) -> None:
        """Add the entry that the API's request for the same would leave."""
        facts = {name: value for name, value in _told(key, self.now).items() if name in noted}
        facts["id"] = key.id
        ends = action.startswith("DELETE")
        entry = AuditEntry(
            id=new_id(self.now),
            at=self.now,
            who=self.by,
            role=Role.ADMIN,
            via="database",
            key_id=None,
            on_behalf_of=None,
            action=action,
            target=target,
            why=redact(why) if why else None,
            before={**facts, "valid": True} if ends else {},
            after={**facts, "valid": False} if ends else facts,
            status=200 if ends else 201,
            problem=None,
            request_id=uuid4().hex,
            address=None,
        )
        await self.audit.add([entry])


def at_database(by: str, work: Callable[[Place], Awaitable[Answer]]) -> Answer:
    """Do something at the database that the settings name. Ends the command where it can't be had."""
    settings = settings_or_end()

    async def working() -> Answer:
        async with Database.open(prepared(settings.database_url), application_name="amends keys") as database:
            if not await database.check_schema():
                fail("the database's schema is not this release's: run `amends db upgrade`", refused_code)
            return await work(Place(KeyStore(database), AuditStore(database), await database.now(), by))

    try:
        return asyncio.run(working())
    except UnsupportedDatabase as error:
        fail(str(error), usage_code)
    except (StoreUnavailable, OSError) as error:
        fail(f"the database can't be reached: {error}", unavailable_code)


def _told(key: ApiKey, now: datetime, text: str | None = None) -> Json:
    """A key as the API tells it."""
    found: Mapping[str, Any] = asdict(key)
    told = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in found.items()
        if name not in left_out
    }
    return {**told, "prefix": f"amends_{key.prefix}", "valid": key.valid(now), "key": text}
