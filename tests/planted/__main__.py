"""Plant each bug in a copy of the repository, run the tests that are to notice it, and say which did."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.planted.bugs import Bug, bugs

root = Path(__file__).resolve().parents[2]
seconds_max = 300


def main() -> int:
    wanted = " ".join(sys.argv[1:])
    survivors = 0
    for bug in bugs:
        if wanted not in bug.name:
            continue
        caught = _plant_and_test(bug)
        survivors += caught is None
        print(f"{'caught  ' if caught else 'SURVIVED'}  {bug.name}\n          {caught or ''}", flush=True)
    return 1 if survivors else 0


def _plant_and_test(bug: Bug) -> str | None:
    """The first test that failed, or None when none did."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        tracked = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True)
        for name in tracked.stdout.splitlines():
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, target)
        for name, text, becomes in bug.edits:
            source = (copy / name).read_text()
            if text not in source:
                raise SystemExit(f"{bug.name}: {name} no longer says {text!r}")
            (copy / name).write_text(source.replace(text, becomes))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([".", "participants/sdk"])}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *bug.tests]
        try:
            run = subprocess.run(
                command, cwd=copy, env=environment, capture_output=True, text=True, timeout=seconds_max
            )
        except subprocess.TimeoutExpired:
            return f"(the tests did not end within {seconds_max} s)"
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", run.stdout, re.MULTILINE)
    if run.returncode not in (0, 1):
        raise SystemExit(f"{bug.name}: pytest ended with {run.returncode}\n{run.stdout}{run.stderr}")
    return failed.group(1) if failed else None


if __name__ == "__main__":
    sys.exit(main())
