"""What may be done about a diagnosis without asking anybody. Pure: a report and the facts go in, decisions with their
reasons come out.

A remedy begins by itself only when the rules (never a model) are sure of the cause, nothing contradicts them, the
evidence is what the coordinator saw itself, and the fleet looks as the remedy supposes. Everything else is proposed to
a person, with what stood against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from coordinator.diagnosis.cause import FaultClass
from coordinator.diagnosis.evidence import Trust
from coordinator.diagnosis.remedy import PlannedRemedy, RemedyKind, Target, Tier, executable
from coordinator.diagnosis.report import Flag, Report, Transience

confidence_min: Mapping[Tier, float] = {Tier.A: 0.85, Tier.B: 0.9}
report_age_seconds_max = 300.0
remedies_per_hour_max = 20  # begun by themselves, of any kind
outcomes_min = 5  # fewer of a participant prove nothing about it
failing_share_min: Mapping[RemedyKind, float] = {RemedyKind.OPEN_CIRCUIT: 0.5, RemedyKind.THROTTLE: 0.05}

seconds_min = 5.0
seconds_max = 1800.0  # whatever begins by itself ends by itself
seconds_default: Mapping[RemedyKind, float] = {
    RemedyKind.OPEN_CIRCUIT: 60.0,
    RemedyKind.THROTTLE: 300.0,
    RemedyKind.PAUSE_DEFINITION: 600.0,
    RemedyKind.PAUSE_ALL: 300.0,
    RemedyKind.RETRY_STEP: 1800.0,
    RemedyKind.REDRIVE: 1800.0,
}
rate_share_min = 0.1  # a throttle never takes more than nine tenths of what a participant is sent
rate_per_second_min = 0.1

_C = FaultClass
transient = frozenset(
    {
        _C.DOWNSTREAM_TIMEOUT,
        _C.DOWNSTREAM_UNAVAILABLE,
        _C.LOCK_CONTENTION,
        _C.WORKER_LOST,
        _C.RATE_LIMITED,
        _C.BROKER_OUTAGE,
    }
)
# What each remedy is a remedy for. A report that asks for another one is not trusted with it.
helps_against: Mapping[RemedyKind, frozenset[FaultClass]] = {
    RemedyKind.RETRY_STEP: transient,
    RemedyKind.REDRIVE: transient,
    RemedyKind.OPEN_CIRCUIT: frozenset({_C.DOWNSTREAM_TIMEOUT, _C.DOWNSTREAM_UNAVAILABLE, _C.CREDENTIAL_FAILURE}),
    RemedyKind.THROTTLE: frozenset(
        {_C.RATE_LIMITED, _C.WORKER_BACKLOG, _C.DOWNSTREAM_TIMEOUT, _C.RESOURCE_EXHAUSTION, _C.LOCK_CONTENTION}
    ),
    RemedyKind.PAUSE_DEFINITION: frozenset({_C.CREDENTIAL_FAILURE, _C.BAD_DEPLOY, _C.MISCONFIGURATION}),
    RemedyKind.PARK_SAGA: frozenset({_C.POISON_PAYLOAD, _C.UPSTREAM_BAD_OUTPUT}),
    RemedyKind.PAUSE_ALL: frozenset({_C.BROKER_OUTAGE}),
}
# The freest tier each may have, whatever a report says.
freest: Mapping[RemedyKind, Tier] = {
    RemedyKind.RETRY_STEP: Tier.A,
    RemedyKind.OPEN_CIRCUIT: Tier.A,
    RemedyKind.THROTTLE: Tier.A,
    RemedyKind.PARK_SAGA: Tier.A,
    RemedyKind.PAUSE_ALL: Tier.A,
    RemedyKind.REDRIVE: Tier.B,
    RemedyKind.PAUSE_DEFINITION: Tier.B,
}
doubts: Mapping[Flag, str] = {
    Flag.INJECTION_SUSPECTED: "a text among the evidence tries to give orders",
    Flag.CONFOUNDED: "two causes explain it equally well",
    Flag.INSUFFICIENT_EVIDENCE: "the evidence is thin",
}


class Mode(StrEnum):
    """How much is done without a person."""

    OFF = "off"  # nothing, and nothing is proposed
    SHADOW = "shadow"  # what would be done is written down
    AUTO = "auto"


class Choice(StrEnum):
    """What becomes of a remedy."""

    BEGIN = "begin"
    PROPOSE = "propose"  # it waits for a person's approval
    SHADOW = "shadow"  # it would have begun
    ADVICE = "advice"  # it stands in the report, for people


@dataclass(frozen=True, slots=True)
class Recent:
    """How attempts of one participant ended in the last minutes. `silent` are those of the failed nobody answered."""

    succeeded: int = 0
    failed: int = 0
    silent: int = 0
    seconds: float = 300.0

    @property
    def total(self) -> int:
        return self.succeeded + self.failed

    @property
    def failing_share(self) -> float:
        return self.failed / self.total if self.total else 0.0

    @property
    def answered(self) -> Recent:
        """Those that somebody answered: after a pause, older attempts time out that say nothing about now."""
        return Recent(self.succeeded, self.failed - self.silent, 0, self.seconds)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the decision needs to know of the world beside the report."""

    at: datetime
    mode: Mode
    begun_last_hour: int = 0  # by themselves
    busy: frozenset[str] = frozenset()  # scopes where a remedy is under way, or a person paused
    tried: frozenset[tuple[str, str]] = frozenset()  # kind and scope of what began by itself, of this incident or saga
    recent: Mapping[str, Recent] = field(default_factory=dict)  # by participant
    broker_connected: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one remedy, and why. Its target has been brought within the bounds."""

    remedy: PlannedRemedy
    choice: Choice
    reason: str
    scope: str = ""


def decide(report: Report, facts: Facts) -> tuple[Decision, ...]:
    """What becomes of each remedy of a report, in its order."""
    decisions: list[Decision] = []
    taken = set(facts.busy)
    begun = facts.begun_last_hour
    for remedy in report.remedies:
        decision = _decide(report, remedy, facts, taken, begun)
        if decision.choice in (Choice.BEGIN, Choice.SHADOW):
            taken.add(decision.scope)
            begun += 1
        decisions.append(decision)
    return tuple(decisions)


def scope_of(kind: RemedyKind, target: Target) -> str | None:
    """What a remedy is done to, of which only one may be under way there. None: its target doesn't say."""
    match kind:
        case RemedyKind.OPEN_CIRCUIT | RemedyKind.THROTTLE:
            return target.participant and f"participant {target.participant}"
        case RemedyKind.REDRIVE:
            return target.participant and f"dead letters of {target.participant}"
        case RemedyKind.PAUSE_DEFINITION:
            return target.definition and f"definition {target.definition}"
        case RemedyKind.PARK_SAGA:
            return target.saga_id and f"saga {target.saga_id}"
        case RemedyKind.RETRY_STEP:
            if target.step is None:
                return None
            return f"saga {target.saga_id} {target.step}" if target.saga_id else f"step {target.step}"
        case RemedyKind.PAUSE_ALL:
            return "everything"
        case _:
            return None


