"""Figures for people, a line each, and for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench.speed.measuring import Figures


def line(name: str, one: Figures) -> str:
    cpu = "  ".join(f"{who} {seconds:.2f}" for who, seconds in one.cpu_seconds_per_1000.items())
    told = [
        f"{name:24} {one.sagas_per_second:7.0f} sagas/s   p50 {one.p50_ms:.1f} ms, p99 {one.p99_ms:.1f} ms",
        f"{'':24} CPU-s per 1,000: {one.cpu_seconds:.2f}   ({cpu})",
    ]
    if one.transactions:
        shares = "  ".join(f"{database} {count:.2f}" for database, count in sorted(one.transactions.items()))
        total = sum(one.transactions.values())
        told.append(f"{'':24} transactions: {total:.2f}   ({shares})")
        told.append(f"{'':24} log: {one.log_bytes:.0f} bytes, {one.whole_pages:.2f} whole pages among them")
    memory = "  ".join(f"{who} {mebibytes:.0f}" for who, mebibytes in one.resident_mebibytes.items())
    told.append(f"{'':24} MiB at most: {memory}")
    return "\n".join(told)


def machine(rows: Sequence[tuple[str, Figures]]) -> str:
    found: list[dict[str, Any]] = [{"name": name, **asdict(one), "cpu_seconds": one.cpu_seconds} for name, one in rows]
    return json.dumps(found, indent=1)
