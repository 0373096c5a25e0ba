"""The commands that operate sagas and what carries them, each as a process, against a coordinator that answers."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from amends.broker import Address
from amends.message import Answer, Command, Kind, Reply
from tests.cli.test_cli import amends, command, environment
from tests.engine.puppet import answer
from tests.waiting import eventually
from tests.web.conftest import Site, chain

pytestmark = pytest.mark.slow

stuck: dict[str, Any] = {
    **chain,
    "name": "stuck",
    "steps": [{**step, "compensation_retry": {"max_attempts": 1}} for step in chain["steps"]],
}


def can_not_undo(command: Command) -> Reply:
    """Payment refuses, and inventory can't take back what it did."""
    if command.step == "charge":
        return answer(command, Answer.REFUSED)
    return answer(command, Answer.REFUSED) if command.kind is Kind.COMPENSATION else answer(command)


async def blocked(site: Site) -> str:
    await site.define(stuck)
    saga_id = await site.begin("stuck")

    async def is_blocked() -> bool:
        return str((await site.saga(saga_id))["status"]) == "blocked"

    await eventually(is_blocked, "the saga to be blocked")
    return saga_id


async def test_a_blocked_saga_is_retried_settled_waived_and_closed(small_site: Site) -> None:
    await small_site.puppets(stuck, can_not_undo)
    first, second, third = [await blocked(small_site) for _ in range(3)]
    at = {"AMENDS_URL": small_site.url, "AMENDS_USER": "Zoë"}

    would = await amends("retry", first, "--dry-run", "-o", "json", **at)
    nothing = await amends("skip", first, "--reason", "r", **at)
    retried = await amends("retry", first, **at)
    unsaid = await amends("settle", first, "reserve", "--undone", **at)
    settled = await amends("settle", first, "--undone", "--reason", "by hand", "-o", "json", **at)
    waived = await amends("waive", second, "reserve", "--reason", "a lamp less", "--as", "bob", **at)
    closed = await amends("close", third, "--reason", "over", "-o", "json", **at)

    assert json.loads(would.out) == {
        "verb": "retry", "saga_id": first, "status": "blocked", "steps": ["reserve"], "would": "change",
    }  # fmt: skip
    assert (nothing.code, "no step to skip now" in nothing.err) == (1, True)
    assert (retried.code, retried.err) == (0, "")
    assert (unsaid.code, "--reason" in unsaid.err) == (2, True)
    assert settled.code in (0, 1), settled.err  # the retry may have ended first, or not
    assert (waived.code, waived.err) == (0, "")
    assert json.loads(closed.out)["status"] == "closed"
    assert (await small_site.end(second))["effects_left"][0]["because"] == "waived"
    history = (await small_site.http.get(f"/v1/sagas/{second}/history")).json()["items"]
    assert [entry["facts"]["by"] for entry in history if entry["event"] == "WaiveRequested"] == ["bob"]
    history = (await small_site.http.get(f"/v1/sagas/{third}/history")).json()["items"]
    assert [entry["facts"]["by"] for entry in history if entry["event"] == "CloseRequested"] == ["Zoë"]
    again = await amends("close", third, "--reason", "over", "-o", "json", **at)
    assert (again.code, again.out, json.loads(again.err)["exit_code"]) == (1, "", 1)


async def test_what_is_asked_must_make_sense(small_site: Site) -> None:
    at = {"AMENDS_URL": small_site.url}
    for arguments, said in (
        (("retry",), "--status blocked"),
        (("retry", "x", "--status", "blocked"), "not both"),
        (("retry", "--status", "blocked", "--input", "1"), "one saga's step"),
        (("skip", "--status", "blocked", "--reason", "r"), "--step"),
        (("pause",), "--participant or --all"),
        (("pause", "--all", "--participant", "p", "--reason", "r"), "one of them"),
        (("pause", "--tag", "t", "--reason", "r"), "--each"),
        (("pause", "x", "--for", "5m"), "one saga"),
        (("resume", "--all", "--for", "5m"), "--rate"),
        (("list", "--stuck-for", "long"), "90s"),
        (("list", "--since", "then"), "2030-01-31"),
        (("verify",), "--all"),
    ):
        ran = await amends(*arguments, **at)
        assert (ran.code, said in ran.err) == (2, True), (arguments, ran.err)


