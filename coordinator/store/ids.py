"""Ids whose order is their order in time, for rows that are listed newest first."""

from __future__ import annotations

import os
from datetime import datetime

from coordinator.store.dialect import micros


def new_id(at: datetime) -> str:
    """A UUID of version 7 of that time (RFC 9562 §5.7)."""
    milliseconds = max(0, micros(at) // 1000)
    chance = int.from_bytes(os.urandom(10), "big")
    high, low = chance >> 68, chance & ((1 << 62) - 1)  # 12 bits, 62 bits
    return _text((milliseconds << 80) | (7 << 76) | (high << 64) | (0b10 << 62) | low)


def first_id(at: datetime) -> str:
    """Less than every id of that millisecond or later, and greater than all before it."""
    return _text(max(0, micros(at) // 1000) << 80)


def _text(bits: int) -> str:
    """128 bits in the form of a UUID."""
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
