"""Every README: its Python runs, its JSON is what it says it is, its commands exist, its links lead somewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from amends.message import Command, Heartbeat, Reply, decode
from coordinator.config import Settings
from coordinator.saga.registration import read_definition
from coordinator.schema import check_schema
from tests.docs.reading import Block, anchors, block, blocks, environment, link, prose, readmes, root

every_block = [one for path in readmes() for one in blocks(path)]
# Titled blocks of the first README are files of one example, which test_readme.py runs together.
loose_python = [one for one in every_block if one.language == "python" and one.path != root / "README.md"]
# What starts servers or takes them down is run by the tests of those servers, not by reading about it.
not_run_here = {"tests/README.md"}


def test_there_are_readmes_with_blocks() -> None:
    assert {path.relative_to(root).as_posix() for path in readmes()} >= {
        "README.md",
        "CHANGELOG.md",
        "coordinator/README.md",
        "participants/sdk/README.md",
        "migrations/README.md",
        "tests/README.md",
    }
    assert len(every_block) > 10


@pytest.mark.parametrize("one", every_block, ids=str)
def test_every_block_says_what_it_is(one: Block) -> None:
    assert one.language in {"python", "json", "sh", "text"}


@pytest.mark.parametrize("one", loose_python, ids=str)
def test_python_runs(one: Block, tmp_path: Path) -> None:
    script = tmp_path / "readme.py"
    script.write_text(one.text, "utf-8")
    if one.path.relative_to(root).as_posix() in not_run_here:
        compile(one.text, str(one), "exec")
        return
    # What serves for ever says so by its guard, and is only loaded here.
    how = ["-c", "import readme"] if "__main__" in one.text else [str(script)]
    done = subprocess.run(
        [sys.executable, "-W", "error", *how], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, f"{one}\n{done.stderr}"


@pytest.mark.parametrize("one", [one for one in every_block if one.language == "json"], ids=str)
def test_json_is_json(one: Block) -> None:
    json.loads(one.text)


@pytest.mark.parametrize(
    ("title", "kind"), [("commands", Command), ("replies", Reply), ("heartbeats", Heartbeat)], ids=str
)
def test_the_examples_of_the_wire_contract_can_be_read(title: str, kind: type) -> None:
    body = block(root / "participants" / "sdk" / "README.md", "json", title).encode()
    items = decode(body)
    assert len(items) == 1
    assert isinstance(items[0], kind), items[0]


def test_every_definition_shown_would_be_accepted() -> None:
    shown = [json.loads(one.text) for one in every_block if one.language == "json"]
    accepted = [read_definition(one, schema_fault=check_schema).name for one in shown if "steps" in one]
    assert {"place_order", "evening_out"} <= set(accepted)


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (root / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    named = {name for path in readmes() for name in re.findall(r"\bmake ([a-z][a-z-]*)", _code(path))}
    assert named >= {"demo", "test"}
    assert named - targets == set()


def test_every_verb_of_the_command_that_is_named_exists() -> None:
    named = {verb for path in readmes() for verb in re.findall(r"(?:^|[`/ ])amends ([a-z][a-z-]+)", _code(path))}
    missing = [verb for verb in sorted(named) if _amends(verb, "--help") != 0]
    assert missing == []


def test_every_address_that_is_called_exists() -> None:
    sources = "\n".join(path.read_text("utf-8") for path in (root / "coordinator" / "web" / "api").glob("*.py"))
    known = set(re.findall(r"\"(/v1/[a-z-]+)", sources))
    verbs = set(re.findall(r"\"(?:/v1/[a-z-]+)?(?:/\{[a-z_]+:str\})?(?:/steps/\{step:str\})?/([a-z]+)\"", sources))
    text = "\n".join(_code(path) for path in readmes())
    called = re.findall(r"(/v1/[a-z-]+)((?:/[\w$-]+)*)", text)
    assert len(called) >= 8
    assert {base for base, _ in called} - known == set()
    last = {rest.rsplit("/", 1)[1] for _, rest in called if rest.count("/") >= 2}
    assert {"cancel", "settle", "history"} <= last
    assert last - verbs == set()


def test_the_settings_are_listed_as_they_are() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| .*? \| (.*?) \|$", prose(root / "README.md"), re.MULTILINE))
    listed = {name: text for name, text in rows.items() if name.isupper()}
    fields = Settings.model_fields.items()
    assert listed == {
        str(field.validation_alias or f"AMENDS_{name.upper()}"): field.description for name, field in fields
    }


@pytest.mark.parametrize("path", readmes(), ids=lambda path: str(path.relative_to(root)))
def test_links_lead_somewhere(path: Path) -> None:
    broken = []
    for target in link.findall(prose(path)):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        file = (path.parent / place).resolve() if place else path
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("path", readmes(), ids=lambda path: str(path.relative_to(root)))
def test_lines_are_short_enough_to_read(path: Path) -> None:
    lines = prose(path).splitlines()
    long = [line for line in lines if len(line) > 125 and not line.startswith("|")]
    assert long == []


def _code(path: Path) -> str:
    """What is written as code: blocks of commands, and what stands in backticks."""
    shell = [one.text for one in blocks(path) if one.language == "sh"]
    return "\n".join([*shell, *re.findall(r"`([^`]+)`", prose(path))])


def _amends(*arguments: str) -> int:
    script = "import sys; from coordinator.cli import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", script, *arguments], env=environment(), capture_output=True).returncode
