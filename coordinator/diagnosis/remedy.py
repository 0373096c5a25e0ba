"""Remedies: what may be done about a failure. Some the coordinator can carry out itself, through the same commands a
person uses; the others are advice to people."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from coordinator.diagnosis.evidence import EvidenceId


class RemedyKind(StrEnum):
    # carried out here
    RETRY_STEP = "retry_step"  # a blocked step gets a new budget
    OPEN_CIRCUIT = "open_circuit"  # pause a participant, with an end
    PAUSE_DEFINITION = "pause_definition"
    THROTTLE = "throttle"  # at most so many commands per second to a participant, with an end
    PARK_SAGA = "park_saga"  # pause one saga
    REDRIVE = "redrive"  # send dead letters again, a few first
    PAUSE_ALL = "pause_all"  # everything stands still, clocks too
    # advice
    REPORT_ONLY = "report_only"  # nothing is wrong that could be mended
    CHECK_EFFECT = "check_effect"  # look in the participant's system whether it happened
    RETRY_LATER = "retry_later"  # start it again with backoff once the cause is gone
    WAIT = "wait"  # it mends itself
    FIX_INPUT = "fix_input"
    FIX_PRODUCER = "fix_producer"  # the step, or version, that gave something unusable
    ROLL_BACK = "roll_back"  # a version
    DRAIN = "drain"  # a worker or a host
    ROTATE_CREDENTIAL = "rotate_credential"
    SCALE_WORKERS = "scale_workers"
    EXTEND_TIMEOUT = "extend_timeout"
    RESTORE_SETTING = "restore_setting"
    END_TRANSACTION = "end_transaction"  # a long one that others wait for
    FREE_RESOURCE = "free_resource"
    MAKE_IDEMPOTENT = "make_idempotent"
    RESTORE_BROKER = "restore_broker"
    COLLECT_EVIDENCE = "collect_evidence"


executable = frozenset(
    {
        RemedyKind.RETRY_STEP,
        RemedyKind.OPEN_CIRCUIT,
        RemedyKind.PAUSE_DEFINITION,
        RemedyKind.THROTTLE,
        RemedyKind.PARK_SAGA,
        RemedyKind.REDRIVE,
        RemedyKind.PAUSE_ALL,
    }
)


class Tier(StrEnum):
    """Who may decide it."""

    A = "A"  # automatic
    B = "B"  # automatic, a few first and measured
    C = "C"  # after approval
    D = "D"  # a person alone


class Target(BaseModel):
    """What a remedy is done to. Which fields are there follows from its kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    saga_id: str | None = None
    step: str | None = None
    participant: str | None = None
    definition: str | None = None
    rate_per_second: float | None = Field(default=None, gt=0)
    seconds: float | None = Field(default=None, gt=0)  # how long, for what has an end


class PlannedRemedy(BaseModel):
    """One remedy as a report proposes it, the most useful first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: RemedyKind
    target: Target = Target()
    tier: Tier
    text: Annotated[str, StringConstraints(max_length=300)]  # what to do and why, in a sentence
    evidence: tuple[EvidenceId, ...] = ()
