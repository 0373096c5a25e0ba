"""What happened around the sagas that nobody did on purpose: workers that fell silent, a broker that was away, commands
that nobody came to take."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from coordinator.diagnosis.analyser.failing import Failing, Tried
from coordinator.diagnosis.analyser.ledger import Entry, Ledger, Ref
from coordinator.diagnosis.analyser.naming import (
    broker_entity,
    clock,
    host_entity,
    participant_entity,
    plain,
    seconds,
    short,
    worker_entity,
)
from coordinator.diagnosis.case import Case, WorkerSeen
from coordinator.diagnosis.cause import Entity, EntityKind
from coordinator.diagnosis.evidence import EvidenceKind, Scalar, Trust
from coordinator.store.observed import Occurrence, OccurrenceKind

around = timedelta(minutes=2)  # before the first and after the last failed attempt
unnoticed = timedelta(seconds=90)  # so long a broker may go on handing commands to who is gone
together = timedelta(seconds=90)  # workers that fall silent within this have one reason
participants_at_once_min = 3
lost_max = 30


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker that fell silent while something was awaited from it."""

    participant: str
    worker: str
    host: str
    at: datetime  # when it was last heard
    held: int  # failed attempts it is known to have had in hand
    awaited: int  # silent attempts of its participant that may have been handed to it, alive or gone
    ref: Ref

    @property
    def entity(self) -> Entity:
        return worker_entity(self.participant, self.worker)


@dataclass(frozen=True, slots=True)
class Backlog:
    """A participant that doesn't keep up."""

    participant: str
    at: datetime
    waiting: int  # commands nobody has taken, or not been answered
    in_flight: int
    workers: int
    oldest_seconds: float
    ref: Ref


@dataclass(frozen=True)
class Surroundings:
    lost: tuple[Lost, ...]  # who held failed attempts first
    fell_silent: frozenset[str]  # participants whose workers fell silent at about the same time
    host_gone: str  # the host of several of them, if nothing of it is left; else ""
    broker: tuple[Ref, ...]  # that it was away, or took nothing
    broker_lost: bool
    database: tuple[Ref, ...]
    backlogs: tuple[Backlog, ...]  # of failing participants
    lost_share: float  # of the failed attempts, those that may have been handed to who was lost


def surroundings_of(case: Case, failing: Failing, ledger: Ledger) -> Surroundings:
    """Read them from the occurrences and the workers, near the failed attempts."""
    starts = [one.attempt.started_at for one in failing.tried] or [one.at for one in case.failures] or [case.at]
    ends = [one.at for one in failing.tried] or [one.at for one in case.failures] or [case.at]
    since, until = min(starts) - around, max(ends) + around
    near = [one for one in case.occurrences if since <= one.at <= until]
    lost = _lost(case, failing, near, since, until, ledger)
    trouble = [one for one in near if one.kind in (OccurrenceKind.BROKER_LOST, OccurrenceKind.PUBLISH_FAILED)]
    database = [one for one in near if one.kind is OccurrenceKind.DATABASE_LOST]
    backlogs = [_backlog(one, ledger) for one in near if one.kind is OccurrenceKind.BACKLOG]
    return Surroundings(
        lost=tuple(lost),
        fell_silent=_at_once(lost),
        host_gone=_host_gone(case, lost),
        broker=tuple(dict.fromkeys(_broker(one, ledger) for one in trouble[:4])),
        broker_lost=any(one.kind is OccurrenceKind.BROKER_LOST for one in trouble),
        database=tuple(dict.fromkeys(_broker(one, ledger) for one in database[:2])),
        backlogs=tuple(one for one in backlogs if one.participant in failing.participants),
        lost_share=_lost_share(failing, lost),
    )


def _lost(
    case: Case, failing: Failing, near: list[Occurrence], since: datetime, until: datetime, ledger: Ledger
) -> list[Lost]:
    """From what was noticed when it happened, and from who is silent now."""
    found: dict[tuple[str, str], tuple[datetime, str, frozenset[str]]] = {}
    for seen in case.workers:
        if not seen.live and not seen.stopping and since <= seen.last_seen <= until:
            found[seen.participant, seen.worker] = (seen.last_seen, seen.host, frozenset(seen.holding))
    for one in near:
        if one.kind is OccurrenceKind.WORKER_LOST:
            participant, _, name = one.subject.partition(" ")[2].partition("/")
            held = frozenset(str(one.facts.get("holding") or "").split())
            earlier = found.get((participant, name), (one.at, "", frozenset()))
            host = str(one.facts.get("host") or "") or earlier[1]
            found[participant, name] = (one.at, host, held | earlier[2])
    lost = []
    for (participant, worker), (at, host, held) in sorted(found.items())[:lost_max]:
        mine = [one for one in failing.tried if one.silent and one.step.participant == participant]
        in_hand = sum(f"{one.seen.saga.id}/{one.attempt.command}/{one.attempt.number}" in held for one in mine)
        awaited = sum(_may_have_had(at, one) for one in mine)
        ref = _lost_entry(participant, worker, host, at, in_hand, awaited, ledger)
        lost.append(Lost(participant, worker, host, at, in_hand, awaited, ref))
    return sorted(lost, key=lambda one: (-one.held, -one.awaited, one.at))


