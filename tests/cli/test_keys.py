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
    with sqlite3.connect(tmp_path / "amends.db", timeout=30) as connection:
        kept = connection.execute("SELECT via, action, why FROM audit WHERE status < 400 ORDER BY id").fetchall()
    assert [kept[0], *kept[-2:]] == [
        ("database", "POST /v1/keys", "the first"),
        ("key", "DELETE /v1/keys/{key_id}", "ci is no more"),
        ("database", "DELETE /v1/keys/{key_id}", "lost"),
    ]
    running.process.send_signal(signal.SIGTERM)
    assert await running.ends() == 0
    assert "revoked" in (await amends("keys", "list", "--direct", **database)).out


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
