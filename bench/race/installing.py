"""The peers' environments: made once under the user's cache, in the versions stated in `peers/*.txt`, and made again
when those change. Nothing of them comes into this project's own environment."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

install_seconds_max = 300.0
peers = Path(__file__).with_name("peers")
restate_server = "@restatedev/restate-server@1.7.12"


class NotInstalled(Exception):
    """A peer can't be had here. The message says why."""


def cache() -> Path:
    """Where the environments are: AMENDS_BENCH_CACHE, or the user's cache."""
    stated = os.environ.get("AMENDS_BENCH_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(stated) if stated else home / "amends-bench"


def environment(name: str) -> Path:
    """The Python of a peer's environment, which is installed if it isn't there. Raises NotInstalled."""
    wanted = (peers / f"{name}.txt").read_text("utf-8")
    place = _place(name, wanted)
    python = place / "bin" / "python"
    if not (place / "installed").exists():
        print(f"installing {name} …", flush=True)
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, "-m", "venv", str(place)])
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "--no-deps", "-r", str(peers / f"{name}.txt")])
        (place / "installed").touch()
    return python


def restate_binary() -> Path:
    """Restate's server, out of its npm package. Raises NotInstalled."""
    place = _place("restate-server", restate_server)
    if not (place / "installed").exists():
        print("installing Restate's server …", flush=True)
        npm = shutil.which("npm")
        if npm is None:
            raise NotInstalled("Restate's server comes as an npm package, and there is no npm")
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        _run([npm, "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(place), restate_server])
        (place / "installed").touch()
    found = sorted(place.glob("node_modules/@restatedev/restate-server-*/bin/restate-server"))
    if not found:
        raise NotInstalled(f"Restate has no server for {platform.system()} on {platform.machine()}")
    return found[0]


def _place(name: str, wanted: str) -> Path:
    known_by = hashlib.sha256(f"{wanted}\n{sys.version}".encode()).hexdigest()[:12]
    return cache() / f"{name}-{known_by}"


def _run(argv: Sequence[str]) -> None:
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=install_seconds_max, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"{argv[0]}: {error}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise NotInstalled(f"{' '.join(argv[:4])} …: {said[-1] if said else done.returncode}")
