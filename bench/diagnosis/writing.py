"""The results as people read them: a page of Markdown with every figure, and a diagram of what confidence is worth."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.diagnosis.baselines import scores
from bench.diagnosis.gates import (
    minimal_pairs,
    shuffled,
    shuffled_joint_max,
    text_only_class_max,
    text_only_grounded_max,
)
from bench.diagnosis.grading import Share, bins, grades, metrics, per_class
from bench.diagnosis.running import Result

goals: Mapping[str, tuple[str, str]] = {  # development, held out
    "Class@1": ("≥ 0.95", "≥ 0.88"),
    "Culprit@1": ("≥ 0.93", "≥ 0.85"),
    "G-Joint@1": ("≥ 0.90", "≥ 0.78"),
    "G-Joint@1 of hard cases": ("≥ 0.80", "≥ 0.65"),
    "grounded of right": ("≥ 0.96", "≥ 0.96"),
    "innocent blamed": ("≤ 0.01", "≤ 0.03"),
    "abstain F1": ("≥ 0.85", "≥ 0.75"),
    "citation validity": ("1.00", "1.00"),
    "citation precision": ("≥ 0.95", "≥ 0.90"),
    "citation recall": ("≥ 0.92", "≥ 0.85"),
    "effects accuracy": ("≥ 0.98", "≥ 0.95"),
    "forbidden remedy": ("0", "≤ 0.02"),
    "grouping B³ F1": ("≥ 0.97", "≥ 0.93"),
    "over-merge": ("0", "≤ 0.01"),
    "ECE": ("≤ 0.05", "≤ 0.10"),
    "report ms p95": ("≤ 1000", "≤ 1000"),
}


def shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def split_table(split: str, results: Sequence[Result]) -> list[str]:
    """One split's figures."""
    column = 0 if split == "dev" else 1
    lines = ["| measure | value | goal |", "|---|---|---|"]
    for name, value in metrics(results).items():
        goal = goals[name][column] if name in goals else ""
        lines.append(f"| {name} | {shown(value)} | {goal} |")
    lines += ["", "| kind of case | class | culprit | grounded, class and culprit |", "|---|---|---|---|"]
    for kind, shares in sorted(per_class(results).items()):
        lines.append(f"| {kind} | {shares['class']} | {shares['culprit']} | {shares['G-Joint']} |")
    lines += [
        "",
        "| reader of texts | class | culprit | both | grounded | innocent blamed |",
        "|---|---|---|---|---|---|",
    ]
    for name, by in scores(results).items():
        cells = [
            f"{by[key].value:.2f}" if by[key].n else "–"
            for key in ("class", "culprit", "joint", "G-joint", "innocent blamed")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, "", *gates_table(results), ""]


def gates_table(results: Sequence[Result]) -> list[str]:
    """Whether the cases are worth anything."""
    reader = scores(results)["B1f"]
    without = Share.of(not item.affected for result in results for item in result.items)
    rows: list[tuple[str, Share, float]] = [
        ("faults that nobody failed of", without, 0.0),
        ("a reader of texts names the right class", reader["class"], text_only_class_max),
        ("… and whom to blame, on enough evidence", reader["G-joint"], text_only_grounded_max),
        ("verdicts that stay right with another case's fleet", shuffled(results), shuffled_joint_max),
    ]
    lines = ["| are the cases worth anything? | found | at most | |", "|---|---|---|---|"]
    for what, share, limit in rows:
        held = "holds" if share.n and share.value <= limit else "does not hold"
        lines.append(f"| {what} | {share} | {limit:.2f} | {held} |")
    pairs = minimal_pairs(results)
    return [*lines, "", f"Errors whose text stands under another label, too: {pairs}."]


def diagram(results: Sequence[Result]) -> str:
    """What was said and what was true, by tenths of confidence: SVG."""
    size, margin = 300, 40
    scale = size - 2 * margin
    found = bins(grades(results))
    dots = [
        f'<circle cx="{margin + said * scale:.1f}" cy="{size - margin - true * scale:.1f}" r="{3 + min(9, n / 6):.1f}" '
        f'fill="#3465a4" fill-opacity="0.7"><title>{said:.2f} said, {true:.2f} true, of {n}</title></circle>'
        for said, true, n in found
    ]
    axis = f"M{margin} {margin}V{size - margin}H{size - margin}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}"',
            'font-family="sans-serif" font-size="11">',
            f'<rect width="{size}" height="{size}" fill="#fff"/>',
            f'<path d="{axis}" fill="none" stroke="#555"/>',
            f'<path d="M{margin} {size - margin}L{size - margin} {margin}" stroke="#bbb" stroke-dasharray="4"/>',
            *dots,
            f'<text x="{size / 2}" y="{size - 10}" text-anchor="middle">confidence that was said</text>',
            f'<text x="14" y="{size / 2}" text-anchor="middle" transform="rotate(-90 14 {size / 2})">',
            "share that was right</text>",
            "</svg>",
            "",
        ]
    )


def figures(results: Sequence[Result]) -> dict[str, Any]:
    """The same for machines."""
    return {
        "metrics": {name: _plain(value) for name, value in metrics(results).items()},
        "per_class": {
            kind: {name: _plain(share) for name, share in shares.items()} for kind, shares in per_class(results).items()
        },
        "baselines": {name: {key: _plain(share) for key, share in by.items()} for name, by in scores(results).items()},
        "grades": [
            {
                "name": grade.name,
                "truth": grade.truth,
                "said": grade.said,
                "right": grade.grounded_joint,
                "why": grade.why,
            }
            for grade in grades(results)
        ],
    }


def _plain(value: object) -> object:
    if isinstance(value, Share):
        return {"value": value.value if value.n else None, "of": value.n, "successes": value.successes}
    return value


def page(sections: Mapping[str, Sequence[str]], place: Path, *, left_out: Sequence[str] = ()) -> None:
    """Write the page. What was left out of the run is named: silence would read as a pass."""
    today = datetime.now(UTC)
    lines = [
        "# How right the diagnosis is",
        "",
        "Written by `make bench-diagnosis`. Faults are injected into sagas that really run, on a clock that jumps; the",
        "labels come from what injects them. bench/README.md says what each figure means, and what it does not.",
        "",
        f"Measured on {today:%d %B %Y} with Python {platform.python_version()} on {os.cpu_count()} cores.",
        "",
    ]
    for title, body in sections.items():
        lines += [f"## {title}", "", *body]
    if left_out:
        lines += ["## Not measured in this run", "", *(f"- {title}" for title in left_out)]
    place.write_text("\n".join(lines).rstrip() + "\n", "utf-8")


def machine(found: Mapping[str, Any], place: Path) -> None:
    place.write_text(json.dumps(found, indent=1, ensure_ascii=False, default=str) + "\n", "utf-8")
