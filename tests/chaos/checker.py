"""An independent judge: from rows alone, whether every started order happened exactly once or not at all.

Loads nothing of the product. Each rule is a generator of violations; `check` runs them all, `explain` tells the story
of the saga that broke one.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.chaos.evidence import Effect, Evidence, Row, Sums

final = {"completed", "compensated", "closed"}
told_max = 20  # violations of one rule that are listed
_move = re.compile(r"([A-Za-z][A-Za-z0-9_-]*): ([a-z]+) -> ([a-z]+)")


@dataclass(frozen=True, slots=True)
class Story:
    """What those who started the orders know: which keys they used, what was answered, and what must come of it."""

    started: Mapping[str, str | None]  # by key: the saga's id as it was answered; None: no answer ever came
    refused: Set[str] = frozenset()  # keys of orders that were made to fail before the point of no return
    sums: Sums = field(default_factory=lambda: Sums({}, {}))


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule, the saga that breaks it (None: no single one), and how."""

    rule: str
    saga_id: str | None
    what: str


Found = Iterator[tuple[str | None, str]]


def check(evidence: Evidence, story: Story) -> list[Violation]:
    """All violations, at most `told_max` of a rule. A saga that still moves breaks one rule: what its services and the
    coordinator say of it was not read at one moment."""
    moving = {saga_id for saga_id, saga in evidence.sagas.items() if saga["status"] in ("running", "compensating")}
    violations: list[Violation] = []
    for rule, look in rules.items():
        excused = moving if rule != "every saga is final" else set()
        broken = [Violation(rule, saga_id, what) for saga_id, what in look(evidence, story) if saga_id not in excused]
        violations += broken[:told_max]
    return violations


def _each_start_is_one_saga(evidence: Evidence, story: Story) -> Found:
    by_key: dict[str, list[str]] = defaultdict(list)
    for row in evidence.starts:
        by_key[row["key"]].append(row["saga_id"])
    for key, answered in story.started.items():
        found = by_key.get(key, [])
        if len(found) > 1 or (answered is not None and not found):
            yield answered, f"key {key} started {len(found)} sagas"
        elif answered is not None and found != [answered]:
            yield answered, f"key {key} was answered with {answered}, but belongs to {found[0]}"
        elif found and found[0] not in evidence.sagas:
            yield found[0], f"key {key} belongs to a saga that is not there"
    keyed = Counter(row["saga_id"] for row in evidence.starts)
    for saga_id in evidence.sagas:
        if keyed[saga_id] != 1:
            yield saga_id, f"the saga belongs to {keyed[saga_id]} keys"
    for key in by_key.keys() - story.started.keys():
        yield by_key[key][0], f"nobody has used the key {key}"
    addressed = Counter(json.loads(saga["input"]).get("address") for saga in evidence.sagas.values())
    for address, count in addressed.items():
        if count > 1:
            yield None, f"{count} sagas deliver the one order to {address}"


def _every_saga_is_final(evidence: Evidence, story: Story) -> Found:
    for saga_id, saga in evidence.sagas.items():
        if saga["status"] not in final:
            waits = f"{saga['waiting_on']} {saga['waiting_for'] or ''}".strip()
            yield saga_id, f"still {saga['status']}, waiting on {waits}"
        elif saga["status"] == "closed":
            yield saga_id, "closed, and nobody was there to close it"


def _what_was_refused_is_compensated(evidence: Evidence, story: Story) -> Found:
    for key in story.refused:
        saga = evidence.sagas.get(story.started.get(key) or "")
        if saga is not None and saga["status"] == "completed":
            yield saga["id"], f"the order {key} was refused by a step, and completed"


def _effects_happen_exactly_once(evidence: Evidence, story: Story) -> Found:
    counts = Counter((one.saga_id, one.step, one.part, one.kind) for one in evidence.effects)
    parts = {(one.saga_id, one.step, one.part) for one in evidence.effects}
    per_step: dict[tuple[str, str], int] = Counter((saga_id, step) for saga_id, step, _ in parts)
    for effect in evidence.effects:
        if effect.kind == "?":
            yield effect.saga_id, f"{effect.service} changed the books of {effect.step} in a way no command does"
    for saga_id, step, part in sorted(parts):
        done, undone = counts[saga_id, step, part, "action"], counts[saga_id, step, part, "compensation"]
        saga = evidence.sagas.get(saga_id)
        name = f"{step} {part}".strip()
        if saga is None:
            yield saga_id, f"{name} has effects, but its saga is not there"
        elif done > 1 or undone > 1:
            yield saga_id, f"{name} was done {done} times and undone {undone} times"
        elif saga["status"] == "completed" and (done, undone) != (1, 0):
            yield saga_id, f"completed, but {name} was done {done} times and undone {undone} times"
        elif saga["status"] == "compensated" and done != undone:
            yield saga_id, f"compensated, but {name} was done {done} times and undone {undone} times"
    for saga_id, saga in evidence.sagas.items():
        if saga["status"] == "completed":
            for step in _steps(evidence, saga):
                if not per_step[saga_id, step]:
                    yield saga_id, f"completed, but {step} was never done"


