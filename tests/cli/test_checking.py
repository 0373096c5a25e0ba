"""`amends doctor` and `amends verify` as processes, on databases that are well, and on those that somebody spoilt."""

from __future__ import annotations

import json
import signal
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from coordinator.cli.addresses import masked
from coordinator.cli.doctoring import Check, _clock, _disk, _size, examine
from coordinator.config import Settings
from tests.cli.test_cli import amends, start
from tests.store.made import later, noon
from tests.web.conftest import Site, chain

pytestmark = pytest.mark.slow


async def doctor(**settings: str) -> tuple[int, dict[str, dict[str, Any]], dict[str, Any]]:
    ran = await amends("doctor", "-o", "json", **settings)
    assert ran.out, ran.err
    document = json.loads(ran.out)
    return ran.code, {check["name"]: check for check in document["checks"]}, document


def spoil(site: Site, statement: str, *values: object) -> None:
    with sqlite3.connect(site.settings.database_url.partition("///")[2], timeout=30) as connection:
        connection.execute(statement, values)
    connection.close()


async def test_what_is_kept_is_replayed_and_found_as_it_is_stored(site: Site) -> None:
    await site.define(chain)
    await site.puppets(chain)
    done = await site.begin()
    await site.end(done)
    at = {"AMENDS_DATABASE_URL": site.settings.database_url}

    one = await amends("verify", done, **at)
    everything = await amends("verify", "--all", "--limit", "5", "-o", "json", **at)
    nothing = await amends("verify", "nothing", **at)

    assert (one.code, one.out) == (0, "1 replayed, 1 as stored, 0 not\n"), one.err
    assert json.loads(everything.out) == {"checked": 1, "sound": 1, "unsound": 0, "sagas": []}
    assert nothing.code == 4


async def test_what_somebody_changed_in_the_store_is_found(small_site: Site) -> None:
    await small_site.define(chain)
    await small_site.puppets(chain)
    column, record, step, cut, garbled = [await small_site.begin() for _ in range(5)]
    for saga_id in (column, record, step, cut, garbled):
        await small_site.end(saga_id)
    spoil(small_site, "UPDATE sagas SET status = 'compensated' WHERE id = ?", column)
    spoil(small_site, "UPDATE sagas SET record = replace(record, 'completed', 'closed') WHERE id = ?", record)
    spoil(small_site, "UPDATE steps SET result = '7' WHERE saga_id = ? AND name = 'charge'", step)
    spoil(small_site, "DELETE FROM history WHERE saga_id = ? AND seq = 2", cut)
    spoil(small_site, "UPDATE sagas SET record = '{' WHERE id = ?", garbled)

    ran = await amends("verify", "--all", "-o", "json", AMENDS_DATABASE_URL=small_site.settings.database_url)

    found = json.loads(ran.out)
    assert (ran.code, found["checked"], found["unsound"]) == (1, 5, 5)
    of = {saga["saga_id"]: saga for saga in found["sagas"]}
    assert [one["where"] for one in of[column]["differences"]] == ["column status"]
    assert [one["where"] for one in of[record]["differences"]] == ["status", "column status"]
    assert [(one["where"], one["stored"]) for one in of[step]["differences"]] == [("step charge: result", "7")]
    assert "lacks entry 2" in of[cut]["fault"]
    assert "can't be read" in of[garbled]["fault"]


async def test_a_doctor_finds_a_new_machine_in_order_and_says_what_to_do(tmp_path: Path) -> None:
    code, checks, document = await doctor(
        AMENDS_DATABASE_URL=f"sqlite:///{tmp_path / 'new' / 'amends.db'}",
        AMENDS_DIAGNOSIS_API_KEY="sk-secret",
        AMENDS_PORT="1",
    )

    assert (code, document["ok"]) == (0, True)
    assert document["settings"]["AMENDS_DIAGNOSIS_API_KEY"] == "***"
    assert (checks["database"]["state"], checks["coordinator"]["state"]) == ("warn", "warn")
    assert (checks["safety"]["state"], checks["access"]["state"]) == ("ok", "ok")
    assert "amends db upgrade" in checks["database"]["advice"]
    assert not (tmp_path / "new").exists(), "who looks makes nothing"
    text = await amends("doctor", AMENDS_LOG_LEVEL="LOUD", AMENDS_DATABASE_URL="mysql://u:pa55@h/x", AMENDS_PORT="1")
    assert (text.code, "no log level LOUD" in text.out, "pa55" in text.out) == (1, True, False)


