"""The dashboard's files as they are served: strict headers, nothing inline, nothing from elsewhere.

What they do in a browser is told in `tests/browser`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath

import httpx2
import pytest

from coordinator.web import dashboard
from coordinator.web.dashboard import Dashboard
from tests.web.conftest import Site, chain, problem_of

html = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
ours = sorted(path for path in dashboard.home.rglob("*") if path.suffix in dashboard.media_types)
modules = [path for path in ours if path.suffix == ".js"]
written_here = [path for path in ours if "vendor" not in path.parts]

imported = re.compile(r"""(?:^|[;}\s])(?:import|export)\s*(?:[\w*${},\s]+?\s*from\s*)?["']([^"']+)["']""")


def name_of(path: Path) -> str:
    return path.relative_to(dashboard.home).as_posix()


async def test_who_asks_for_a_page_gets_the_dashboard_and_everybody_else_the_index(small_site: Site) -> None:
    page = await small_site.http.get("/", headers=html)
    index = await small_site.http.get("/")
    stated = await small_site.http.get("/", headers={"Accept": "application/json"})

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text.startswith("<!doctype html>")
    assert index.json()["name"] == stated.json()["name"] == "Amends"
    assert "accept" in page.headers["vary"].lower()
    assert "accept" in index.headers["vary"].lower()
    problem_of(await small_site.http.get("/?a=1"), 400, "bad-parameter")


@pytest.mark.parametrize("name", dashboard.pages)
async def test_every_page_can_be_loaded_again_whatever_its_address_says(small_site: Site, name: str) -> None:
    first = (await small_site.http.get("/", headers=html)).text

    for address in (f"/{name}", f"/{name}/x", f"/{name}/x/y?z=1&z=2&%00=3"):
        page = await small_site.http.get(address, headers=html)
        assert (page.status_code, page.text) == (200, first), address


async def test_the_pages_known_here_are_those_of_the_browser() -> None:
    known = re.findall(r'path: "([^":/]+)', (dashboard.home / "pages.js").read_text("utf-8"))

    assert set(known) == set(dashboard.pages)


async def test_the_policy_lets_nothing_run_or_be_fetched_but_our_own(small_site: Site) -> None:
    page = await small_site.http.get("/sagas", headers=html)
    script = await small_site.http.get(f"/dashboard/{_digest(page)}/app.js")

    for response in (page, script):
        rules = dict(rule.split(" ", 1) for rule in response.headers["content-security-policy"].split("; "))
        assert rules["default-src"] == "'none'"
        assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
        assert rules["frame-ancestors"] == rules["form-action"] == rules["trusted-types"] == "'none'"
        assert rules["require-trusted-types-for"] == "'script'"
        assert "unsafe" not in response.headers["content-security-policy"]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["x-frame-options"] == "DENY"


async def test_what_the_api_answers_is_never_a_page(small_site: Site) -> None:
    for path in ("/", "/v1/sagas", "/v1/none", "/metrics", "/openapi.json"):
        response = await small_site.http.get(path)
        assert response.headers["content-security-policy"].startswith("default-src 'none'"), path
        assert response.headers["x-content-type-options"] == "nosniff", path


async def test_files_are_kept_by_their_digest_and_the_page_is_asked_for_anew(small_site: Site) -> None:
    page = await small_site.http.get("/", headers=html)
    there = f"/dashboard/{_digest(page)}/style.css"

    style = await small_site.http.get(there)
    again = await small_site.http.get("/", headers={**html, "If-None-Match": f'"x", W/{page.headers["etag"]}'})
    of_another_release = await small_site.http.get("/dashboard/0000/style.css")

    assert page.headers["cache-control"] == "no-cache"
    assert "immutable" in style.headers["cache-control"]
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    assert (again.status_code, again.content) == (304, b"")
    assert of_another_release.headers["cache-control"] == "no-cache"
    assert of_another_release.content == style.content


@pytest.mark.parametrize(
    "path", ["__init__.py", "README.md", "none.js", "../app.py", "..%2fapp.py", "", "vendor", "%00"]
)
async def test_nothing_but_the_dashboards_own_files_is_given_out(small_site: Site, path: str) -> None:
    response = await small_site.http.get(f"/dashboard/x/{path}")

    assert response.status_code in (400, 404)
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_file_that_is_edited_is_seen_with_the_next_load(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("{links}")
    (tmp_path / "app.js").write_text("1")
    files = Dashboard(folder=tmp_path)
    before = files.page().content

    (tmp_path / "app.js").write_text("22")
    (tmp_path / "more.js").write_text("3")

    assert files.page().content != before
    app, more = files.find("app.js"), files.find("more.js")
    assert app is not None
    assert more is not None
    assert (app.content, more.content) == (b"22", b"3")


def _digest(page: httpx2.Response) -> str:
    found = re.search(r'src="dashboard/([0-9a-f]{16})/app\.js"', page.text)
    assert found, page.text
    return found[1]


# --- the files themselves ---------------------------------------------------------------------------------------------


def test_nothing_in_the_page_is_inline_or_from_elsewhere() -> None:
    text = Dashboard("/base").page().content.decode()

    assert '<base href="/base/">' in text
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text)
    assert all(script.strip() == "" for script in re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL))
    addresses = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert [one for one in addresses if not one.startswith(("dashboard/", "/base/"))] == []
    assert "{" not in text


@pytest.mark.parametrize("path", modules, ids=name_of)
def test_every_import_leads_to_a_file_that_is_here(path: Path) -> None:
    here = PurePosixPath(name_of(path)).parent
    for target in imported.findall(path.read_text("utf-8")):
        assert target.startswith("."), f"{target}: a browser knows no bare names"
        assert (dashboard.home / here / target).resolve() in ours, target


def test_every_module_is_used() -> None:
    used = {"app.js", "first.js"}
    waiting = ["app.js"]
    while waiting:
        path = dashboard.home / waiting.pop()
        for target in imported.findall(path.read_text("utf-8")):
            name = name_of((path.parent / target).resolve())
            if name not in used:
                used.add(name)
                waiting.append(name)
    assert {name_of(path) for path in modules} == used


@pytest.mark.parametrize("path", written_here, ids=name_of)
def test_files_are_short_plain_and_make_no_markup_from_strings(path: Path) -> None:
    text = path.read_text("utf-8")

    assert len(text.splitlines()) <= 400
    assert not re.search(r"\b(TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc", text)
    assert "dangerouslySetInnerHTML" not in text or path.name == "dom.js"
    assert not re.search(r"""(src|href|from|import|url|fetch|EventSource)[\s=(]*["'`]?https?:""", text), path
    if path.suffix == ".js" and path.name != "first.js":
        assert text.startswith("/**"), "a module says what it is for"


# --- under a base path ------------------------------------------------------------------------------------------------


@pytest.fixture
async def placed_site(sqlite_url: str) -> AsyncIterator[Site]:
    site = Site(sqlite_url, base_path="/tools/amends")
    await site.start()
    yield site
    await site.stop()


async def test_under_a_base_path_everything_is_at_both_addresses(placed_site: Site) -> None:
    page = await placed_site.http.get("/tools/amends/sagas", headers=html)

    assert '<base href="/tools/amends/">' in page.text
    for base in ("", "/tools/amends"):
        assert (await placed_site.http.get(f"{base}/dashboard/{_digest(page)}/app.js")).status_code == 200
        assert (await placed_site.http.get(f"{base}/v1/sagas")).json() == {"items": [], "next": None, "total": None}
        assert (await placed_site.http.get(f"{base}/livez")).status_code == 200
        assert (await placed_site.http.get(base or "/", headers=html)).text == page.text
    problem_of(await placed_site.http.get("/tools/amendsx/v1/sagas"), 404, "not-found")


async def test_under_a_base_path_the_headers_lead_there_too(placed_site: Site) -> None:
    defined = await placed_site.http.post("/v1/definitions", json=chain)
    await placed_site.begin()
    started = await placed_site.http.post("/v1/sagas", json={"definition": "chain"})
    listed = await placed_site.http.get("/v1/sagas?limit=1")

    assert defined.headers["location"] == "/tools/amends/v1/definitions/chain/1"
    assert started.headers["location"].startswith("/tools/amends/v1/sagas/")
    assert listed.headers["link"].startswith("</tools/amends/v1/sagas?")
    assert listed.json()["next"].startswith("/v1/sagas?")


# --- other sites ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_what_another_sites_page_makes_a_browser_ask_changes_nothing(small_site: Site, site: str) -> None:
    await small_site.define(chain)
    saga_id = await small_site.begin()
    theirs = {"Sec-Fetch-Site": site}

    refused = await small_site.http.post(f"/v1/sagas/{saga_id}/cancel", headers=theirs)
    looked = await small_site.http.get(f"/v1/sagas/{saga_id}", headers=theirs)
    ours = await small_site.http.post(f"/v1/sagas/{saga_id}/pause", headers={"Sec-Fetch-Site": "same-origin"})

    problem_of(refused, 403, "other-site")
    assert looked.json()["status"] == "running"
    assert ours.status_code == 200