def _order_follows_the_edges(evidence: Evidence, story: Story) -> Found:
    times: dict[tuple[str, str, str], list[datetime]] = defaultdict(list)
    for one in evidence.effects:
        times[one.saga_id, one.step, one.kind].append(one.at)
    for saga_id, saga in evidence.sagas.items():
        for step, after in _steps(evidence, saga).items():
            for earlier in after:
                yield from _edge(saga_id, earlier, step, times)


def _edge(saga_id: str, u: str, v: str, times: Mapping[tuple[str, str, str], Sequence[datetime]]) -> Found:
    """v is after u: it is done only once u is done, and u is undone only once v is."""
    done_u, done_v = times.get((saga_id, u, "action")), times.get((saga_id, v, "action"))
    undone_u, undone_v = times.get((saga_id, u, "compensation")), times.get((saga_id, v, "compensation"))
    if done_v and (not done_u or max(done_u) >= min(done_v)):
        yield saga_id, f"{v} was done before {u}"
    if undone_u and undone_v and max(undone_v) >= min(undone_u):
        yield saga_id, f"{u} was undone before {v}"
    if undone_u and done_v and not undone_v:
        yield saga_id, f"{u} was undone while {v} stands"


def _sums_are_what_they_were(evidence: Evidence, story: Story) -> Found:
    kept: Counter[str] = Counter()
    for charge in evidence.books.get("charges", ()):
        if not charge["refunded"]:
            kept["shop"] += charge["amount_cents"]
            kept[charge["account"]] -= charge["amount_cents"]
    for account in evidence.books.get("accounts", ()):
        expected = story.sums.balances.get(account["name"], 0) + kept[account["name"]]
        if account["balance_cents"] != expected:
            yield None, f"the account of {account['name']} holds {account['balance_cents']}, not {expected} cents"
    aside: Counter[str] = Counter()
    for reservation in evidence.books.get("reservations", ()):
        aside[reservation["sku"]] += 0 if reservation["released"] else reservation["quantity"]
    for shelf in evidence.books.get("stock", ()):
        goods = shelf["on_hand"] + shelf["reserved"]
        if goods != story.sums.goods.get(shelf["sku"], 0):
            yield None, f"there were {story.sums.goods.get(shelf['sku'], 0)} {shelf['sku']}, now {goods}"
        if shelf["reserved"] != aside[shelf["sku"]]:
            yield None, f"{shelf['reserved']} {shelf['sku']} are set aside, for orders of {aside[shelf['sku']]}"
    carried = Counter(row["courier"] for row in evidence.books.get("assignments", ()) if not row["recalled"])
    for courier in evidence.books.get("couriers", ()):
        if courier["load"] != carried[courier["name"]]:
            yield None, f"{courier['name']} carries {courier['load']}, of which {carried[courier['name']]} are assigned"


def _nothing_is_left_to_send(evidence: Evidence, story: Story) -> Found:
    for row in evidence.outbox:
        why = row["parked_reason"] or row["last_error"] or "no reason given"
        yield row["saga_id"], f"{row['key']} is still in the outbox: {why}"
    for row in evidence.dead_letters:
        yield row["saga_id"], f"a dead letter of {row['participant']}: {row['reason']}"
    for name, depth in evidence.queues.items():
        if depth:
            yield None, f"{depth} messages are left in {name}"


def _history_is_a_legal_path(evidence: Evidence, story: Story) -> Found:
    by_saga: dict[str, list[Row]] = defaultdict(list)
    for row in evidence.history:
        by_saga[row["saga_id"]].append(row)
    stored = {(row["saga_id"], row["name"]): row["status"] for row in evidence.steps}
    for saga_id in by_saga.keys() - evidence.sagas.keys():
        yield saga_id, "history of a saga that is not there"
    for saga_id, saga in evidence.sagas.items():
        rows = by_saga[saga_id]
        if [row["seq"] for row in rows] != list(range(1, saga["revision"] + 1)):
            yield saga_id, f"its history has {len(rows)} entries with gaps, for {saga['revision']} revisions"
            continue
        now: dict[str, str] = {"saga": "running"}
        ends = 0
        for name, before, after in _moves(rows):
            there = now.get(name, "pending")
            if there != before:
                yield saga_id, f"{name} moved from {before} to {after}, but was {there}"
            if name == "saga" and before in final:
                yield saga_id, f"left {before}, which is final"
            ends += name == "saga" and after in final
            now[name] = after
        if ends != (saga["status"] in final):
            yield saga_id, f"ended {ends} times"
        if now.pop("saga") != saga["status"]:
            yield saga_id, f"is {saga['status']}, but its history says otherwise"
        for name, status in now.items():
            if stored.get((saga_id, name)) != status:
                yield saga_id, f"{name} is {stored.get((saga_id, name))}, but its history says {status}"