def bounded(kind: RemedyKind, target: Target, recent: Recent) -> Target:
    """The target with an end, and a rate, that are within the bounds."""
    seconds = target.seconds
    if kind in seconds_default:
        seconds = min(max(seconds or seconds_default[kind], seconds_min), seconds_max)
    rate = target.rate_per_second
    if kind is RemedyKind.THROTTLE:
        usual = recent.total / recent.seconds
        rate = max(rate or recent.succeeded / recent.seconds, rate_share_min * usual, rate_per_second_min)
    return target.model_copy(update={"seconds": seconds, "rate_per_second": rate})


def _decide(report: Report, remedy: PlannedRemedy, facts: Facts, taken: set[str], begun: int) -> Decision:
    kind = remedy.kind
    if kind not in executable:
        return Decision(remedy, Choice.ADVICE, "for people: the coordinator can't do it")
    scope = scope_of(kind, remedy.target)
    if not scope:
        return Decision(remedy, Choice.ADVICE, "it does not say what it is to be done to")
    recent = facts.recent.get(remedy.target.participant or "", Recent())
    tier = max(remedy.tier, freest[kind])  # "A" < "B" < "C" < "D"
    remedy = remedy.model_copy(update={"tier": tier, "target": bounded(kind, remedy.target, recent)})
    if facts.mode is Mode.OFF:
        return Decision(remedy, Choice.ADVICE, "healing is switched off", scope)
    if tier is Tier.D:
        return Decision(remedy, Choice.ADVICE, "a person alone decides this", scope)
    against = [
        *([] if tier in confidence_min else ["it needs a person's approval"]),
        *_against_the_report(report, remedy),
        *_against_the_moment(report, remedy, facts, recent),
        *([f"another remedy is under way, or somebody paused: {scope}"] if {scope, "everything"} & taken else []),
        *([f"{begun} remedies have begun by themselves in the last hour"] if begun >= remedies_per_hour_max else []),
    ]
    if against:
        return Decision(remedy, Choice.PROPOSE, "; ".join(against), scope)
    sure = f"{report.verdict.cls}, {report.verdict.confidence:.2f} sure, and nothing stands against it"
    return Decision(remedy, Choice.BEGIN if facts.mode is Mode.AUTO else Choice.SHADOW, sure, scope)


