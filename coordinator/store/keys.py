"""API keys as they are kept: hashed, and those that browsers' sessions are made of beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.store.access import ApiKey, KeyKind, Role
from coordinator.store.database import Database
from coordinator.store.dialect import storable
from coordinator.store.pruning import delete_old
from coordinator.store.schema_access import api_keys

keys_max = 1000  # that have not been revoked
sessions_max = 1000  # of all people together; the oldest ends for the next
listed_max = 1000
sessions_kept = timedelta(days=1)  # after they ended
name_chars_max = 100

_of = api_keys.c


class KeyStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: ApiKey) -> bool:
        """Keep a key. False: there are too many already."""
        async with self._database.begin() as connection:
            await self._database.dialect.take_turn(connection, "api_keys")
            return await _add(connection, key)

    async def adopt(self, key: ApiKey) -> ApiKey | None:
        """Keep a key that was made elsewhere, or find what is there under its prefix. None: there are too many."""
        async with self._database.begin() as connection:
            await self._database.dialect.take_turn(connection, "api_keys")
            there = (await connection.execute(sa.select(api_keys).where(_of.prefix == key.prefix))).first()
            if there is not None:
                return _key(there)
            return key if await _add(connection, key) else None

    async def rotate(self, key_id: str, new: ApiKey, *, until: datetime) -> ApiKey | None:
        """Let a new key follow one, which stays valid until then, at the longest. None: it isn't there to be followed.

        Its sessions end with it.
        """
        async with self._database.begin() as connection:
            await self._database.dialect.take_turn(connection, "api_keys")
            found = await _active(connection, key_id)
            if found is None or found.replaced_by is not None or not await _add(connection, new, followed=True):
                return None
            earlier = min(until, found.expires_at) if found.expires_at else until
            replaced = sa.update(api_keys).where(_of.id == key_id)
            await connection.execute(replaced.values(replaced_by=new.id, expires_at=earlier))
            longer = sa.and_(_of.parent_id == key_id, sa.or_(_of.expires_at.is_(None), _of.expires_at > earlier))
            await connection.execute(sa.update(api_keys).where(longer).values(expires_at=earlier))
        return found

    async def revoke(self, key_id: str, *, by: str, now: datetime) -> ApiKey | None:
        """End a key and its sessions now; as it was before. None: there is none that is not revoked."""
        ended = {"revoked_at": now, "revoked_by": storable(by, name_chars_max)}
        own = sa.and_(sa.or_(_of.id == key_id, _of.parent_id == key_id), _of.revoked_at.is_(None))
        async with self._database.begin() as connection:
            await self._database.dialect.take_turn(connection, "api_keys")
            found = await _active(connection, key_id)
            if found is not None:
                await connection.execute(sa.update(api_keys).where(own).values(ended))
        return found

    async def used(self, at: Mapping[str, datetime]) -> None:
        """When keys were last used."""
        async with self._database.begin() as connection:
            for key_id, moment in sorted(at.items()):
                later = sa.or_(_of.last_used_at.is_(None), _of.last_used_at < moment)
                await connection.execute(sa.update(api_keys).where(_of.id == key_id, later).values(last_used_at=moment))

    async def known(self) -> list[ApiKey]:
        """Every key and session that is not revoked."""
        active = sa.select(api_keys).where(_of.revoked_at.is_(None)).limit(keys_max + sessions_max)
        async with self._database.reading() as connection:
            return [_key(row) for row in await connection.execute(active)]

    async def any(self) -> bool:
        """Whether there ever was a key: then everybody is asked who they are, even when all have expired."""
        one = sa.select(_of.id).where(_of.kind == KeyKind.KEY.value).limit(1)
        async with self._database.reading() as connection:
            return (await connection.execute(one)).first() is not None

    async def list(self) -> list[ApiKey]:
        """The keys of people and services, the newest first, revoked ones too."""
        keys = sa.select(api_keys).where(_of.kind == KeyKind.KEY.value).order_by(_of.id.desc()).limit(listed_max)
        async with self._database.reading() as connection:
            return [_key(row) for row in await connection.execute(keys)]

    async def get(self, key_id: str) -> ApiKey | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(sa.select(api_keys).where(_of.id == key_id))).first()
        return None if row is None else _key(row)

    async def prune(self, now: datetime) -> int:
        """Forget sessions that ended a while ago; how many."""
        before = now - sessions_kept
        over = sa.or_(_of.expires_at < before, _of.revoked_at < before)
        async with self._database.begin() as connection:
            return len(await delete_old(connection, api_keys, _of.kind == KeyKind.SESSION.value, over))


async def _active(connection: AsyncConnection, key_id: str) -> ApiKey | None:
    row = (await connection.execute(sa.select(api_keys).where(_of.id == key_id, _of.revoked_at.is_(None)))).first()
    return None if row is None else _key(row)


async def _add(connection: AsyncConnection, key: ApiKey, *, followed: bool = False) -> bool:
    kind = sa.and_(_of.kind == key.kind.value, _of.revoked_at.is_(None))
    count = (await connection.execute(sa.select(sa.func.count()).select_from(api_keys).where(kind))).scalar_one()
    match key.kind:
        case KeyKind.SESSION if count >= sessions_max:
            oldest = sa.select(_of.id).where(kind).order_by(_of.id).limit(count - sessions_max + 1)
            await connection.execute(sa.delete(api_keys).where(_of.id.in_(oldest)))
        case KeyKind.KEY if count >= keys_max + followed:
            return False
        case _:
            pass
    values = {**asdict(key), "kind": key.kind.value, "role": key.role.value}
    values["name"] = storable(key.name, name_chars_max)
    values["created_by"] = storable(key.created_by, name_chars_max)
    await connection.execute(sa.insert(api_keys).values(values))
    return True


def _key(row: sa.Row[Any]) -> ApiKey:
    values = dict(row._mapping)
    return ApiKey(**{**values, "kind": KeyKind(row.kind), "role": Role(row.role), "payloads": bool(row.payloads)})
