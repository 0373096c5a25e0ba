"""The commands that ask why, against a coordinator that answers as a real one does: in a process of their own."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys

import pytest

from coordinator.store.explained import RemedyState
from tests.cli.test_cli import amends, environment
from tests.web.conftest import Site
from tests.web.failures import failed_saga, incident, remedy, reported

pytestmark = pytest.mark.slow


async def test_a_failed_saga_is_explained_as_text_markdown_and_json(small_site: Site) -> None:
    saga_id = await failed_saga(small_site)
    at = {"AMENDS_URL": small_site.url, "COLUMNS": "70"}

    text = await amends("explain", saga_id, **at)
    markdown = await amends("explain", saga_id, "-o", "markdown", **at)
    told = await amends("explain", saga_id, "-o", "json", **at)

    assert (text.code, text.err) == (0, "")
    assert "Did it happen?" in text.out.splitlines()
    assert max(map(len, text.out.splitlines())) <= 70
    assert markdown.out.startswith("# ")
    assert json.loads(told.out)["saga_id"] == saga_id
    nothing = await amends("explain", "x", **at)
    assert (nothing.code, "There is no such saga" in nothing.err) == (4, True)


async def test_incidents_are_listed_shown_and_judged(small_site: Site) -> None:
    incident_id = await incident(small_site, sagas=3)
    other = await incident(small_site, family="other")
    await reported(small_site, incident_id, headline="payment can't\u202e connect to card-provider")
    at = {"AMENDS_URL": small_site.url}

    listed = await amends("incidents", **at)
    only = await amends("incidents", "list", "--class", "downstream_timeout", "-o", "json", **at)
    shown = await amends("incidents", "show", incident_id, **at)
    said = await amends("feedback", incident_id, "--correct", "--resolution", "they mended it", "--by", "ann", **at)

    assert re.search(rf"{incident_id} +open +3 .* downstream_timeout +87 % +payment can't\? connect", listed.out)
    assert re.search(rf"{other} +open +1 .* - +- +not analysed yet", listed.out)
    assert [item["id"] for item in json.loads(only.out)] == [incident_id]
    assert "How it came about" in shown.out
    assert (said.code, said.out) == (0, "kept, of report 1: thank you\n")
    full = json.loads((await amends("incidents", "show", incident_id, "-o", "json", **at)).out)
    assert (full["feedback"]["verdict"], full["incident"]["resolution"]) == ("correct", "they mended it")
    assert (await amends("feedback", incident_id, **at)).code == 2
    assert (await amends("incidents", "list", "--status", "merged", **at)).out == "no incident\n"


async def test_remedies_are_listed_and_decided(small_site: Site) -> None:
    incident_id = await incident(small_site)
    shadow = await remedy(small_site, incident_id, RemedyState.SHADOW)
    at = {"AMENDS_URL": small_site.url}

    listed = await amends("remedies", **at)
    rejected = await amends("remedies", "reject", shadow, "--reason", "not now", **at)
    late = await amends("remedies", "approve", shadow, **at)

    assert re.search(rf"{shadow} +shadow +open_circuit +participant payment", listed.out)
    assert re.search(rf"{shadow} +rejected", rejected.out)
    assert (late.code, "can't be approved" in late.err) == (1, True)
    assert (await amends("remedies", "undo", shadow, **at)).code == 1
    assert (await amends("remedies", "list", "--state", "begun", **at)).out == "no remedy\n"


async def test_a_deploy_is_announced(small_site: Site) -> None:
    at = {"AMENDS_URL": small_site.url}

    told = await amends("announce", "payment 1.4.2 is out", "--subject", "participant payment", "--by", "ci", **at)

    assert (told.code, told.out.startswith("announced: payment 1.4.2 is out")) == (0, True), told.err
    (change,) = (await small_site.http.get("/v1/changes")).json()["items"]
    assert (change["subject"], change["facts"]["by"]) == ("participant payment", "ci")


async def test_who_only_asks_why_loads_nothing_heavy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    script = (
        "import sys, typer.testing; from coordinator.cli import app; "
        f"result = typer.testing.CliRunner().invoke(app, ['explain', 'x', '--url', '{url}']); "
        "heavy = {'litestar', 'sqlalchemy', 'alembic', 'uvicorn', 'aio_pika', 'coordinator.diagnosis', 'openai'}; "
        "print(result.exit_code, sorted(heavy & set(sys.modules)))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, env=environment(), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()

    assert out.decode().strip() == "3 []"
