"""Sagas decided by hand: each event in its turn, each decision shown to whoever watches."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from coordinator.diagnosis.failures import Noticed, noticed
from coordinator.saga.decision import Decision, SendCommand
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.event import Answer, Event, Kind, Replied, Started, Undone, Woke
from coordinator.saga.registration import read_definition
from coordinator.saga.state import Saga
from coordinator.saga.transition import decide

began = datetime(2026, 1, 1, 12, 0, 5, tzinfo=UTC)
Observe = Callable[[SagaDefinition, Saga, Decision], None]


class Life:
    """One saga. `at` moves only when told to; `observe` sees each decision that is recorded."""

    def __init__(self, document: dict[str, Any], observe: Observe | None = None, **facts: Any) -> None:
        self.definition = read_definition(document, version=1)
        self.saga = Saga("0195-saga", self.definition.name, 1, {"n": 1}, began, **facts)
        self.at = began
        self.observe = observe
        self.sent: list[SendCommand] = []
        self.failed: list[Noticed] = []
        self.happen(Started(began))

    def happen(self, event: Event) -> Life:
        before, decision = self.saga, decide(self.definition, self.saga, event)
        if decision.recorded:
            self.failed += noticed(self.definition, before, decision)
            if self.observe:
                self.observe(self.definition, before, decision)
        self.saga = decision.saga
        self.sent += [effect for effect in decision.effects if isinstance(effect, SendCommand)]
        return self

    def pass_time(self, seconds: float, **facts: Any) -> Life:
        self.at += timedelta(seconds=seconds)
        return self.happen(Woke(self.at, **facts))

    def reply(self, step: str, said: Answer = Answer.SUCCEEDED, *, attempt: int | None = None, **facts: Any) -> Life:
        """An answer to the last command of a step, or to that attempt of it."""
        own = [sent for sent in self.sent if sent.command.step == step]
        sent = own[-1] if attempt is None else next(one for one in own if one.attempt == attempt)
        undoing = sent.command.kind is Kind.COMPENSATION and said is Answer.SUCCEEDED
        settled = {"undone": Undone.UNDONE if undoing else None, "worker": f"{sent.participant}-1", **facts}
        return self.happen(Replied(self.at, sent.command, sent.attempt, said, inquire=bool(sent.inquiry), **settled))
