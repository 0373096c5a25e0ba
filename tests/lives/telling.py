"""Tells the life of a saga: reads a script of what happens, plays it through `decide`, writes down what followed.

A `.life` file is prose (`#` lines), a definition in YAML, then paragraphs: what happens, `----`, what followed. The
verbs are the methods of `Teller` that begin with `do_`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from coordinator.saga import event as happens
from coordinator.saga.decision import Incident, SendCommand, VoidUnsent
from coordinator.saga.definition import Unset
from coordinator.saga.event import Answer, CommandId, Effect, Failure, Hold, Kind, Settlement, Undone
from coordinator.saga.explain import waiting_on
from coordinator.saga.record import dump_event, dump_saga, dump_step, load_event, load_saga, load_step
from coordinator.saga.registration import read_definition
from coordinator.saga.state import Saga, SagaStatus, wake_at
from coordinator.saga.transition import decide, replay

dawn = datetime(2026, 1, 1, tzinfo=UTC)
rule = "----"


@dataclass(frozen=True)
class Paragraph:
    said: str
    followed: str


@dataclass(frozen=True)
class Life:
    """A script, taken apart."""

    prose: str
    plan: str
    paragraphs: tuple[Paragraph, ...]

    def written(self) -> str:
        told = "\n\n".join(f"{p.said}\n{rule}\n{p.followed}".rstrip() for p in self.paragraphs)
        return f"{self.prose}\n\n{self.plan}\n\n{told}\n"


def read(text: str) -> Life:
    """Take a script apart. Paragraphs are separated by blank lines."""
    prose, plan, *rest = [block for block in text.strip().split("\n\n") if block.strip()]
    paragraphs = [block.partition(f"\n{rule}") for block in rest]
    return Life(
        prose, plan, tuple(Paragraph(said.strip("\n"), followed.strip("\n")) for said, _, followed in paragraphs)
    )


def tell(life: Life) -> Life:
    """Play a script and write down what followed."""
    teller = Teller(yaml.safe_load(life.plan))
    return replace(life, paragraphs=tuple(Paragraph(p.said, "\n".join(teller.hear(p.said))) for p in life.paragraphs))


class Teller:
    """One saga, its clock, and the facts about the world that a life may set."""

    def __init__(self, plan: dict[str, Any]) -> None:
        # Lives are about order and outcomes: no jitter, so that times are round.
        for step in plan["steps"]:
            for policy in ("retry", "compensation_retry") if "compensation" in step else ("retry",):
                step[policy] = {"jitter": 0, **step.get(policy, {})}
        self.definition = read_definition({"name": "life", **plan})
        self.at = dawn
        self.newborn = self.saga = Saga("saga-1", "life", 1, None, dawn)
        self.history: list[happens.Event] = []
        self.unsent: set[str] = set()
        self.nobody: set[str] = set()
        self.holds: list[Hold] = []

    def hear(self, said: str) -> Iterator[str]:
        for line in said.splitlines():
            verb, _, rest = line.partition(" ")
            yield from getattr(self, f"do_{verb.replace('-', '_')}")(*rest.split(" ") if rest else ())
        yield self._standing()

    # -- what can happen ---------------------------------------------------------------------------------------------

    def do_start(self, *data: str) -> Iterator[str]:
        self.newborn = self.saga = replace(self.saga, input=_json(data))
        yield from self._happen(happens.Started(self.at))

    def do_reply(self, command: str, answer: str, *facts: str) -> Iterator[str]:
        """reply STEP[.undo|.inquiry] ANSWER [attempt=n] [epoch=n] [iteration=n] [result=…] [late] [unknown] …"""
        name, _, what = command.partition(".")
        run, given = self.saga.step(name), dict(fact.partition("=")[::2] for fact in facts)
        undo = what == "undo"
        epoch = int(given.get("epoch", run.epoch if undo else 0))
        kind = Kind.COMPENSATION if undo else Kind.ACTION
        found = Undone(given.get("found", "undone")) if undo and answer == "succeeded" else None
        failure = Failure(given["error"], given["error"]) if "error" in given else None
        effect = Effect.UNKNOWN if "unknown" in given else Effect.NONE
        yield from self._happen(
            happens.Replied(
                self.at,
                CommandId(name, int(given.get("iteration", run.iteration)), kind, epoch),
                int(given.get("attempt", run.undo_attempt if undo else run.attempt)),
                Answer(answer),
                inquire=what == "inquiry",
                effect=effect if answer == "failed" else None,
                undone=found,
                result=json.loads(given["result"]) if "result" in given else None,
                failure=failure,
                recorded_after_compensation="late" in given,
                fault=given.get("fault"),
            )
        )

    def do_wait(self, seconds: str) -> Iterator[str]:
        """Let time pass; whatever falls due on the way happens at its time."""
        end = self.at + timedelta(seconds=float(seconds))
        while (due := wake_at(self.saga)) and due <= end:
            self.at = max(self.at, due)
            yield f"at {(self.at - dawn).total_seconds():g} s"
            before = self.saga
            yield from self._happen(self._woke())
            if self.saga == before:
                raise AssertionError(f"woken at {self.at}, nothing happened, and it is still due")
        self.at = end

    def do_unsent(self, *keys: str) -> Iterator[str]:
        self.unsent = set(keys)
        yield from ()

    def do_nobody(self, *participants: str) -> Iterator[str]:
        self.nobody = set(participants)
        yield from ()

    def do_hold(self, *participant: str) -> Iterator[str]:
        self.holds.append(Hold(self.at, participant=participant[0] if participant else None))
        yield from ()

    def do_release(self) -> Iterator[str]:
        self.holds[-1] = replace(self.holds[-1], until=self.at)
        yield from ()

    def do_published(self, name: str) -> Iterator[str]:
        run = self.saga.step(name)
        yield from self._happen(happens.Published(self.at, CommandId(name, run.iteration), run.attempt))

    def do_voided(self, *names: str) -> Iterator[str]:
        commands = tuple(
            (CommandId(name, self.saga.step(name).iteration), self.saga.step(name).attempt) for name in names
        )
        yield from self._happen(happens.Voided(self.at, commands))

    def do_unsendable(self, name: str) -> Iterator[str]:
        failure = Failure("InputSchema", "the input breaks its schema")
        yield from self._happen(happens.Unsendable(self.at, CommandId(name), failure))

    def do_cancel(self, *reason: str) -> Iterator[str]:
        yield from self._happen(happens.CancelRequested(self.at, "ann", " ".join(reason)))

    def do_retry(self, name: str, *data: str) -> Iterator[str]:
        edited = _json(data) if data else Unset()
        yield from self._happen(happens.RetryRequested(self.at, name, "ann", "try again", edited))

    def do_settle(self, name: str, settlement: str, *result: str) -> Iterator[str]:
        yield from self._happen(
            happens.SettleRequested(self.at, name, Settlement(settlement), "ann", "saw it", _json(result))
        )

    def do_waive(self, name: str) -> Iterator[str]:
        yield from self._happen(happens.WaiveRequested(self.at, name, "ann", "leave it"))

    def do_skip(self, name: str) -> Iterator[str]:
        yield from self._happen(happens.SkipRequested(self.at, name, "ann", "not needed"))

    def do_close(self) -> Iterator[str]:
        yield from self._happen(happens.CloseRequested(self.at, "ann", "enough"))

    def do_pause(self) -> Iterator[str]:
        yield from self._happen(happens.PauseRequested(self.at, "ann", "wait"))

    def do_resume(self) -> Iterator[str]:
        yield from self._happen(happens.ResumeRequested(self.at, "ann", "go on"))

    # -- what follows ------------------------------------------------------------------------------------------------

    def _woke(self) -> happens.Woke:
        return happens.Woke(self.at, frozenset(self.unsent), frozenset(self.nobody), tuple(self.holds))

    def _happen(self, event: happens.Event) -> Iterator[str]:
        decision = decide(self.definition, self.saga, event)
        if decision.refused:
            yield f"  409 {decision.refused}"
        sent = {effect.key: effect for effect in decision.effects if isinstance(effect, SendCommand)}
        for note in decision.notes:
            if not note.startswith(("send ", "ask ")):  # the commands themselves say more
                yield f"  {note}"
        for command in sent.values():
            yield f"  {command.key}: {_short(command)}"
        for effect in decision.effects:
            assert isinstance(effect, SendCommand | VoidUnsent | Incident)
            if isinstance(effect, VoidUnsent):
                yield "  void what is unsent"
        if decision.recorded:
            self.history.append(event)
        self.saga = decision.saga
        check(self)

    def _standing(self) -> str:
        left = "".join(
            f"; left: {left.step} ({left.because}{'' if left.certain else ', perhaps'})"
            for left in self.saga.effects_left
        )
        if self.saga.final:
            cause = f" ({self.saga.cause})" if self.saga.cause else ""
            return f"= {self.saga.status}{cause}{left}"
        wait = waiting_on(self.definition, self.saga)
        assert wait is not None
        return f"= {self.saga.status}, waiting on {wait.kind}{f' of {wait.step}' if wait.step else ''}{left}"


def check(teller: Teller) -> None:
    """What holds at every moment of every life."""
    saga = teller.saga
    steps = {name: load_step(json.loads(json.dumps(dump_step(run)))) for name, run in saga.steps.items()}
    assert load_saga(json.loads(json.dumps(dump_saga(saga))), steps) == saga, "a saga survives being kept"
    kept = [load_event(*json.loads(json.dumps(dump_event(event)))) for event in teller.history]
    assert replay(teller.definition, teller.newborn, kept) == saga, "replaying the history gives the saga"
    assert saga.revision == len(teller.history)
    if not saga.final and not saga.paused and saga.status is not SagaStatus.BLOCKED:
        assert wake_at(saga), "every wait has a wake-up"
    if saga.revision:
        assert saga.final or waiting_on(teller.definition, saga)


def _short(command: SendCommand) -> str:
    if command.inquiry:
        return f"{command.participant}: what became of it?"
    facts = {"data": command.data}
    if command.command.kind is Kind.COMPENSATION:
        facts |= {"result": command.result, "reason": command.reason}
    return f"{command.participant}.{command.handler} {json.dumps(facts)}"


def _json(words: tuple[str, ...]) -> Any:
    return json.loads(" ".join(words)) if words else None
