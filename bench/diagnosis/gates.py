"""Whether the cases are worth anything: a board that a text search wins, or one where the evidence does not matter,
measures nothing."""

from __future__ import annotations

import random
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from bench.diagnosis.cases import Case
from bench.diagnosis.grading import Share
from bench.diagnosis.loop import run
from bench.diagnosis.running import Item, Result, fresh, whose
from bench.diagnosis.world import Plan, World
from coordinator.diagnosis.analyser import analyse
from coordinator.diagnosis.template import template_of

text_only_class_max = 0.60
text_only_grounded_max = 0.35
shuffled_joint_max = 0.40


def minimal_pairs(results: Sequence[Result]) -> Share:
    """Of how many faults the error's text appears under another label, too."""
    labels: dict[str, set[str]] = defaultdict(set)
    texts: list[str] = []
    for result in results:
        for item in result.items:
            if not item.affected:
                continue
            text = _text(item)
            texts.append(text)
            labels[text].add(item.label.classes[0].value)
    return Share.of(len(labels[text]) > 1 for text in texts)


def _text(item: Item) -> str:
    if not item.texts:
        return "no reply"
    said = item.texts[0]
    return template_of(f"{said.type}: {said.message}")


def shuffled(results: Sequence[Result], *, seed: int = 5) -> Share:
    """How often the verdict is still right when what is known of the fleet comes from another case."""
    chance = random.Random(seed)
    items = [
        item for result in results for item in result.items if item.evidence is not None and not item.label.abstain
    ]
    by_world: dict[frozenset[str], list[Item]] = defaultdict(list)
    for item in items:
        assert item.evidence is not None
        by_world[frozenset(worker.participant for worker in item.evidence.workers)].append(item)
    right: list[bool] = []
    for some in by_world.values():
        for item in some:
            others = [one for one in some if one.label.classes[0] is not item.label.classes[0]]
            if not others or item.evidence is None:
                continue
            other = chance.choice(others).evidence
            assert other is not None
            mixed = replace(
                item.evidence,
                tallies=other.tallies,
                calls=other.calls,
                occurrences=other.occurrences,
                workers=other.workers,
                peers=other.peers,
                since=other.since,
            )
            verdict = analyse(mixed).verdict
            right.append(verdict.cls in item.label.classes and verdict.culprit in item.blamed)
    return Share.of(right)


def counterfactual(case: Case) -> Share:
    """Of the sagas that failed of a fault, how many complete in the same world without it."""
    plan, labels = case.make()
    with_it = _ends(plan)
    failed = [
        number
        for number, (saga_id, failed_, world) in with_it.items()
        if failed_ and whose(world, saga_id, labels).startswith("fault")
    ]
    bare, _ = case.make()
    named = frozenset().union(*(label.faults for label in labels))
    bare = replace(bare, faults=[fault for fault in bare.faults if fault.name not in named])
    without = _ends(bare)
    return Share.of(not without[number][1] for number in failed if number in without)


def _ends(plan: Plan) -> dict[int, tuple[str, bool, World]]:
    database = fresh()

    async def main() -> dict[int, tuple[str, bool, World]]:
        async with World(plan, database) as world:
            await world.live()
            return {number: (saga_id, saga_id in world.failed_at, world) for saga_id, number in world.order.items()}

    try:
        return run(main())
    finally:
        shutil.rmtree(database.parent, ignore_errors=True)