async def test_a_participant_is_paused_seen_and_let_go_slowly(small_site: Site) -> None:
    await small_site.define(chain)
    await small_site.puppets(chain)
    at = {"AMENDS_URL": small_site.url, "AMENDS_USER": "ann"}

    paused = await amends("pause", "--participant", "payment", "--reason", "night", "--for", "1h", **at)
    listed = await amends("pauses", "-o", "json", **at)
    participants = await amends("participants", **at)
    one = await amends("participants", "show", "payment", **at)
    resumed = await amends("resume", "--participant", "payment", "--rate", "5", "--for", "10m", **at)
    slowed = await amends("pauses", **at)
    free = await amends("resume", "--participant", "payment", **at)
    gone = await amends("resume", "--participant", "payment", **at)

    assert (paused.code, paused.err) == (0, "")
    (hold,) = json.loads(listed.out)
    assert (hold["name"], hold["by"], hold["reason"], hold["ends_at"] is not None) == ("payment", "ann", "night", True)
    assert re.search(r"payment +yes +1 of 1 .* paused", participants.out)
    assert "payment-1" in one.out
    assert "payment gets 5 per second until" in resumed.out
    assert re.search(r"participant payment +5 per second .* ann", slowed.out)
    assert (free.code, free.out.strip()) == (0, "participant payment goes on")
    assert (gone.code, "not paused" in gone.err) == (4, True)


async def test_a_saga_is_paused_resumed_and_followed_to_its_end(small_site: Site) -> None:
    await small_site.define(chain)
    saga_id = await small_site.begin()
    at = {"AMENDS_URL": small_site.url, "COLUMNS": "140"}

    paused = await amends("pause", saga_id, "--reason", "a look\u202e", "--as", "ann", **at)
    assert re.search(r"paused since .* by ann: a look\?", paused.out)
    watching = asyncio.ensure_future(amends("show", saga_id, "--watch", **at))
    silent = asyncio.ensure_future(amends("show", saga_id, "--watch", "-o", "json", **at))
    assert (await amends("resume", saga_id, **at)).code == 0
    await small_site.puppets(chain)

    ran, told = await watching, await silent
    assert (ran.code, ran.err) == (0, "")
    assert re.search(r"✓ completed +2 of 2 steps done", ran.out)
    assert re.search(r"charge +✓ succeeded +1", ran.out)
    assert (told.code, json.loads(told.out)["status"]) == (0, "completed")
    cancelled = await small_site.begin()
    await small_site.end(cancelled)
    assert (await amends("cancel", cancelled, **at)).code == 1


async def test_a_saga_that_is_waited_for_and_does_not_complete_is_told_by_the_exit_code(small_site: Site) -> None:
    await small_site.define(chain)
    at = {"AMENDS_URL": small_site.url}
    late = await amends("start", "chain", "--wait", "--timeout", "100ms", **at)
    await small_site.puppets(chain, lambda one: answer(one, Answer.REFUSED) if one.step == "charge" else answer(one))
    turned = await amends("start", "chain", "--wait", **at)

    assert (late.code, "is running after" in late.err) == (6, True)
    assert (turned.code, "compensated" in turned.out) == (5, True)


