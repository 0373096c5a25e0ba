"""Whatever happens to a saga, its spans are one tree, each under the id that its command was sent with."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from coordinator.saga.decision import SendCommand
from coordinator.saga.definition import SagaDefinition, Unset
from coordinator.saga.event import (
    Answer,
    CancelRequested,
    CloseRequested,
    CommandId,
    Effect,
    Event,
    Failure,
    PauseRequested,
    Replied,
    ResumeRequested,
    RetryRequested,
    Settlement,
    SettleRequested,
    SkipRequested,
    Started,
    Undone,
    Unsendable,
    Voided,
    WaiveRequested,
    Woke,
)
from coordinator.saga.state import Saga, StepStatus, wake_at
from coordinator.saga.transition import decide
from coordinator.telemetry import attempt_span_id, span_id
from coordinator.telemetry.span import FinishedSpan
from coordinator.tracing import awaited, spans_of, trace_of
from tests.lives.telling import Teller, read
from tests.simulation import plans

lives = sorted((Path(__file__).parents[1] / "lives").glob("*.life"))
trace_id = "0af7651916cd43dd8448eb211c80319c"
dawn = datetime(2026, 1, 1, tzinfo=UTC)


class Witness:
    """Lets events happen to a saga and compares the commands sent with the spans told."""

    def __init__(self, definition: SagaDefinition) -> None:
        self.definition = definition
        self.saga = Saga("saga-1", definition.name, 1, None, dawn, trace_id=trace_id)
        self.sent: dict[str, tuple[str, datetime]] = {}  # span id -> outbox key, when it was first sent
        self.commands: list[SendCommand] = []
        self.spans: list[FinishedSpan] = []
        self.history: list[Event] = []

    def happen(self, event: Event) -> None:
        decision = decide(self.definition, self.saga, event)
        if not decision.recorded:
            return
        for effect in decision.effects:
            if isinstance(effect, SendCommand):
                self.commands.append(effect)
                sending = attempt_span_id(self.saga.id, effect.key, event.at)
                self.sent.setdefault(sending, (effect.key, event.at))
        self.spans += spans_of(self.definition, self.saga, decision)
        self.saga = decision.saga
        self.history.append(event)
        self.check()

    def check(self) -> None:
        ids = [span.span_id for span in self.spans]
        assert len(set(ids)) == len(ids), "ids are unique"
        root = span_id(self.saga.id)
        assert [span.span_id for span in self.spans if span.parent_id is None] == [root] * self.saga.final
        assert {span.parent_id for span in self.spans} <= {None, root}
        open_ids = {
            attempt_span_id(self.saga.id, key, run.sent_at)
            for run in self.saga.steps.values()
            if run.sent_at and (key := awaited(run))
        }
        told = {span.span_id: span for span in self.spans if span.parent_id and span.name != "late reply"}
        assert told.keys() | open_ids == self.sent.keys(), "what was sent is told once it is over"
        assert not told.keys() & open_ids
        for sending, span in told.items():
            assert span.start == self.sent[sending][1]
        assert {link.span_id for span in self.spans for link in span.links} <= self.sent.keys()


@pytest.mark.parametrize("path", lives, ids=lambda path: path.stem)
def test_the_trace_of_every_life_is_one_tree(path: Path) -> None:
    life = read(path.read_text())
    teller = Teller(yaml.safe_load(life.plan))
    for paragraph in life.paragraphs:
        assert list(teller.hear(paragraph.said))
    witness = Witness(teller.definition)
    witness.saga = replace(teller.newborn, trace_id=trace_id)
    for count, event in enumerate(teller.history):
        # A life's clock stands still while it is told; in the world no two questions are asked at the same instant.
        witness.happen(replace(event, at=event.at + timedelta(microseconds=count)))
    assert witness.spans


worlds = {
    "chain": plans.chain().definition,
    "fork": plans.fork().definition,
    "optional": plans.optional().definition,
    "pivot": plans.pivot().definition,
}


@pytest.mark.parametrize("name", worlds)
def test_the_trace_of_any_life_is_one_tree(name: str) -> None:
    """Random lives, repeatable by their seed. Participants answer as they like, even what they were never asked."""
    outcomes = set[object]()
    for seed in range(250):
        witness = Witness(worlds[name])
        try:
            live(witness, random.Random(f"{name} {seed}"))
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
        outcomes |= {span.attributes.get("saga.outcome") for span in witness.spans}
        newborn = Saga("saga-1", witness.definition.name, 1, None, dawn, trace_id=trace_id)
        assert list(trace_of(witness.definition, newborn, witness.history)) == witness.spans
    assert {"succeeded", "refused", "failed", "timeout", "superseded", "unsendable"} <= outcomes
    assert "abandoned" in outcomes or name != "fork"


def live(witness: Witness, chance: random.Random) -> None:
    """One random life, and a little of what comes after its end."""
    at = dawn
    witness.happen(Started(at))
    after_the_end = 0
    for _ in range(60):
        at += timedelta(milliseconds=chance.choice((1, 50, 5_000)))
        due = wake_at(witness.saga)
        if due and chance.random() < 0.4:
            at = max(at, due)
        witness.happen(something(witness, chance, at))
        turned = witness.commands and chance.random() < 0.05
        if turned:
            sent = chance.choice(witness.commands)
            witness.happen(Voided(at, ((sent.command, sent.attempt),)))
        dispatched = [run for run in witness.saga.steps.values() if run.status is StepStatus.DISPATCHED]
        just_sent = [run for run in dispatched if run.sent_at == at and not run.inquiry and not run.deferred]
        if just_sent and chance.random() < 0.05:
            run = just_sent[0]
            witness.happen(Unsendable(at, CommandId(run.name, run.iteration), Failure("InputSchema", "no")))
        after_the_end += witness.saga.final
        if after_the_end > 6:
            return


def something(witness: Witness, chance: random.Random, at: datetime) -> Event:
    what = chance.random()
    if what < 0.5:
        return reply(witness, chance, at)
    return Woke(at) if what < 0.85 else request(witness, chance, at)


def reply(witness: Witness, chance: random.Random, at: datetime) -> Replied:
    sent = chance.choice(witness.commands[-4:] if chance.random() < 0.8 else witness.commands)
    said = chance.choice((*Answer, Answer.SUCCEEDED, Answer.SUCCEEDED, Answer.FAILED))
    return Replied(
        at,
        sent.command,
        max(1, sent.attempt + chance.choice((0,) * 12 + (1, -1))),
        said,
        inquire=bool(sent.inquiry),
        effect=chance.choice(tuple(Effect)) if said is Answer.FAILED else None,
        undone=chance.choice(tuple(Undone))
        if said is Answer.SUCCEEDED and sent.command.kind == "compensation"
        else None,
        fault="too short" if chance.random() < 0.03 else None,
        recorded_after_compensation=chance.random() < 0.05,
    )


def request(witness: Witness, chance: random.Random, at: datetime) -> Event:
    blocked = [name for name, run in witness.saga.steps.items() if run.status is StepStatus.BLOCKED]
    step = chance.choice(blocked or [one.name for one in witness.definition.steps])
    settlement = chance.choice(tuple(Settlement))
    requests: Iterable[Event] = (
        RetryRequested(at, step, "ann", "", chance.choice((Unset(), {"edited": True}))),
        SettleRequested(at, step, settlement, "ann", ""),
        SkipRequested(at, step, "ann", ""),
        PauseRequested(at, "ann", ""),
        ResumeRequested(at, "ann", ""),
        ResumeRequested(at, "ann", ""),
        *((WaiveRequested(at, step, "ann", ""), CloseRequested(at, "ann", "")) if chance.random() < 0.1 else ()),
        *((CancelRequested(at, "ann", ""),) if chance.random() < 0.3 else ()),
    )
    return chance.choice(list(requests))
