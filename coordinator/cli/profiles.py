"""Coordinators under names of one's own: `amends profile`, kept in `~/.config/amends/config.toml`.

Whom a command asks is what it was told most closely: `--url`, `--profile`, AMENDS_URL, AMENDS_PROFILE, the profile in
use, and without any of these the coordinator of `amends dev`. AMENDS_KEY counts before a profile's key, and a profile's
key is shown to that profile's coordinator alone.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from coordinator.cli.telling import Form, columns, fail, tell, unknown_code, usage_code

default_url = "http://127.0.0.1:8274"

app = typer.Typer(help="Coordinators under names of one's own.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="the profile's name")]
Output = Annotated[Form, typer.Option("-o", "--output", help="how to answer")]

_name = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")


@dataclass(frozen=True)
class Profiles:
    """What the file says: the profile in use, and each one's facts."""

    current: str | None = None
    of: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def place() -> Path:
    """Where the profiles are kept."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "amends" / "config.toml"


def read() -> Profiles:
    """The profiles; none where there is no file. Ends the command over one that can't be read."""
    import tomllib  # only where a profile may matter

    path = place()
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Profiles()
    except (OSError, ValueError) as error:
        fail(f"{path} can't be read: {error}", usage_code)
    current, profiles = found.get("current"), found.get("profiles", {})
    tables = [profiles, *profiles.values()] if isinstance(profiles, dict) else [None]
    texts = [fact for table in tables[1:] if isinstance(table, dict) for fact in table.values()]
    if not all(isinstance(table, dict) for table in tables) or not all(isinstance(text, str) for text in texts):
        fail(f"{path}: a profile is a table of texts, [profiles.NAME] with url = …", usage_code)
    return Profiles(str(current) if current else None, profiles)


def place_of(url: str | None, profile: str | None) -> tuple[str, str | None]:
    """Whom to ask, and the key to show. Ends the command over a profile that isn't there."""
    key = os.environ.get("AMENDS_KEY") or None
    if url:
        return url, key
    if profile is None and (stated := os.environ.get("AMENDS_URL")):
        return stated, key
    name = profile or os.environ.get("AMENDS_PROFILE")
    known = read()
    name = name or known.current
    if not name:
        return default_url, key
    facts = known.of.get(name)
    if facts is None or "url" not in facts:
        fail(f"there is no profile {name} with a url in {place()}; amends profile set {name} --url …", usage_code)
    return facts["url"], key or facts.get("key")


@app.command("list")
def list_profiles(output: Output = Form.TEXT) -> None:
    """List the profiles; the one in use is marked."""
    known = read()
    found = [
        {"name": name, "url": facts.get("url"), "current": name == known.current} for name, facts in known.of.items()
    ]
    none = f"no profile; `amends profile set NAME --url URL` makes one, in {place()}"
    tell({"items": found}, output, lambda answer: columns(answer["items"], ("name", "url", "current"), none))


@app.command("set")
def set_profile(
    name: Name,
    url: Annotated[str, typer.Option(help="where the coordinator is")],
    api_key: Annotated[str | None, typer.Option(help="the key to show it; kept in a file that is yours alone")] = None,
    use: Annotated[bool, typer.Option("--use", help="and use it from now on")] = False,
) -> None:
    """Make a profile, or change it. The first one is used at once."""
    if not _name.fullmatch(name):
        fail(f"{name!r} can't be the name of a profile: letters, digits, - and _, beginning with a letter", usage_code)
    if not re.match(r"https?://[^/\s]+", url):
        fail(f"{url!r} is no address of a coordinator: http://… or https://…", usage_code)
    known = read()
    current = name if use or known.current is None else known.current
    before = known.of.get(name, {})
    kept = dict(before) if before.get("url") == url else {}  # a key is not shown to another coordinator
    _write(Profiles(current, {**known.of, name: {**kept, "url": url, **({"key": api_key} if api_key else {})}}))
    print(f"{name} is {url}" + (", and used from now on" if current == name else ""))


@app.command()
def use(name: Name) -> None:
    """Ask this profile's coordinator from now on."""
    known = read()
    if name not in known.of:
        fail(f"there is no profile {name}", unknown_code)
    _write(Profiles(name, known.of))
    print(f"{name} is used from now on: {known.of[name].get('url')}")


@app.command()
def remove(name: Name) -> None:
    """Forget a profile."""
    known = read()
    if name not in known.of:
        fail(f"there is no profile {name}", unknown_code)
    left = {other: facts for other, facts in known.of.items() if other != name}
    _write(Profiles(None if known.current == name else known.current, left))
    print(f"{name} is forgotten")


def _write(profiles: Profiles) -> None:
    """Replace the file in one step, readable by its owner alone: a profile may come to hold a key."""
    lines = [f"current = {_toml(profiles.current)}"] if profiles.current else []
    for name, facts in profiles.of.items():
        lines += ["", f"[profiles.{_toml(name)}]", *(f"{_toml(key)} = {_toml(text)}" for key, text in facts.items())]
    path = place()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}")
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write("\n".join(lines).lstrip() + "\n")
        beside.replace(path)
    except OSError as error:
        fail(f"{path} can't be written: {error.strerror}", usage_code)


def _toml(text: Any) -> str:
    """A text as TOML writes it, which is as JSON does where nothing but ASCII is written."""
    return json.dumps(text)
