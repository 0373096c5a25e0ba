"""The page about Jaeger names what spans really say, all of it and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

root = Path(__file__).parents[2]
page = (root / "docs" / "debugging-with-jaeger.md").read_text("utf-8")
sources = (
    "coordinator/tracing.py",
    "coordinator/telemetry/export.py",
    "participants/sdk/amends/tracing.py",
    "participants/sdk/amends/handler.py",
)


def test_the_page_names_every_attribute_and_no_other() -> None:
    said = {name for place in sources for name in re.findall(r'"(saga\.[a-z_]+)"', (root / place).read_text("utf-8"))}
    assert len(said) > 20
    assert set(re.findall(r"`(saga\.[a-z_]+)(?:=[^`]*)?`", page)) == said


def test_every_outcome_a_span_can_have_is_named() -> None:
    text = (root / "coordinator" / "tracing.py").read_text("utf-8")
    ends = set(re.findall(r'_End\("([a-z_]+)"', text)) | {"succeeded", "refused", "failed", "fenced", "expired"}
    (row,) = [line for line in page.splitlines() if line.startswith("| `saga.outcome`")]
    assert ends == set(re.findall(r"`([a-z_]+)`", row))
