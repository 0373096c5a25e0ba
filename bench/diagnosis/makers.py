"""The fifteen kinds of causes, each as something that is done to a world and what is then true."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias, TypeVar

from amends.message import Kind
from bench.diagnosis.cases import Label, entities, entity, grounds, onset_seconds, steps_of, symptoms
from bench.diagnosis.fault import Fault
from bench.diagnosis.faults import (
    BadOutput,
    Limited,
    Lose,
    Outage,
    Poison,
    Redefine,
    Replace,
    Scale,
    Slow,
    Trouble,
    Where,
)
from bench.diagnosis.service import Visit
from bench.diagnosis.topology import Theme
from bench.diagnosis.wording import Wording
from coordinator.diagnosis.cause import Entity, EntityKind, FaultClass

Made = tuple[list[Fault], Label | None]
Saying: TypeAlias = Callable[[Wording, Visit], BaseException]
Maker = Callable[[Theme], Made]
Place = TypeVar("Place", str, Visit)
K = EntityKind
C = FaultClass


def labelled(
    classes: tuple[FaultClass, ...],
    culprits: Collection[Entity],
    faults: list[Fault],
    *,
    silent: bool = False,
    innocent: Collection[Entity] = (),
    **more: Any,
) -> Made:
    """The faults and their label, with what its evidence has to be."""
    cites = (symptoms, *grounds[classes[0]]) if len(classes) == 1 and classes[0] is not C.UNKNOWN else (symptoms,)
    names = frozenset(fault.name for fault in faults)
    return faults, Label(classes, frozenset(culprits), names, silent, frozenset(innocent), cites, **more)


def dependency(name: str) -> frozenset[Entity]:
    return entities(K.DEPENDENCY, [name])


def slow(name: str, *, seconds: float = 12.0, share: float = 1.0, kind: Kind | None = None) -> Maker:
    """A dependency answers too late."""

    def make(theme: Theme) -> Made:
        fault = Slow("slow", Where(dependency=name, kind=kind), start=onset_seconds, seconds=seconds, share=share)
        return labelled((C.DOWNSTREAM_TIMEOUT,), dependency(name), [fault])

    return make


def down(
    name: str, how: Callable[[Wording, str], BaseException], *, share: float = 1.0, kind: Kind | None = None
) -> Maker:
    """A dependency can't be reached, or says that it can't."""

    def make(theme: Theme) -> Made:
        where = Where(dependency=name, kind=kind)
        fault = Trouble("down", where, lambda said, visit: how(said, name), start=onset_seconds, share=share)
        return labelled((C.DOWNSTREAM_UNAVAILABLE,), dependency(name), [fault])

    return make


def limited(name: str, *, allowed: int, status: int = 429, wait_seconds: int | None = 20) -> Maker:
    """A dependency takes only so many calls."""

    def make(theme: Theme) -> Made:
        def say(said: Wording, visit: Visit) -> BaseException:
            return said.status(name, status, wait_seconds)

        fault = Limited("limited", Where(dependency=name), say, start=onset_seconds, allowed=allowed)
        return labelled((C.RATE_LIMITED,), dependency(name), [fault])

    return make


def locked_out(name: str, how: Callable[[Wording, str], BaseException], *, kind: Kind | None = None) -> Maker:
    """A dependency no longer accepts who asks."""

    def make(theme: Theme) -> Made:
        where = Where(dependency=name, kind=kind)
        fault = Trouble("locked out", where, lambda said, visit: how(said, name), start=onset_seconds)
        askers = {
            service.name
            for service in theme.services
            for work in (*service.actions.values(), *service.compensations.values())
            if work.dependency == name
        }
        return labelled((C.CREDENTIAL_FAILURE,), dependency(name) | entities(K.PARTICIPANT, askers), [fault])

    return make


def refusing(service: str, action: str) -> Maker:
    """A service says no as often as it always has. The rate is the plan's."""

    def make(theme: Theme) -> Made:
        culprits = steps_of(theme, service, action) | entities(K.PARTICIPANT, [service])
        faults, label = labelled((C.BUSINESS_REJECTION,), culprits, [], onset=None)
        assert label is not None
        fault = Fault(f"decline:{service}.{action}", start=0)
        return [*faults, fault], Label(
            label.classes, label.culprits, frozenset({fault.name}), cites=label.cites, onset=None
        )

    return make


