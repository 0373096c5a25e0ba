"""The workers as they were at the last look, and what the next look makes of them: who came, who went, who fell silent,
which versions and settings are new.

What is already known when a coordinator starts is known; only differences are news. An occurrence's id is made of what
it is about, so that several coordinators that see the same write one row.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from coordinator.diagnosis.cause import Entity, EntityKind
from coordinator.store.fleet import intervals_missed_max
from coordinator.store.observed import Occurrence, OccurrenceKind
from coordinator.store.values import Worker

settled_after = timedelta(seconds=10)  # workers come and go in a deploy; what is left then is the new number
last_generation = timedelta(seconds=60)  # workers that ended within this of each other were there together
busy_seconds = 5.0  # a worker that holds a command for longer than this is held up by it
holding_chars_max = 900
lost_remembered_max = 2_000

Key = tuple[str, str]
_held = re.compile(r"[!-~]{1,128}/[A-Za-z][\w-]{0,62}/\d{1,9}/(?:action|compensation)/\d{1,9}/\d{1,9}")


def occurrence(
    kind: OccurrenceKind, at: datetime, subject: Entity, *parts: object, **facts: str | int | float | bool | None
) -> Occurrence:
    """One whose id is made of its kind, its subject and `parts`: alike for all who see it."""
    text = "\n".join(str(part) for part in (kind, subject, *parts))
    return Occurrence(hashlib.sha256(text.encode()).hexdigest()[:32], at, kind, str(subject), facts)


@dataclass(slots=True)
class _Scaling:
    """Workers of a participant that came and went since its number was last settled."""

    since: datetime
    changed_at: datetime
    before: int
    came: int = 0
    went: int = 0


@dataclass(slots=True)
class Roster:
    """`redact` is applied to the values of settings. The names of workers, hosts and versions stay as they are."""

    redact: Callable[[str], str]
    _known: dict[Key, Worker] = field(default_factory=dict)
    _live: set[Key] = field(default_factory=set)
    _lost: dict[Key, Worker] = field(default_factory=dict)
    _lost_holding: dict[str, Key] = field(default_factory=dict)  # command -> the worker that was lost with it
    _scaling: dict[str, _Scaling] = field(default_factory=dict)
    _begun: bool = False

    def look(self, workers: Sequence[Worker], at: datetime, *, blind: bool = False) -> list[Occurrence]:
        """What is different now. `blind`: signs of life may not have reached us, so nobody counts as lost."""
        current = {(worker.beat.participant, worker.beat.worker): worker for worker in workers}
        found: list[Occurrence] = []
        if self._begun:
            by_participant: dict[str, dict[Key, Worker]] = {}
            for key, worker in current.items():
                by_participant.setdefault(key[0], {})[key] = worker
            for participant, mine in by_participant.items():
                found += self._came(participant, mine, at)
                found += self._went(mine, at, blind=blind)
            found += self._settled(at)
        self._begun = True
        silent = {key for key in self._live if key in current and not current[key].live} if blind else set()
        self._live = {key for key, worker in current.items() if worker.live} | {
            key for key in silent if not current[key].beat.stopping
        }
        self._known = current
        return found

    # -- who came ----------------------------------------------------------------------------------------------------

    def _came(self, participant: str, mine: Mapping[Key, Worker], at: datetime) -> Iterator[Occurrence]:
        before = self._present(participant)
        versions = {worker.beat.version for worker in before}
        settings = [dict(worker.beat.settings) for worker in before]
        for key, worker in sorted(mine.items(), key=lambda item: (item[1].first_seen, item[0])):
            known = self._known.get(key)
            if not worker.live:
                continue
            if key in self._lost:
                yield self._back(key, worker, at)
            elif known is None or key not in self._live:
                self._note(participant, at, came=1)
            changed = known is None or (known.beat.version, known.beat.settings) != (
                worker.beat.version,
                worker.beat.settings,
            )
            if not changed or not before:
                continue  # nobody to compare it with: a participant's first workers are no change
            since = worker.first_seen if known is None else worker.last_seen
            stamp = since.isoformat() if known is None else _minute(since)
            if worker.beat.version and worker.beat.version not in versions:
                versions.add(worker.beat.version)
                yield self._version_seen(worker, since, stamp)
            yield from self._settings_changed(worker, settings, since)
            settings.append(dict(worker.beat.settings))

    def _present(self, participant: str) -> list[Worker]:
        """The workers before this look: those alive, else the last that were."""
        mine = [(key, worker) for key, worker in self._known.items() if key[0] == participant]
        live = [worker for key, worker in mine if key in self._live]
        if live or not mine:
            return live
        last = max(worker.last_seen for _, worker in mine)
        return [worker for _, worker in mine if last - worker.last_seen <= last_generation]

    def _version_seen(self, worker: Worker, at: datetime, stamp: str) -> Occurrence:
        beat = worker.beat
        version = beat.version
        subject = Entity(kind=EntityKind.WORKER_VERSION, name=f"{beat.participant}@{version}")
        return occurrence(
            OccurrenceKind.VERSION_SEEN,
            at,
            subject,
            stamp,
            version=version,
            worker=beat.worker,
            host=beat.host,
        )

    def _settings_changed(
        self, worker: Worker, before: Sequence[Mapping[str, str]], at: datetime
    ) -> Iterator[Occurrence]:
        beat = worker.beat
        names = {name for settings in before for name in settings} | set(beat.settings)
        for name in sorted(names):
            values = {settings.get(name) for settings in before}
            after = beat.settings.get(name)
            if after in values or len(values) != 1:
                continue  # as others have it; or each worker has its own
            (earlier,) = values
            subject = Entity(kind=EntityKind.SETTING, name=f"{beat.participant}.{name}")
            yield occurrence(
                OccurrenceKind.SETTING_CHANGED,
                at,
                subject,
                earlier,
                after,
                _minute(at),
                setting=name,
                before=None if earlier is None else self.redact(earlier),
                after=None if after is None else self.redact(after),
                worker=beat.worker,
            )

    def _back(self, key: Key, worker: Worker, at: datetime) -> Occurrence:
        lost = self._lost.pop(key)
        return occurrence(
            OccurrenceKind.WORKER_BACK,
            at,
            _worker(worker),
            lost.last_seen.isoformat(),
            participant=key[0],
            worker=key[1],
            silent_seconds=round((at - lost.last_seen).total_seconds(), 1),
        )

    # -- who went ----------------------------------------------------------------------------------------------------

    def _went(self, mine: Mapping[Key, Worker], at: datetime, *, blind: bool) -> Iterator[Occurrence]:
        for key, worker in mine.items():
            if worker.live or key not in self._live:
                continue
            if worker.beat.stopping:
                self._note(key[0], at, went=1)
            elif not blind:
                yield self._lose(key, worker)

    def _lose(self, key: Key, worker: Worker) -> Occurrence:
        beat = worker.beat
        held = [command for command in beat.holding if _held.fullmatch(command)]
        for command in held:
            self._lost_holding[command] = key
        self._lost[key] = worker
        while len(self._lost) > lost_remembered_max:
            self._lost.pop(next(iter(self._lost)))
        while len(self._lost_holding) > lost_remembered_max:
            self._lost_holding.pop(next(iter(self._lost_holding)))
        return occurrence(
            OccurrenceKind.WORKER_LOST,
            worker.last_seen,
            _worker(worker),
            worker.last_seen.isoformat(),
            participant=key[0],
            worker=key[1],
            host=beat.host,
            version=beat.version,
            last_seen=worker.last_seen.isoformat(),
            in_flight=beat.in_flight,
            holding=_told(held),
        )

    # -- how many ----------------------------------------------------------------------------------------------------

    def _note(self, participant: str, at: datetime, *, came: int = 0, went: int = 0) -> None:
        before = sum(key[0] == participant for key in self._live)
        scaling = self._scaling.get(participant)
        if scaling is None:
            if not before:
                return  # it starts: that is no change of a number
            scaling = self._scaling[participant] = _Scaling(at, at, before)
        scaling.came += came
        scaling.went += went
        scaling.changed_at = at

    def _settled(self, at: datetime) -> Iterator[Occurrence]:
        for participant, scaling in list(self._scaling.items()):
            if at - scaling.changed_at < settled_after:
                continue
            del self._scaling[participant]
            after = max(0, scaling.before + scaling.came - scaling.went)
            if after != scaling.before:
                subject = Entity(kind=EntityKind.PARTICIPANT, name=participant)
                kind, stamp = OccurrenceKind.WORKERS_SCALED, _minute(scaling.since)
                yield occurrence(
                    kind, scaling.since, subject, scaling.before, after, stamp, before=scaling.before, after=after
                )

    # -- what became of a command ------------------------------------------------------------------------------------

    def silence(self, participant: str, command: str, sent_at: datetime | None) -> str | None:
        """What is known of a command that nobody answered: "lost" with the worker that had it in hand; "unheld": nobody
        has it, and nobody is held up. None: it is with a worker, or not known."""
        if command in self._lost_holding:
            return "lost"
        live = [self._known[key] for key in self._live if key[0] == participant]
        heard = bool(live) and sent_at is not None and all(worker.last_seen > sent_at for worker in live)
        at_it = any(
            command in worker.beat.holding or max(worker.beat.holding.values(), default=0.0) >= busy_seconds
            for worker in live
        )
        gone = any(
            sent_at is not None and _may_have_been_there(worker, sent_at) for worker in self._lost_of(participant)
        )
        return "unheld" if heard and not at_it and not gone else None

    def _lost_of(self, participant: str) -> Iterable[Worker]:
        return [worker for key, worker in self._lost.items() if key[0] == participant]


def _may_have_been_there(lost: Worker, at: datetime) -> bool:
    """Whether a worker that was lost may still have been alive at that time, though nothing was heard of it."""
    return at <= lost.last_seen + timedelta(seconds=intervals_missed_max * lost.beat.interval_seconds)


def _worker(worker: Worker) -> Entity:
    return Entity(kind=EntityKind.WORKER, name=f"{worker.beat.participant}/{worker.beat.worker}")


def _told(commands: Iterable[str]) -> str:
    """As many as there is room for, none cut in two."""
    text = ""
    for command in commands:
        if len(text) + len(command) >= holding_chars_max:
            break
        text = f"{text} {command}" if text else command
    return text


def _minute(at: datetime) -> str:
    """Of what has no time of its own: two coordinators that see it within a minute mean the same."""
    return at.replace(second=0, microsecond=0).isoformat()