def _against_the_report(report: Report, remedy: PlannedRemedy) -> Iterator[str]:
    """What in the report itself forbids to act on it unasked."""
    verdict = report.verdict
    if report.source != "deterministic":
        yield "the verdict is not that of the rules alone"
    if report.contested:
        yield "the rules and the model disagree"
    yield from (why for flag, why in doubts.items() if flag in report.flags)
    enough = confidence_min.get(remedy.tier, 1.0)
    if not verdict.confidence >= enough:
        yield f"{verdict.confidence:.2f} sure, which is less than {enough:.2f}"
    if verdict.cls not in helps_against[remedy.kind]:
        yield f"it does not help against {verdict.cls}"
    supports = [item for item in report.evidence if item.id in verdict.supports]
    if not any(item.trust in (Trust.COORDINATOR, Trust.INFRA) for item in supports):
        yield "nothing that the coordinator saw itself supports it"
    if remedy.kind in (RemedyKind.RETRY_STEP, RemedyKind.REDRIVE):
        if Flag.NON_IDEMPOTENT_STEP in report.flags:
            yield "the step may take effect twice"
        if report.transience is Transience.DETERMINISTIC:
            yield "the same input fails every time"


def _against_the_moment(report: Report, remedy: PlannedRemedy, facts: Facts, recent: Recent) -> Iterator[str]:
    """What in the world, as it is now, forbids it."""
    age_seconds = (facts.at - report.created_at).total_seconds()
    if age_seconds > report_age_seconds_max:
        yield f"the report is {age_seconds / 60:.0f} minutes old"
    if (remedy.kind, scope_of(remedy.kind, remedy.target)) in facts.tried:
        yield "it was tried before"
    share_min = failing_share_min.get(remedy.kind)
    # A backlog fails by waiting: no attempt ends, so no share of them says anything.
    if share_min is not None and report.verdict.cls is not FaultClass.WORKER_BACKLOG:
        if recent.total < outcomes_min:
            yield f"only {recent.total} attempts of {remedy.target.participant} ended lately"
        elif recent.failing_share < share_min:
            yield f"only {recent.failing_share:.0%} of the attempts of {remedy.target.participant} fail"
    if remedy.kind is RemedyKind.PAUSE_ALL and facts.broker_connected:
        yield "the broker can be reached"
    if remedy.kind in (RemedyKind.RETRY_STEP, RemedyKind.REDRIVE) and not facts.broker_connected:
        yield "the broker can't be reached"


def retries_allowed(succeeded: int, retried: int, retried_last_hour: int, *, per_hour_max: int = 100) -> int:
    """How many more steps may be tried again by themselves: a tenth of what succeeded in the same minutes, rounded
    up, and a bound per hour. What retries when nothing succeeds keeps down what it means to help up."""
    tenth = -(-succeeded // 10)
    return max(0, min(tenth - retried, per_hour_max - retried_last_hour))


def helped(before: float | None, after: float | None) -> bool | None:
    """Whether a failing share fell by half at least. None: it can't be told."""
    if before is None or after is None:
        return None
    return after <= before / 2
