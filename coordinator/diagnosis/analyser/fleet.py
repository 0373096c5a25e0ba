"""What the whole fleet did, rolled up from the counts: once over the rows, then only sums are asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from coordinator.diagnosis.analyser.failing import Failing
from coordinator.diagnosis.analyser.figures import gathered, quantile
from coordinator.diagnosis.case import Case
from coordinator.store.observed import Place, Tallied, Tally


@dataclass(frozen=True, slots=True)
class Row:
    """Attempts of one minute at one place. `mine` failed in the way that is to be explained, `bad` in any."""

    minute: datetime
    place: Place
    host: str
    good: int
    mine: int
    bad: int
    late: int
    tally: Tally

    @property
    def path(self) -> tuple[str, str, str]:
        return (self.place.definition, self.place.step, self.place.kind)


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    bad: int = 0
    total: int = 0

    @property
    def rate(self) -> float:
        return self.bad / self.total if self.total else 0.0

    def __add__(self, other: Share) -> Share:
        return Share(self.bad + other.bad, self.total + other.total)

    def __sub__(self, other: Share) -> Share:
        return Share(self.bad - other.bad, self.total - other.total)


@dataclass(frozen=True, slots=True)
class Timing:
    """How long successful attempts took in the handler, and waited for it."""

    count: int
    seconds_p95: float | None
    seconds_median: float | None
    wait_p95: float | None
    wait_median: float | None


class Fleet:
    """The rows of a case, those of the failing steps apart."""

    def __init__(self, case: Case, failing: Failing) -> None:
        hosts = {(worker.participant, worker.worker): worker.host for worker in case.workers}
        self.rows = [_row(tally, failing, hosts) for tally in case.tallies]
        places = failing.places
        self.own = [row for row in self.rows if row.path in places]

    def series(self) -> list[tuple[datetime, Share]]:
        """Minute by minute, how many attempts at the failing steps failed in this way."""
        found: dict[datetime, list[int]] = defaultdict(lambda: [0, 0])
        for row in self.own:
            cell = found[row.minute]
            cell[0] += row.mine
            cell[1] += row.mine + row.good
        return [(minute, Share(*found[minute])) for minute in sorted(found)]

    def since(self, start: datetime | None) -> Share:
        """How many attempts at the failing steps failed in this way since a minute, or ever."""
        rows = [row for row in self.own if start is None or row.minute >= start]
        return Share(sum(row.mine for row in rows), sum(row.mine + row.good for row in rows))

    @staticmethod
    def by(
        rows: Iterable[Row],
        key: Callable[[Row], Hashable | None],
        *,
        any_failure: bool = False,
        late_is_bad: bool = False,
    ) -> Mapping[Hashable, Share]:
        """Shares by what `key` says of a row; a row of which it says None or "" is left out. Who was silent is not
        known, but who answered too late is: `late_is_bad` counts that as the failure it was."""
        found: dict[Hashable, list[int]] = {}
        for row in rows:
            value = key(row)
            if value in (None, ""):
                continue
            cell = found.setdefault(value, [0, 0])
            failed = row.bad if any_failure else row.mine
            if late_is_bad and row.late:
                failed = row.late
            cell[0] += failed
            cell[1] += failed + row.good
        return {value: Share(*cell) for value, cell in found.items()}

    @staticmethod
    def timing(rows: Iterable[Row]) -> Timing:
        """How long what succeeded took. A success that came too late counts, too: it shows how long it would take."""
        mine = [row for row in rows if row.good or row.late]
        count = sum(row.good + row.late for row in mine)
        seconds = gathered(row.tally.seconds_buckets for row in mine)
        waits = gathered(row.tally.wait_buckets for row in mine)
        return Timing(
            count, quantile(seconds, 0.95), quantile(seconds, 0.5), quantile(waits, 0.95), quantile(waits, 0.5)
        )


def _row(tally: Tally, failing: Failing, hosts: Mapping[tuple[str, str], str]) -> Row:
    place = tally.place
    host = hosts.get((place.participant, place.worker), "")
    if tally.outcome is Tallied.SUCCEEDED:
        return Row(tally.minute, place, host, tally.count, 0, 0, 0, tally)
    if tally.outcome is Tallied.LATE:
        return Row(tally.minute, place, host, 0, 0, 0, tally.count, tally)
    here = (place.definition, place.step, place.kind) in failing.places
    silent = tally.outcome is Tallied.UNKNOWN
    mine = here and (failing.silent if silent else tally.error in failing.errors)
    # A participant that says no has answered: elsewhere, and of other kinds, that is no failure.
    bad = mine or tally.outcome in (Tallied.FAILED, Tallied.UNKNOWN)
    good = tally.count if tally.outcome is Tallied.REFUSED and not mine else 0
    return Row(tally.minute, place, host, good, tally.count if mine else 0, tally.count if bad else 0, 0, tally)
