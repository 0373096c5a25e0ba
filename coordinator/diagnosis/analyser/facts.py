"""Everything an analysis knows before it judges: computed once, read by every rule."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from coordinator.diagnosis.analyser.changes import Change, changes_of
from coordinator.diagnosis.analyser.contrast import Contrasts, contrasts_of
from coordinator.diagnosis.analyser.dependencies import Dependency, dependencies_of
from coordinator.diagnosis.analyser.effects import Happened, Left, effects_of, residue_of
from coordinator.diagnosis.analyser.failing import Failing, Tried, failing_of
from coordinator.diagnosis.analyser.fleet import Fleet, Share
from coordinator.diagnosis.analyser.handlers import Handlers, handlers_of
from coordinator.diagnosis.analyser.ledger import Entry, Ledger, Ref
from coordinator.diagnosis.analyser.naming import clock, plain, saga_entity, seconds, step_entity
from coordinator.diagnosis.analyser.onset import Onset, onset_of
from coordinator.diagnosis.analyser.origins import faulty_result, missing_value
from coordinator.diagnosis.analyser.said import Voices, voices_of
from coordinator.diagnosis.analyser.shape import Odd, odd_places
from coordinator.diagnosis.analyser.surroundings import Backlog, Surroundings, surroundings_of
from coordinator.diagnosis.analyser.timing import Timings, timings_of
from coordinator.diagnosis.analyser.upstream import Upstream, upstream_of
from coordinator.diagnosis.case import Case
from coordinator.diagnosis.evidence import EvidenceKind, Trust

few_sagas = 3
roll = timedelta(seconds=30)  # a change is noticed a little after the first worker that has it


@dataclass(frozen=True)
class Facts:
    case: Case
    failing: Failing
    voices: Voices
    fleet: Fleet
    onset: Onset
    contrasts: Contrasts
    dependencies: tuple[Dependency, ...]
    changes: tuple[Change, ...]
    surroundings: Surroundings
    timings: Timings
    handlers: Handlers
    odd: tuple[Odd, ...]
    upstream: Upstream | None
    faulty_ref: Ref | None  # the failing step's own result breaks its schema
    missing_from: str | None  # the step whose result lacks what the failing one reads
    reference_ref: Ref | None
    passing_ref: Ref  # that others pass the failing step
    attempts_ref: tuple[Ref, ...]  # what the coordinator wrote down of the failed attempts
    effects: tuple[Happened, ...]  # of the focus, or of the first saga
    residue: tuple[Left, ...]  # of all sagas

    @cached_property
    def others(self) -> Share:
        """All attempts at the failing steps since the onset."""
        return self.fleet.since(self.onset.minute)

    @property
    def alone(self) -> bool:
        """Only a few sagas, though there are others."""
        return self.failing.total <= few_sagas

    @cached_property
    def others_fine(self) -> bool:
        """A few sagas fail where many work, at the same time."""
        enough = self.others.total - self.others.bad >= 8
        fine_peers = len({seen.saga.id for seen in self.case.peers}) >= 3 and not self.others.total
        return self.alone and (fine_peers or (enough and not self.onset_is_wide))

    @cached_property
    def deserted(self) -> tuple[Backlog, ...]:
        """When nobody was there to take commands. Who answers is there, whether it gives signs of life or not."""
        answered = sum(bool(one.worker) for one in self.failing.tried)
        if answered > 0.2 * len(self.failing.tried):
            return ()
        return tuple(one for one in self.surroundings.backlogs if not one.workers)

    @property
    def onset_is_wide(self) -> bool:
        """More than these few sagas fail so."""
        known = len(self.failing.tried)
        return self.others.bad > max(2 * known, known + 3)

    def worked_since(self, change: Change) -> bool:
        """Whether what a change brought did its work for a while before the trouble began."""
        start = self.onset.minute
        if start is None:
            return False
        new = {
            worker.worker
            for worker in self.case.workers
            if worker.participant == change.participant and worker.first_seen >= change.occurrence.at - roll
        }
        return sum(row.good for row in self.fleet.own if row.place.worker in new and row.minute < start) >= 8

    @property
    def own(self) -> tuple[Tried, ...]:
        """The failed attempts at the step that the report is about."""
        place = self.failing.symptom.place
        return tuple(
            one
            for one in self.failing.tried
            if (one.seen.saga.definition, one.step.name, str(one.attempt.command.kind)) == place
        )


def facts_of(case: Case, ledger: Ledger) -> Facts:
    """Compute them. Enters every fact that may be cited."""
    failing = failing_of(case)
    fleet = Fleet(case, failing)
    voices = voices_of(case, failing, ledger)
    attempts = _attempts(failing, ledger)
    onset = onset_of(case, failing, fleet, ledger)
    missing_from, reference = missing_value(failing, ledger)
    effects: tuple[Happened, ...] = ()
    residue: list[Left] = []
    for index, seen in enumerate(failing.sagas):
        found = effects_of(seen, ledger)
        residue += residue_of(found)
        if index == 0:
            effects = found
    return Facts(
        case=case,
        failing=failing,
        voices=voices,
        fleet=fleet,
        onset=onset,
        contrasts=contrasts_of(case, failing, fleet, onset, ledger),
        dependencies=dependencies_of(case, failing, onset, ledger),
        changes=changes_of(case, failing, onset.at, ledger),
        surroundings=surroundings_of(case, failing, ledger),
        timings=timings_of(failing, fleet, onset, ledger),
        handlers=handlers_of(case, failing, ledger),
        odd=odd_places(case, failing, ledger),
        upstream=upstream_of(case, failing, ledger),
        faulty_ref=faulty_result(failing, ledger),
        missing_from=missing_from,
        reference_ref=reference,
        passing_ref=_passing(case, failing, fleet.since(onset.minute), ledger),
        attempts_ref=attempts,
        effects=effects,
        residue=tuple(residue),
    )


def _passing(case: Case, failing: Failing, since: Share, ledger: Ledger) -> Ref:
    """That the step works for others."""
    symptom = failing.symptom
    peers = sum(
        seen.saga.definition == symptom.definition and seen.saga.step(symptom.step).happened for seen in case.peers
    )
    fine = since.total - since.bad
    text = f"{plain(symptom.step)} succeeded {fine} times meanwhile" if fine else f"{plain(symptom.step)} succeeded"
    return ledger.enter(
        Entry(
            EvidenceKind.COUNTER_EVIDENCE,
            Trust.COORDINATOR,
            f"{text}, in {peers} of the other sagas looked at.",
            subjects=(step_entity(symptom.definition, symptom.step),),
            fact={"succeeded": fine, "failed": since.bad, "peers": peers},
            source_ref=f"tallies:{symptom.name}",
            weight=0.5,
        )
    )


def _attempts(failing: Failing, ledger: Ledger) -> tuple[Ref, ...]:
    """One entry for what became of all failed attempts, one for the longest story among them."""
    by_saga: dict[str, list[Tried]] = defaultdict(list)
    for one in failing.tried:
        by_saga[one.seen.saga.id].append(one)
    if not by_saga:
        return ()
    symptom = failing.symptom
    refs = []
    if len(by_saga) > 1:
        outcomes = Counter(one.attempt.outcome or "" for one in failing.tried)
        workers = {one.worker for one in failing.tried if one.worker}
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        text = f"In {len(by_saga)} sagas looked at, attempts at {plain(symptom.step)} ended so: {told}"
        text += f", at {len(workers)} workers." if workers else "."
        refs.append(
            ledger.enter(
                Entry(
                    EvidenceKind.ATTEMPT,
                    Trust.COORDINATOR,
                    text,
                    subjects=(step_entity(symptom.definition, symptom.step),),
                    fact={"sagas": len(by_saga), "workers": len(workers), **outcomes},
                    ts_from=min(one.attempt.started_at for one in failing.tried),
                    ts_to=max(one.at for one in failing.tried),
                    source_ref=f"step:{symptom.name}",
                    weight=2.0,
                )
            )
        )
    first = max(by_saga, key=lambda saga_id: len(by_saga[saga_id]))
    refs.append(_story(first, by_saga[first], ledger))
    return tuple(refs)


def _story(saga_id: str, tried: list[Tried], ledger: Ledger) -> Ref:
    """How the attempts of one saga went."""
    outcomes = [one.attempt.outcome or "awaited" for one in tried]
    told = (
        f"{len(tried)} times {outcomes[0]}" if len(set(outcomes)) == 1 and len(tried) > 1 else ", ".join(outcomes[:8])
    )
    lasted = [one.seconds for one in tried if one.seconds is not None]
    text = f"{plain(tried[0].step.name)} of saga {plain(saga_id)}: {told}"
    if lasted:
        text += f", {seconds(max(lasted))} in the handler at most"
    text += f", from {clock(tried[0].attempt.started_at)} to {clock(max(one.at for one in tried))}."
    return ledger.enter(
        Entry(
            EvidenceKind.ATTEMPT,
            Trust.COORDINATOR,
            text,
            subjects=(saga_entity(saga_id), step_entity(tried[0].seen.saga.definition, tried[0].step.name)),
            fact={
                "attempts": len(tried),
                "outcome": outcomes[-1],
                "seconds_max": round(max(lasted), 3) if lasted else None,
                "workers": len({one.worker for one in tried if one.worker}),
            },
            ts_from=tried[0].attempt.started_at,
            ts_to=max(one.at for one in tried),
            source_ref=f"saga:{saga_id}",
            weight=2.0,
        )
    )