class Twice(Trouble):
    """The first attempt takes place and is not heard of; the second is told that it already has."""

    def call(self, stage: Any, visit: Visit, dependency: str, seconds: float) -> Any:
        if self.where.dependency != dependency or not self.active(stage) or not self.where.covers(visit):
            return None
        key = (visit.command.saga_id, visit.command.step, visit.command.kind)
        if key in self.seen:
            return seconds, False, stage.wording.status(dependency, 409)
        if stage.chance.random() >= self.share:
            return None
        self.seen.add(key)
        return 0.3, True, stage.wording.reset(dependency)

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.seen: set[Any] = set()


def twice(name: str, *, share: float = 0.7, kind: Kind | None = None) -> Maker:
    """What was done is not heard of, and done again."""

    def make(theme: Theme) -> Made:
        fault = Twice(
            "twice",
            Where(dependency=name, kind=kind),
            lambda said, visit: Exception(),
            start=onset_seconds,
            share=share,
        )
        culprits = set(dependency(name))
        for service in theme.services:
            for action, work in (*service.actions.items(), *service.compensations.items()):
                if work.dependency == name:
                    culprits |= steps_of(theme, service.name, action) | entities(K.PARTICIPANT, [service.name])
        return labelled((C.DATA_CONFLICT, C.DOWNSTREAM_UNAVAILABLE), culprits, [fault])

    return make


def conflict(service: str, action: str, how: Saying, *, share: float = 0.9) -> Maker:
    """What is to be written is there already, or was changed meanwhile."""

    def make(theme: Theme) -> Made:
        where = Where(service=service, actions=(action,))
        fault = Trouble("conflict", where, how, start=onset_seconds, share=share, point="after")
        culprits = steps_of(theme, service, action) | entities(K.PARTICIPANT, [service])
        return labelled((C.DATA_CONFLICT,), culprits | entities(K.DATABASE, [service]), [fault])

    return make


def poison(definition: str, fields: Mapping[str, Any]) -> Maker:
    """One saga that nobody can digest."""

    def make(theme: Theme) -> Made:
        fault = Poison("poison", definition, fields, start=onset_seconds)
        return labelled((C.POISON_PAYLOAD,), (), [fault], witnesses=(fault,))

    return make


def bad_output(
    service: str, action: str, change: Callable[[dict[str, Any]], Any], *, version: bool = False, share: float = 1.0
) -> Maker:
    """A step gives what those after it can't use; with `version`, since a new version of its service came."""

    def make(theme: Theme) -> Made:
        producer = theme.service(service)
        where = Where(service=service, actions=(action,), version=producer.next_version if version else None)
        faults: list[Fault] = [BadOutput("bad output", where, change, start=onset_seconds - 20, share=share)]
        culprits = steps_of(theme, service, action) | entities(K.PARTICIPANT, [service])
        classes: tuple[FaultClass, ...] = (C.UPSTREAM_BAD_OUTPUT,)
        if version:
            new = f"{service}@{producer.next_version}"
            faults.append(Replace("roll", service, (0, 1, 2), start=onset_seconds - 8, version=producer.next_version))
            culprits |= entities(K.WORKER_VERSION, [new])
            classes = (C.UPSTREAM_BAD_OUTPUT, C.BAD_DEPLOY)
        else:
            faults[0].at = onset_seconds
        return labelled(classes, culprits, faults)

    return make


