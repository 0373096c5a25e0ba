"""A saga that was played to its end, or to where it needs a person: what a test asks of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from amends.message import Command, Kind, Reply, Undone


@dataclass(frozen=True)
class PlayedSaga:
    """How a saga stands, and how it came to that. `print(saga.timeline)` tells its life."""

    id: str
    status: str  # completed, compensated, or blocked: it needs a person
    cause: str | None  # why it turned: "charge refused: the card was declined"
    steps: Mapping[str, str]  # each step's status
    results: Mapping[str, Any]  # what the steps that succeeded gave
    attempts: Mapping[str, int]  # how often each step's action was sent
    commands: Sequence[Command]  # in the order they were sent
    replies: Sequence[Reply]  # in the order they were heard
    incidents: Sequence[str]
    effects_left: Sequence[str]  # what a final saga leaves behind, a sentence each
    waiting_on: str | None  # of a blocked saga
    seconds: float  # how long its life would have taken
    unmet: Sequence[str]  # trouble that was asked for and never came about
    timeline: str

    @property
    def undone(self) -> list[str]:
        """The steps whose compensation did its work, in that order. One that found nothing to undo isn't among them."""
        confirmed = (
            reply.step for reply in self.replies if reply.kind is Kind.COMPENSATION and reply.undone is Undone.UNDONE
        )
        return list(dict.fromkeys(confirmed))

    def assert_completed(self) -> None:
        """It went through, and all the trouble the test asked for took place."""
        self._assert(self.status == "completed", f"is {self.status}, not completed")
        self._assert_trouble_came()

    def assert_compensated(self, steps: Sequence[str] | AbstractSet[str]) -> None:
        """It was undone: exactly these steps, in this order. Give a set where branches make the order free."""
        self._assert(self.status == "compensated", f"is {self.status}, not compensated")
        expected = self.undone if isinstance(steps, AbstractSet) and set(self.undone) == set(steps) else list(steps)
        self._assert(self.undone == expected, f"undid {self.undone}, not {list(steps)}")
        self._assert_trouble_came()

    def assert_blocked(self, step: str) -> None:
        """It needs a person, at this step."""
        self._assert(self.status == "blocked", f"is {self.status}, not blocked")
        self._assert(self.steps.get(step) == "blocked", f"is not blocked at {step}: {dict(self.steps)}")
        self._assert_trouble_came()

    def _assert_trouble_came(self) -> None:
        self._assert(not self.unmet, f"never met {', '.join(self.unmet)}")

    def _assert(self, so: bool, otherwise: str) -> None:
        if not so:
            raise AssertionError(f"the saga {otherwise}\n{self.timeline}")
