"""What follows from an event: a new state, effects as data, and notes in plain words for the history."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from coordinator.saga.event import CommandId, Event
from coordinator.saga.state import Saga


@dataclass(frozen=True, slots=True)
class SendCommand:
    """Put one command in the outbox."""

    command: CommandId
    attempt: int
    participant: str
    handler: str
    timeout_seconds: float
    data: Any = None
    result: Any = None
    succeeded: bool = False  # of a compensation: its action is known to have succeeded, whatever it gave
    reason: str | None = None
    inquiry: int = 0  # 0: run the handler; n: the nth time of asking what became of it

    @property
    def key(self) -> str:
        """Unique within the saga for each sending: "step/iteration/kind/epoch/attempt[/inquiry]"."""
        return f"{self.command}/{self.attempt}" + (f"/{self.inquiry}" if self.inquiry else "")


@dataclass(frozen=True, slots=True)
class VoidUnsent:
    """Take back the action commands of this saga that have not left the outbox."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Somebody should know: what kind of trouble, at which step, in a sentence."""

    kind: str
    message: str
    step: str | None = None


Effect = SendCommand | VoidUnsent | Incident


@dataclass(frozen=True, slots=True)
class Decision:
    """What `decide` returns. `refused` says why a person's request was turned down; then nothing else changed."""

    saga: Saga
    event: Event
    effects: tuple[Effect, ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)
    refused: str | None = None
    recorded: bool = True  # False: nothing happened that the history need remember
