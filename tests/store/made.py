"""Sagas, changes and commands made for the tests of the store. They need not make sense to the core."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from coordinator.saga.decision import SendCommand
from coordinator.saga.event import CommandId, Kind
from coordinator.saga.state import Saga, StepRun, StepStatus
from coordinator.store.database import Database
from coordinator.store.values import Change, HistoryEntry, NewSaga, OutboxRow

noon = datetime(2026, 3, 1, 12, 0, 0, 123456, UTC)
_numbers: Iterator[int] = itertools.count(1)


def saga_id(at: datetime = noon) -> str:
    """A UUIDv7 of that time, greater than those made before of the same time."""
    milliseconds = int(at.timestamp() * 1000)
    number = next(_numbers)
    return str(
        uuid.UUID(int=(milliseconds << 80) | (7 << 76) | ((number >> 12) << 64) | (0b10 << 62) | (number & 0xFFF))
    )


def saga(at: datetime = noon, **changes: Any) -> Saga:
    values: dict[str, Any] = {
        "id": saga_id(at),
        "definition": "place-order",
        "version": 1,
        "input": {"total": 12.5},
        "created_at": at,
        "revision": 1,
        "trace_id": "ab" * 16,
    }
    return Saga(**{**values, **changes})


def command(
    of: Saga,
    step: str = "charge",
    *,
    kind: Kind = Kind.ACTION,
    attempt: int = 1,
    inquiry: int = 0,
    participant: str = "",
) -> OutboxRow:
    send = SendCommand(CommandId(step, 0, kind), attempt, participant or "payment", "charge", 30.0, inquiry=inquiry)
    return OutboxRow.of(of, send, body=f'{{"step":"{step}"}}', created_at=of.created_at)


def entry(of: Saga, *, seq: int | None = None) -> HistoryEntry:
    return HistoryEntry(of.revision if seq is None else seq, of.created_at, "Started", {"at": "now"}, ("it began",))


def new(of: Saga | None = None, *rows: OutboxRow, **values: Any) -> NewSaga:
    of = of or saga()
    return NewSaga(of, (entry(of),), rows, **values)


def moved(of: Saga, *rows: OutboxRow, status: StepStatus = StepStatus.DISPATCHED, **values: Any) -> Change:
    """The saga one revision on, with its step `charge` in that status."""
    run = StepRun("charge", status)
    after = replace(of, revision=of.revision + 1, steps={**of.steps, "charge": run})
    return Change(after, of.revision, (run,), (entry(after),), rows, **values)


def later(seconds: float) -> datetime:
    return noon + timedelta(seconds=seconds)


async def count(database: Database, table: sa.Table) -> int:
    async with database.reading() as connection:
        return int((await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one())
