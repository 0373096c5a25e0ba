"""Everything in one process, over SQLite: each measurement in a process that nothing else has been in."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.race.driving import here
from bench.race.lab import Lab
from bench.race.results import Fact

process_seconds_max = 120.0
figures: Mapping[str, tuple[str, str]] = {
    "sagas_per_second": ("sagas", "sagas/s"),
    "p50_ms": ("p50", "ms"),
    "p99_ms": ("p99", "ms"),
    "cpu_seconds": ("CPU of 1,000", "s"),
}


async def embedded(lab: Lab) -> None:
    part = lab.part("embedded", "Everything in one process, over SQLite.")
    many = ("--in-flight", str(lab.in_flight))
    runs = {
        "many at a time": many,
        "without inboxes": (*many, "--no-inbox"),
        "failing": (*many, "--fails"),
        "one at a time": ("--in-flight", "1"),
    }
    for name, options in runs.items():
        found = await asyncio.to_thread(_measured, lab.pace.busy_seconds, options)
        part.facts += [Fact(f"{name}: {what}", found[key], unit) for key, (what, unit) in figures.items()]
        part.facts.append(Fact(f"{name}: memory", found["resident_mebibytes"]["process"], "MiB"))
        lab.tell(f"embedded   {name:32} {found['sagas_per_second']:8.0f}/s   p50 {found['p50_ms']:.1f} ms")


def _measured(seconds: float, options: Sequence[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        argv = [sys.executable, "-m", "bench.speed", "--embedded", "--seconds", str(seconds), "--warm-seconds", "2"]
        done = subprocess.run(
            [*argv, *options, "--json", str(file)],
            env={**os.environ, "PYTHONPATH": f"{here}:{here}/participants/sdk"},
            capture_output=True,
            text=True,
            timeout=process_seconds_max,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"the embedded measurement has failed: {done.stderr[-2000:]}")
        found: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))
        return found[0]
