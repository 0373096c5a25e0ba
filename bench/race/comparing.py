"""Two revisions of the product in turns: has a change made it faster, or slower?

Each is checked out into a git worktree of its own, under a temporary folder; this revision's `bench` is laid over it,
so that both are measured by the same tool. Both run on the packages installed here.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.race.driving import here
from bench.race.lab import Lab
from bench.race.ours import Ours
from bench.race.rounds import Entry


@contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """A worktree of this revision until the block ends. Raises ValueError for one that git doesn't know."""
    with tempfile.TemporaryDirectory(prefix="amends-revision-") as folder:
        place = Path(folder) / "tree"
        made = _git("worktree", "add", "--detach", str(place), revision)
        if made.returncode != 0:
            raise ValueError(f"{revision}: {made.stderr.strip()}")
        try:
            shutil.rmtree(place / "bench", ignore_errors=True)
            shutil.copytree(here / "bench", place / "bench")
            yield place
        finally:
            _git("worktree", "remove", "--force", str(place))


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=False)


async def compare(lab: Lab, before: str, after: str) -> None:
    """The later one divided by the earlier one."""
    part = lab.part("revisions", f"{after} beside {before}.")
    with checkout(before) as old, checkout(after) as new:
        entries = [
            Entry(f"after: {after}", Ours(lab.servers, "after_", lab.in_flight, source=new)),
            Entry(f"before: {before}", Ours(lab.servers, "before_", lab.in_flight, source=old)),
        ]
        await lab.race(part, entries)
