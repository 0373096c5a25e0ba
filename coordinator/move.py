"""One saga's way through a batch of the engine: what happened to it, what was decided, what is to be kept of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from coordinator.saga.decision import Decision, VoidUnsent
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.event import Event, Replied
from coordinator.saga.explain import waiting_on
from coordinator.saga.record import dump_event
from coordinator.saga.state import Saga, StepRun
from coordinator.store.notified import Notice
from coordinator.store.values import Change, HistoryEntry, NewSaga, OutboxRow


class Outgoing(Protocol):
    """Who publishes what was committed."""

    def offer(self, rows: Sequence[OutboxRow], *, paused: bool = False) -> None: ...

    def in_flight(self, row_id: str) -> bool: ...


Observer = Callable[[SagaDefinition, Saga, Decision], None]
Telling = Callable[[SagaDefinition, Saga, Sequence[Decision]], tuple[Notice, ...]]


@dataclass(frozen=True, slots=True)
class Wake:
    """A saga's clock may have run out. The engine adds the facts and makes it a `Woke`."""


@dataclass(frozen=True, slots=True)
class Handled:
    """What came of an event: the saga as it now stands, or why a person's request was refused."""

    saga: Saga
    refused: str | None = None
    changed: bool = True


@dataclass(slots=True)
class Job:
    """An event for a saga, whose caller waits for what comes of it."""

    saga_id: str
    event: Event | Wake
    done: asyncio.Future[Handled]
    participant: str | None = None  # who says so, if a participant does
    revisions: frozenset[int] | None = None  # it is to happen at one of these, or not at all
    conflicts: int = 0


@dataclass(slots=True)
class Move:
    """One saga's way through a batch: from where it was loaded to where the events took it."""

    definition: SagaDefinition
    loaded: Saga
    saga: Saga
    remembered: bool = False  # `loaded` is from memory, and may be old news
    jobs: list[Job] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    outcomes: list[Handled] = field(default_factory=list)
    rows: list[OutboxRow] = field(default_factory=list)

    def concerns(self, job: Job) -> bool:
        """Whether what a participant says is about one of its own steps. What others say, they may say."""
        if job.participant is None or not isinstance(job.event, Replied):
            return True
        step = self.definition.by_name.get(job.event.command.step)
        return step is not None and step.participant == job.participant

    @property
    def recorded(self) -> bool:
        return self.saga.revision != self.loaded.revision

    def standing(self) -> dict[str, Any]:
        """What the list of sagas is filtered by, beside the saga itself."""
        wait = waiting_on(self.definition, self.saga)
        return {
            "waiting_on": wait.kind.value if wait else None,
            "waiting_for": wait.participant if wait else None,
        }

    def entries(self) -> tuple[HistoryEntry, ...]:
        """What the history remembers of this move."""
        entries = []
        for decision in self.decisions:
            name, facts = dump_event(decision.event)
            entries.append(HistoryEntry(decision.saga.revision, decision.event.at, name, facts, decision.notes))
        return tuple(entries)

    def _moved_steps(self) -> Iterator[StepRun]:
        for name, run in self.saga.steps.items():
            before = self.loaded.steps.get(name)
            if before is not run and before != run:
                yield run

    def new(self, notices: tuple[Notice, ...] = (), **asked: Any) -> NewSaga:
        """The move that begins a saga as the store keeps it, with what was asked of its start."""
        return NewSaga(self.saga, self.entries(), tuple(self.rows), notices=notices, **self.standing(), **asked)

    def change(self, notices: tuple[Notice, ...] = ()) -> Change:
        """The move as the store commits it, with what others are told of it."""
        return Change(
            saga=self.saga,
            expected_revision=self.loaded.revision,
            steps=tuple(self._moved_steps()),
            entries=self.entries(),
            outbox=tuple(self.rows),
            void_unsent=any(isinstance(effect, VoidUnsent) for one in self.decisions for effect in one.effects),
            notices=notices,
            **self.standing(),
        )
