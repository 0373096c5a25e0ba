"""The compose file: nothing open but to this machine, no password in it, ours without rights, and names that fit."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from coordinator.access.keys import mint, new_text
from coordinator.cli.safety import unsafe
from coordinator.config import Settings
from coordinator.store.access import Role

root = Path(__file__).parents[2]
text = (root / "compose.yaml").read_text("utf-8")
compose: dict[str, Any] = yaml.safe_load(text)
services: dict[str, dict[str, Any]] = compose["services"]
ours = {name: one for name, one in services.items() if one["image"].startswith("amends-")}
shop = ("order", "inventory", "payment", "delivery", "notification")
script = root / "deploy" / "compose" / "passwords.py"


def made(folder: Path) -> dict[str, str]:
    """What the script writes."""
    done = subprocess.run([sys.executable, script, folder / ".env"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in (folder / ".env").read_text("utf-8").splitlines())


def test_every_password_is_made_up_kept_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    first = made(tmp_path)
    assert len(set(first.values())) == len(first)
    assert min(map(len, first.values())) >= 32
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert made(tmp_path) == first
    (tmp_path / ".env").write_text("REPLY_SECRET=mine", "utf-8")
    assert made(tmp_path).items() >= {"REPLY_SECRET": "mine"}.items()
    assert set(made(tmp_path)) == set(first)


def test_keys_are_of_the_form_that_is_let_in(tmp_path: Path) -> None:
    for name in ("ADMIN_KEY", "SHOP_KEY"):
        _, text = mint("ada", Role.ADMIN, payloads=True, by="test", now=datetime.now(UTC), text=made(tmp_path)[name])
        assert len(text) == len(new_text())


def test_what_the_file_asks_for_is_made_or_is_a_port(tmp_path: Path) -> None:
    asked: dict[str, str] = dict(re.findall(r"\$\{([A-Z_]+)(:?[-?][^}]*)?\}", text))
    ports = {name for name in asked if name.endswith("_PORT")}
    assert asked.keys() - ports == set(made(tmp_path))
    assert all(not asked[name].startswith(":-") for name in asked.keys() - ports)  # no password by default


def test_nothing_is_open_but_to_this_machine() -> None:
    published = [port for one in services.values() for port in one.get("ports", ())]
    assert len(published) >= 6
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []
    assert "5432" not in str(published)
    assert "5672" not in str([port for port in published if "15672" not in port])


@pytest.mark.parametrize("name", ours)
def test_our_containers_have_no_rights(name: str) -> None:
    one = ours[name]
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in one
    assert "user" not in one  # the image's own, which is not root


def test_images_of_others_have_a_version() -> None:
    others = {one["image"] for name, one in services.items() if name not in ours}
    assert [image for image in others if not re.search(r":v?\d", image)] == []


def test_each_service_of_the_shop_has_its_own_database_and_user() -> None:
    for name in shop:
        variables = services[name]["environment"]
        password = f"${{{name.upper()}_PASSWORD}}"
        assert variables["AMENDS_BROKER_URL"] == f"amqp://amends-{name}:{password}@rabbitmq/"
        assert variables[f"AMENDS_{name.upper()}_DATABASE_URL"] == f"postgresql://{name}:{password}@postgres/{name}"
        assert services[name]["command"] == ["python", "-m", f"participants.{name}"]
        assert f" {name}" in (root / "deploy" / "compose" / "databases.sh").read_text("utf-8")
        others = {f"{other.upper()}_PASSWORD" for other in shop if other != name}
        assert [other for other in others if other in str(variables)] == []
    setup = services["broker-setup"]
    assert setup["command"] == ["amends", "broker", "setup", *shop]
    told = {f"AMENDS_BROKER_PASSWORD_{name.upper()}" for name in ("coordinator", *shop)}
    assert told < set(setup["environment"])


def test_what_coordinators_are_told_is_a_setting() -> None:
    settings = {
        str(field.validation_alias or f"AMENDS_{name.upper()}") for name, field in Settings.model_fields.items()
    }
    for name in ("coordinator", "coordinator-2"):
        assert set(services[name]["environment"]) <= settings
    assert services["coordinator"]["environment"]["AMENDS_BROKER_PARTICIPANT_USER"] == "amends-{participant}"
    assert services["broker-setup"]["environment"]["AMENDS_BROKER_PARTICIPANT_USER"] == "amends-{participant}"


@pytest.mark.parametrize("name", ["coordinator", "coordinator-2"])
def test_a_coordinator_starts_safely_and_knows_no_key(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "command" not in services[name]  # the image's own, which is `amends serve`
    assert '\nCMD ["amends", "serve"]\n' in (root / "Dockerfile").read_text("utf-8")
    assert "insecure" not in text
    assert "_KEY" not in str(services[name]["environment"])
    for variable, value in services[name]["environment"].items():
        monkeypatch.setenv(
            variable, re.sub(r"\$\{[A-Z_]+(?::-(\d+)|:\?[^}]*)?\}", lambda one: one[1] or "x" * 48, value)
        )
    monkeypatch.setenv("AMENDS_HOST", "0.0.0.0")
    settings = Settings()
    assert unsafe(settings) is None
    assert unsafe(settings.model_copy(update={"plaintext_to": ""})) is not None
    assert services[name]["depends_on"]["keys"] == {"condition": "service_completed_successfully"}


def test_keys_are_let_in_once_and_shown_by_who_needs_them() -> None:
    knowing = {name for name, one in services.items() if "_KEY}" in str(one) or "_KEY:?" in str(one)}
    assert knowing == {"keys", "first-order"}
    assert services["first-order"]["environment"]["AMENDS_KEY"] == "${SHOP_KEY}"
    assert services["keys"]["depends_on"] == {"migration": {"condition": "service_completed_successfully"}}


def test_nothing_starts_before_what_it_stands_on() -> None:
    waits = {name: one.get("depends_on", {}) for name, one in services.items()}
    assert waits["coordinator"]["keys"] == waits["coordinator"]["broker-setup"] == waits["keys"]["migration"]
    assert waits["coordinator"]["keys"] == {"condition": "service_completed_successfully"}
    for name in shop:
        assert waits[name] == {"coordinator": {"condition": "service_healthy"}}
    for one in waits.values():
        for stood_on, how in one.items() if isinstance(one, dict) else ():
            if how["condition"] == "service_healthy" and stood_on not in ours:
                assert "healthcheck" in services[stood_on]


def test_the_file_that_tells_a_service_is_alive_is_the_one_that_is_looked_at() -> None:
    dockerfile = (root / "Dockerfile").read_text("utf-8")
    (file,) = re.findall(r"AMENDS_ALIVE_FILE=(\S+)", dockerfile)
    assert f"os.stat('{file}')" in dockerfile
    assert re.findall(r"^USER (\S+)$", dockerfile, re.MULTILINE) == ["10001:10001"]


def test_what_is_mounted_is_there() -> None:
    mounted = [volume.split(":")[0] for one in services.values() for volume in one.get("volumes", ())]
    places = [place for place in mounted if place.startswith("./")]
    assert len(places) >= 7
    assert [place for place in places if not (root / place).exists()] == []
    assert {place for place in mounted if not place.startswith("./")} == set(compose["volumes"])
