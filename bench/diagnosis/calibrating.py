"""Confidence is made a probability: what the analyser's shares have meant, on the development cases and no others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from bench.diagnosis.grading import Grade

table = Path(__file__).parents[2] / "coordinator" / "diagnosis" / "analyser" / "calibration.json"
blocks_min = 6  # grades that one step of the table rests on, at least
doubt = 6.0  # grades that a share counts for beside those
certain_max = 0.98  # nothing is ever certain


def fitted(pairs: Sequence[tuple[float, bool]]) -> list[tuple[float, float]]:
    """Rising pairs of (share, probability): isotonic regression over the shares, in steps of some size, drawn towards
    what the shares themselves say. An analyser does better on cases that it was written with than it will on others."""
    ordered = sorted(pairs)
    blocks: list[list[float]] = []  # share, right, n
    for start in range(0, len(ordered), blocks_min):
        some = ordered[start : start + blocks_min]
        blocks.append([sum(share for share, _ in some), float(sum(right for _, right in some)), float(len(some))])
    merged: list[list[float]] = []
    for block in blocks:
        merged.append(list(block))
        while len(merged) > 1 and _value(merged[-2]) > _value(merged[-1]):
            last = merged.pop()
            merged[-1] = [one + other for one, other in zip(merged[-1], last, strict=True)]
    points = [(block[0] / block[2], _value(block)) for block in merged]
    found = [(0.0, 0.0), *((round(share, 4), round(value, 4)) for share, value in points if 0 < share < 1)]
    return [*found, (1.0, max(found[-1][1], round(points[-1][1], 4)) if points else 1.0)]


def _value(block: Sequence[float]) -> float:
    share = min(block[0] / block[2], certain_max)
    return (block[1] + doubt * share) / (block[2] + doubt)


def write(grades: Sequence[Grade]) -> list[tuple[float, float]]:
    """Fit the table to grades that were made with the identity in its place, and write it where the analyser reads."""
    points = fitted([(grade.confidence, grade.joint) for grade in grades if grade.said != "nothing"])
    table.write_text(json.dumps({"points": points}) + "\n", "utf-8")
    return points


def identity() -> None:
    """Let shares stand for themselves, to be measured."""
    table.write_text(json.dumps({"points": [[0.0, 0.0], [1.0, 1.0]]}) + "\n", "utf-8")
