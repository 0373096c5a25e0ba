"""`amends verify`: replays what is remembered of a saga through the rules, and compares with what is stored of it.

A difference means that somebody changed a row, that the history was cut, or that this release decides otherwise than
the one which wrote it. Nothing is changed, and a coordinator may run meanwhile: a saga is compared as it stood when it
was read. One saga and one page of its history are in memory at a time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from coordinator.definitions import Definitions
from coordinator.errors import CoordinatorError, StoreUnavailable
from coordinator.saga.record import dump_saga, dump_step, load_event
from coordinator.saga.state import Saga
from coordinator.saga.transition import decide
from coordinator.store.database import Database
from coordinator.store.definitions import DefinitionStore
from coordinator.store.reader import SagaReader
from coordinator.store.stored import StoredSaga, StoredSagas
from coordinator.store.values import Unreadable

history_page = 500
ids_page = 200
differences_max = 20  # told of one saga
told_max = 100  # sagas told that differ; the others are counted
value_chars_max = 200


@dataclass(frozen=True)
class Difference:
    """Where what is stored is not what follows from the history."""

    where: str
    stored: str
    replayed: str


@dataclass(frozen=True)
class Verdict:
    """What came of one saga. `fault` says why it could not be replayed at all."""

    saga_id: str
    revision: int
    differences: tuple[Difference, ...] = ()
    fault: str | None = None

    @property
    def sound(self) -> bool:
        return self.fault is None and not self.differences


@dataclass
class Tally:
    """What came of all that were looked at."""

    checked: int = 0
    sound: int = 0
    unsound: int = 0
    told: list[Verdict] = field(default_factory=list)

    def count(self, verdict: Verdict) -> None:
        self.checked += 1
        if verdict.sound:
            self.sound += 1
            return
        self.unsound += 1
        if len(self.told) < told_max:
            self.told.append(verdict)

    def document(self) -> dict[str, Any]:
        return {
            "checked": self.checked,
            "sound": self.sound,
            "unsound": self.unsound,
            "sagas": [asdict(verdict) for verdict in self.told],
        }


class Verifier:
    """Replays sagas of one database."""

    def __init__(self, database: Database) -> None:
        self._stored, self._reader = StoredSagas(database), SagaReader(database)
        self._definitions = Definitions(DefinitionStore(database), _never)

    async def verify(self, saga_id: str) -> Verdict | None:
        """One saga. None: there is none. Raises StoreUnavailable."""
        stored = await self._stored.get(saga_id)
        if stored is None:
            return None
        if isinstance(stored.saga, Unreadable):
            return Verdict(saga_id, stored.columns["revision"], fault=f"it can't be read: {stored.saga.reason}")
        try:
            replayed = await self._replay(stored.saga)
        except StoreUnavailable:
            raise
        except (CoordinatorError, LookupError, TypeError, ValueError) as error:
            return Verdict(saga_id, stored.saga.revision, fault=f"{type(error).__name__}: {error}")
        return Verdict(saga_id, stored.saga.revision, tuple(_first(_differences(stored, stored.saga, replayed))))

    async def ids(self, limit: int) -> AsyncIterator[str]:
        """Sagas, the newest first, at most `limit`."""
        below: str | None = None
        left = limit
        while left > 0:
            page = await self._stored.newest(below=below, limit=min(left, ids_page))
            for saga_id in page:
                yield saga_id
            if len(page) < ids_page:
                return
            below, left = page[-1], left - len(page)

    async def _replay(self, stored: Saga) -> Saga:
        """The saga as it follows from its history, up to where it was read."""
        definition = await self._definitions.get(stored.definition, stored.version)
        saga = stored.newborn
        seq = 0
        while seq < stored.revision:
            page = await self._reader.history(stored.id, after_seq=seq, limit=history_page)
            for entry in page:
                if entry.seq > stored.revision:
                    return saga
                if entry.seq != seq + 1:
                    raise LookupError(f"its history lacks entry {seq + 1}")
                seq = entry.seq
                saga = decide(definition, saga, load_event(entry.event, entry.facts)).saga
            if not page:
                raise LookupError(f"its history ends at entry {seq} of {stored.revision}")
        return saga


def _never() -> Any:
    raise AssertionError("whoever only reads definitions needs no clock")


def _first(differences: Iterator[Difference]) -> Iterator[Difference]:
    for _, difference in zip(range(differences_max), differences, strict=False):
        yield difference


def _differences(stored: StoredSaga, saga: Saga, replayed: Saga) -> Iterator[Difference]:
    """Between the record and the replay, and between the record and the columns beside it."""
    yield from _fields("", dump_saga(saga), dump_saga(replayed))
    for name in sorted({*saga.steps, *replayed.steps}):
        there, follows = saga.steps.get(name), replayed.steps.get(name)
        yield from _fields(f"step {name}: ", dump_step(there) if there else {}, dump_step(follows) if follows else {})
    paused_at = saga.paused.since if saga.paused else None
    expected = {**{name: getattr(saga, name) for name in stored.columns if name != "paused_at"}, "paused_at": paused_at}
    yield from _fields("column ", stored.columns, expected)
    statuses = {name: run.status.value for name, run in saga.steps.items()}
    yield from _fields("column status of step ", dict(stored.step_statuses), statuses)


def _fields(where: str, stored: Mapping[str, Any], replayed: Mapping[str, Any]) -> Iterator[Difference]:
    for name in sorted({*stored, *replayed}):
        one, other = stored.get(name), replayed.get(name)
        if one != other:
            yield Difference(where + name, _shown(one), _shown(other))


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        value = value.isoformat()
    elif isinstance(value, str):
        value = str(value)  # a word of ours among them
    return repr(value)[:value_chars_max]
