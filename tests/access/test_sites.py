"""Whose page asks: where nobody is asked who they are, no other site's page can read or change anything."""

from __future__ import annotations

import pytest

from coordinator.store.access import Role
from coordinator.web.sites import Sites, is_loopback, sites_of
from tests.access.conftest import bearer, key_of
from tests.web.conftest import Site, chain, problem_of


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8274", "127.0.0.1", "[::1]:80", "[::1]"])
async def test_this_machines_own_names_are_answered(small_site: Site, host: str) -> None:
    assert (await small_site.http.get("/v1/sagas", headers={"Host": host})).status_code == 200
    assert (await small_site.http.post("/v1/definitions", json=chain, headers={"Host": host})).status_code == 201


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8274", "localhost.evil.example", "localhost@evil.example", "10.0.0.1", "[::2]"],
)
async def test_a_name_that_leads_here_from_elsewhere_is_not(small_site: Site, host: str) -> None:
    theirs = {"Host": host}
    problem = problem_of(await small_site.http.get("/v1/sagas", headers=theirs), 403, "unknown-host")
    assert "AMENDS_ALLOWED_HOSTS" in problem["detail"]
    problem_of(await small_site.http.post("/v1/definitions", json=chain, headers=theirs), 403, "unknown-host")
    assert (await small_site.http.get("/livez", headers=theirs)).status_code == 200


async def test_names_that_are_stated_are_answered_and_any_for_whoever_has_a_key(small_site: Site) -> None:
    small_site.door.sites = sites_of("127.0.0.1", "one.example, Two.example", "https://three.example/amends")
    for name in ("one.example", "two.example:8274", "three.example", "localhost"):
        assert (await small_site.http.get("/v1/sagas", headers={"Host": name})).status_code == 200
    theirs = {"Host": "four.example"}
    problem_of(await small_site.http.get("/v1/sagas", headers=theirs), 403, "unknown-host")
    key = bearer(await key_of(small_site, Role.VIEWER))
    assert (await small_site.http.get("/v1/sagas", headers={**theirs, **key})).status_code == 200


def test_who_listens_where_others_reach_it_answers_to_any_name_unless_some_are_stated() -> None:
    assert sites_of("0.0.0.0", "", None) == Sites(None)
    assert sites_of("0.0.0.0", "amends.example", None) == Sites(frozenset({"amends.example"}))
    assert sites_of("::1", "", None) == Sites()


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:3000", "null", "http://[evil"])
async def test_an_older_browser_says_where_the_page_is_from(small_site: Site, origin: str) -> None:
    theirs = {"Origin": origin}
    problem_of(await small_site.http.post("/v1/definitions", json=chain, headers=theirs), 403, "other-site")
    problem_of(await small_site.http.delete("/v1/session", headers=theirs), 403, "other-site")
    assert (await small_site.http.get("/v1/sagas", headers=theirs)).status_code == 200
    ours = {"Origin": small_site.url}
    assert (await small_site.http.post("/v1/definitions", json=chain, headers=ours)).status_code == 201


async def test_a_session_is_not_used_from_elsewhere_and_a_key_is_known_to_no_page(small_site: Site) -> None:
    key = bearer(await key_of(small_site, Role.OPERATOR))
    begun = await small_site.http.post("/v1/session", headers=key)
    session = {"Cookie": f"amends_session={begun.cookies['amends_session']}", "X-Amends-Dashboard": "1"}
    small_site.http.cookies.clear()
    theirs = {"Origin": "https://evil.example"}
    refused = await small_site.http.post("/v1/definitions", json=chain, headers={**session, **theirs})
    problem_of(refused, 403, "other-site")
    asked = await small_site.http.post("/v1/definitions", json=chain, headers={**key, **theirs})
    assert asked.status_code == 201
    small_site.door.sites = sites_of("127.0.0.1", "", "https://amends.example/there")
    proxied = {**session, "Origin": "https://amends.example"}
    assert (await small_site.http.post("/v1/definitions", json=chain, headers=proxied)).status_code == 200


def test_this_machine_is_known_by_its_addresses_and_what_is_too_long_for_a_name_is_not_even_looked_at() -> None:
    ours = ("localhost", "127.0.0.1", "127.8.9.10", "::1", "::1%lo")
    assert [host for host in ours if not is_loopback(host)] == []
    others = ("", "10.0.0.1", "::2", "localhost.example", "127.0.0.1.example", "::1%" + "a" * 300)
    assert [host for host in others if is_loopback(host)] == []
