"""The questions of a run, each a part that may be asked alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from bench.race.backlog import backlog
from bench.race.dbos import Dbos
from bench.race.embedding import embedded
from bench.race.floor import Floor
from bench.race.lab import Lab
from bench.race.limits import Commits, Publishes
from bench.race.listing import listing
from bench.race.ours import Form, diamond, in_a_row_of_four, long, wide
from bench.race.overload import overload
from bench.race.restate import Restate
from bench.race.results import Fact
from bench.race.rounds import Entry, scaled, started
from bench.speed import shop
from bench.speed.product import Shape

own = "Amends"
steps_of_many = 100
turns_of_many = 3.0  # times as long as others: a saga of so many takes seconds


def _floor(lab: Lab) -> Entry:
    return Entry("the floor: no service", Floor(lab.servers, lab.in_flight), ("busy", "alone"))


def _dbos(lab: Lab, processes: int, threads: int) -> Entry:
    name = f"DBOS, {processes} process{'es' if processes > 1 else ''} × {threads} threads"
    return Entry(name, Dbos(lab.servers, processes, threads), guest=True)


def _peers(lab: Lab) -> list[Entry]:
    services = ("order", "stock", "payment", "delivery")
    return [
        _dbos(lab, 1, 32),
        _dbos(lab, 2, 8),
        Entry("Restate, steps in process", Restate(("local",), lab.in_flight), guest=True),
        Entry("Restate, steps in services", Restate(services, lab.in_flight), guest=True),
    ]


def _limits(lab: Lab) -> list[Entry]:
    return [
        Entry("PostgreSQL: commits", Commits(lab.servers, 8), ("busy",)),
        Entry("RabbitMQ: confirms, quorum", Publishes(lab.servers, 100, "quorum"), ("busy",)),
        Entry("RabbitMQ: confirms, classic", Publishes(lab.servers, 100, "classic"), ("busy",)),
    ]


async def success(lab: Lab) -> None:
    part = lab.part("success", "Three steps that succeed.")
    entries = [Entry(own, lab.ours("success")), _floor(lab), *_peers(lab)]
    await lab.race(part, entries, kinds=("busy", "alone", "half"), limits=_limits(lab))
    part.notes.append("PostgreSQL and RabbitMQ by themselves: what is counted is commits of a row, and messages.")


async def failure(lab: Lab) -> None:
    part = lab.part("failure", "The third step is refused, and the other two are undone.")
    entries = [Entry(own, lab.ours("failure")), _floor(lab), *_peers(lab)]
    await lab.race(part, entries, fails=True)


async def quick(lab: Lab) -> None:
    part = lab.part("success", "Three steps that succeed: the product, the floor and one peer.")
    entries = [Entry(own, lab.ours("success")), _floor(lab), _dbos(lab, 1, 32)]
    await lab.race(part, entries)


async def shapes(lab: Lab) -> None:
    part = lab.part("shapes", "Four steps: two at a time in the middle, or one after the other?")
    product = lab.ours("shapes")
    async with started([Entry(own, product)], part, lab.tell):
        forms = {"a diamond": diamond, "in a row": in_a_row_of_four}
        await lab.race(part, [Entry(name, Form(product, one, lab.in_flight)) for name, one in forms.items()])


async def inbox(lab: Lab) -> None:
    part = lab.part("inbox", "What does it cost that participants remember, in PostgreSQL, what they did?")
    without = Entry("without inboxes", lab.ours("forgetful", Shape(inbox=False)))
    await lab.race(part, [Entry("with inboxes", lab.ours("inbox")), without], kinds=("busy",))


async def coordinators(lab: Lab) -> None:
    part = lab.part("coordinators", "Two coordinators beside one.")
    two = Entry("two", lab.ours("two", Shape(coordinators=2)))
    await lab.race(part, [two, Entry("one", lab.ours("one"))], kinds=("busy",))


async def workers(lab: Lab) -> None:
    part = lab.part("workers", "Four workers of each participant beside one.")
    four = Entry("four of each", lab.ours("four", Shape(workers_each=4)))
    await lab.race(part, [four, Entry("one of each", lab.ours("one"))], kinds=("busy",))


async def grown(lab: Lab) -> None:
    part = lab.part("grown", f"Does it matter that {lab.grown_sagas:,} sagas have finished before?")
    full = Form(await lab.grown(), shop.document(), lab.in_flight)
    entries = [Entry(f"{lab.grown_sagas:,} finished", full), Entry("none finished", lab.ours("fresh"))]
    await lab.race(part, entries, kinds=("busy",))


async def many_steps(lab: Lab) -> None:
    part = lab.part("steps", f"Sagas of {steps_of_many} steps, all at once and one after the other.")
    product = lab.ours("steps")
    async with started([Entry(own, product)], part, lab.tell):
        forms = {"wide": wide(steps_of_many), "long": long(steps_of_many)}
        entries = [Entry(name, Form(product, one, 8)) for name, one in forms.items()]
        pace = replace(scaled(lab.pace, turns_of_many), rounds=min(lab.pace.rounds, 3))
        await lab.race(part, entries, pace=pace)
    for name in forms:
        sagas = part.median(name, "busy", "sagas_per_second")
        if sagas is not None:
            part.facts.append(Fact(f"{name}: steps", sagas * steps_of_many, "steps/s"))


parts: Mapping[str, Callable[[Lab], Awaitable[None]]] = {
    "success": success,
    "failure": failure,
    "shapes": shapes,
    "inbox": inbox,
    "coordinators": coordinators,
    "workers": workers,
    "steps": many_steps,
    "embedded": embedded,
    "backlog": backlog,
    "overload": overload,
    "grown": grown,
    "listing": listing,
}