async def test_a_doctor_sees_what_waits_who_is_missing_and_what_is_away(small_site: Site) -> None:
    await small_site.define(chain)
    await small_site.begin()
    await small_site.http.post("/v1/pauses", json={"scope": "participant", "name": "payment", "reason": "r"})
    spoil(small_site, "UPDATE outbox SET created_at = created_at - 600000000")

    code, checks, _ = await doctor(
        AMENDS_DATABASE_URL=small_site.settings.database_url,
        AMENDS_URL=small_site.url,
        AMENDS_HOST="0.0.0.0",
        AMENDS_BROKER_URL="amqp://guest:pa55@127.0.0.1:1/",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
    )

    states = {name: check["state"] for name, check in checks.items()}
    assert (code, states["broker"], states["access"]) == (1, "fail", "fail")
    assert "Nobody would be asked" in checks["access"]["message"]
    assert "pa55" not in json.dumps(checks)
    warned = {"configuration", "safety", "outbox", "pauses", "participants", "telemetry"}
    assert {name for name, state in states.items() if state == "warn"} == warned
    assert "inventory for 6" in checks["outbox"]["message"]
    assert "inventory, payment" in checks["participants"]["message"]
    assert states["coordinator"] == states["schema"] == "ok"
    spoil(small_site, "UPDATE alembic_version SET version_num = '0001'")
    _, checks, _ = await doctor(AMENDS_DATABASE_URL=small_site.settings.database_url, AMENDS_MIGRATE="false")
    assert checks["schema"]["state"] == "fail"
    assert (await amends("verify", "--all", AMENDS_DATABASE_URL=small_site.settings.database_url)).code == 1


async def test_a_doctor_tells_what_a_start_would_refuse_and_who_is_asked(small_site: Site) -> None:
    at = {"AMENDS_DATABASE_URL": small_site.settings.database_url, "AMENDS_URL": small_site.url}
    code, checks, _ = await doctor(
        **at, AMENDS_HOST="0.0.0.0", LITESTAR_DEBUG="1", AMENDS_BROKER_URL="amqp://ann:pa55@broker.invalid/"
    )
    assert (code, checks["safety"]["state"], checks["access"]["state"]) == (1, "fail", "fail")
    for said in ("LITESTAR_DEBUG", "amqps://", "AMENDS_REPLY_SECRET"):
        assert said in checks["safety"]["message"]
    assert "pa55" not in json.dumps(checks)

    made = (await small_site.http.post("/v1/keys", json={"name": "ada", "role": "admin"})).json()
    _, checks, _ = await doctor(**at, AMENDS_HOST="0.0.0.0")
    assert (checks["safety"]["state"], checks["access"]["state"]) == ("ok", "ok")
    assert "1 valid key" in checks["access"]["message"]
    await small_site.http.delete(f"/v1/keys/{made['id']}", headers={"Authorization": f"Bearer {made['key']}"})
    _, checks, _ = await doctor(**at)
    assert checks["access"]["state"] == "warn"
    _, checks, _ = await doctor(**at, AMENDS_OIDC_ISSUER="https://id.example", AMENDS_OIDC_AUDIENCE="amends")
    assert "tokens of https://id.example" in checks["access"]["message"]


async def test_a_database_that_is_away_is_said_in_a_sentence(tmp_path: Path) -> None:
    away = "postgresql://ann:pa55@127.0.0.1:1/amends"
    code, checks, _ = await doctor(AMENDS_DATABASE_URL=away, AMENDS_PORT="1")
    assert (code, checks["database"]["state"]) == (1, "fail")
    assert "pa55" not in json.dumps(checks)
    assert (await amends("verify", "--all", AMENDS_DATABASE_URL=away)).code == 3
    assert (await amends("verify", "--all", AMENDS_DATABASE_URL="mysql://x/y")).code == 2
    folder = f"sqlite:///{tmp_path}"
    assert (await amends("verify", "--all", AMENDS_DATABASE_URL=folder)).code == 2


@pytest.mark.rabbitmq
async def test_a_broker_that_is_there_has_its_queues(fresh_rabbitmq_url: str, tmp_path: Path) -> None:
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'amends.db'}",
        broker_url=fresh_rabbitmq_url,
        plaintext_to=str(urlsplit(fresh_rabbitmq_url).hostname),
        port=1,
    )
    checks = {check.name: check for check in (await examine(settings, None)).checks}
    assert checks["broker"].state == "ok"
    assert checks["configuration"].state == "warn"  # SQLite, and several processes


def test_clocks_that_are_apart_and_disks_that_are_full_are_told(tmp_path: Path) -> None:
    assert [_clock(noon, later(seconds), same_machine=False).state for seconds in (0.5, 3, 90)] == [
        "ok", "warn", "fail",
    ]  # fmt: skip
    assert isinstance(_disk(tmp_path / "a" / "b" / "amends.db"), Check)
    assert [_size(count) for count in (5, 5000, 5 * 1024**4)] == ["5 bytes", "4 KiB", "5 TiB"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:s3cret@db/x?sslpassword=a&ssl=1", "postgresql://ann:***@db/x?sslpassword=***&ssl=1"),
        ("amqp://guest:guest@h/", "amqp://guest:***@h/"),
        ("sqlite:///.amends/amends.db", "sqlite:///.amends/amends.db"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    assert masked(url) == shown


async def test_what_dev_keeps_stays_unless_it_is_told_otherwise(tmp_path: Path) -> None:
    for arguments, kept in (((), True), (("--ephemeral",), False)):
        running = await start(tmp_path, "dev", *arguments)
        running.process.send_signal(signal.SIGTERM)
        assert await running.ends() == 0
        said = "\n".join(running.said)
        for word in ("Amends ", "mode", "database", "broker", "dashboard", "API", "metrics"):
            assert word in said
        assert ("stays there" in said, "--ephemeral" in said) == (kept, not kept)
        assert ((tmp_path / "amends.db").exists(), str(tmp_path / "amends.db") in said) == (kept, kept)
        (tmp_path / "amends.db").unlink(missing_ok=True)
