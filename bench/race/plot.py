"""A plot of sagas a second, by contender: bars of the medians, dots of the rounds. SVG, written by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from statistics import median

from bench.race.results import Part

width, label_width, bar_height, gap, top = 860, 250, 22, 12, 58
ours, others, dots = "#2f6f5e", "#9aa5b1", "#1f2933"


def plot(parts: Sequence[Part]) -> str | None:
    """The parts beside each other, each contender with its bar; a scale by tens, for the differences are large. None
    without anything to show."""
    bars = [
        (part, name, [one.sagas_per_second for one in part.of(name, "busy")])
        for part in parts
        for name in part.names
        if part.of(name, "busy") and not name.startswith(("PostgreSQL", "RabbitMQ"))
    ]
    values = [value for _, _, rounds in bars for value in rounds if value > 0]
    if not values:
        return None
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)

    def x(value: float) -> float:
        share = (math.log10(max(value, 10**low)) - low) / (high - low)
        return label_width + share * (width - label_width - 70)

    height = top + len(bars) * (bar_height + gap) + len({part.name for part, _, _ in bars}) * 26 + 10
    lines = [_head(height), *_scale(low, high, x, height)]
    y, section = top, ""
    for part, name, rounds in bars:
        if part.name != section:
            section = part.name
            lines.append(f'<text x="10" y="{y + 14}" font-weight="600">{escape(part.asks)}</text>')
            y += 26
        lines += _bar(name, rounds, y, x)
        y += bar_height + gap
    return "\n".join([*lines, "</svg>"]) + "\n"


def _head(height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" '
        f'font-size="13" role="img" aria-label="Sagas a second, by contender">'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
        f'<text x="10" y="24" font-size="16" font-weight="600">Sagas a second (bars: medians; dots: rounds)</text>'
    )


def _scale(low: int, high: int, x: Callable[[float], float], height: int) -> list[str]:
    found = []
    for power in range(low, high + 1):
        at = x(10**power)
        found.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top - 8}" y2="{height - 8}" stroke="#e4e7eb"/>')
        found.append(f'<text x="{at:.1f}" y="{top - 14}" text-anchor="middle" fill="#52606d">{10**power:,}</text>')
    return found


def _bar(name: str, rounds: Sequence[float], y: int, x: Callable[[float], float]) -> list[str]:
    middle = median(rounds)
    colour = ours if name.startswith("Amends") else others
    length = max(1.0, x(middle) - label_width)
    base = y + bar_height / 2
    return [
        f'<text x="{label_width - 8}" y="{base + 4:.1f}" text-anchor="end">{escape(name)}</text>',
        f'<rect x="{label_width}" y="{y}" width="{length:.1f}" height="{bar_height}" fill="{colour}"/>',
        *(f'<circle cx="{x(one):.1f}" cy="{base:.1f}" r="3" fill="{dots}"/>' for one in rounds),
        f'<text x="{max(x(one) for one in rounds) + 8:.1f}" y="{base + 4:.1f}">{middle:,.0f}</text>',
    ]
