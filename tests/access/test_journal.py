"""The audit is written when it can be: while the database is away entries wait, and none is lost at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from coordinator.access import access as tidying
from coordinator.access import journal
from coordinator.access.journal import Journal
from coordinator.errors import StoreUnavailable
from coordinator.store.access import AuditEntry, Role
from coordinator.store.audit import AuditStore
from coordinator.store.ids import new_id
from tests.access.conftest import as_, key_of
from tests.waiting import eventually
from tests.web.conftest import Site


def _entry(site: Site) -> AuditEntry:
    at = site.app.clock.now()
    facts = ("ada", "admin", "key", None, None, "PUT /v1/healing", "/v1/healing", "why", None, {"mode": "off"})
    return AuditEntry(new_id(at), at, *facts, 200, None, "r1", "127.0.0.1")


async def test_an_entry_waits_for_the_database_to_come_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    add, away = site.app.stores.audit.add, asyncio.Event()

    async def sometimes(entries: Sequence[AuditEntry]) -> None:
        if not away.is_set():
            away.set()
            raise StoreUnavailable("away")
        await add(entries)

    monkeypatch.setattr(journal, "again_seconds", 0.01)
    monkeypatch.setattr(site.app.stores.audit, "add", sometimes)
    entry = _entry(site)
    await site.app.access.journal.write(entry)
    assert away.is_set()
    assert (await site.app.stores.audit.page()).items == (entry,)


async def test_an_answer_does_not_wait_for_ever_and_the_entry_is_written_at_the_end(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "written_seconds_max", 0.05)
    store = AuditStore(site.app.database)
    idle = Journal(store)
    entries = [_entry(site) for _ in range(3)]
    for entry in entries:
        await idle.write(entry)
    assert (await store.page()).items == ()
    await idle.flush()
    await store.add([replace(entries[0], who="somebody else")])  # a commit that is repeated changes nothing
    assert {one.who for one in (await store.page()).items} == {"ada"}
    assert len((await store.page()).items) == 3


async def test_what_is_at_hand_when_the_loop_ends_is_written_by_the_flush(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = AuditStore(site.app.database)
    own, add, trying = Journal(store), store.add, asyncio.Event()

    async def away(entries: Sequence[AuditEntry]) -> None:
        trying.set()
        raise StoreUnavailable("away")

    monkeypatch.setattr(store, "add", away)
    running = asyncio.ensure_future(own.run())
    await own.write(_entry(site), wait=False)
    await trying.wait()
    running.cancel()
    await asyncio.wait([running])
    monkeypatch.setattr(store, "add", add)
    await own.flush()
    assert len((await store.page()).items) == 1


async def test_what_nobody_waits_for_waits_for_room_and_every_entry_is_written(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "waiting_max", 2)
    store = AuditStore(site.app.database)
    own, entries = Journal(store), [_entry(site) for _ in range(5)]
    writing = [asyncio.ensure_future(own.write(entry, wait=False)) for entry in entries]
    done, _ = await asyncio.wait(writing, timeout=0.05)
    assert len(done) == 2
    running = asyncio.ensure_future(own.run())
    await asyncio.gather(*writing)
    running.cancel()
    await asyncio.wait([running])
    await own.flush()
    assert {entry.id for entry in (await store.page()).items} == {entry.id for entry in entries}


async def test_when_keys_were_used_is_written_again_and_again(
    small_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tidying, "tidied_seconds", 0.01)
    access, prune, tried = small_site.app.access, small_site.app.stores.keys.prune, []

    async def away(now: object) -> int:
        tried.append(now)
        if len(tried) == 1:
            raise StoreUnavailable("away")
        return await prune(small_site.app.clock.now())

    monkeypatch.setattr(small_site.app.stores.keys, "prune", away)
    running = asyncio.ensure_future(access.run())

    async def written() -> bool:
        (key,) = await small_site.app.stores.keys.list()
        return key.last_used_at is not None

    async with as_(small_site, await key_of(small_site, Role.VIEWER)) as vera:
        await vera.get("/v1/pauses")
    await eventually(written, "the key's last use to be written")
    running.cancel()
    await asyncio.wait([running])
    assert tried
