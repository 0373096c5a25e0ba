"""A case is run, and what came of it is written down: what is true, what was reported. Judging comes later."""

from __future__ import annotations

import asyncio
import pickle
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from bench.diagnosis.cases import Case, Label
from bench.diagnosis.loop import began, run
from bench.diagnosis.world import Happened, World
from coordinator.diagnosis import case as gathered
from coordinator.diagnosis.collector import Collector
from coordinator.diagnosis.past import PastIncidents
from coordinator.diagnosis.report import Certainty, Report
from coordinator.saga.definition import StepKind
from coordinator.store.migration import migrate

explained_max = 3  # sagas of each fault that are asked about one by one
texts_max = 12

memory = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Said:
    """One error of a failed saga, in the words in which it came: all that a reader of logs would have."""

    step: str
    participant: str
    kind: str
    type: str
    code: str
    message: str
    causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Effects:
    """One saga that was asked about: of each step what may truly be said, and what was."""

    saga_id: str
    right: dict[str, frozenset[str]]
    said: dict[str, str]


@dataclass(slots=True)
class Item:
    """One fault of one case, and the report of the incident that most of its sagas are in."""

    label: Label
    blamed: frozenset[Any]
    affected: tuple[str, ...]
    incident_id: str | None = None
    report: Report | None = None
    own: Report | None = None  # of one saga
    effects: list[Effects] = field(default_factory=list)
    texts: list[Said] = field(default_factory=list)
    evidence: gathered.Case | None = None  # what the analyser was given
    focused: list[gathered.Case] = field(default_factory=list)  # … for each saga that was asked about


@dataclass(slots=True)
class Result:
    """What came of a case."""

    name: str
    kind: str
    split: str
    hard: bool
    items: list[Item]
    sagas: int
    failed: int
    truth: dict[str, str]  # failed saga -> whose it is
    grouped: dict[str, str]  # failed saga -> incident
    milliseconds: list[float]
    seconds: float  # of ours


@cache
def prepared() -> Path:
    """An empty database, made once per process."""
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None, prefix="amends-bench-"))
    asyncio.run(migrate(f"sqlite:///{folder / 'empty.db'}"))
    return folder


def fresh() -> Path:
    """A database of one's own."""
    folder = Path(tempfile.mkdtemp(dir=prepared()))
    shutil.copy(prepared() / "empty.db", folder / "world.db")
    return folder / "world.db"


def done() -> None:
    """Nothing is left behind."""
    if prepared.cache_info().currsize:
        shutil.rmtree(prepared(), ignore_errors=True)
        prepared.cache_clear()


def run_case(case: Case) -> Result:
    """Run one case in a world of its own."""
    database = fresh()
    try:
        return run(_run(case, database))
    finally:
        shutil.rmtree(database.parent, ignore_errors=True)


async def _run(case: Case, database: Path) -> Result:
    plan, labels = case.make()
    started = time.process_time()
    async with World(plan, database) as world:
        await world.live()
        diagnosis = world.app.diagnosis
        if diagnosis is None:
            raise RuntimeError("a world without diagnosis has nothing to judge")
        await diagnosis.watch.flush()
        truth = {saga_id: whose(world, saga_id, labels) for saga_id in world.failed_at}
        grouped = await incidents_of(world, world.failed_at)
        items = [await _item(world, label, grouped) for label in labels]
        milliseconds = [item.report.quality.milliseconds for item in items if item.report]
        return Result(
            case.name,
            case.kind,
            case.split,
            case.hard,
            items,
            len(world.sagas),
            len(world.failed_at),
            truth,
            grouped,
            milliseconds,
            time.process_time() - started,
        )


def whose(world: World, saga_id: str, labels: Sequence[Label]) -> str:
    """Which fault a failed saga failed of, by what has touched it in the world."""
    touched = world.touched.get(saga_id, set())
    for number, label in enumerate(labels):
        if touched & label.faults:
            return f"fault {number}"
    ordinary = sorted(one for one in touched if one.startswith("decline:"))
    if ordinary:
        return ordinary[0]
    for number, label in enumerate(labels):
        if label.silent and label.onset is not None and world.failed_at[saga_id] >= label.onset:
            return f"fault {number}"
    return "noise"


async def incidents_of(world: World, saga_ids: Iterable[str]) -> dict[str, str]:
    """The incident of each failed saga."""
    assert world.app.diagnosis is not None
    reader = world.app.diagnosis.reader
    found: dict[str, str] = {}
    for saga_id in saga_ids:
        ids = [failure.incident_id for failure in await reader.failures_of(saga_id) if failure.incident_id]
        if ids:
            # What failed last is what counts where a refusal came first and the way back failed.
            refused = any(one.startswith("decline:") for one in world.touched.get(saga_id, ()))
            found[saga_id] = await _standing(world, ids[0] if refused else ids[-1])
    return found