async def test_dead_letters_and_the_outbox_are_seen_and_decided(small_site: Site) -> None:
    await small_site.app.broker.publish(Address("replies", "payment"), b"what is \x1b[31mthis")

    async def kept() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await small_site.http.get("/v1/dead-letters")).json()["items"]
        return found

    (letter,) = await eventually(kept, "the dead letter to be kept")
    await small_site.define(chain)
    await small_site.begin()
    at = {"AMENDS_URL": small_site.url, "AMENDS_USER": "ann"}

    listed = await amends("dead-letters", **at)
    shown = await amends("dead-letters", "show", letter["id"], **at)
    redriven = await amends("dead-letters", "redrive", letter["id"], **at)
    discarded = await amends("dead-letters", "discard", letter["id"], "--reason", "noise", "-o", "json", **at)
    left = await amends("dead-letters", "list", "--status", "open", **at)
    outbox = await amends("outbox", **at)
    parked = await amends("outbox", "redrive", "nothing", **at)

    assert letter["id"] in listed.out
    assert "what is ?[31mthis" in shown.out
    assert redriven.code == 1
    assert (json.loads(discarded.out)["status"], json.loads(discarded.out)["resolved_by"]) == ("discarded", "ann")
    assert left.out == "no dead letter\n"
    assert re.search(r"inventory +1 +0", outbox.out)
    assert parked.code == 4


async def test_a_shell_completes_what_the_coordinator_knows_and_waits_for_none(small_site: Site) -> None:
    await small_site.define(chain)
    saga_id = await small_site.begin()
    await small_site.puppet("payment")

    async def completed(*words: str, url: str) -> list[str]:
        line = " ".join(("amends", *words))
        asked = {"_AMENDS_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "import sys; sys.argv[0] = 'amends'; " + command[-1],
            env=environment(AMENDS_URL=url, **asked), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
        return out.decode().split()

    assert await completed("show", saga_id[:8], url=small_site.url) == [saga_id]
    assert await completed("start", "ch", url=small_site.url) == ["chain"]
    assert await completed("participants", "show", "p", url=small_site.url) == ["payment"]
    assert await completed("show", saga_id[:8], url="http://127.0.0.1:1") == []


async def test_profiles_name_coordinators(small_site: Site, tmp_path: Path) -> None:
    at = {"XDG_CONFIG_HOME": str(tmp_path)}
    file = tmp_path / "amends" / "config.toml"

    assert "no profile" in (await amends("profile", "list", **at)).out
    assert (await amends("profile", "set", "here", "--url", small_site.url, **at)).code == 0
    assert (await amends("profile", "set", "there", "--url", "http://127.0.0.1:1", **at)).code == 0
    assert file.stat().st_mode & 0o77 == 0
    assert (await amends("list", **at)).out == "no saga\n"  # the first is used at once
    assert (await amends("list", "--profile", "there", **at)).code == 3
    assert (await amends("list", **at, AMENDS_PROFILE="there")).code == 3
    assert (await amends("list", "--profile", "here", **at, AMENDS_URL="http://127.0.0.1:1")).code == 0
    assert (await amends("profile", "use", "there", **at)).code == 0
    listed = json.loads((await amends("profile", "list", "-o", "json", **at)).out)["items"]
    assert [(one["name"], one["current"]) for one in listed] == [("here", False), ("there", True)]
    assert (await amends("list", **at)).code == 3
    assert (await amends("profile", "remove", "there", **at)).code == 0
    assert (await amends("profile", "use", "there", **at)).code == 4
    assert (await amends("profile", "remove", "there", **at)).code == 4
    assert (await amends("list", "--profile", "there", **at)).code == 2
    assert (await amends("profile", "set", "a b", "--url", "http://x", **at)).code == 2
    assert (await amends("profile", "set", "a", "--url", "ftp://x", **at)).code == 2
    for broken in ("current = ", '[profiles]\nhere = "text"\n'):
        file.write_text(broken)
        assert (await amends("list", **at)).code == 2
    file.unlink()
    file.mkdir()
    assert (await amends("list", **at)).code == 2
    (tmp_path / "file").write_text("")
    assert (await amends("profile", "set", "a", "--url", "http://x", XDG_CONFIG_HOME=str(tmp_path / "file"))).code == 2
