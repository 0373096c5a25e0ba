"""Whether remedies that are carried out without a person do any harm: the same worlds with and without them."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bench.diagnosis import development
from bench.diagnosis.cases import Case
from bench.diagnosis.loop import run
from bench.diagnosis.running import fresh
from bench.diagnosis.world import World
from coordinator.store.explained import RemedyState

tolerated = 3  # sagas that may end otherwise by chance alone


@dataclass(frozen=True, slots=True)
class Healed:
    """How the sagas of a world ended with remedies, against how they ended without: saga by saga."""

    case: str
    remedies: dict[str, int]
    helped: int  # failed without, did not with
    harmed: int  # completed without, did not with
    failed_without: int
    failed_with: int

    @property
    def harmful(self) -> bool:
        """Whether the world is worse for it."""
        return bool(self.remedies) and self.harmed > self.helped + tolerated


def chosen() -> Sequence[str]:
    """One case of each kind."""
    first: dict[str, str] = {}
    for case in development.cases():
        first.setdefault(case.kind, case.name)
    return list(first.values())


def lines(found: Sequence[Healed]) -> tuple[list[str], Any]:
    """What was done, and what it has done."""
    acted = [one for one in found if one.remedies]
    harmful = [one for one in found if one.harmful]
    had = f"{len(found)} worlds, of which {len(acted)} had a remedy carried out"
    said = [
        f"{had}; {len(harmful)} were worse for it (goal 0).",
        "",
        "| case | carried out | failed without | failed with | spared | harmed |",
        "|---|---|---|---|---|---|",
    ]
    for one in acted:
        done = ", ".join(f"{kind} ×{count}" for kind, count in one.remedies.items())
        said.append(f"| {one.case} | {done} | {one.failed_without} | {one.failed_with} | {one.helped} | {one.harmed} |")
    return [*said, ""], [{**asdict(one), "harmful": one.harmful} for one in found]


def healed(case: Case) -> Healed:
    """Run a case without remedies and with them."""
    without, _ = _ends(case, "off")
    with_them, remedies = _ends(case, "auto")
    both = without.keys() & with_them.keys()
    return Healed(
        case.name,
        remedies,
        sum(without[number] == "failed" and with_them[number] != "failed" for number in both),
        sum(without[number] == "completed" and with_them[number] != "completed" for number in both),
        sum(end == "failed" for end in without.values()),
        sum(end == "failed" for end in with_them.values()),
    )


def _ends(case: Case, mode: str) -> tuple[dict[int, str], dict[str, int]]:
    plan, _ = case.make()
    plan = replace(plan, settings={**plan.settings, "diagnosis_heal": mode})
    database = fresh()

    async def main() -> tuple[dict[int, str], dict[str, int]]:
        async with World(plan, database) as world:
            await world.live()
            ends = {
                number: "failed" if saga_id in world.failed_at else str(world.sagas[saga_id].status)
                for saga_id, number in world.order.items()
            }
            return ends, await _carried_out(world)

    try:
        return run(main())
    finally:
        shutil.rmtree(database.parent, ignore_errors=True)


async def _carried_out(world: World) -> dict[str, int]:
    """Which remedies have begun, by kind."""
    assert world.app.diagnosis is not None
    rows = await world.app.diagnosis.remedies.in_state(*RemedyState)
    return dict(Counter(row.kind for row in rows if row.begun_at is not None))
