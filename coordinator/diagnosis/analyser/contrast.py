"""The fleet as a natural experiment: what fails here and works there, in the same minutes. A version, a host, a worker
or a plan that fails where its like do not is to blame; one that is as healthy as its like is not."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from coordinator.diagnosis.analyser.failing import Failing
from coordinator.diagnosis.analyser.figures import z_of
from coordinator.diagnosis.analyser.fleet import Fleet, Row, Share
from coordinator.diagnosis.analyser.ledger import Entry, Ledger, Ref
from coordinator.diagnosis.analyser.naming import (
    definition_entity,
    host_entity,
    percent,
    setting_entity,
    short,
    step_entity,
    version_entity,
    worker_entity,
)
from coordinator.diagnosis.analyser.onset import Onset
from coordinator.diagnosis.case import Case
from coordinator.diagnosis.cause import Entity
from coordinator.diagnosis.evidence import EvidenceKind, Trust

count_min = 8
z_min = 4.0
coverage_min = 0.8
healthy_rate_max = 0.2
failing_rate_min = 0.6
times_min = 4.0  # how much more often than its like, where not everything fails
values_max = 200  # of one dimension
settings_max = 40
setting_values_max = 3


class Dimension(StrEnum):
    """What attempts are compared by, the least specific first."""

    DEFINITION_VERSION = "definition_version"
    STEP = "step"
    WORKER_VERSION = "worker_version"
    SETTING = "setting"
    HOST = "host"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Contrast:
    """One value of one dimension, against all its other values in the same minutes."""

    dimension: Dimension
    entity: Entity
    inside: Share
    outside: Share
    before: Share  # the same value before it began
    coverage: float  # of the failures whose value is known
    ref: Ref

    @property
    def z(self) -> float:
        return z_of(self.inside.bad, self.inside.total, self.outside.bad, self.outside.total)

    @property
    def strong(self) -> bool:
        return self.inside.rate >= failing_rate_min and self.outside.rate <= healthy_rate_max

    @property
    def healthy_before(self) -> bool:
        """It was there before, and did not fail: whatever it is, is new."""
        return self.before.total >= count_min and self.before.rate <= max(healthy_rate_max / 2, self.outside.rate)


@dataclass(frozen=True)
class Contrasts:
    """What stands out (`guilty`, the least specific first), what does not (`healthy`), and whether two values that
    stand out can't be told apart."""

    all: tuple[Contrast, ...]
    guilty: tuple[Contrast, ...]
    healthy: tuple[Contrast, ...]
    twins: tuple[tuple[Contrast, Contrast], ...]  # they fail and work on the same attempts

    def of(self, dimension: Dimension) -> Contrast | None:
        return next((one for one in self.guilty if one.dimension is dimension), None)

    def share(self, entity: Entity) -> Share:
        """How an entity fared since the onset."""
        return next((one.inside for one in self.all if one.entity == entity), Share())


def contrasts_of(case: Case, failing: Failing, fleet: Fleet, onset: Onset, ledger: Ledger) -> Contrasts:
    """Compare everything with its like, since the onset, at the failing steps."""
    start = onset.minute
    now = [row for row in fleet.own if start is None or row.minute >= start]
    earlier = [row for row in fleet.own if start is not None and row.minute < start]
    found: list[Contrast] = []
    for dimension in Dimension:
        if dimension is Dimension.SETTING:
            found += _settings(case, failing, now, earlier, ledger)
            continue
        key = _keys[dimension]
        if dimension is Dimension.HOST:  # whatever runs on a host can tell how it is
            rows = [row for row in fleet.rows if start is None or row.minute >= start]
            shares: Mapping[Hashable, Share] = Fleet.by(rows, key, any_failure=True, late_is_bad=failing.silent)
            own = Fleet.by(now, key, late_is_bad=failing.silent)
            shares = {value: share for value, share in shares.items() if value in own}
            before = Fleet.by([row for row in fleet.rows if start and row.minute < start], key, any_failure=True)
        else:
            late = failing.silent and dimension in (Dimension.WORKER, Dimension.WORKER_VERSION)
            own = shares = Fleet.by(now, key, late_is_bad=late)
            before = Fleet.by(earlier, key, late_is_bad=late)
        found += _compared(dimension, shares, own, before, ledger)
    guilty = [one for one in found if _stands_out(one)]
    healthy = [one for one in found if one not in guilty and one.inside.total >= count_min]
    healthy = [one for one in healthy if one.inside.rate <= healthy_rate_max and one.outside.rate > one.inside.rate]
    guilty = _least_specific(guilty)
    return Contrasts(tuple(found), tuple(guilty), tuple(healthy), tuple(_twins(guilty)))


