"""How many sagas start and finish, minute by minute."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from coordinator.store.overview import Minute, OverviewReader

minutes_shown = 60
minutes_averaged = 5
settled = timedelta(seconds=60)  # after it, nothing is counted into a minute any more


@dataclass(frozen=True, slots=True)
class RateMinute:
    minute: datetime
    started: int
    finished: int
    capped: bool


@dataclass(frozen=True, slots=True)
class Rates:
    """`minutes`: the oldest first, the last is the present one; the means are of the last whole ones."""

    minutes: tuple[RateMinute, ...]
    started_per_minute: float
    finished_per_minute: float


class Pace:
    """How many sagas start and finish per minute. A minute that is over is counted once, and remembered."""

    def __init__(self, reader: OverviewReader) -> None:
        self._reader = reader
        self._over: dict[datetime, Minute] = {}
        self._counting = asyncio.Lock()

    async def rates(self, at: datetime) -> Rates:
        this = at.replace(second=0, microsecond=0)
        begins = [this - timedelta(minutes=back) for back in reversed(range(minutes_shown))]
        async with self._counting:
            missing = [begin for begin in begins if begin not in self._over]
            spans = [(begin, begin + timedelta(minutes=1)) for begin in missing]
            counted = dict(zip(missing, await self._reader.minutes(spans), strict=True))
            known = {**self._over, **counted}
            self._over = {begin: known[begin] for begin in begins if at - begin >= timedelta(minutes=1) + settled}
        return _rates([(begin, known[begin]) for begin in begins])


def _rates(minutes: Sequence[tuple[datetime, Minute]]) -> Rates:
    whole = [one for _, one in minutes[-minutes_averaged - 1 : -1]]
    return Rates(
        tuple(RateMinute(begin, one.started, one.finished, one.capped) for begin, one in minutes),
        sum(one.started for one in whole) / len(whole),
        sum(one.finished for one in whole) / len(whole),
    )
