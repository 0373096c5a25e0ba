"""Keys: made, shown, followed, revoked, expired; and the sessions that browsers make of them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from coordinator.access import keys as keyring
from coordinator.access.keys import Keyring
from coordinator.errors import StoreUnavailable
from coordinator.store.access import ApiKey, Role
from coordinator.store.schema_access import api_keys
from tests.access.conftest import as_, audited, bearer, key_of
from tests.web.conftest import Site, chain, problem_of


async def test_where_there_never_was_a_key_nobody_is_asked(small_site: Site) -> None:
    told = (await small_site.http.get("/v1/session")).json()
    assert (told["asked"], told["name"], told["role"], told["payloads"]) == (False, "anonymous", "admin", True)
    await small_site.define(chain)


async def test_the_first_key_closes_the_door_and_only_its_hash_is_kept(site: Site) -> None:
    response = await site.http.post("/v1/keys", json={"name": "ada", "role": "admin", "payloads": True})
    assert response.status_code == 201, response.text
    made = response.json()
    assert made["key"].startswith(made["prefix"])
    assert response.headers["cache-control"] == "no-store"

    problem_of(await site.http.get("/v1/sagas"), 401, "unauthenticated")
    assert (await site.http.get("/v1/sagas", headers=bearer(made["key"]))).status_code == 200
    for wrong in (made["key"][:-1] + "!", made["key"][:-2] + "xx", made["prefix"], "nonsense"):
        refused = await site.http.get("/v1/sagas", headers=bearer(wrong))
        problem_of(refused, 401, "unauthenticated")
        assert refused.headers["www-authenticate"].startswith("Bearer")
    problem_of(await site.http.get("/v1/sagas", headers={"Authorization": "Basic YTpi"}), 401, "unauthenticated")

    async with site.app.database.reading() as connection:
        kept = str((await connection.execute(sa.select(api_keys))).all())
    assert made["key"].rpartition("_")[2] not in kept
    (listed,) = (await site.http.get("/v1/keys", headers=bearer(made["key"]))).json()["items"]
    assert listed["key"] is None
    assert listed["created_by"] == "anonymous"


async def test_a_key_is_followed_and_both_are_valid_for_a_while(site: Site) -> None:
    old = await key_of(site, Role.ADMIN, name="ci")
    async with as_(site, old) as ci:
        (listed,) = (await ci.get("/v1/keys")).json()["items"]
        response = await ci.post(f"/v1/keys/{listed['id']}/rotate", json={"overlap_seconds": 3600})
        assert response.status_code == 201, response.text
        new = response.json()
        assert (new["name"], new["role"]) == ("ci", "admin")
        assert (await ci.get("/v1/keys")).status_code == 200
        followed = next(one for one in (await ci.get("/v1/keys")).json()["items"] if one["id"] == listed["id"])
        assert followed["replaced_by"] == new["id"]
        assert datetime.fromisoformat(followed["expires_at"]) > datetime.now(UTC)
        problem_of(await ci.post(f"/v1/keys/{listed['id']}/rotate"), 404, "unknown-key")
    async with as_(site, new["key"]) as ci:
        again = await ci.post(f"/v1/keys/{new['id']}/rotate", json={"overlap_seconds": 0})
        assert again.status_code == 201
        problem_of(await ci.get("/v1/keys"), 401, "unauthenticated")


async def test_a_key_ends_when_it_is_revoked_and_with_it_its_sessions(site: Site) -> None:
    admin, text = await key_of(site, Role.ADMIN), await key_of(site, Role.VIEWER, name="eve")
    begun = await site.http.post("/v1/session", headers=bearer(text))
    assert begun.status_code == 201, begun.text
    cookie = {"Cookie": f"amends_session={begun.cookies['amends_session']}"}
    site.http.cookies.clear()
    assert (await site.http.get("/v1/sagas", headers=cookie)).status_code == 200

    listed = (await site.http.get("/v1/keys", headers=bearer(admin))).json()["items"]
    key_id = next(one["id"] for one in listed if one["name"] == "eve")
    ended = await site.http.delete(f"/v1/keys/{key_id}", headers=bearer(admin))
    assert (ended.json()["valid"], ended.json()["revoked_by"]) == (False, "admin-all")
    problem_of(await site.http.get("/v1/sagas", headers=bearer(text)), 401, "unauthenticated")
    problem_of(await site.http.get("/v1/sagas", headers=cookie), 401, "unauthenticated")
    problem_of(await site.http.delete(f"/v1/keys/{key_id}", headers=bearer(admin)), 404, "unknown-key")
    (entry, *_) = await audited(site, admin, action="DELETE /v1/keys/{key_id}", who="admin-all")
    assert entry["status"] == 404
    entry = (await audited(site, admin, target=f"/v1/keys/{key_id}"))[1]
    assert (entry["before"]["valid"], entry["after"]["valid"]) == (True, False)


async def test_an_expired_key_is_worth_nothing_and_the_door_stays_closed(site: Site) -> None:
    text = await key_of(site, Role.ADMIN, seconds=-1)
    problem_of(await site.http.get("/v1/sagas", headers=bearer(text)), 401, "unauthenticated")
    problem_of(await site.http.get("/v1/sagas"), 401, "unauthenticated")


async def test_nobody_makes_a_key_that_sees_payloads_without_seeing_them(small_site: Site) -> None:
    async with as_(small_site, await key_of(small_site, Role.ADMIN, payloads=False)) as admin:
        asked = {"name": "more", "role": "viewer", "payloads": True}
        problem_of(await admin.post("/v1/keys", json=asked), 403, "forbidden")


async def test_when_a_key_was_last_used_is_written_now_and_then(site: Site) -> None:
    async with as_(site, await key_of(site, Role.ADMIN)) as admin:
        assert (await admin.get("/v1/keys")).json()["items"][0]["last_used_at"] is None
        await site.app.access.keyring.flush()
        assert (await admin.get("/v1/keys")).json()["items"][0]["last_used_at"] is not None


async def test_known_keys_count_for_a_minute_while_the_database_is_away(
    small_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = await key_of(small_site, Role.VIEWER)
    ring = small_site.app.access.keyring
    assert await ring.identify(text) is not None

    async def away() -> list[object]:
        raise StoreUnavailable("away")

    monkeypatch.setattr(small_site.app.stores.keys, "known", away)
    monkeypatch.setattr(keyring, "known_for_seconds", 0.0)
    assert await ring.identify(text) is not None
    monkeypatch.setattr(keyring, "trusted_seconds_max", 0.0)
    with pytest.raises(StoreUnavailable):
        await ring.identify(text)


async def test_a_session_counts_at_another_coordinator_from_its_first_moment(site: Site) -> None:
    text = await key_of(site, Role.ADMIN)
    other = Keyring(site.app.access.keys, site.app.clock.now)
    known = await other.identify(text)  # it has just looked
    assert known is not None
    _, session = await site.app.access.keyring.session(known)

    found = await asyncio.gather(*(other.identify(session) for _ in range(3)))

    assert [one and one.via for one in found] == ["session"] * 3


async def test_a_look_that_began_before_a_key_was_made_does_not_hide_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = await key_of(site, Role.ADMIN)
    store = site.app.access.keys
    other, looking, made = Keyring(store, site.app.clock.now), asyncio.Event(), asyncio.Event()
    really = store.known

    async def slowly() -> list[ApiKey]:
        found = await really()
        looking.set()
        await made.wait()
        return found

    monkeypatch.setattr(store, "known", slowly)
    first = asyncio.ensure_future(other.identify(text))
    await looking.wait()
    new = await key_of(site, Role.VIEWER)
    asked = asyncio.ensure_future(other.identify(new))
    made.set()
    assert await first is not None
    assert await asked is not None


async def test_a_session_needs_its_own_header_to_change_anything(site: Site) -> None:
    text = await key_of(site, Role.OPERATOR, name="olga")
    begun = await site.http.post("/v1/session", headers=bearer(text))
    said = begun.headers["set-cookie"].lower()
    assert "httponly" in said
    assert "samesite=strict" in said
    cookie = {"Cookie": f"amends_session={begun.cookies['amends_session']}"}
    site.http.cookies.clear()
    told = (await site.http.get("/v1/session", headers=cookie)).json()
    assert (told["name"], told["role"], told["via"], told["asked"]) == ("olga", "operator", "session", True)
    problem_of(await site.http.post("/v1/definitions", json=chain, headers=cookie), 403, "other-site")
    own = {**cookie, "X-Amends-Dashboard": "1"}
    assert (await site.http.post("/v1/definitions", json=chain, headers=own)).status_code == 201
    problem_of(await site.http.post("/v1/session", headers=own), 401, "unauthenticated")
    assert (await site.http.delete("/v1/session", headers=own)).status_code == 200
    problem_of(await site.http.get("/v1/sagas", headers=cookie), 401, "unauthenticated")


async def test_a_key_that_ends_while_the_keys_are_looked_up_is_worth_nothing_at_once(
    small_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = await key_of(small_site, Role.VIEWER)
    ring, store = small_site.app.access.keyring, small_site.app.stores.keys
    known, looking, ended = store.known, asyncio.Event(), asyncio.Event()

    async def slowly() -> list[ApiKey]:
        found = await known()
        looking.set()
        await ended.wait()
        return found

    monkeypatch.setattr(store, "known", slowly)
    asked = asyncio.ensure_future(ring.identify(text))
    await looking.wait()
    (key,) = await store.list()
    await store.revoke(key.id, by="test", now=small_site.app.clock.now())
    ring.forget()
    ended.set()
    await asked
    assert await ring.identify(text) is None
