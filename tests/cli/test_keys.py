"""`amends keys`: the first one on the database, the others over the API; and whom a key is shown to."""

from __future__ import annotations

import json
import signal
import sqlite3
from pathlib import Path

import pytest

from tests.cli.test_cli import amends, start


@pytest.mark.slow
async def test_with_a_first_key_others_may_reach_it_and_are_asked(tmp_path: Path) -> None:
    database = {"AMENDS_DATABASE_URL": f"sqlite:///{tmp_path / 'amends.db'}"}
    early = await amends("keys", "create", "ada", "--direct", **database)
    assert (early.code, "amends db upgrade" in early.err) == (1, True)
    await amends("db", "upgrade", **database)
    first = ("--role", "admin", "--direct", "--reason", "the first")
    made = await amends("keys", "create", "ada", *first, "-o", "json", **database)
    assert made.code == 0, made.err
    key = json.loads(made.out)["key"]

    running = await start(tmp_path, "dev", "--host", "0.0.0.0")
    at = {"AMENDS_URL": running.url.replace("0.0.0.0", "127.0.0.1")}
    nobody = await amends("list", **at)
    assert (nobody.code, "who you are" in nobody.err) == (1, True)
    assert (await amends("list", "--api-key", key, **at)).code == 0

    second = await amends("keys", "create", "ci", "--role", "operator", "--for", "90d", AMENDS_KEY=key, **at)
    assert second.code == 0, second.err
    assert "does not see payloads" in second.out
    refused = await amends("keys", "list", AMENDS_KEY=second.out.splitlines()[0], **at)
    assert (refused.code, "ci is operator" in refused.err) == (1, True)
    prefix = second.out[:12]
    rotated = await amends("keys", "rotate", prefix, "--overlap", "1h", AMENDS_KEY=key, **at)
    assert rotated.code == 0, rotated.err
    revoked = await amends("keys", "revoke", prefix, "--reason", "ci is no more", AMENDS_KEY=key, **at)
    assert "is revoked" in revoked.out
    listed = await amends("keys", "list", AMENDS_KEY=key, **at)
    assert [word in listed.out for word in ("valid", "revoked", "ada")] == [True] * 3

    first_prefix = json.loads(made.out)["prefix"]
    directly = await amends("keys", "revoke", "--direct", first_prefix, "--reason", "lost", **database)
    assert directly.code == 0, directly.err
    with sqlite3.connect(tmp_path / "amends.db") as connection:
        kept = connection.execute("SELECT via, action, why FROM audit WHERE status < 400 ORDER BY id").fetchall()
        noted = connection.execute("SELECT before, after FROM audit WHERE via = 'database' ORDER BY id").fetchall()
    connection.close()
    assert [kept[0], *kept[-2:]] == [
        ("database", "POST /v1/keys", "the first"),
        ("key", "DELETE /v1/keys/{key_id}", "ci is no more"),
        ("database", "DELETE /v1/keys/{key_id}", "lost"),
    ]
    assert ['"ada"' in text for before, after in noted for text in (before, after)] == [False, True, True, True]
    assert key not in str(noted)
    running.process.send_signal(signal.SIGTERM)
    assert await running.ends() == 0
    assert "revoked" in (await amends("keys", "list", "--direct", **database)).out


@pytest.mark.slow
async def test_a_key_that_was_made_elsewhere_is_let_in_once_and_never_printed(tmp_path: Path) -> None:
    database = {"AMENDS_DATABASE_URL": f"sqlite:///{tmp_path / 'amends.db'}"}
    await amends("db", "upgrade", **database)
    minted = await amends("keys", "mint")
    key = minted.out.strip()
    assert (minted.code, minted.err) == (0, "")
    first = ["keys", "import", "admin", "--role", "admin", "--payloads"]

    nothing = await amends(*first, **database)
    assert (nothing.code, "AMENDS_KEY is not set" in nothing.err) == (2, True)
    let_in = await amends(*first, AMENDS_KEY=key, **database)
    assert let_in.code == 0, let_in.err
    assert "admin is let in: admin, sees payloads, valid" in let_in.out
    (tmp_path / "key").write_text(f"{key}\n")
    again = await amends("keys", "import", "other", "--file", str(tmp_path / "key"), "-o", "json", **database)
    assert again.code == 0, again.err
    found = json.loads(again.out)
    assert (found["new"], found["name"], found["role"], found["key"]) == (False, "admin", "admin", None)
    assert key not in let_in.out + let_in.err + again.out + again.err

    await amends("keys", "revoke", "--direct", key[:12], **database)
    revoked = await amends(*first, AMENDS_KEY=key, **database)
    assert (revoked.code, "stays as it was" in revoked.out, "revoked" in revoked.out) == (0, True, True)
    twin = await amends(*first, AMENDS_KEY=key[:20] + (await amends("keys", "mint")).out.strip()[20:], **database)
    assert (twin.code, "how another key begins" in twin.err) == (1, True)


@pytest.mark.slow
async def test_what_is_no_key_or_could_be_guessed_is_not_let_in(tmp_path: Path) -> None:
    database = {"AMENDS_DATABASE_URL": f"sqlite:///{tmp_path / 'amends.db'}"}
    await amends("db", "upgrade", **database)
    for key, says in (("amends_1", "no key"), ("amends_000000000000_" + "A" * 43, "not made of chance")):
        refused = await amends("keys", "import", "ada", AMENDS_KEY=key, **database)
        assert (refused.code, says in refused.err, key in refused.err) == (2, True, False)
    missing = await amends("keys", "import", "ada", "--file", str(tmp_path / "none"), **database)
    assert (missing.code, "No such file" in missing.err) == (2, True)


async def test_what_can_not_be_a_key_is_said_before_anybody_is_asked() -> None:
    nobody = {"AMENDS_URL": "http://127.0.0.1:1"}
    for wrong in (["create", "a b"], ["create", "ada", "--role", "root"], ["list", "--api-key", "a b"]):
        assert (await amends("keys", *wrong, **nobody)).code == 2


async def test_a_profiles_key_is_shown_to_that_profiles_coordinator_alone(tmp_path: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path)}
    await amends("profile", "set", "one", "--url", "http://127.0.0.1:1", "--api-key", "amends_1", **home)
    kept = (tmp_path / "amends" / "config.toml").read_text()
    assert "amends_1" in kept
    await amends("profile", "set", "one", "--url", "http://127.0.0.1:2", **home)
    assert "amends_1" not in (tmp_path / "amends" / "config.toml").read_text()