def deploy(
    service: str,
    how: Saying,
    *,
    numbers: Collection[int] = (0, 1),
    actions: Collection[str] | None = None,
    point: str = "after",
    share: float = 1.0,
    seconds: float | None = None,
) -> Maker:
    """A new version of a service comes, and fails."""

    def make(theme: Theme) -> Made:
        version = theme.service(service).next_version
        roll = Replace("roll", service, numbers, start=onset_seconds - 2, version=version)
        where = Where(service=service, version=version, actions=actions)
        fault = Trouble("deploy", where, how, start=0, share=share, point=point, seconds=seconds)
        innocent = entities(K.HOST, theme.hosts)
        return labelled(
            (C.BAD_DEPLOY,), entities(K.WORKER_VERSION, [f"{service}@{version}"]), [roll, fault], innocent=innocent
        )

    return make


def lost(service: str | None, *, host: int | None = None, **how: Any) -> Maker:
    """Workers die, or hang, with commands in hand."""

    def make(theme: Theme) -> Made:
        place = None if host is None else theme.hosts[host]
        fault = Lose("lost", service, start=onset_seconds, host=place, **how)
        culprits: set[Entity] = set()
        if place:
            culprits |= entities(K.HOST, [place])
        return labelled((C.WORKER_LOST,), culprits, [fault], silent=True, witnesses=(fault,))

    return make


def starved(service: str, *, keep: int = 1, concurrency: int = 1, seconds: float = 2.5) -> Maker:
    """Fewer workers, each with fewer hands, and more work in each command."""

    def make(theme: Theme) -> Made:
        faults: list[Fault] = [
            Scale("scaled", service, keep=keep, concurrency=concurrency, start=onset_seconds),
            Slow("slower", Where(service=service), start=onset_seconds, seconds=seconds),
        ]
        culprits = entities(K.PARTICIPANT, [service])
        return labelled((C.WORKER_BACKLOG,), culprits, faults, silent=True)

    return make


def outage(**how: Any) -> Maker:
    """The broker is away."""

    def make(theme: Theme) -> Made:
        fault = Outage("outage", start=onset_seconds, **how)
        return labelled((C.BROKER_OUTAGE,), entities(K.BROKER, ["broker"]), [fault], silent=True)

    return make


def contended(
    service: str, how: Saying, *, actions: Collection[str] | None = None, share: float = 0.8, seconds: float = 1.5
) -> Maker:
    """Transactions of a service wait for each other."""

    def make(theme: Theme) -> Made:
        where = Where(service=service, actions=actions)
        fault = Trouble("locks", where, how, start=onset_seconds, share=share, point="after", seconds=seconds)
        culprits = entities(K.DATABASE, [service]) | entities(K.PARTICIPANT, [service])
        return labelled((C.LOCK_CONTENTION,), culprits, [fault])

    return make


def contended_beside(service: str, how: Saying, *, share: float) -> Maker:
    """More of the same contention, said in another way. It has no label of its own."""

    def make(theme: Theme) -> Made:
        where = Where(service=service)
        return [Trouble("locks", where, how, start=onset_seconds, share=share, point="after")], None

    return make


def exhausted(
    service: str | None,
    how: Saying,
    *,
    host: int | None = None,
    numbers: Collection[int] | None = None,
    share: float = 1.0,
    point: str = "before",
) -> Maker:
    """Disk, files, memory or connections run out: on a host, in a worker, for a whole service."""

    def make(theme: Theme) -> Made:
        place = None if host is None else theme.hosts[host]
        where = Where(service=service, host=place, numbers=numbers)
        fault = Trouble("exhausted", where, how, start=onset_seconds, share=share, point=point)
        if place:
            culprits = entities(K.HOST, [place])
        elif numbers is not None:
            culprits = frozenset()
        else:
            culprits = entities(K.PARTICIPANT, [service or ""]) | entities(K.DATABASE, [service or ""])
        return labelled((C.RESOURCE_EXHAUSTION,), culprits, [fault], witnesses=(fault,))

    return make