async def _standing(world: World, incident_id: str) -> str:
    """The incident, or the one that it has become part of."""
    assert world.app.diagnosis is not None
    row = await world.app.diagnosis.reader.get(incident_id)
    return row.merged_into if row is not None and row.merged_into else incident_id


async def _item(world: World, label: Label, grouped: dict[str, str]) -> Item:
    assert world.app.diagnosis is not None
    affected = tuple(saga_id for saga_id in world.failed_at if whose(world, saga_id, [label]) == "fault 0")
    # Whom the faults name is known by now, and they themselves can't be sent to another process.
    item = Item(replace(label, witnesses=()), label.blamed, affected)
    counts = Counter(grouped[saga_id] for saga_id in affected if saga_id in grouped)
    if not counts:
        return item
    item.incident_id = counts.most_common(1)[0][0]
    item.report = await world.app.diagnosis.reporter.refresh(item.incident_id)
    collector = collector_of(world)
    item.evidence = await collector.incident(item.incident_id)
    chosen = dict.fromkeys((affected[len(affected) // 2], affected[-1], affected[0]))
    for saga_id in list(chosen)[:explained_max]:
        report = await world.app.diagnosis.reporter.explain(saga_id)
        if report is not None:
            item.own = item.own or report
            item.effects.append(effects(world, saga_id, report))
            item.focused.append(await collector.saga(saga_id))
    item.texts = texts(item.evidence, set(affected))
    return item


def collector_of(world: World) -> Collector:
    """What gathers a case, over this world's database."""
    app, diagnosis = world.app, world.app.diagnosis
    assert diagnosis is not None
    return Collector(
        diagnosis.reader,
        diagnosis.outcomes,
        diagnosis.occurrences,
        app.stores.fleet,
        app.stores.samples,
        app.definitions,
        PastIncidents(diagnosis.reader, app.clock.now),
        now=app.clock.now,
    )


def texts(case: gathered.Case, affected: set[str]) -> list[Said]:
    """The errors of some of its sagas."""
    found: list[Said] = []
    for seen in case.failed:
        if seen.saga.id not in affected:
            continue
        for attempt in seen.attempts:
            if attempt.failure is None:
                continue
            step = seen.definition.by_name.get(attempt.command.step)
            found.append(
                Said(
                    f"{seen.definition.name}.{attempt.command.step}",
                    step.participant if step else "",
                    str(attempt.command.kind),
                    attempt.failure.type,
                    attempt.failure.code,
                    attempt.failure.message,
                    tuple(f"{cause.type}: {cause.message}" for cause in attempt.failure.causes),
                )
            )
    return found[:texts_max]


def effects(world: World, saga_id: str, report: Report) -> Effects:
    """What may truly be said of each step of a saga, by the ledger, and what its report said."""
    definition = world.definition_of(saga_id)
    right: dict[str, frozenset[str]] = {}
    for step in definition.steps:
        if step.kind == StepKind.READONLY.value:
            continue
        happened = world.ledger.get((saga_id, step.name))
        if happened is None or not happened.ran:
            known = {Certainty.NOT_RUN, Certainty.NOT_APPLIED}
            run = world.sagas[saga_id].steps.get(step.name)
            if run is not None and run.attempt:
                known.add(Certainty.UNKNOWN)
        else:
            known = set()
            if happened.applied:
                known.add(Certainty.UNDONE if happened.undone else Certainty.APPLIED)
            else:
                known |= {Certainty.NOT_APPLIED} | ({Certainty.UNDONE} if happened.undone else set())
            if not _settled(world, saga_id, step.name, happened):
                known.add(Certainty.UNKNOWN)
        right[step.name] = frozenset(one.value for one in known)
    return Effects(saga_id, right, said_of(report, right))


def said_of(report: Report, steps: Iterable[str]) -> dict[str, str]:
    """What a report says of the effects of these steps."""
    said = {effect.step.rpartition(".")[2]: effect.certainty.value for effect in report.effects}
    return {name: said[name] for name in steps if name in said}


def _settled(world: World, saga_id: str, step: str, happened: Happened) -> bool:
    """Whether the coordinator was told enough to know."""

    def proven(kind: str, sent: int) -> bool:
        begun = {one for one in happened.begun if one[0] == kind}
        every = begun | {(kind, number) for number in range(1, sent + 1)}
        return kind not in happened.doubtful and every <= happened.answered

    run = world.sagas[saga_id].steps.get(step)
    undone = run.undo_attempt if run is not None else 0
    acted = happened.succeeded or proven("action", run.attempt if run is not None else 0)
    return acted and (not undone or happened.undone_told or proven("compensation", undone))


def seconds_of(report: Report) -> float | None:
    """When the report says that it began, in the world's seconds."""
    return None if report.onset is None else (report.onset - began).total_seconds()


def keep(results: Sequence[Result], place: Path) -> None:
    place.write_bytes(pickle.dumps(list(results)))


def kept(place: Path) -> list[Result]:
    found: list[Result] = pickle.loads(place.read_bytes())
    return found
