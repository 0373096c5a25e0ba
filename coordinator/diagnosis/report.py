"""The report: what is wrong, how sure that is, why, what was ruled out, what happened to the world, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from coordinator.diagnosis.cause import Entity, FaultClass, Phase
from coordinator.diagnosis.evidence import Evidence, EvidenceId
from coordinator.diagnosis.remedy import PlannedRemedy

headline_chars_max = 140
claim_chars_max = 240
claims_max = 16
hypotheses_max = 3

Line = Annotated[str, StringConstraints(max_length=claim_chars_max)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Hypothesis(_Part):
    """One explanation. `confidence` is a probability, 0 to 1, calibrated on the benchmark's development split."""

    rank: int
    cls: FaultClass
    culprit: Entity | None = None  # None only of `unknown`
    root_step: str | None = None
    confidence: float = Field(ge=0, le=1)
    supports: tuple[EvidenceId, ...] = ()
    contradicts: tuple[EvidenceId, ...] = ()
    missing: tuple[Line, ...] = ()


class ClaimKind(StrEnum):
    OBSERVATION = "observation"
    INFERENCE = "inference"
    IMPACT = "impact"
    ADVICE = "advice"


class Claim(_Part):
    """One sentence and what it rests on."""

    kind: ClaimKind
    text: Line
    evidence: tuple[EvidenceId, ...]


class ChainLink(_Part):
    """From the cause to the symptom, one link after the other."""

    text: Line
    at: datetime | None = None
    evidence: tuple[EvidenceId, ...]


class RuledOutBecause(StrEnum):
    HEALTHY_IN_SAME_WINDOW = "healthy_in_same_window"
    CHANGE_AFTER_ONSET = "change_after_onset"
    OTHER_DIMENSION_EXPLAINS = "other_dimension_explains"
    RATE_AT_BASELINE = "rate_at_baseline"
    NOT_ON_PATH = "not_on_path"


class RuledOut(_Part):
    """An entity that is not to blame, and why not."""

    entity: Entity
    because: RuledOutBecause
    text: Line
    evidence: tuple[EvidenceId, ...]


class Transience(StrEnum):
    TRANSIENT = "transient"  # comes and goes
    PERSISTENT = "persistent"  # until somebody mends it
    DETERMINISTIC = "deterministic"  # the same input fails every time
    UNKNOWN = "unknown"


class BlastRadius(_Part):
    """How far it reaches. `rate_per_minute` is of failures in the last five minutes."""

    sagas_failed: int = 0
    sagas_at_risk: int = 0  # not final, and still to go through what fails
    sagas_stuck: int = 0  # blocked
    definitions: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    since: datetime | None = None
    rate_per_minute: float = 0.0
    still_growing: bool = False


class Certainty(StrEnum):
    """Whether the side effect of a step is in the world."""

    APPLIED = "applied"
    NOT_APPLIED = "not_applied"
    UNDONE = "undone"
    UNKNOWN = "unknown"
    NOT_RUN = "not_run"


class StepEffect(_Part):
    """Did it happen? Of one step of one saga."""

    step: str
    certainty: Certainty
    text: Line
    evidence: tuple[EvidenceId, ...] = ()


class Residue(_Part):
    """What is not undone, and what a person has to do about it."""

    saga_id: str
    step: str
    text: Line
    todo: Line
    evidence: tuple[EvidenceId, ...] = ()


class Similar(_Part):
    """An incident of the past that looked like this one."""

    incident_id: str
    at: datetime
    headline: str
    similarity: float = Field(ge=0, le=1)
    matched_on: tuple[str, ...]  # "the same error", "the same step", "similar wording"
    differences: tuple[str, ...] = ()
    cls: FaultClass
    resolution: str | None = None  # what a person said resolved it
    verified: bool = False  # a person said that its report was right


class Flag(StrEnum):
    INJECTION_SUSPECTED = "injection_suspected"
    INSUFFICIENT_EVIDENCE = "insufficient_evidence"
    CONFOUNDED = "confounded"
    COMPENSATION_STUCK = "compensation_stuck"
    NON_IDEMPOTENT_STEP = "non_idempotent_step"
    CLOCK_SKEW = "clock_skew"
    TRUNCATED = "truncated"
    REDACTED = "redacted"
    MODEL_UNAVAILABLE = "model_unavailable"
    MODEL_REJECTED = "model_rejected"


class Quality(_Part):
    """How the report was made, for those who judge it."""

    citations: int = 0
    citations_valid: int = 0
    claims_dropped: int = 0
    evidence_kinds: Mapping[str, int] = Field(default_factory=dict)
    milliseconds: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0


class Feedback(_Part):
    """What a person said of a report."""

    verdict: Literal["correct", "wrong"] | None = None
    true_class: FaultClass | None = None
    true_culprit: Entity | None = None
    resolution: Annotated[str, StringConstraints(max_length=2000)] | None = None
    by: str = ""
    at: datetime | None = None


class Report(_Part):
    """The diagnosis of an incident, or of one saga. `hypotheses[0]` is the verdict."""

    incident_id: str | None = None
    saga_id: str | None = None  # the saga it was asked for; None: it is of the incident
    saga_ids: tuple[str, ...] = ()  # a sample of those that failed
    version: int = 1
    created_at: datetime
    source: Literal["deterministic", "model"] = "deterministic"
    model: str | None = None
    prompt_hash: str | None = None
    analyser_version: str
    headline: Annotated[str, StringConstraints(max_length=headline_chars_max)]
    phase: Phase
    symptom_step: str  # "<definition>.<step>"
    symptom: Line  # the words of the failure, masked and redacted
    hypotheses: tuple[Hypothesis, ...] = Field(min_length=1, max_length=hypotheses_max)
    contested: bool = False  # the model and the rules disagree: nothing is done automatically
    chain: tuple[ChainLink, ...] = ()
    ruled_out: tuple[RuledOut, ...] = ()
    claims: tuple[Claim, ...] = Field(default=(), max_length=claims_max)
    transience: Transience = Transience.UNKNOWN
    onset: datetime | None = None
    blast_radius: BlastRadius = BlastRadius()
    effects: tuple[StepEffect, ...] = ()
    residue: tuple[Residue, ...] = ()
    similar: tuple[Similar, ...] = Field(default=(), max_length=3)
    remedies: tuple[PlannedRemedy, ...] = ()
    flags: frozenset[Flag] = frozenset()
    evidence: tuple[Evidence, ...] = ()
    quality: Quality = Quality()
    feedback: Feedback | None = None

    @property
    def verdict(self) -> Hypothesis:
        return self.hypotheses[0]
