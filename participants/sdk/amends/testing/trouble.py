"""What can go wrong while a saga is played. Each names a step and says how often; without `times`, once.

`of="compensation"` means the step's compensation rather than its action. What was asked for and never came about is
kept in `PlayedSaga.unmet`, so that a test can't pass because its trouble missed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from amends.errors import AmendsError, Refused

Of = Literal["action", "compensation"]
What = Literal["refuse", "fail", "lose_command", "lose_reply", "duplicate_command", "duplicate_reply", "delay_reply"]

ever = 1_000_000_000


@dataclass(slots=True)
class Cancel:
    """A person cancels: when this much time has passed, while a step is out, or once it has succeeded."""

    seconds: float | None = None
    during: str | None = None
    after: str | None = None
    reason: str = "cancelled"


@dataclass(slots=True)
class Trouble:
    """One thing that goes wrong at one command of one step, `times` times."""

    what: What
    step: str
    of: Of
    times: int = 1
    error: AmendsError | None = None
    after_the_work: bool = False
    seconds: float = 0.0
    left: int = field(init=False)

    def __post_init__(self) -> None:
        if self.times < 1:
            raise ValueError(f"{self.what} {self.step} {self.times} times is no trouble")
        self.left = self.times

    @property
    def missed(self) -> bool:
        """It was to happen, and never did."""
        return self.left == self.times


class InjectedFailure(AmendsError):
    """A failure that the test asked for."""


def refuse(step: str, message: str = "refused", *, error_type: str = "Refused", of: Of = "action") -> Trouble:
    """The participant refuses, in place of its handler: nothing happened, and no retry will help."""
    return Trouble("refuse", step, of, times=ever, error=Refused(message, error_type=error_type))


def fail(
    step: str, *, times: int = 1, message: str = "injected", after_the_work: bool = False, of: Of = "action"
) -> Trouble:
    """The handler raises, in its first `times` runs. `after_the_work`: once it has done everything it does. In the
    inbox's transaction that is rolled back; effects outside of it stay, which is what the test is about then."""
    return Trouble("fail", step, of, times, error=InjectedFailure(message), after_the_work=after_the_work)


def lose_command(step: str, *, times: int = 1, of: Of = "action") -> Trouble:
    """The command never reaches the participant."""
    return Trouble("lose_command", step, of, times)


def lose_reply(step: str, *, times: int = 1, of: Of = "action") -> Trouble:
    """The participant does its work; nobody hears of it."""
    return Trouble("lose_reply", step, of, times)


def delay_reply(step: str, seconds: float, *, times: int = 1, of: Of = "action") -> Trouble:
    """The reply comes later, perhaps when the saga has turned or ended."""
    return Trouble("delay_reply", step, of, times, seconds=seconds)


def duplicate_command(step: str, *, times: int = 1, of: Of = "action") -> Trouble:
    """The command is delivered twice, and answered twice."""
    return Trouble("duplicate_command", step, of, times)


def duplicate_reply(step: str, *, times: int = 1, of: Of = "action") -> Trouble:
    """The reply arrives twice."""
    return Trouble("duplicate_reply", step, of, times)


def never_answers(step: str, *, of: Of = "action") -> Trouble:
    """The step's commands are never heard of again, however often they are sent."""
    return Trouble("lose_command", step, of, times=ever)


def cancel(
    *, seconds: float | None = None, during: str | None = None, after: str | None = None, reason: str = "cancelled"
) -> Cancel:
    """A person cancels the saga: `seconds` after its start, `during` a step (its command is out), or `after` it has
    succeeded. Raises ValueError unless exactly one of the three is given."""
    if sum(moment is not None for moment in (seconds, during, after)) != 1:
        raise ValueError("cancel at one moment: seconds=…, during=… or after=…")
    return Cancel(seconds, during, after, reason)
