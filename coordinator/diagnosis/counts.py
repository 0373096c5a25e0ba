"""How attempts ended and how long they took, added up in memory by the minute, so that versions, workers and hours can
be compared. A cell's total only ever rises, and is written as a whole: writing it twice does no harm.

Called for each decision of the engine, so nothing here looks at more than the decision changed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from coordinator.saga.decision import Decision
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.event import Answer, Call, Failure, Kind, Replied, Woke
from coordinator.saga.state import ClockKind, Saga, StepRun, StepStatus
from coordinator.store.observed import CallTally, Place, Tallied, Tally, bucket_seconds

keys_max = 5_000  # cells of one minute; beyond it workers and errors are no longer told apart
words_max = 1_000  # texts of participants that are remembered in their redacted form
words_of_a_minute_max = 200  # new ones; beyond it a text is "*"
kept_minutes = 3  # an attempt that ended longer ago is counted into the oldest minute that is still here
anyone = "*"

_bounds = tuple(bucket_seconds)
_buckets = len(_bounds) + 1
_never = datetime.min.replace(tzinfo=UTC)
_awaiting = frozenset({ClockKind.TIMEOUT, ClockKind.GRACE})
_ends = {
    Answer.SUCCEEDED: Tallied.SUCCEEDED,
    Answer.REFUSED: Tallied.REFUSED,
    Answer.FENCED: Tallied.REFUSED,
    Answer.FAILED: Tallied.FAILED,
    Answer.EXPIRED: Tallied.FAILED,
}

PlaceKey = tuple[str, int, str, str, str, str, str]  # the fields of a Place
TallyKey = tuple[PlaceKey, Tallied, str]
CallKey = tuple[str, str, str, str, str]  # participant, dependency, worker, worker_version, error


class _Cell:
    """One running total."""

    __slots__ = ("changed", "count", "key", "minute", "seconds", "seconds_buckets", "wait", "wait_buckets")

    def __init__(self, minute: datetime, key: TallyKey | CallKey) -> None:
        self.minute, self.key = minute, key
        self.count = 0
        self.seconds = self.wait = 0.0
        self.seconds_buckets, self.wait_buckets = [0] * _buckets, [0] * _buckets
        self.changed = False


class _Minute:
    """The cells of one minute."""

    __slots__ = ("at", "calls", "tallies")

    def __init__(self, at: datetime) -> None:
        self.at = at
        self.tallies: dict[TallyKey, _Cell] = {}
        self.calls: dict[CallKey, _Cell] = {}


@dataclass(frozen=True, slots=True)
class Changed:
    """The cells that rose since the last look, as they stand."""

    tallies: Sequence[Tally]
    calls: Sequence[CallTally]
    cells: Sequence[_Cell]

    def __bool__(self) -> bool:
        return bool(self.cells)


class Counts:
    """The running totals of the last minutes. `redact` is applied to errors and to what was called; the names of
    workers and versions stay as they are: everything else knows them by these."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._minutes: dict[datetime, _Minute] = {}
        self._current = _Minute(_never)
        self._until = _never  # the end of the current minute
        self._rose: list[_Cell] = []
        self._words: dict[str, str] = {}
        self._new_words = 0
        self.keys_dropped = 0  # how often an attempt was counted without its worker, for want of room

    # -- counting ----------------------------------------------------------------------------------------------------

    def count(self, definition: SagaDefinition, before: Saga, decision: Decision) -> None:
        """Count every attempt that is over with this decision."""
        event = decision.event
        if isinstance(event, Replied):
            if not event.inquire:
                self._replied(definition, before, event)
        elif isinstance(event, Woke):
            for name in fell_silent(before, decision.saga, event.at):
                run = before.steps[name]
                kind = Kind.COMPENSATION if run.status is StepStatus.COMPENSATING else Kind.ACTION
                self._add(definition, name, kind, event.at, Tallied.UNKNOWN)

    def _replied(self, definition: SagaDefinition, before: Saga, reply: Replied) -> None:
        step = definition.by_name.get(reply.command.step)
        outcome = _ends.get(reply.answer)
        run = before.steps.get(reply.command.step)
        if step is None or outcome is None or run is None:
            return
        awaited = is_awaited(run, reply)
        if not awaited and reply.answer is Answer.SUCCEEDED:
            if run.status is StepStatus.COMPENSATED if reply.command.kind is Kind.COMPENSATION else run.happened:
                return  # it has been counted: this is the same reply once more
            outcome = Tallied.LATE
        if reply.calls:
            self._called(step.participant, reply)
        if not awaited and outcome is not Tallied.LATE:
            return  # it was counted as unknown when nobody waited any longer
        wait = None
        if run.sent_at is not None and reply.attempt == _last(run, reply.command.kind):
            wait = max(0.0, (reply.at - run.sent_at).total_seconds() - reply.duration_seconds)
        error = "" if reply.answer is Answer.SUCCEEDED else _error(reply.failure) or reply.answer.value
        self._add(
            definition,
            step.name,
            reply.command.kind,
            reply.at,
            outcome,
            error=self._word(error),
            worker=reply.worker,
            worker_version=reply.worker_version,
            seconds=reply.duration_seconds,
            wait=wait,
        )

    def _add(
        self,
        definition: SagaDefinition,
        step: str,
        kind: Kind,
        at: datetime,
        outcome: Tallied,
        *,
        error: str = "",
        worker: str = "",
        worker_version: str = "",
        seconds: float | None = None,
        wait: float | None = None,
    ) -> None:
        cells = self._minute(at).tallies
        participant = definition.by_name[step].participant
        place = (definition.name, definition.version, step, kind.value, participant, worker, worker_version)
        key = (place, outcome, error)
        cell = cells.get(key)
        if cell is None:
            if len(cells) >= keys_max and (worker or error):
                self.keys_dropped += 1
                key = ((*place[:5], anyone, anyone), outcome, anyone if error else "")
            cell = cells.get(key) or cells.setdefault(key, _Cell(self._current.at, key))
        self._rise(cell, seconds)
        if wait is not None:
            cell.wait += wait
            cell.wait_buckets[bisect_left(_bounds, wait)] += 1

    def _called(self, participant: str, reply: Replied) -> None:
        cells = self._minute(reply.at).calls
        for call in reply.calls:
            error = self._word(call.code or call.error)
            key = (participant, self._word(call.dependency), reply.worker, reply.worker_version, error)
            cell = cells.get(key)
            if cell is None:
                if len(cells) >= keys_max:
                    self.keys_dropped += 1
                    key = (participant, anyone, anyone, anyone, anyone if _went_wrong(call) else "")
                cell = cells.get(key) or cells.setdefault(key, _Cell(self._current.at, key))
            self._rise(cell, call.seconds)

    def _rise(self, cell: _Cell, seconds: float | None) -> None:
        cell.count += 1
        if seconds is not None:
            cell.seconds += seconds
            cell.seconds_buckets[bisect_left(_bounds, seconds)] += 1
        if not cell.changed:
            cell.changed = True
            self._rose.append(cell)

    def _minute(self, at: datetime) -> _Minute:
        """The minute to count into: the event's own, unless it is so long ago that its totals are no longer here."""
        if self._current.at <= at < self._until:
            return self._current
        start = at.replace(second=0, microsecond=0)
        if self._minutes:
            start = max(start, max(self._minutes) - timedelta(minutes=kept_minutes - 1))
        minute = self._minutes.get(start)
        if minute is None:
            minute = self._minutes[start] = _Minute(start)
            self._new_words = 0
            if len(self._words) >= words_max:
                self._words.clear()
        self._current, self._until = minute, start + timedelta(minutes=1)
        return minute

    def _word(self, text: str) -> str:
        """A participant's word as it may be kept. Each is redacted once; who sends ever new ones is cut short."""
        if not text:
            return text
        known = self._words.get(text)
        if known is None:
            if self._new_words >= words_of_a_minute_max:
                self.keys_dropped += 1
                return anyone
            self._new_words += 1
            known = self._words[text] = self._redact(text)
        return known

    # -- writing -----------------------------------------------------------------------------------------------------

    def changed(self) -> Changed:
        """What rose since the last call. Should it not get written, give it back."""
        cells, self._rose = self._rose, []
        tallies: list[Tally] = []
        calls: list[CallTally] = []
        for cell in cells:
            cell.changed = False
            if len(cell.key) == 3:
                tallies.append(_tally(cell, cell.key))
            else:
                calls.append(_call_tally(cell, cell.key))
        return Changed(tallies, calls, cells)

    def give_back(self, changed: Changed) -> None:
        """These could not be written: they count as risen."""
        for cell in changed.cells:
            if not cell.changed:
                cell.changed = True
                self._rose.append(cell)

    def forget_old(self) -> None:
        """Let go of minutes into which nothing is counted any more."""
        if self._minutes:
            oldest = max(self._minutes) - timedelta(minutes=kept_minutes - 1)
            self._minutes = {at: minute for at, minute in self._minutes.items() if at >= oldest}


