"""What a remedy does, as the healer knows it: begun so that a second time does nothing, looked at, taken back.

Each means leaves its mark where it acts, in the reason that a hold or a saga's history keeps: "remedy <id>". The mark
tells whoever goes on with it, after a crash or on another coordinator, what has been done already; and it tells people.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from coordinator.diagnosis.remedy import Target
from coordinator.store.explained import RemedyRow, RemedyState

healer = "amends-healer"


class CannotBegin(Exception):
    """The world is not as the remedy supposes. The message says how it is, for people."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """One that is under way."""

    row: RemedyRow
    target: Target
    begun_at: datetime

    @property
    def mark(self) -> str:
        return f"remedy {self.row.id}"

    @property
    def reason(self) -> str:
        """Why, as it is kept beside what is done."""
        row = self.row
        return f"diagnosis {row.incident_id} v{row.report_version}, {self.mark}: {row.reason}"[:1000]

    @property
    def by(self) -> str:
        return healer if self.row.automatic else self.row.by or healer


@dataclass(frozen=True, slots=True)
class Finding:
    """It is over: how, and what came of it, in a sentence."""

    state: RemedyState
    outcome: str
    measured_after: float | None = None


class Means(Protocol):
    """One kind of remedy. All of it may raise StoreUnavailable, and may be repeated."""

    async def begin(self, remedy: Remedy, at: datetime) -> None:
        """Do it, unless it was done. Raises CannotBegin."""

    async def judge(self, remedy: Remedy, at: datetime) -> Finding | None:
        """Whether it is over. None: it goes on."""

    async def take_back(self, remedy: Remedy, at: datetime, *, by: str) -> None:
        """End what of it is still in effect."""