def _settings(case: Case, failing: Failing, now: list[Row], earlier: list[Row], ledger: Ledger) -> list[Contrast]:
    """Workers of one participant that were started with different settings, compared by each of them."""
    settings = {(one.participant, one.worker): one.settings for one in case.workers if one.settings}
    names = sorted({(owner, name) for (owner, _), mine in settings.items() for name in mine})
    found: list[Contrast] = []
    for owner, name in names[:settings_max]:

        def key(row: Row, owner: str = owner, name: str = name) -> Hashable | None:
            mine = settings.get((row.place.participant, row.place.worker))
            return (owner, name, mine.get(name, "")) if mine is not None and row.place.participant == owner else None

        shares = Fleet.by(now, key, late_is_bad=failing.silent)
        # A value that each worker has to itself, like an address, tells no more than the worker's name does.
        if 2 <= len(shares) <= setting_values_max:
            before = Fleet.by(earlier, key, late_is_bad=failing.silent)
            found += _compared(Dimension.SETTING, shares, shares, before, ledger)
    return found


def _participant_key(name: str, row: Row) -> tuple[str, str] | None:
    return (row.place.participant, name) if name and name != "*" else None


_keys: Mapping[Dimension, Callable[[Row], Hashable | None]] = {
    Dimension.DEFINITION_VERSION: lambda row: (row.place.definition, row.place.version),
    Dimension.STEP: lambda row: (row.place.definition, row.place.step),
    Dimension.WORKER_VERSION: lambda row: _participant_key(row.place.worker_version, row),
    Dimension.HOST: lambda row: row.host or None,
    Dimension.WORKER: lambda row: _participant_key(row.place.worker, row),
}


def _entity(dimension: Dimension, value: Hashable) -> Entity:
    match dimension, value:
        case Dimension.HOST, str(host):
            return host_entity(host)
        case Dimension.DEFINITION_VERSION, (str(definition), int(version)):
            return definition_entity(definition, version)
        case Dimension.STEP, (str(definition), str(step)):
            return step_entity(definition, step)
        case Dimension.WORKER_VERSION, (str(participant), str(version)):
            return version_entity(participant, version)
        case Dimension.SETTING, (str(participant), str(setting), str()):
            return setting_entity(participant, setting)
        case Dimension.WORKER, (str(participant), str(worker)):
            return worker_entity(participant, worker)
        case _:
            raise AssertionError(f"{value!r} is no value of {dimension}")


def _compared(
    dimension: Dimension,
    shares: Mapping[Hashable, Share],
    own: Mapping[Hashable, Share],
    before: Mapping[Hashable, Share],
    ledger: Ledger,
) -> list[Contrast]:
    if len(shares) < 2:
        return []
    everything = sum(shares.values(), Share())
    failures = sum(share.bad for share in own.values())
    found = []
    ordered = sorted(shares, key=lambda value: (-shares[value].bad, str(value)))[:values_max]
    for value in ordered:
        inside, outside = shares[value], everything - shares[value]
        entity = _entity(dimension, value)
        earlier = before.get(value, Share())
        covered = own[value].bad / failures if failures else 0.0
        ref = _entry(dimension, entity, inside, outside, earlier, ledger) if inside.total >= count_min else Ref(-1)
        found.append(Contrast(dimension, entity, inside, outside, earlier, covered, ref))
    return found


def _stands_out(one: Contrast) -> bool:
    if min(one.inside.total, one.outside.total) < count_min or one.z < z_min or one.coverage < coverage_min:
        return False
    return one.strong or one.inside.rate >= times_min * one.outside.rate


def _least_specific(guilty: list[Contrast]) -> list[Contrast]:
    """In the order of the dimensions; of each the one that stands out most."""
    found = []
    for dimension in Dimension:
        mine = [one for one in guilty if one.dimension is dimension]
        if mine:
            found.append(max(mine, key=lambda one: one.z))
    return found


def _twins(guilty: list[Contrast]) -> list[tuple[Contrast, Contrast]]:
    """Pairs that divide the attempts in the same way, though neither contains the other by its nature."""
    return [
        (one, other)
        for number, one in enumerate(guilty)
        for other in guilty[number + 1 :]
        if one.inside.bad == other.inside.bad and abs(one.inside.total - other.inside.total) <= 0.05 * one.inside.total
    ]


def _entry(dimension: Dimension, entity: Entity, inside: Share, outside: Share, before: Share, ledger: Ledger) -> Ref:
    z = z_of(inside.bad, inside.total, outside.bad, outside.total)
    healthy = inside.rate <= healthy_rate_max and z <= 0
    what = f"any other {str(dimension).replace('_', ' ')}"
    name = f"{short(entity)} of some workers" if dimension is Dimension.SETTING else short(entity)
    text = f"{name}: {inside.bad} of {inside.total} failed ({percent(inside.rate)})"
    text += f", with {what} {outside.bad} of {outside.total} ({percent(outside.rate)})."
    if before.total:
        text += f" Before: {before.bad} of {before.total}."
    return ledger.enter(
        Entry(
            EvidenceKind.COUNTER_EVIDENCE if healthy else EvidenceKind.STEP_CONTRAST,
            Trust.COORDINATOR,
            text,
            subjects=(entity,),
            fact={
                "failed": inside.bad,
                "of": inside.total,
                "failed_elsewhere": outside.bad,
                "of_elsewhere": outside.total,
                "failed_before": before.bad,
                "of_before": before.total,
                "z": round(z, 1),
            },
            source_ref=f"tallies:{entity}",
            weight=min(4.0, abs(z) / 3),
        )
    )