def fell_silent(before: Saga, after: Saga, at: datetime) -> Iterator[str]:
    """The steps whose attempt was given up because no reply had come."""
    for name, run in after.steps.items():
        earlier = before.steps.get(name)
        if earlier is None or earlier is run or earlier.clock is None or earlier.inquiry or earlier.deferred:
            continue
        waited = earlier.clock.kind in _awaiting and earlier.clock.due <= at
        still = (
            run.status is earlier.status
            and run.inquiry is None
            and (run.attempt, run.undo_attempt) == (earlier.attempt, earlier.undo_attempt)
            and run.clock is not None
            and run.clock.kind in _awaiting
        )
        if waited and not still:
            yield name


def is_awaited(run: StepRun, reply: Replied) -> bool:
    """Whether the step was waiting for just this reply."""
    if run.inquiry is not None or run.clock is None or not (run.deferred or run.clock.kind in _awaiting):
        return False
    command = reply.command
    if command.iteration != run.iteration:
        return False
    if command.kind is Kind.COMPENSATION:
        current = run.undo_attempt == reply.attempt and run.epoch == command.epoch
        return current and run.status is StepStatus.COMPENSATING
    return run.attempt == reply.attempt and run.status is StepStatus.DISPATCHED


def _last(run: StepRun, kind: Kind) -> int:
    """The attempt that `sent_at` belongs to, if it was of this kind."""
    undoing = run.undo_attempt > 0
    if kind is Kind.COMPENSATION:
        return run.undo_attempt
    return 0 if undoing else run.attempt


def _error(failure: Failure | None) -> str:
    return (failure.code or failure.type) if failure else ""


def _went_wrong(call: Call) -> bool:
    return bool(call.error or call.code)


def _tally(cell: _Cell, key: TallyKey) -> Tally:
    place, outcome, error = key
    return Tally(
        minute=cell.minute,
        place=Place(*place),
        outcome=outcome,
        error=error,
        count=cell.count,
        seconds_sum=cell.seconds,
        seconds_buckets=tuple(cell.seconds_buckets),
        wait_seconds_sum=cell.wait,
        wait_buckets=tuple(cell.wait_buckets),
    )


def _call_tally(cell: _Cell, key: CallKey) -> CallTally:
    participant, dependency, worker, worker_version, error = key
    return CallTally(
        minute=cell.minute,
        participant=participant,
        dependency=dependency,
        worker=worker,
        worker_version=worker_version,
        error=error,
        count=cell.count,
        seconds_sum=cell.seconds,
        seconds_buckets=tuple(cell.seconds_buckets),
    )