def _inboxes_agree(evidence: Evidence, story: Story) -> Found:
    done = {(one.saga_id, one.step, one.kind) for one in evidence.effects}
    said = {}
    for row in evidence.inbox:
        key = (row["saga_id"], row["step"], row["kind"])
        if row["saga_id"] not in evidence.sagas:
            yield row["saga_id"], f"{row['service']} knows of a saga that is not there"
        if row["state"] == "running":
            yield row["saga_id"], f"{row['service']} has not finished {row['kind']} of {row['step']}"
        if row["state"] == "succeeded":
            nothing = json.loads(row["reply"]).get("undone") == "nothing_to_undo"
            said[key] = "nothing" if nothing else "done"
    for key in sorted(done - {key for key, what in said.items() if what == "done"}):
        yield key[0], f"{key[2]} of {key[1]} has an effect that its inbox does not know"
    for key in sorted({key for key, what in said.items() if what == "done"} - done):
        yield key[0], f"{key[2]} of {key[1]} has no effect, though its inbox says so"
    for row in evidence.steps:
        action = said.get((row["saga_id"], row["name"], "action"))
        undone = said.get((row["saga_id"], row["name"], "compensation"))
        if row["status"] == "succeeded" and (action != "done" or undone):
            yield row["saga_id"], f"{row['name']} is succeeded, which its inbox denies"
        if row["status"] == "compensated" and not undone:
            yield row["saga_id"], f"{row['name']} is compensated, of which its inbox knows nothing"


def _nothing_belongs_to_nobody(evidence: Evidence, story: Story) -> Found:
    for name, rows in (("step", evidence.steps), ("outbox row", evidence.outbox), ("start", evidence.starts)):
        for row in rows:
            if row["saga_id"] not in evidence.sagas:
                yield row["saga_id"], f"a {name} of a saga that is not there"
    for saga_id, saga in evidence.sagas.items():
        if (saga["definition"], saga["version"]) not in evidence.definitions:
            yield saga_id, "its definition is not there"


rules: dict[str, Callable[[Evidence, Story], Found]] = {
    "each start is one saga": _each_start_is_one_saga,
    "every saga is final": _every_saga_is_final,
    "what was refused is compensated": _what_was_refused_is_compensated,
    "effects happen exactly once": _effects_happen_exactly_once,
    "order follows the edges": _order_follows_the_edges,
    "sums are what they were": _sums_are_what_they_were,
    "nothing is left to send": _nothing_is_left_to_send,
    "history is a legal path": _history_is_a_legal_path,
    "inboxes agree": _inboxes_agree,
    "nothing belongs to nobody": _nothing_belongs_to_nobody,
}


def _steps(evidence: Evidence, saga: Row) -> dict[str, list[str]]:
    """The steps of a saga's definition, each with those it comes after; one that doesn't say comes after the last."""
    document: Any = evidence.definitions.get((saga["definition"], saga["version"]), {})
    steps: dict[str, list[str]] = {}
    for step in document.get("steps", ()):
        before = list(steps)[-1:]
        after = step.get("after")
        steps[step["name"]] = before if after is None else list(after)
    return steps


def _moves(rows: Sequence[Row]) -> Iterator[tuple[str, str, str]]:
    for row in rows:
        for note in json.loads(row["notes"]):
            found = _move.fullmatch(note)
            if found:
                yield found[1], found[2], found[3]


def explain(evidence: Evidence, saga_id: str) -> str:
    """The saga's life, as all its witnesses tell it, merged by time. Times are the database server's."""
    told: list[tuple[datetime, str]] = []
    for row in evidence.history:
        if row["saga_id"] == saga_id:
            at = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=row["at"])
            told.append((at, f"history  {row['seq']:>3} {row['event']}: {'; '.join(json.loads(row['notes']))}"))
    effects = (one for one in evidence.effects if one.saga_id == saga_id)
    told += [(one.at, f"effect       {one.service}: {_name(one)}") for one in effects]
    for row in evidence.inbox:
        if row["saga_id"] == saga_id:
            at = datetime.fromtimestamp(row["updated_at"], UTC)
            what = f"{row['kind']} of {row['step']}, attempt {row['attempt']}"
            told.append((at, f"inbox        {row['service']}: {what}: {row['state']}"))
    for row in evidence.outbox:
        if row["saga_id"] == saga_id:
            at = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=row["created_at"])
            told.append((at, f"outbox       {row['key']} for {row['participant']}, {row['tries']} tries"))
    saga = evidence.sagas.get(saga_id)
    head = f"saga {saga_id}: {saga['status'] if saga else 'not there'}"
    return "\n".join([head, *(f"  {at:%H:%M:%S.%f} {line}" for at, line in sorted(told))])


def _name(effect: Effect) -> str:
    return f"{effect.kind} of {effect.step} {effect.part}".strip()
