"""The audit: one entry for each request that was to change something, and nothing that changes it afterwards."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from coordinator.store import pruning
from coordinator.store.access import AuditEntry, Role
from coordinator.store.ids import new_id
from coordinator.store.schema_access import audit
from tests.access.conftest import as_, audited, key_of
from tests.waiting import eventually
from tests.web.conftest import Site, chain, problem_of


async def test_a_verb_is_audited_with_who_why_before_and_after(site: Site) -> None:
    admin = await key_of(site, Role.ADMIN, name="ada")
    async with as_(site, await key_of(site, Role.OPERATOR, name="olga")) as olga:
        await olga.post("/v1/definitions", json=chain)
        saga_id = (await olga.post("/v1/sagas", json={"definition": "chain"})).json()["id"]
        asked = {"by": "somebody else", "reason": "password=hunter2 was in it"}
        response = await olga.post(f"/v1/sagas/{saga_id}/pause", json=asked, headers={"X-Request-Id": "mine-1"})
        assert response.status_code == 200, response.text
        assert response.headers["x-request-id"] == "mine-1"
        assert response.json()["paused"]["by"] == "olga"
        (entry,) = await audited(site, admin, target=f"/v1/sagas/{saga_id}/pause")
        assert (entry["who"], entry["role"], entry["via"]) == ("olga", "operator", "key")
        assert (entry["on_behalf_of"], entry["status"], entry["problem"]) == ("somebody else", 200, None)
        assert (entry["action"], entry["request_id"]) == ("POST /v1/sagas/{saga_id}/pause", "mine-1")
        assert "hunter2" not in entry["why"]
        assert entry["before"]["status"] == "running"
        assert entry["after"]["revision"] > entry["before"]["revision"]
        problem_of(await olga.post(f"/v1/sagas/{saga_id}/close", json={"reason": "no"}), 409, "verb-refused")
        (entry,) = await audited(site, admin, target=f"/v1/sagas/{saga_id}/close")
        assert len(await audited(site, admin, under=f"/v1/sagas/{saga_id}")) == 2
        assert await audited(site, admin, under=f"/v1/sagas/{saga_id[:-1]}") == []
        assert (entry["status"], entry["problem"].partition(":")[0]) == (409, "verb-refused")


async def test_a_start_is_audited_a_moment_later(site: Site) -> None:
    admin = await key_of(site, Role.ADMIN)
    async with as_(site, admin) as ada:
        await ada.post("/v1/definitions", json=chain)
        saga_id = (await ada.post("/v1/sagas", json={"definition": "chain"})).json()["id"]

        async def there() -> bool:
            return any((one["after"] or {}).get("id") == saga_id for one in await audited(site, admin))

        await eventually(there, "the entry of the start")


async def test_who_may_not_is_audited_and_who_is_unknown_is_not(site: Site) -> None:
    admin = await key_of(site, Role.ADMIN)
    async with as_(site, await key_of(site, Role.VIEWER, name="vera")) as vera:
        problem_of(await vera.post("/v1/pauses", json={}), 403, "forbidden")
    problem_of(await site.http.post("/v1/pauses", json={}), 401, "unauthenticated")
    (entry,) = await audited(site, admin)
    assert (entry["who"], entry["status"], entry["after"]) == ("vera", 403, None)


async def test_the_audit_is_read_in_pages_and_by_time(site: Site) -> None:
    admin = await key_of(site, Role.ADMIN)
    async with as_(site, admin) as ada:
        for _ in range(5):
            await ada.post("/v1/pauses", json={})
        found, path = [], "/v1/audit?limit=2"
        while path:
            response = await ada.get(path)
            found += [one["id"] for one in response.json()["items"]]
            path = response.json()["next"]
        assert len(found) == 5
        assert found == sorted(found, reverse=True)
        (first, *_) = await audited(site, admin)
        assert (await ada.get(f"/v1/audit/{first['id']}")).json() == first
        problem_of(await ada.get("/v1/audit/none"), 404, "unknown-entry")
        assert await audited(site, admin, until="2020-01-01T00:00:00Z") == []
        assert len(await audited(site, admin, since="2020-01-01T00:00:00Z", who=first["who"])) == 5


async def test_the_database_itself_keeps_the_audit_as_it_is(site: Site) -> None:
    async with as_(site, await key_of(site, Role.ADMIN)) as ada:
        await ada.post("/v1/pauses", json={})
    for statement in (sa.update(audit).values(who="nobody"), sa.delete(audit)):
        with pytest.raises(sa.exc.DBAPIError, match="the audit is not changed"):
            async with site.app.database.begin() as connection:
                await connection.execute(statement)


async def test_what_is_older_than_it_is_kept_is_forgotten(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "rows_max", 2)
    now, kept = site.app.clock.now(), site.app.access.audit
    ages = (500, 401, 450, 430, 600, 399, 0)
    entries = [_entry(now - timedelta(days=days)) for days in ages]
    await kept.add(entries)
    await site.app.forgetting.sweep()
    assert (await kept.page()).items == (entries[-1], entries[-2])


async def test_the_database_lets_nobody_forget_the_last_thirty_days(site: Site) -> None:
    now, kept = site.app.clock.now(), site.app.access.audit
    young, old = (_entry(now - timedelta(days=days)) for days in (29, 31))
    await kept.add([young, old])
    assert await kept.forget(now - timedelta(days=30)) == 1
    with pytest.raises(sa.exc.DBAPIError, match="the audit is not changed"):
        await kept.forget(now)
    assert (await kept.page()).items == (young,)


def _entry(at: datetime) -> AuditEntry:
    facts = (
        "ada",
        "admin",
        "key",
        None,
        None,
        "PUT /v1/healing",
        "/v1/healing",
        "why",
        {"mode": "auto"},
        {"mode": "off"},
    )
    return AuditEntry(new_id(at), at, *facts, 200, None, "r1", "127.0.0.1")
