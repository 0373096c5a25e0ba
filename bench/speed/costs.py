"""Who has spent what: processor time by process, transactions and log of PostgreSQL."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

_ticks = os.sysconf("SC_CLK_TCK")


def _family(roots: Sequence[int]) -> dict[int, tuple[int, int]]:
    """These processes and all that they started, each with the ticks it has used and those of its children that have
    ended."""
    parents: dict[int, list[int]] = {}
    used: dict[int, tuple[int, int]] = {}
    for place in Path("/proc").iterdir():
        if not place.name.isdigit():
            continue
        try:
            fields = (place / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended just now, and its parent has its figures
        pid = int(place.name)
        parents.setdefault(int(fields[1]), []).append(pid)
        own, ended = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
        used[pid] = own, ended
    found: dict[int, tuple[int, int]] = {}
    waiting = [pid for pid in roots if pid in used]
    while waiting:
        pid = waiting.pop()
        found[pid] = used[pid]
        waiting += parents.get(pid, ())
    return found


def processor_seconds(roots: Sequence[int]) -> float:
    """What these processes have used, with all that they started, those that have ended included."""
    return sum(own + ended for own, ended in _family(roots).values()) / _ticks


def resident_bytes(roots: Sequence[int]) -> int:
    """The most memory that each of these processes, and of those they started, has had so far, added up. What they
    share (PostgreSQL's buffers) is counted once: as the largest share of one of them."""
    own, shared = 0, [0]
    for pid in _family(roots):
        try:
            lines = (Path("/proc") / str(pid) / "status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended just now
        kilobytes = {
            name: int(rest.split()[0])
            for name, _, rest in (line.partition(":") for line in lines)
            if name in ("VmHWM", "RssFile", "RssShmem")
        }
        common = kilobytes.get("RssFile", 0) + kilobytes.get("RssShmem", 0)
        shared.append(common)
        own += max(0, kilobytes.get("VmHWM", 0) - common)
    return (own + max(shared)) * 1024


@dataclass(frozen=True, slots=True)
class Spent:
    """Totals at one moment."""

    seconds: Mapping[str, float]  # of the processor, by who
    transactions: Mapping[str, int]  # by database
    log_bytes: int
    whole_pages: int = 0  # in the log: after a checkpoint each page is written whole once

    def since(self, before: Spent) -> Spent:
        return Spent(
            {who: total - before.seconds[who] for who, total in self.seconds.items()},
            {name: total - before.transactions.get(name, 0) for name, total in self.transactions.items()},
            self.log_bytes - before.log_bytes,
            self.whole_pages - before.whole_pages,
        )


async def spent(pids: Mapping[str, Sequence[int]], connection: asyncpg.Connection | None) -> Spent:
    """What everybody has spent so far, and this process as the client."""
    seconds = {kind: processor_seconds(some) for kind, some in pids.items()}
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds["client"] = usage.ru_utime + usage.ru_stime
    if connection is None:
        return Spent(seconds, {}, 0)
    rows = await connection.fetch(
        "SELECT datname, xact_commit + xact_rollback AS n FROM pg_stat_database "
        "WHERE datname NOT IN ('postgres', 'template0', 'template1')"
    )
    log_bytes = await connection.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")
    whole_pages = await connection.fetchval("SELECT wal_fpi FROM pg_stat_wal")
    return Spent(seconds, {row["datname"]: row["n"] for row in rows}, log_bytes, whole_pages)
