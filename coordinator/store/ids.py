"""Ids whose order is their order in time, for rows that are listed newest first."""

from __future__ import annotations

import os
import uuid
from datetime import datetime

from coordinator.store.dialect import micros


def new_id(at: datetime) -> str:
    """A UUIDv7 of that time."""
    milliseconds = max(0, micros(at) // 1000)
    chance = int.from_bytes(os.urandom(10), "big")
    high, low = chance >> 68, chance & ((1 << 62) - 1)  # 12 bits, 62 bits
    return str(uuid.UUID(int=(milliseconds << 80) | (7 << 76) | (high << 64) | (0b10 << 62) | low))


def first_id(at: datetime) -> str:
    """Less than every id of that millisecond or later, and greater than all before it."""
    return str(uuid.UUID(int=max(0, micros(at) // 1000) << 80))