def setting(
    service: str,
    name: str,
    value: str,
    how: Saying | None = None,
    *,
    numbers: Collection[int] = (0, 1, 2),
    actions: Collection[str] | None = None,
    point: str = "call",
) -> Maker:
    """Workers are started anew with another setting, which can't work."""

    def make(theme: Theme) -> Made:
        faults: list[Fault] = [Replace("reset", service, numbers, start=onset_seconds - 2, settings={name: value})]
        where = Where(service=service, setting=(name, value), actions=actions)
        if how is not None:
            faults.append(Trouble("setting", where, how, start=0, point=point))
        else:
            faults.append(Slow("setting", where, start=0, seconds=0.0))
        return labelled((C.MISCONFIGURATION,), entities(K.SETTING, [f"{service}.{name}"]), faults)

    return make


def redefined(definition: str, step: str, **keys: Any) -> Maker:
    """A new version of a definition asks for what can't work."""

    def make(theme: Theme) -> Made:
        fault = Redefine("redefined", definition, step, start=onset_seconds, **keys)
        culprits = entities(K.SETTING, [f"{definition}.{step}.{key}" for key in keys])
        culprits |= entities(K.DEFINITION_VERSION, [f"{definition}@2"]) | entities(K.DEFINITION, [definition])
        return labelled((C.MISCONFIGURATION,), culprits, [fault])

    return make


def vague(service: str, *, share: float, action: str | None = None, kind: Kind | None = None) -> Maker:
    """Something fails and says nothing. Nobody could know why."""

    def make(theme: Theme) -> Made:
        where = Where(service=service, actions=(action,) if action else None, kind=kind)
        fault = Trouble(
            "vague", where, lambda said, visit: said.vague(), start=onset_seconds, share=share, point="after"
        )
        return labelled((C.UNKNOWN,), (), [fault])

    return make


def decoy(service: str, *, after_seconds: float = 50.0, numbers: Collection[int] = (0, 1, 2), **changed: Any) -> Maker:
    """A change that harms nobody; it comes after the onset, unless that is negative."""

    def make(theme: Theme) -> Made:
        found = theme.service(service)
        kept = changed or {"version": found.next_version}
        return [Replace("decoy", service, numbers, start=onset_seconds + after_seconds, apart=1.0, **kept)], None

    return make


def innocent(maker: Maker, *entities_named: tuple[EntityKind, str]) -> Maker:
    """The same, with entities that must not be blamed."""

    def make(theme: Theme) -> Made:
        faults, label = maker(theme)
        assert label is not None
        named = frozenset(entity(kind, name) for kind, name in entities_named)
        return faults, Label(
            label.classes,
            label.culprits,
            label.faults,
            label.silent,
            label.not_culprits | named,
            label.cites,
            label.onset,
            label.witnesses,
        )

    return make


def named(maker: Maker, prefix: str) -> Maker:
    """The same with names of its own, where two of a kind meet in one world."""

    def make(theme: Theme) -> Made:
        faults, label = maker(theme)
        assert label is not None
        for fault in faults:
            fault.name = f"{prefix}{fault.name}"
        renamed = frozenset(f"{prefix}{name}" for name in label.faults)
        return faults, Label(
            label.classes,
            label.culprits,
            renamed,
            label.silent,
            label.not_culprits,
            label.cites,
            label.onset,
            label.witnesses,
        )

    return make


def rephrased(how: Callable[[Wording, Place], BaseException], text: str) -> Callable[[Wording, Place], BaseException]:
    """The same error, saying what an attacker wants to have said."""

    def say(said: Wording, place: Place) -> BaseException:
        error = how(said, place)
        kind = type(error)
        told = type(kind.__name__, (kind,), {"__module__": kind.__module__, "__str__": lambda self: text})
        other: BaseException = told.__new__(told, *error.args)
        other.args = error.args
        other.__dict__.update(error.__dict__)
        other.__cause__ = error.__cause__
        return other

    return say
