"""How often the model may be asked, and when to stop trying: a circuit breaker, and bounds per incident and time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from coordinator.diagnosis.llm.asking import Answer, Trouble

failures_max = 3  # in a row; then nobody is asked for a while
pause_seconds = 300.0
not_allowed_pause_seconds = 900.0  # a wrong key doesn't mend itself


@dataclass(frozen=True)
class Limits:
    """Bounds on what a model may cost. Calls are requests that were sent."""

    seconds_max: float = 30.0  # of one report, all its requests together
    retry_pause_seconds: float = 1.0  # where the server doesn't say how long
    calls_per_report_max: int = 2  # beside those that only found out how this server wants to be asked
    calls_per_incident_unasked_max: int = 3
    calls_per_incident_max: int = 6  # with those that a person asked for
    calls_per_hour_max: int = 30
    tokens_per_day_max: int = 500_000


class Breaker:
    """Stops asking after failures in a row, at once where asking again can't help, and tries again after a pause."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._failures = 0
        self._until: datetime | None = None
        self.reason = ""

    @property
    def open(self) -> bool:
        return self._until is not None and self._now() < self._until

    def tell(self, answer: Answer) -> None:
        """What came of a request."""
        match answer.trouble:
            case None | Trouble.UNREADABLE | Trouble.REFUSED | Trouble.CUT_OFF | Trouble.TOO_LONG:
                self._failures, self._until = 0, None  # the server answers: what it says is another matter
            case Trouble.FORM_REFUSED:
                pass
            case Trouble.NOT_ALLOWED:
                self._open(answer, not_allowed_pause_seconds)
            case Trouble.TOO_MANY if answer.retry_after_seconds is not None:
                self._open(answer, answer.retry_after_seconds)
            case _:
                self._failures += 1
                if self._failures >= failures_max:
                    self._open(answer, pause_seconds)

    def _open(self, answer: Answer, seconds: float) -> None:
        self._failures = 0
        self._until = self._now() + timedelta(seconds=seconds)
        self.reason = f"{answer.trouble}: {answer.detail}"[:300]
