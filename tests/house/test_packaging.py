"""What is packaged: two distributions that share no file, and versions that are all stated."""

from __future__ import annotations

import re
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder

root = Path(__file__).parents[2]
sdk = root / "participants" / "sdk"


def project(home: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((home / "pyproject.toml").read_text("utf-8"))["project"]
    return table


def wheel_of(home: Path, directory: Path) -> list[str]:
    (wheel,) = WheelBuilder(str(home)).build(directory=str(directory), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=; ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def test_the_two_wheels_share_no_file_and_hold_all_there_is(tmp_path: Path) -> None:
    ours, theirs = wheel_of(root, tmp_path), wheel_of(sdk, tmp_path)
    assert len(ours) == len(set(ours))
    assert not set(ours) & set(theirs)
    assert not [name for name in ours if "sdk" in name.split("/")]
    migrations = [path for path in (root / "migrations").rglob("*.py") if "__pycache__" not in path.parts]
    assert {f"coordinator/{path.relative_to(root).as_posix()}" for path in migrations} <= set(ours)
    dashboard = [path for path in (root / "coordinator" / "web" / "dashboard").rglob("*") if path.is_file()]
    files = {path.relative_to(root).as_posix() for path in dashboard if "__pycache__" not in path.parts}
    assert {"coordinator/web/dashboard/index.html", "coordinator/web/dashboard/vendor/preact.LICENSE"} <= files
    assert files <= set(ours)
    assert {"amends/__init__.py", "amends/py.typed"} <= set(theirs)
    for names in (ours, theirs):
        assert [name for name in names if name.endswith("licenses/LICENSE")]


def test_both_distributions_have_one_version_and_one_licence() -> None:
    assert project(root)["version"] == project(sdk)["version"]
    assert (root / "LICENSE").read_bytes() == (sdk / "LICENSE").read_bytes()


def test_the_sdk_asks_for_two_things_only() -> None:
    assert [name_of(requirement) for requirement in project(sdk)["dependencies"]] == ["opentelemetry-api", "pydantic"]


@pytest.mark.parametrize("home", [root, sdk], ids=["coordinator", "sdk"])
def test_every_dependency_is_pinned_to_the_version_it_was_tested_with(home: Path) -> None:
    lines = [line for line in (root / "constraints.txt").read_text("utf-8").splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[\w.+!]+", line)] == []
    pinned = {name_of(line) for line in lines}
    extras = project(home)["optional-dependencies"].values()
    asked = {name_of(each) for group in (project(home)["dependencies"], *extras) for each in group}
    assert asked - pinned - {"amends", "amends-coordinator"} == set()
