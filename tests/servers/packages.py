"""The last resort on Debian and Ubuntu, as root: install the servers' packages, without starting their services."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.servers.process import ServerUnavailable

_policy = Path("/usr/sbin/policy-rc.d")


def can_install() -> bool:
    """Whether this is Debian or a relative of it, and we are root."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None and Path("/etc/debian_version").exists()


@contextmanager
def _no_services() -> Iterator[None]:
    """While this lasts, packages don't start what they install. A policy that is already there is respected."""
    if _policy.exists():
        yield
        return
    _policy.write_text("#!/bin/sh\nexit 101\n")
    _policy.chmod(0o755)
    try:
        yield
    finally:
        _policy.unlink(missing_ok=True)


def install(packages: Sequence[str]) -> None:
    """Install packages quietly. Raises ServerUnavailable with apt's own words when it can't."""
    print(f"installing {', '.join(packages)} with apt-get …", file=sys.stderr, flush=True)
    with _no_services():
        _apt("update", "-qq")
        _apt("install", "-y", "-qq", "--no-install-recommends", *packages)


def _apt(*arguments: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    command = ["apt-get", "-o", "DPkg::Lock::Timeout=120", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServerUnavailable(f"apt-get {arguments[0]} failed:\n{(done.stdout + done.stderr)[-1500:]}")