def _may_have_had(at: datetime, one: Tried) -> bool:
    return one.attempt.started_at - unnoticed <= at <= one.at


def _lost_share(failing: Failing, lost: list[Lost]) -> float:
    theirs = sum(
        one.silent and any(other.participant == one.step.participant and _may_have_had(other.at, one) for other in lost)
        for one in failing.tried
    )
    return theirs / len(failing.tried) if failing.tried else 0.0


def _lost_entry(participant: str, worker: str, host: str, at: datetime, held: int, awaited: int, ledger: Ledger) -> Ref:
    entity = worker_entity(participant, worker)
    text = f"{short(entity)} was last heard at {clock(at)}"
    text += f", with {held} of the failed attempts in hand" if held else ""
    subjects: tuple[Entity, ...] = (entity, host_entity(host)) if host else (entity,)
    facts: dict[str, Scalar] = {"held": held, "awaited": awaited, "host": plain(host) if host else ""}
    return ledger.enter(
        Entry(
            EvidenceKind.WORKER_STATE,
            Trust.INFRA,
            f"{text}.",
            subjects=subjects,
            fact=facts,
            ts_from=at,
            source_ref=f"worker:{entity.name}",
            weight=3.0 if held or awaited else 1.0,
        )
    )


def _at_once(lost: list[Lost]) -> frozenset[str]:
    """The largest group of participants whose workers fell silent together."""
    best: frozenset[str] = frozenset()
    for one in lost:
        group = frozenset(other.participant for other in lost if one.at <= other.at <= one.at + together)
        if len(group) > len(best):
            best = group
    return best


def _host_gone(case: Case, lost: list[Lost]) -> str:
    """Several workers fell silent, on one host, and nobody else is left there."""
    by_host: dict[str, int] = defaultdict(int)
    for one in lost:
        if one.host:
            by_host[one.host] += 1
    alive = {worker.host for worker in case.workers if worker.live}
    gone = [host for host, count in sorted(by_host.items()) if count > 1 and host not in alive]
    everyone = len({one.host for one in lost if one.host}) == 1
    return gone[0] if len(gone) == 1 and everyone else ""


def _broker(one: Occurrence, ledger: Ledger) -> Ref:
    entity = broker_entity
    match one.kind:
        case OccurrenceKind.BROKER_LOST:
            text = f"{clock(one.at)} the broker could not be reached."
        case OccurrenceKind.DATABASE_LOST:
            entity = Entity(kind=EntityKind.DATABASE, name="coordinator")
            text = f"{clock(one.at)} the coordinator's own database could not be reached."
        case _:
            owner = plain(str(one.facts.get("participant") or one.subject.partition(" ")[2]))
            text = f"{clock(one.at)} commands to {owner} could not be published."
    return ledger.enter(
        Entry(
            EvidenceKind.BROKER_EVENT if entity == broker_entity else EvidenceKind.SAGA_EVENT,
            Trust.COORDINATOR,
            text,
            subjects=(entity,),
            fact={"kind": str(one.kind)},
            ts_from=one.at,
            source_ref=f"occurrence:{one.id}",
            weight=3.0,
        )
    )


def _backlog(one: Occurrence, ledger: Ledger) -> Backlog:
    facts = one.facts
    participant = one.subject.partition(" ")[2]
    waiting = max(_number(facts.get("waiting")), _number(facts.get("awaited")))
    in_flight, workers = _number(facts.get("in_flight")), _number(facts.get("workers"))
    oldest = _number(facts.get("oldest_seconds"))
    text = f"{clock(one.at)} {plain(participant)} did not keep up: {waiting:g} commands awaited"
    text += f", {in_flight:g} in hand, by {workers:g} workers"
    text += f"; the oldest unsent for {seconds(oldest)}." if oldest else "."
    ref = ledger.enter(
        Entry(
            EvidenceKind.QUEUE_STATE,
            Trust.COORDINATOR,
            text,
            subjects=(participant_entity(participant),),
            fact={"awaited": waiting, "in_flight": in_flight, "workers": workers, "oldest_seconds": oldest},
            ts_from=one.at,
            source_ref=f"occurrence:{one.id}",
            weight=2.0,
        )
    )
    return Backlog(participant, one.at, int(waiting), int(in_flight), int(workers), oldest, ref)


def _number(value: Scalar) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def live_workers(case: Case, participant: str) -> list[WorkerSeen]:
    return [worker for worker in case.workers if worker.participant == participant and worker.live]
