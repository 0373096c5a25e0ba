"""Which commands may share a transaction with others: those whose handlers leave it alone, and were quick of late."""

from __future__ import annotations

from dataclasses import dataclass

from amends.calls import now_seconds
from amends.errors import AmendsError
from amends.handler import Handler
from amends.message import Command, Kind

together_max = 64  # commands in one transaction
together_seconds_max = 0.05  # what all their handlers get; then each has its own time, in a transaction of its own
slow_for_seconds = 60.0  # a handler that took longer has its commands answered one by one for so long


class Apart(AmendsError):
    """These commands can't be answered together."""


@dataclass(frozen=True, slots=True)
class Due:
    """A command, what answers it, and when it was published."""

    command: Command
    handler: Handler
    published_at: float | None = None


class Quick:
    """Which handlers have been quick enough of late."""

    def __init__(self) -> None:
        self._slow: dict[tuple[Kind, str], float] = {}  # until when

    def may_share(self, command: Command, handler: Handler) -> bool:
        """Whether this command can be answered together with others."""
        if command.inquire or handler.lease_seconds is not None or "tx" in handler.wants:
            return False
        until = self._slow.get((handler.kind, handler.name))
        return until is None or until <= now_seconds()

    def was_slow(self, handler: Handler) -> None:
        self._slow[handler.kind, handler.name] = now_seconds() + slow_for_seconds
