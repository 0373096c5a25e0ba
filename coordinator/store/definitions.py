"""Definitions: immutable once stored, a new version for every change."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from coordinator.errors import StoreUnavailable
from coordinator.store.bulk import Bulk, columns_of
from coordinator.store.database import Database
from coordinator.store.schema import definitions
from coordinator.store.values import Registered, StoredDefinition

page_max = 200
_tries_max = 200  # each lost one means that somebody else registered a version at the same moment


class DefinitionStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        names = database.dialect.rows("v", columns_of(definitions, ("name",)))
        newest = sa.select(definitions.c.name, sa.func.max(definitions.c.version).label("version"))
        newest = newest.join_from(names.selectable, definitions, definitions.c.name == names.c.name)
        self._newest_versions = Bulk(names, newest.group_by(definitions.c.name))

    async def register(self, name: str, document: str, hash: str, *, by: str, now: datetime) -> Registered:  # noqa: A002
        """Keep a document as the next version of `name`, unless the newest has the same hash."""
        newest = sa.select(definitions.c.version, definitions.c.hash).where(definitions.c.name == name)
        newest = newest.order_by(definitions.c.version.desc()).limit(1)
        insert = self._database.dialect.insert(definitions).on_conflict_do_nothing().returning(definitions.c.version)
        async with self._database.begin() as connection:
            for _ in range(_tries_max):
                found = (await connection.execute(newest)).first()
                if found is not None and found.hash == hash:
                    return Registered(found.version, new=False)
                version = 1 if found is None else found.version + 1
                values = {
                    "name": name,
                    "version": version,
                    "document": document,
                    "hash": hash,
                    "created_at": now,
                    "created_by": by,
                }
                if (await connection.execute(insert, values)).first() is not None:
                    return Registered(version, new=True)
        raise StoreUnavailable(f"{name} is being registered by too many at once")

    async def get(self, name: str, version: int | None = None) -> StoredDefinition | None:
        """One version, or the newest."""
        chosen = sa.select(definitions).where(definitions.c.name == name)
        if version is not None:
            chosen = chosen.where(definitions.c.version == version)
        async with self._database.reading() as connection:
            row = (await connection.execute(chosen.order_by(definitions.c.version.desc()).limit(1))).first()
        return None if row is None else _stored(row)

    async def newest_versions(self, names: Iterable[str]) -> dict[str, int]:
        """The newest version of each of these names. A name that nobody has registered is left out."""
        rows = await self._newest_versions.alone(self._database, [(name,) for name in dict.fromkeys(names)])
        return {name: version for name, version in rows}  # noqa: C416, a row is no pair

    async def newest(self, *, after: str | None = None, limit: int = page_max) -> list[StoredDefinition]:
        """The newest version of each name, by name, after that name; at most `page_max`."""
        newest = sa.select(definitions.c.name, sa.func.max(definitions.c.version).label("version"))
        if after is not None:
            newest = newest.where(definitions.c.name > after)
        page = newest.group_by(definitions.c.name).order_by(definitions.c.name).limit(min(limit, page_max)).subquery()
        same = sa.and_(definitions.c.name == page.c.name, definitions.c.version == page.c.version)
        chosen = sa.select(definitions).join(page, same).order_by(definitions.c.name)
        async with self._database.reading() as connection:
            return [_stored(row) for row in await connection.execute(chosen)]

    async def since(self, at: datetime) -> list[StoredDefinition]:
        """What was registered at or after that time, the newest `page_max`, oldest first."""
        chosen = sa.select(definitions).where(definitions.c.created_at >= at)
        chosen = chosen.order_by(definitions.c.created_at.desc(), definitions.c.name, definitions.c.version)
        async with self._database.reading() as connection:
            rows = (await connection.execute(chosen.limit(page_max))).all()
        return [_stored(row) for row in reversed(rows)]

    async def versions(self, name: str) -> list[StoredDefinition]:
        """The newest `page_max` versions, newest first."""
        chosen = sa.select(definitions).where(definitions.c.name == name)
        async with self._database.reading() as connection:
            rows = await connection.execute(chosen.order_by(definitions.c.version.desc()).limit(page_max))
            return [_stored(row) for row in rows]


def _stored(row: sa.Row[Any]) -> StoredDefinition:
    return StoredDefinition(row.name, row.version, row.document, row.hash, row.created_at, row.created_by)
