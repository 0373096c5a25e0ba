"""Verbs that are asked of all sagas that fit a filter, as processes."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
from typing import Any

import pytest

from tests.cli.test_cli import amends, command, environment
from tests.waiting import eventually
from tests.web.conftest import Site, chain

pytestmark = pytest.mark.slow


async def three(site: Site) -> list[str]:
    """Three sagas that wait for somebody who isn't there."""
    await site.define(chain)
    return [await site.begin(tags=["old"]) for _ in range(3)]


async def statuses(site: Site) -> set[str]:
    return {saga["status"] for saga in (await site.http.get("/v1/sagas")).json()["items"]}


async def test_all_that_fit_are_counted_first_and_cancelled_when_that_is_said(small_site: Site) -> None:
    ids = await three(small_site)
    at = {"AMENDS_URL": small_site.url, "AMENDS_USER": "ann"}

    trial = await amends("cancel", "--tag", "old", "--status", "running,blocked", "--dry-run", **at)
    unsaid = await amends("cancel", "--tag", "old", "--reason", "recalled", **at)
    assert (trial.code, unsaid.code) == (0, 2), trial.err
    assert "would be asked of 3 sagas; nothing was done" in trial.out
    assert all(saga_id in trial.out for saga_id in ids)
    assert "this would cancel 3 sagas" in unsaid.err
    assert await statuses(small_site) == {"running"}

    done = await amends("cancel", "--tag", "old", "--reason", "recalled", "--yes", "-o", "json", **at)
    bulk = json.loads(done.out)
    assert (done.code, done.err, bulk["state"], bulk["changed"], bulk["by"]) == (0, "", "done", 3, "ann")
    assert await statuses(small_site) == {"compensating"}
    refused = await amends("cancel", "--tag", "old", "--reason", "again", "--yes", **at)
    listed = await amends("bulk", "list", **at)
    shown = await amends("bulk", "show", bulk["id"], "--watch", **at)
    assert refused.code in (0, 1)
    assert re.search(rf"{bulk['id']} +cancel +done +3 +3", listed.out)
    assert "cancel of 3 sagas by ann: recalled" in shown.out
    assert (await amends("bulk", "cancel", bulk["id"], **at)).code == 1
    assert (await amends("bulk", "show", "nothing", **at)).code == 4


async def test_each_saga_that_fits_is_paused_and_resumed(small_site: Site) -> None:
    await three(small_site)
    at = {"AMENDS_URL": small_site.url}

    paused = await amends("pause", "--each", "--definition", "chain", "--reason", "look", "--yes", **at)
    assert (paused.code, "3 changed" in paused.out) == (0, True), paused.err
    again = await amends("retry", "--definition", "chain", "--reason", "r", "--yes", **at)
    assert (again.code, "3 refused" in again.out) == (1, True), again.out + again.err
    resumed = await amends("resume", "--each", "--definition", "chain", "--reason", "go", "--yes", **at)
    assert (resumed.code, "3 changed" in resumed.out) == (0, True)


async def test_who_follows_is_told_when_it_is_ended_before_its_end(small_site: Site) -> None:
    await three(small_site)
    at = {"AMENDS_URL": small_site.url}
    begun = await amends(
        "cancel", "--tag", "old", "--reason", "r", "--yes", "--rate", "1", "--no-wait", "-o", "json", **at
    )
    bulk_id = json.loads(begun.out)["id"]
    process = await asyncio.create_subprocess_exec(
        *command, "bulk", "show", bulk_id, "--watch", env=environment(**at), stderr=asyncio.subprocess.PIPE
    )

    async def looked() -> bool:
        return int((await small_site.http.get(f"/v1/bulk/{bulk_id}")).json()["handled"]) > 0

    await eventually(looked, "the first saga to be asked")
    stopped = await amends("bulk", "cancel", bulk_id, "--reason", "enough", **at)
    assert process.stderr
    async with asyncio.timeout(30):
        await process.stderr.read()
        code = await process.wait()
    assert (stopped.code, code) in ((0, 1), (1, 0))  # it was in time, or all had been asked


async def test_at_a_terminal_one_is_asked_and_sees_a_bar(small_site: Site) -> None:
    for _ in range(4):
        await three(small_site)  # one a second: it lasts until somebody has pressed a key
    leader, follower = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *command, "cancel", "--tag", "old", "--rate", "1",
        env=environment(AMENDS_URL=small_site.url, TERM="xterm", COLUMNS="100"),
        stdin=follower, stdout=follower, stderr=follower, start_new_session=True, preexec_fn=_interruptible,
    )  # fmt: skip
    os.close(follower)
    said: list[bytes] = []
    loop = asyncio.get_running_loop()
    loop.add_reader(leader, lambda: said.append(_read(leader)))

    async def heard(words: bytes) -> None:
        async def found() -> bool:
            return words in b"".join(said)

        await eventually(found, words.decode())

    try:
        await heard(b"Why?")
        os.write(leader, b"recalled\n")
        await heard(b"cancel 12 sagas?")
        os.write(leader, b"y\n")
        await heard(b"/12")
        process.send_signal(signal.SIGINT)
        await heard(b"it goes on without you")
        assert await process.wait() == 130
    finally:
        loop.remove_reader(leader)
        os.close(leader)

    async def asked() -> dict[str, Any] | None:
        (bulk,) = (await small_site.http.get("/v1/bulk")).json()["items"]
        return bulk if bulk["state"] == "done" else None

    assert (await eventually(asked, "the rest to be asked"))["changed"] == 12


def _interruptible() -> None:
    """As at a terminal: what a shell runs in its background, these tests for example, is deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _read(file: int) -> bytes:
    try:
        return os.read(file, 4096)
    except OSError:
        return b""  # the process has ended, and its terminal with it
